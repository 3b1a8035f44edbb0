"""Augmentation of training clips, on the device, a batch at a time.

Axes: B batch, S samples, M mel bands, F frames, L labels. All choices come from a generator on the
CPU, so that every device makes the same ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from classifier.model.classifier import Task

LOUDNESS_WINDOWS = 25  # in a clip; the loudest one says how loud the clip is
SILENCE_DB = -100.0
EQUALISER_KNOTS = 6  # from the lowest band to the highest


@dataclass(frozen=True)
class Augmentation:
    """Everything off, as in the reference.

    mixing: share of clips that are mixed with another clip of the batch, and learned as both.
        Tokozume et al., "Learning from between-class examples for deep sound recognition" (2018).
    shift: turn each clip round by a random time, up to this share of half its length either way;
        what leaves at the end comes in at the start.
    speed: greatest factor of faster or slower playing, which moves pitch and tempo together.
    gain_decibels: greatest change of level, up or down; seen by absolute decibels only.
    equalise_decibels: greatest change of level at any frequency, by a curve of straight pieces:
        another microphone, another distance, another room.
        Nam et al., "FilterAugment: an acoustic environmental data augmentation method" (2022).
    band_masks, time_masks: stripes blanked out in a spectrogram, each up to `mask_share` wide.
        Park et al., "SpecAugment" (2019).
    """

    mixing: float = 0.0
    shift: float = 0.0
    speed: float = 1.0
    gain_decibels: float = 0.0
    equalise_decibels: float = 0.0
    band_masks: int = 0
    time_masks: int = 0
    mask_share: float = 0.125

    def scaled(self, strength: float) -> Augmentation:
        """The same in every way, but weaker: `strength` is from 0, nothing, to 1, all of it."""
        return replace(
            self,
            mixing=self.mixing * strength,
            shift=self.shift * strength,
            speed=self.speed**strength,
            gain_decibels=self.gain_decibels * strength,
            equalise_decibels=self.equalise_decibels * strength,
            band_masks=round(self.band_masks * strength),
            time_masks=round(self.time_masks * strength),
        )


NO_AUGMENTATION = Augmentation()


def vary_clips(clips: Tensor, augmentation: Augmentation, rng: torch.Generator) -> Tensor:
    """Shifts, speeds up or slows down, and amplifies clips (B, S), each its own way."""
    n_clips, n_samples = clips.shape
    starts = torch.randint(n_samples, (n_clips,), generator=rng)
    turns = torch.where(2 * starts > n_samples, starts - n_samples, starts)  # the shorter way
    turns = (augmentation.shift * turns.double()).round().int()
    factors = augmentation.speed ** _between(-1, 1, n_clips, rng)
    gains = 10 ** (augmentation.gain_decibels / 20 * _between(-1, 1, n_clips, rng))
    if augmentation.shift or augmentation.speed != 1:
        rows = zip(clips, turns.tolist(), factors.tolist(), strict=True)
        clips = torch.stack([_played(clip, start, factor) for clip, start, factor in rows])
    return clips * gains[:, None].to(clips) if augmentation.gain_decibels else clips


def mix_clips(
    clips: Tensor,
    targets: Tensor,
    augmentation: Augmentation,
    rng: torch.Generator,
    task: Task = "single",
) -> tuple[Tensor, Tensor]:
    """Clips (B, S) and targets (B, L), mixed in pairs.

    A share r of the label means a share r of the loudness that is perceived, whatever the levels of
    both recordings were; the sum is scaled to keep the energy. In a multi task a label is there in
    full from half of the loudness on, and below by twice its share: on mixtures of ESC-10
    (benchmarks/mixtures.py, two folds, 40 epochs) the macro average precision is 0.899 so, 0.892
    by plain shares, and 0.880 where a quarter of the loudness is the label in full and less is not.
    """
    if not augmentation.mixing:
        return clips, targets
    n_clips = len(clips)
    partner = torch.randperm(n_clips, generator=rng).to(clips.device)
    share = torch.rand(n_clips, 1, generator=rng)
    unmixed = torch.rand(n_clips, 1, generator=rng) >= augmentation.mixing
    share = torch.where(unmixed, 1.0, share).to(clips.device)
    level_db = loudness(clips)
    louder_db = level_db - level_db[partner]
    weight = 1 / (1 + 10 ** (louder_db / 20) * (1 - share) / share.clamp_min(1e-6))
    norm = (weight.square() + (1 - weight).square()).sqrt()
    mixed = (weight * clips + (1 - weight) * clips[partner]) / norm
    if task == "multi":
        own, other = (2 * share).clamp_max(1), (2 - 2 * share).clamp_max(1)
        return mixed, torch.maximum(own * targets, other * targets[partner])
    return mixed, share * targets + (1 - share) * targets[partner]


def loudness(clips: Tensor) -> Tensor:
    """Level of the loudest window of each clip (B, S): (B, 1) in decibels."""
    windows = clips.unfold(1, *(2 * (max(1, clips.shape[1] // LOUDNESS_WINDOWS),)))
    power = windows.square().mean(2).amax(1, keepdim=True)
    return 10 * torch.log10(power.clamp_min(10 ** (SILENCE_DB / 10)))


def equalise(
    spectrograms: Tensor, band_std: Tensor, augmentation: Augmentation, rng: torch.Generator
) -> Tensor:
    """Raises and lowers frequencies of spectrograms (B, 1, M, F), each its own way.

    `band_std` (M,) is what one unit of each band means in decibels.
    """
    if not augmentation.equalise_decibels:
        return spectrograms
    n_clips, _, n_bands, _ = spectrograms.shape
    knots = augmentation.equalise_decibels * _between(-1, 1, n_clips * EQUALISER_KNOTS, rng)
    knots = knots.view(n_clips, 1, EQUALISER_KNOTS)
    curves_db = interpolate(knots, n_bands, mode="linear", align_corners=True)
    return spectrograms + (curves_db.to(spectrograms.device) / band_std)[..., None]


def mask_spectrograms(
    spectrograms: Tensor, augmentation: Augmentation, rng: torch.Generator
) -> Tensor:
    """Blanks stripes of normalised spectrograms (B, 1, M, F): 0 is the mean of the band."""
    n_clips, _, n_bands, n_frames = spectrograms.shape
    for _ in range(augmentation.band_masks):
        stripe = _stripe(n_clips, n_bands, augmentation.mask_share, rng).to(spectrograms.device)
        spectrograms = spectrograms.masked_fill(stripe[:, None, :, None], 0)
    for _ in range(augmentation.time_masks):
        stripe = _stripe(n_clips, n_frames, augmentation.mask_share, rng).to(spectrograms.device)
        spectrograms = spectrograms.masked_fill(stripe[:, None, None, :], 0)
    return spectrograms


def _played(clip: Tensor, start: int, factor: float) -> Tensor:
    """A clip (S,), as a loop from `start` on, at `factor` times its speed."""
    n_samples = len(clip)
    n_played = max(2, round(n_samples * factor))
    rolled = clip.roll(-start)
    if n_played == n_samples:
        return rolled
    looped = rolled.repeat(math.ceil(n_played / n_samples))[:n_played]
    return interpolate(looped[None, None], n_samples, mode="linear", align_corners=False)[0, 0]


def _stripe(n_clips: int, length: int, share: float, rng: torch.Generator) -> Tensor:
    """(B, length) bool, true in one stripe of up to `share` of the length."""
    width = torch.rand(n_clips, 1, generator=rng) * share * length
    begin = torch.rand(n_clips, 1, generator=rng) * (length - width)
    places = torch.arange(length)
    return (places >= begin) & (places < begin + width)


def _between(low: float, high: float, n: int, rng: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=rng)
