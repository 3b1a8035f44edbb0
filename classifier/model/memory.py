"""What preparing a checkpoint takes in memory, from its description alone, and what it may take.

A few numbers in a small file ask for any amount: 60 s at 768 kHz with a hop of 16 are three million
frames. Where the kernel kills for want of memory there is no exception to catch, so that the answer
must come before anything is allocated.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from classifier.errors import CheckpointError
from classifier.model.audio_format import AudioFormat
from classifier.model.classifier import NetworkShape
from classifier.workers.cores import CGROUPS, MEMBERSHIP, group_folders

# Ten seconds at 192 kHz take 0.9 GiB with the reference's network, a minute at 48 kHz 1.3 GiB: what
# takes more than this is a mistake or a trap. Half of a small machine: the old one serves beside.
MAX_BYTES = 4 * 2**30
MEMORY_SHARE = 1 / 2

FLOAT_BYTES = 4
WEIGHT_COPIES = 5  # as read, as float32, in the module, and folded twice for serving
SAMPLE_BYTES = 24  # of the canary's clips: noise in float64, scaled, in float32, and padded

LIMIT_FILES = ("memory.max", "memory.limit_in_bytes")  # of control groups, new and old


def check_memory(audio: AudioFormat, shape: NetworkShape, n_labels: int, n_clips: int) -> None:
    """Raises CheckpointError where preparing takes too much: the field, the estimate, the limit.

    `n_clips` are those of the canary.
    """
    needed = estimate(audio, shape, n_labels, n_clips)
    total, limit = sum(needed.values()), memory_limit()
    if total > limit:
        field = max(needed, key=needed.__getitem__)
        raise CheckpointError(
            f"field {field}: it needs about {total / 2**30:.1f} GiB of memory, most of it for this"
            f" field, and the limit on this machine is {limit / 2**30:.1f} GiB"
        )


def estimate(
    audio: AudioFormat, shape: NetworkShape, n_labels: int, n_clips: int
) -> Mapping[str, int]:
    """Bytes by the field that they grow with, for one clip at a time on a CPU."""
    n_frames, n_mels = audio.n_frames, audio.n_mels
    spectrum = 3 * FLOAT_BYTES * n_frames * audio.n_fft  # windowed, transformed, and room to work
    bands = FLOAT_BYTES * (4 * n_frames * n_mels + 6 * n_mels * audio.n_bins)
    first, second, third, fourth = shape.widths
    n_pairs = first + first * second + second * third + third * fourth
    n_weights = 9 * (n_pairs + 2 * second**2 + 2 * fourth**2)
    weights = FLOAT_BYTES * WEIGHT_COPIES
    return {
        "audio_format.clip_seconds": SAMPLE_BYTES * n_clips * audio.clip_samples,
        "audio_format.hop_length": spectrum,
        "audio_format.n_mels": bands,
        "network.widths": weights * n_weights,
        f"network.widths, over {n_frames} frames of {n_mels} bands": FLOAT_BYTES
        * _most_cells(shape, n_mels * n_frames),
        "labels": weights * n_labels * fourth,
    }


def memory_limit() -> int:
    """Bytes that a checkpoint may take here while it is prepared."""
    return min(MAX_BYTES, int(MEMORY_SHARE * memory_bytes()))


def memory_bytes(membership: Path = MEMBERSHIP, groups: Path = CGROUPS) -> int:
    """What this machine has, or what this process's control groups leave it."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for folder in group_folders("memory", membership, groups):
        for name in LIMIT_FILES:
            with suppress(OSError, ValueError):  # "max", or a group that is not shown here
                limits.append(int((folder / name).read_text()))
    return min(limits)


def _most_cells(shape: NetworkShape, n_cells: int) -> int:
    """Of the feature maps that one clip needs at a time: what a block reads, makes and pools."""
    first, second, third, fourth = shape.widths
    blocks = (
        (1, first, shape.early_pooling),
        (first, second, True),
        (second, second, False),
        (second, third, True),
        (third, fourth, True),
        (fourth, fourth, False),
    )
    most = 0
    for inside, outside, is_pooled in blocks:
        most = max(most, (inside + 2 * outside) * n_cells)
        n_cells //= 4 if is_pooled else 1
    return most
