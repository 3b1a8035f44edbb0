"""The training data: every example decoded once, as clips that stay on the device if they fit.

Axes: R recordings (examples), N clips, S samples, L labels.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from classifier.audio.decode import DecodedAudio, Segment
from classifier.audio.samples import Channel
from classifier.errors import ClassifierError, DecodingError
from classifier.model.audio_format import AudioFormat
from classifier.model.classifier import Task
from classifier.workers.pool import Answer, DecodePool
from trainer.console import ProgressConsole
from trainer.data.clip_cache import ClipCache, available_bytes, new_cache
from trainer.data.examples import Example, task_of, true_labels

SEGMENT_SECONDS = 60.0  # decoded in one piece; longer examples stream
FULL_SCALE = 32_767
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Dataset:
    """Clips of all examples, those of one recording side by side.

    Clips are 16 bit against their own peak: half the memory of floats, and finer than any loss
    in a quiet recording. `recording` ascends and lies on the device that trains; `samples` may lie
    elsewhere, in any order: those of clip n are in row `rows[n]`.
    """

    examples: tuple[Example, ...]
    digests: tuple[str, ...]
    samples: Tensor  # (N, S) int16
    peaks: Tensor  # (N, 1) float32
    recording: Tensor  # (N,) position in `examples`
    rows: Tensor  # (N,) int64, beside `samples`
    known_labels: tuple[str, ...] = ()  # output labels even where no example has them
    problems: tuple[str, ...] = ()
    is_mapped: bool = False
    channel: Channel = "mean"  # what was decoded of several
    file: IO[bytes] | None = None  # of samples that other processes are to map

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """L names in alphabetical order."""
        return tuple(
            sorted({label for e in self.examples for label in e.labels} | {*self.known_labels})
        )

    @cached_property
    def task(self) -> Task:
        return task_of(self.examples)

    @cached_property
    def unit(self) -> str:
        """What an example is: a recording, or a part of one."""
        return "selections" if any(each.is_part for each in self.examples) else "recordings"

    @cached_property
    def truth(self) -> Tensor:
        """(R,) index into `labels`; of a multi task (R, L), whether it bears each label."""
        return torch.from_numpy(true_labels(self.examples, self.labels)).to(self.device)

    @property
    def device(self) -> torch.device:
        return self.recording.device

    def to_device(self, device: torch.device) -> Dataset:
        """The same data for training on `device`; samples stay where they are if they do not fit.

        They fit if they take half of what is free there, since training needs room as well.
        """
        if device == self.device:
            return self
        n_bytes = self.samples.numel() * self.samples.element_size()
        home = self.samples.device
        if not self.is_mapped and n_bytes <= available_bytes(device) // 2:
            home = device
        return replace(
            self,
            samples=self.samples.to(home),
            rows=self.rows.to(home),
            peaks=self.peaks.to(device),
            recording=self.recording.to(device),
        )

    def subset(self, positions: Sequence[int]) -> Dataset:
        """The data of the examples at these ascending positions; samples stay where they are."""
        if len(positions) == len(self.examples):
            return self
        clips = self.clips_of(positions)
        number = torch.zeros(len(self.examples), dtype=torch.int64, device=self.device)
        number[list(positions)] = torch.arange(len(positions), device=self.device)
        return replace(
            self,
            examples=tuple(self.examples[at] for at in positions),
            digests=tuple(self.digests[at] for at in positions),
            peaks=self.peaks[clips],
            recording=number[self.recording[clips]],
            rows=self.rows[clips.to(self.rows.device)],
        )

    def clips_of(self, positions: Sequence[int]) -> Tensor:
        """Indices of the clips of these recordings, ascending."""
        wanted = torch.tensor(positions, dtype=torch.int64, device=self.device)
        return torch.isin(self.recording, wanted).nonzero().squeeze(1)

    def audio(self, clips: Tensor) -> Tensor:
        """Clips (B, S) float32 as the decoder gave them."""
        samples = self.samples[self.rows[clips.to(self.samples.device)]]
        return samples.to(self.device) * (self.peaks[clips] / FULL_SCALE)

    def clip_targets(self, clips: Tensor) -> Tensor:
        """(B, L) float32: 1 for the labels of each clip's recording."""
        truth = self.truth[self.recording[clips]]
        return (truth if self.task == "multi" else one_hot(truth, len(self.labels))).float()


@dataclass
class _Recording:
    """What is known of an example while its segments come in."""

    rows: list[int] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    digest: str = ""


def decode_dataset(
    examples: Sequence[Example],
    audio_format: AudioFormat,
    pool: DecodePool[int],
    memory_gib: float,
    folder: Path,
    console: ProgressConsole,
    *,
    device: torch.device = CPU,
    known_labels: Sequence[str] = (),
    is_shared: bool = False,
    channel: Channel = "mean",
) -> Dataset:
    """`load_dataset` with a progress bar, and clips beyond `memory_gib` in a file in `folder`.

    0 is half of the free memory. What `is_shared` can be mapped by other processes.

    Raises TrainerError where the clips have no room.
    """
    cache = new_cache(audio_format.clip_samples, memory_gib, folder, is_shared)
    with console.bar("decoding", len(examples)) as advance:
        dataset = load_dataset(
            examples, audio_format, pool, device, advance, cache, known_labels, channel
        )
    if cache.notice:
        console.print_line(cache.notice)
    return dataset


