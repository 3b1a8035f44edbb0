"""Log-mel spectrograms in torch, equal to librosa's `melspectrogram` and `power_to_db`.

The same module computes features for training and for serving.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from classifier.errors import TemporaryFolderError, one_line
from classifier.model.audio_format import AudioFormat

AMIN = 1e-10  # librosa's power floor, -100 dB

# Frames that are transformed at once on a CPU. More leaves the caches: 3.0 ms for a clip of 5 s
# where 32 are transformed together, 0.9 ms two by two (two cores of AMD EPYC).
CPU_FRAMES_BYTES = 4 * 2**20

# A band is nothing but zeros outside its triangle, so a few bands at a time are multiplied with the
# bins it spans: 0.25 ms a clip for 64 bands against 0.67 for all bins. With fewer bands at once
# MKL falls back to a slow kernel (0.7 ms).
BANDS_AT_ONCE = 16
MAX_CLIPS = 2**20


def mel_filter_bank(audio_format: AudioFormat) -> Tensor:
    """Slaney's mel bank as librosa makes it, (M, n_fft // 2 + 1).

    Called when a checkpoint is made; from then on the bank travels inside the checkpoint, so that
    serving needs no librosa. Raises TemporaryFolderError.
    """
    try:
        import librosa
    except RuntimeError as error:  # numba
        raise TemporaryFolderError(f"librosa cannot be loaded: {one_line(error)}") from error

    bank = librosa.filters.mel(
        sr=audio_format.sample_rate_hz,
        n_fft=audio_format.n_fft,
        n_mels=audio_format.n_mels,
        fmin=audio_format.min_hz,
        fmax=audio_format.max_hz,
    )
    return torch.from_numpy(bank)


class LogMel(nn.Module):
    """Clips (B, S) in [-1, 1] to decibels (B, M, F)."""

    window: Tensor
    bank: Tensor
    pairs: Tensor

    def __init__(self, audio_format: AudioFormat, bank: Tensor) -> None:
        super().__init__()
        self.audio_format = audio_format
        self.register_buffer("window", torch.hann_window(audio_format.n_fft), persistent=False)
        self.register_buffer("bank", bank.float(), persistent=False)
        # (2 * bins, M): each weight twice, for the squares of a real and an imaginary part.
        self.register_buffer("pairs", self.bank.T.repeat_interleave(2, 0), persistent=False)
        self._groups = list(_band_groups(self.pairs))
        clip_bytes = 4 * audio_format.n_frames * audio_format.n_fft  # frames overlap
        self._clips_at_once = max(1, CPU_FRAMES_BYTES // clip_bytes)

    def clips_at_once(self, device: torch.device) -> int:
        """That are transformed together: a few on a CPU, on others as many as there are."""
        return self._clips_at_once if device.type == "cpu" else MAX_CLIPS

    def forward(self, clips: Tensor) -> Tensor:
        at_once = self.clips_at_once(clips.device)
        return self._decibels(torch.cat([self._mel(part) for part in torch.split(clips, at_once)]))

    def _mel(self, clips: Tensor) -> Tensor:
        """Mel power (B, M, F): what `torch.stft` would give, without its passes over memory."""
        n_fft = self.audio_format.n_fft
        frames = pad(clips, (n_fft // 2, n_fft // 2)).unfold(1, n_fft, self.audio_format.hop_length)
        spectrum = torch.view_as_real(torch.fft.rfft(frames * self.window))
        squares = spectrum.flatten(-2).flatten(0, 1).square_()  # (B * F, 2 * bins)
        mel = self._bands(squares).view(len(clips), -1, self.audio_format.n_mels)
        return mel.transpose(1, 2)

    def _bands(self, squares: Tensor) -> Tensor:
        if squares.device.type != "cpu":
            return squares @ self.pairs  # one kernel; a GPU does not notice the zeros
        parts = [squares[:, columns] @ weights for columns, weights in self._groups]
        return torch.cat(parts, dim=1)

    def _decibels(self, mel: Tensor) -> Tensor:
        decibels = 10.0 * torch.log10(mel.clamp_min(AMIN))
        peak = decibels.amax((1, 2), keepdim=True)
        if self.audio_format.floor_decibels is not None:
            decibels = torch.maximum(decibels, peak - self.audio_format.floor_decibels)
        return decibels - peak if self.audio_format.peak_decibels else decibels


def _band_groups(pairs: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Of weights (2 * bins, M): columns that neighbouring bands span, and weights (columns, bands).

    For the CPU.
    """
    for weights in torch.split(pairs.cpu(), BANDS_AT_ONCE, dim=1):
        used = weights.any(dim=1).nonzero().flatten().tolist() or [0]
        columns = slice(used[0], used[-1] + 1)
        yield columns, weights[columns].contiguous()
