"""The audio format of a checkpoint: what its network was trained on."""

from __future__ import annotations

from dataclasses import dataclass

from classifier.errors import CheckpointError

MAX_SAMPLE_RATE_HZ = 768_000
MAX_CLIP_SAMPLES = 60 * MAX_SAMPLE_RATE_HZ


@dataclass(frozen=True)
class AudioFormat:
    """Sample rate, clip length and log-mel geometry. The defaults are the reference's.

    `peak_decibels` measures decibels against the loudest cell of each clip, `floor_decibels`
    cuts off what is that much below the loudest cell (librosa's `ref=np.max`, `top_db`).
    """

    sample_rate_hz: int = 22_050
    clip_seconds: float = 5.0
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    min_hz: float = 0.0
    max_hz: float = 11_025.0
    peak_decibels: bool = False
    floor_decibels: float | None = 80.0

    def __post_init__(self) -> None:
        for name, is_valid in self._rules().items():
            if not is_valid:
                raise CheckpointError(
                    f"audio format field {name} = {getattr(self, name)!r} cannot be right"
                )

    def _rules(self) -> dict[str, bool]:
        # Bounded before they are multiplied: a hostile header may say 1e308, or Infinity.
        rate_is_valid = 1000 <= self.sample_rate_hz <= MAX_SAMPLE_RATE_HZ
        length_is_valid = rate_is_valid and 0 < self.clip_seconds <= MAX_CLIP_SAMPLES
        return {
            "sample_rate_hz": rate_is_valid,
            "clip_seconds": length_is_valid and 1 <= self.clip_samples <= MAX_CLIP_SAMPLES,
            "n_fft": 16 <= self.n_fft <= 65_536,
            "hop_length": 1 <= self.hop_length <= self.n_fft,
            "n_mels": 1 <= self.n_mels <= self.n_bins,
            "min_hz": 0 <= self.min_hz < self.max_hz,
            "max_hz": rate_is_valid and self.max_hz <= self.sample_rate_hz / 2,
            "floor_decibels": self.floor_decibels is None or self.floor_decibels > 0,
        }

    @property
    def clip_samples(self) -> int:
        """S"""
        return round(self.clip_seconds * self.sample_rate_hz)

    @property
    def n_bins(self) -> int:
        """Frequency bins of one STFT frame."""
        return self.n_fft // 2 + 1

    @property
    def n_frames(self) -> int:
        """F, with a frame centred on every hop from the first sample on."""
        return 1 + self.clip_samples // self.hop_length
