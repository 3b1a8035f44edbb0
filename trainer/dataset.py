"""The training data: every example decoded once, as clips that stay on the device.

Axes: R recordings (examples), N clips, S samples, L labels.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from classifier.audio_format import AudioFormat
from classifier.decoding import Decoded, Samples, Stretch
from classifier.errors import ClassifierError, DecodingError
from classifier.pool import Answer, DecodePool
from trainer.labels import Example

STRETCH_SECONDS = 60.0  # decoded in one piece; longer examples stream
FULL_SCALE = 32_767


@dataclass(frozen=True)
class Dataset:
    """Clips of all examples, those of one recording side by side.

    Clips are 16 bit against their own peak: half the memory of floats, and finer than any loss
    in a quiet recording. `recording` ascends.
    """

    examples: tuple[Example, ...]
    digests: tuple[str, ...]
    samples: Tensor  # (N, S) int16
    peaks: Tensor  # (N, 1) float32
    recording: Tensor  # (N,) position in `examples`
    problems: tuple[str, ...] = ()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """L names, in the alphabet's order."""
        return tuple(sorted({example.label for example in self.examples}))

    @cached_property
    def truth(self) -> Tensor:
        """(R,) index into `labels`."""
        index = {label: at for at, label in enumerate(self.labels)}
        return torch.tensor([index[example.label] for example in self.examples], device=self.device)

    @property
    def device(self) -> torch.device:
        return self.samples.device

    def clips_of(self, positions: Sequence[int]) -> Tensor:
        """Indices of the clips of these recordings, ascending."""
        wanted = torch.tensor(positions, dtype=torch.int64, device=self.device)
        return torch.isin(self.recording, wanted).nonzero().squeeze(1)

    def audio(self, clips: Tensor) -> Tensor:
        """Clips (B, S) float32 as the decoder gave them."""
        return self.samples[clips] * (self.peaks[clips] / FULL_SCALE)

    def clip_truth(self, clips: Tensor) -> Tensor:
        """(B,) index into `labels`."""
        return self.truth[self.recording[clips]]


@dataclass
class _Recording:
    """What is known of an example while its stretches come in."""

    samples: list[npt.NDArray[np.int16]]
    peaks: list[Samples]
    digest: str = ""


def load_dataset(
    examples: Sequence[Example],
    audio_format: AudioFormat,
    pool: DecodePool[int],
    device: torch.device,
    on_recording: Callable[[], None] = lambda: None,
) -> Dataset:
    """Decodes all examples. Those that cannot be decoded are left out and named in `problems`.

    `on_recording` is called after each recording.
    """
    recordings = [_Recording([], []) for _ in examples]
    problems: dict[int, str] = {}
    for at, answer, is_last in decode_examples(examples, audio_format, pool):
        if isinstance(answer, Decoded):
            _add(recordings[at], answer)
        else:
            problems[at] = f"{examples[at].place}: {_reason(examples[at], answer)}"
        if is_last:
            on_recording()
    sound = [at for at in range(len(examples)) if at not in problems]
    samples = [torch.from_numpy(np.concatenate(recordings[at].samples)) for at in sound]
    peaks = [torch.from_numpy(np.concatenate(recordings[at].peaks)) for at in sound]
    counts = torch.tensor([len(clips) for clips in samples], dtype=torch.int64)
    nothing = torch.empty(0, audio_format.clip_samples, dtype=torch.int16)
    return Dataset(
        examples=tuple(examples[at] for at in sound),
        digests=tuple(recordings[at].digest for at in sound),
        samples=torch.cat([nothing, *samples]).to(device),
        peaks=torch.cat([torch.empty(0, 1), *peaks]).to(device),
        recording=torch.repeat_interleave(counts).to(device),
        problems=tuple(problems[at] for at in sorted(problems)),
    )


def decode_examples(
    examples: Sequence[Example], audio_format: AudioFormat, pool: DecodePool[int]
) -> Iterator[tuple[int, Answer, bool]]:
    """Position and answer of every stretch, and whether it is the last one of its example.

    The stretches of one example come in order.
    """
    waiting = deque(
        (at, _first_stretch(example, audio_format)) for at, example in enumerate(examples)
    )
    under_way: dict[int, Stretch] = {}
    while waiting or under_way:
        while waiting and pool.in_flight < 4 * pool.workers:
            at, stretch = waiting.popleft()
            under_way[at] = stretch
            pool.submit(at, stretch)
        key, answer = pool.wait()
        rest = _rest(under_way.pop(key), answer)
        if rest is not None:
            waiting.appendleft((key, rest))
        yield key, answer, rest is None


def _rest(stretch: Stretch, answer: Answer) -> Stretch | None:
    """What follows this stretch of the same file; None behind the end and after a failure."""
    first_clip = stretch.first_clip + stretch.max_clips
    if not isinstance(answer, Decoded):
        return None
    if answer.total_clips is not None and answer.total_clips <= first_clip:
        return None
    return replace(stretch, first_clip=first_clip, fingerprint=answer.fingerprint)


def _first_stretch(example: Example, audio_format: AudioFormat) -> Stretch:
    # The decoder follows no links, since in an inbox they are a stranger's; here a person named it.
    path = os.path.realpath(os.fsencode(example.path))
    return Stretch(
        path=path,
        sample_rate_hz=audio_format.sample_rate_hz,
        clip_samples=audio_format.clip_samples,
        hop_samples=audio_format.clip_samples,
        max_clips=math.ceil(STRETCH_SECONDS / audio_format.clip_seconds),
        start_seconds=example.start_seconds,
        end_seconds=example.end_seconds,
        size_bytes=_size_bytes(path),
    )


def _size_bytes(path: bytes) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0  # it vanished since the labels were read; the decoder will say so


def _add(recording: _Recording, decoded: Decoded) -> None:
    peaks = np.abs(decoded.clips).max(axis=1, keepdims=True)
    scale = FULL_SCALE / np.where(peaks > 0, peaks, 1)
    recording.samples.append(np.rint(decoded.clips * scale).astype(np.int16))
    recording.peaks.append(peaks)
    recording.digest = decoded.digest or recording.digest


def _reason(example: Example, answer: Answer) -> str:
    if isinstance(answer, DecodingError) and answer.kind == "no_audio" and example.start_seconds:
        return f"the file ends before {example.start_seconds:g} s; correct its start"
    if isinstance(answer, ClassifierError) and str(answer):
        return str(answer)
    return "the file changed while it was read; try again when it is at rest"
