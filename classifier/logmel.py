"""Log-mel spectrograms in torch, equal to librosa's `melspectrogram` and `power_to_db`.

The same module computes features for training and for serving.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from classifier.audio_format import AudioFormat

AMIN = 1e-10  # librosa's power floor, -100 dB


def mel_filter_bank(audio_format: AudioFormat) -> Tensor:
    """Slaney's mel bank as librosa makes it, (M, n_fft // 2 + 1).

    Called when a checkpoint is made; from then on the bank travels inside the checkpoint, so that
    serving needs no librosa.
    """
    import librosa

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

    def __init__(self, audio_format: AudioFormat, bank: Tensor) -> None:
        super().__init__()
        self.audio_format = audio_format
        self.register_buffer("window", torch.hann_window(audio_format.n_fft), persistent=False)
        self.register_buffer("bank", bank.float(), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        spectrum = torch.stft(
            clips,
            self.audio_format.n_fft,
            self.audio_format.hop_length,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        power = torch.view_as_real(spectrum).square().sum(-1)
        return self._decibels(self.bank @ power)

    def _decibels(self, mel: Tensor) -> Tensor:
        decibels = 10.0 * torch.log10(mel.clamp_min(AMIN))
        peak = decibels.amax((1, 2), keepdim=True)
        if self.audio_format.floor_decibels is not None:
            decibels = torch.maximum(decibels, peak - self.audio_format.floor_decibels)
        return decibels - peak if self.audio_format.peak_decibels else decibels
