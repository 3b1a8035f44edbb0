"""Ten seconds of a recording or of a run of its clips, as audio and spectrogram.

The audio is untrusted, so it is decoded in worker processes, as for training.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import torch

from classifier.audio.decode import DecodedAudio, Segment
from classifier.errors import FileChanged
from classifier.model.audio_format import AudioFormat
from classifier.model.log_mel import LogMel, mel_filter_bank
from classifier.workers.pool import Answer, DecodePool
from storage.queries.figures.statistics import Sample
from trainer.data.dataset import size_or_zero

EXCERPT_SECONDS = 10.0
USUAL_HZ = 22_050
RATES_HZ = 8000, 192_000  # that a picture is made of; others are brought between them
N_MELS = 64
COLUMNS = 400  # of a picture, if there is enough to show
WINDOW_SECONDS = 0.064
MP3_RATES_HZ = (8000, 11_025, 12_000, 16_000, 22_050, 24_000)
BLOCK_FRAMES = 65_536

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Excerpt:
    """Samples (S,) and decibels (M, F), or the problem where there are none."""

    problem: str | None = None
    sample_rate_hz: int = USUAL_HZ
    samples: Samples | None = field(default=None, repr=False)
    decibels: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    start_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        return 0.0 if self.samples is None else len(self.samples) / self.sample_rate_hz


def excerpts(
    samples: Sequence[Sample], sample_rate_hz: int | None, pool: DecodePool[int]
) -> list[Excerpt]:
    """One for each sample, in their order; one that cannot be decoded names its problem."""
    rate_hz = int(np.clip(sample_rate_hz or USUAL_HZ, *RATES_HZ))
    for at, sample in enumerate(samples):
        pool.submit(at, _segment(sample, rate_hz))
    answers = dict(pool.wait() for _ in samples)
    return [_excerpt(sample, answers[at], rate_hz) for at, sample in enumerate(samples)]


def encode_excerpt(excerpt: Excerpt) -> tuple[str, bytes]:
    """Media type and a small file: MP3, which every browser plays; WAV where none can be made."""
    assert excerpt.samples is not None
    samples, rate_hz = excerpt.samples, excerpt.sample_rate_hz
    if rate_hz not in MP3_RATES_HZ:
        samples = soxr.resample(samples, rate_hz, USUAL_HZ).astype(np.float32)
        rate_hz = USUAL_HZ
    is_mp3 = "MP3" in soundfile.available_formats()
    buffer = io.BytesIO()
    kind, subtype = ("MP3", "MPEG_LAYER_III") if is_mp3 else ("WAV", "PCM_16")
    with soundfile.SoundFile(buffer, "w", rate_hz, 1, subtype, format=kind) as file:
        for begin in range(0, len(samples), BLOCK_FRAMES):
            file.write(np.clip(samples[begin : begin + BLOCK_FRAMES], -1, 1))
    return ("audio/mpeg" if is_mp3 else "audio/wav"), buffer.getvalue()


def _segment(sample: Sample, rate_hz: int) -> Segment:
    n_samples = round(EXCERPT_SECONDS * rate_hz)
    return Segment(
        path=bytes(sample.file),
        sample_rate_hz=rate_hz,
        clip_samples=n_samples,
        hop_samples=n_samples,
        max_clips=1,
        start_seconds=sample.start_s,
        end_seconds=min(sample.start_s + EXCERPT_SECONDS, sample.end_s or math.inf),
        size_bytes=size_or_zero(sample.file),
        accepts_damaged=True,
    )


def _excerpt(sample: Sample, answer: Answer, rate_hz: int) -> Excerpt:
    if isinstance(answer, FileChanged):
        return Excerpt("the file changed while it was read")
    if not isinstance(answer, DecodedAudio):
        is_gone = answer.kind == "vanished"
        return Excerpt("the file is gone" if is_gone else str(answer))
    if answer.digest != sample.digest:
        return Excerpt("the file has another content by now")
    audio = answer.clips[0][: math.ceil(answer.seconds * rate_hz)] if len(answer.clips) else ()
    if not len(audio):
        return Excerpt("there is nothing to hear in it")
    # The clip lies in memory that goes back to the pool.
    samples = np.array(audio, np.float32)
    return Excerpt(None, rate_hz, samples, _decibels(samples, rate_hz), sample.start_s)


@torch.inference_mode()
def _decibels(samples: Samples, rate_hz: int) -> npt.NDArray[np.float32]:
    n_fft = int(2 ** round(math.log2(WINDOW_SECONDS * rate_hz)))
    hop = min(max(len(samples) // COLUMNS, 16), n_fft)
    audio_format = AudioFormat(rate_hz, EXCERPT_SECONDS, n_fft, hop, N_MELS, max_hz=rate_hz / 2)
    logmel = LogMel(audio_format, mel_filter_bank(audio_format))
    decibels: npt.NDArray[np.float32] = logmel(torch.from_numpy(samples)[None])[0].numpy()
    return decibels