def load_dataset(
    examples: Sequence[Example],
    audio_format: AudioFormat,
    pool: DecodePool[int],
    device: torch.device,
    on_recording: Callable[[], None] = lambda: None,
    cache: ClipCache | None = None,
    known_labels: Sequence[str] = (),
    channel: Channel = "mean",
) -> Dataset:
    """Decodes all examples. Those that cannot be decoded are left out and named in `problems`.

    `on_recording` is called after each recording. Clips collect in `cache`, in memory without one.
    """
    cache = cache or ClipCache(audio_format.clip_samples)
    recordings = [_Recording() for _ in examples]
    problems: dict[int, str] = {}
    for at, answer, is_last in decode_examples(examples, audio_format, pool, channel):
        if isinstance(answer, DecodedAudio):
            _add(recordings[at], answer, cache)
        else:
            problems[at] = f"{examples[at].place}: {_reason(examples[at], answer)}"
        if is_last:
            on_recording()
    kept = [at for at in range(len(examples)) if at not in problems]
    decoded = [recordings[at] for at in kept]
    rows = torch.tensor([row for each in decoded for row in each.rows], dtype=torch.int64)
    peaks = torch.tensor([peak for each in decoded for peak in each.peaks])
    counts = torch.tensor([len(each.rows) for each in decoded], dtype=torch.int64)
    return Dataset(
        examples=tuple(examples[at] for at in kept),
        digests=tuple(each.digest for each in decoded),
        samples=cache.tensor(),
        peaks=peaks[:, None],
        recording=torch.repeat_interleave(counts),
        rows=rows,
        known_labels=tuple(known_labels),
        problems=tuple(problems[at] for at in sorted(problems)),
        is_mapped=cache.is_mapped,
        channel=channel,
        file=cache.file if cache.is_shared else None,
    ).to_device(device)


def decode_examples(
    examples: Sequence[Example],
    audio_format: AudioFormat,
    pool: DecodePool[int],
    channel: Channel = "mean",
) -> Iterator[tuple[int, Answer, bool]]:
    """Position and answer of every segment, and whether it is the last one of its example.

    The segments of one example come in order.
    """
    waiting = deque(
        (at, _first_segment(example, audio_format, channel)) for at, example in enumerate(examples)
    )
    in_flight: dict[int, Segment] = {}
    while waiting or in_flight:
        while waiting and pool.in_flight < 4 * pool.workers:
            at, segment = waiting.popleft()
            in_flight[at] = segment
            pool.submit(at, segment)
        key, answer = pool.wait()
        rest = _rest(in_flight.pop(key), answer)
        if rest is not None:
            waiting.appendleft((key, rest))
        yield key, answer, rest is None


def _rest(segment: Segment, answer: Answer) -> Segment | None:
    """What follows this segment of the same file; None behind the end and after a failure."""
    first_clip = segment.first_clip + segment.max_clips
    if not isinstance(answer, DecodedAudio):
        return None
    if answer.total_clips is not None and answer.total_clips <= first_clip:
        return None
    return replace(segment, first_clip=first_clip, fingerprint=answer.fingerprint)


def _first_segment(example: Example, audio_format: AudioFormat, channel: Channel) -> Segment:
    # The decoder follows no links, since in an inbox they are a stranger's; here a person named it.
    path = os.path.realpath(os.fsencode(example.path))
    return Segment(
        path=path,
        sample_rate_hz=audio_format.sample_rate_hz,
        clip_samples=audio_format.clip_samples,
        hop_samples=audio_format.clip_samples,
        max_clips=math.ceil(SEGMENT_SECONDS / audio_format.clip_seconds),
        start_seconds=example.start_seconds,
        end_seconds=example.end_seconds,
        size_bytes=size_or_zero(path),
        channel=channel,
    )


def size_or_zero(path: bytes | Path) -> int:
    """The bytes of a file; 0 where it has vanished, as the decoder will say."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _add(recording: _Recording, decoded: DecodedAudio, cache: ClipCache) -> None:
    peaks = np.abs(decoded.clips).max(axis=1, initial=0)
    scale = FULL_SCALE / np.where(peaks > 0, peaks, 1)
    recording.rows.extend(range(cache.n_clips, cache.n_clips + len(peaks)))
    recording.peaks.extend(peaks.tolist())
    cache.append(np.rint(decoded.clips * scale[:, None]).astype(np.int16))
    recording.digest = decoded.digest or recording.digest


def _reason(example: Example, answer: Answer) -> str:
    if isinstance(answer, DecodingError) and answer.kind == "no_audio" and example.start_seconds:
        return f"the file ends before {example.start_seconds:g} s; correct its start"
    if isinstance(answer, ClassifierError) and str(answer):
        return str(answer)
    return "the file changed while it was read; try again when it is at rest"
