"""Training clips are varied as the recipe says, and in no other way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from trainer.training.augmentation import (
    Augmentation,
    equalise,
    loudness,
    mask_spectrograms,
    mix_clips,
    vary_clips,
)

NOTHING = Augmentation()
RATE_HZ = 8000


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n_clips: int = 6, n_samples: int = RATE_HZ) -> Tensor:
    return torch.from_numpy(0.1 * np.random.RandomState(0).randn(n_clips, n_samples)).float()


def tones(hz: float, n_clips: int = 8) -> Tensor:
    return torch.sin(2 * torch.pi * hz * torch.arange(RATE_HZ) / RATE_HZ).expand(n_clips, -1)


def test_the_reference_leaves_everything_as_it_is() -> None:
    clips, truth = noise(), torch.tensor([0, 1, 2, 0, 1, 2])
    assert torch.equal(vary_clips(clips, NOTHING, chance()), clips)
    mixed, targets = mix_clips(clips, one_hot(truth).float(), NOTHING, chance())
    assert torch.equal(mixed, clips)
    assert torch.equal(targets.argmax(1), truth)
    spectrograms = clips[:, None, :64].unsqueeze(-1)
    assert torch.equal(mask_spectrograms(spectrograms, NOTHING, chance()), spectrograms)
    assert torch.equal(equalise(spectrograms, torch.ones(64), NOTHING, chance()), spectrograms)


def test_a_shift_turns_a_clip_round_and_loses_nothing() -> None:
    clips = noise()
    shifted = vary_clips(clips, Augmentation(shift=1.0), chance())
    assert not torch.equal(shifted, clips)
    assert torch.equal(shifted.sort(1).values, clips.sort(1).values)


def test_a_weaker_shift_turns_less_far_either_way() -> None:
    click = torch.zeros(40, RATE_HZ)
    click[:, RATE_HZ // 2] = 1
    turns = vary_clips(click, Augmentation(shift=0.25), chance()).argmax(1) - RATE_HZ // 2
    assert turns.abs().max() <= RATE_HZ / 8
    assert turns.min() < -RATE_HZ / 16
    assert turns.max() > RATE_HZ / 16


def test_variation_of_full_strength_is_all_of_it_and_of_none_is_nothing() -> None:
    how = Augmentation(0.5, 1.0, 1.25, 6.0, 12.0, 2, 2)
    assert how.scaled(1) == how
    assert how.scaled(0) == NOTHING


def test_speed_moves_pitch_by_no_more_than_its_factor() -> None:
    played = vary_clips(tones(1000), Augmentation(speed=1.25), chance())
    peaks_hz = torch.fft.rfft(played).abs().argmax(1).float()
    assert peaks_hz.min() >= 1000 / 1.25 - 2
    assert peaks_hz.max() <= 1000 * 1.25 + 2
    assert peaks_hz.std() > 20
    assert played.shape == (8, RATE_HZ)


def test_equalising_moves_each_band_as_one_and_neighbours_alike() -> None:
    spectrograms, band_std = torch.randn(32, 1, 64, 20), torch.full((64,), 4.0)
    equalised = equalise(spectrograms, band_std, Augmentation(equalise_decibels=12), chance())
    curves_db = (equalised - spectrograms)[:, 0] * 4
    torch.testing.assert_close(curves_db[:, :, 0], curves_db[:, :, -1])
    assert 9 < curves_db.abs().max() <= 12.001
    steps_db = curves_db[:, 1:, 0] - curves_db[:, :-1, 0]
    assert steps_db.abs().max() < 24 / 12  # from one knot to the next, five knots apart in 63 bands
    assert curves_db[:, 0, 0].std() > 3  # each clip its own way


def test_gain_changes_the_level_and_nothing_else() -> None:
    clips = noise()
    louder = vary_clips(clips, Augmentation(gain_decibels=6), chance())
    decibels = 20 * torch.log10(louder / clips)
    assert torch.allclose(decibels, decibels[:, :1].expand_as(decibels), atol=1e-3)
    assert decibels.abs().max() <= 6.001


def test_the_same_chance_makes_the_same_clips() -> None:
    how = Augmentation(shift=1.0, speed=1.25, gain_decibels=6)
    assert torch.equal(vary_clips(noise(), how, chance(3)), vary_clips(noise(), how, chance(3)))
    assert not torch.equal(vary_clips(noise(), how, chance(3)), vary_clips(noise(), how, chance(4)))


def test_the_targets_of_a_mixture_are_shares() -> None:
    truth = torch.tensor([0, 1, 2, 0, 1, 2])
    _, targets = mix_clips(noise(), one_hot(truth).float(), Augmentation(mixing=1.0), chance())
    assert torch.allclose(targets.sum(1), torch.ones(6))
    assert (targets > 0).sum(1).max() == 2


def test_the_share_of_the_label_is_the_share_of_the_loudness() -> None:
    """Two tones, one of them a hundred times as loud: the share decides all the same."""
    clips = torch.stack([tones(500, 1)[0] * 0.01, tones(2000, 1)[0]])
    how, mixtures = Augmentation(mixing=1.0), []
    for seed in range(40):
        mixed, targets = mix_clips(clips, torch.eye(2), how, chance(seed))
        spectra = torch.fft.rfft(mixed).abs()
        mixtures += [
            (float(row[500] / (row[500] + row[2000])), float(target[0]))
            for row, target in zip(spectra, targets, strict=True)
            if 0 < target[0] < 1
        ]
    assert len(mixtures) > 20
    assert max(abs(measured - wanted) for measured, wanted in mixtures) < 0.01


def test_only_the_share_that_is_asked_for_is_mixed() -> None:
    clips, truth = noise(400, 100), torch.arange(400) % 2
    mixed, _ = mix_clips(clips, one_hot(truth).float(), Augmentation(mixing=0.25), chance())
    changed = (mixed != clips).any(1).float().mean()
    assert 0.18 < changed < 0.32


def test_silence_can_be_mixed() -> None:
    clips = torch.cat([torch.zeros(2, 800), noise(2, 800)])
    mixed, targets = mix_clips(clips, torch.eye(2)[[0, 0, 1, 1]], Augmentation(1.0), chance())
    assert mixed.isfinite().all()
    assert targets.isfinite().all()


def test_loudness_is_that_of_the_loudest_stretch() -> None:
    clip = torch.zeros(1, 1000)
    clip[0, 200:400] = 0.1
    assert loudness(clip).item() == pytest.approx(-20, abs=0.1)


def test_masks_blank_whole_bands_and_frames_and_no_more_than_their_share() -> None:
    how = Augmentation(band_masks=1, time_masks=1, mask_share=0.25)
    masked = mask_spectrograms(torch.ones(50, 1, 40, 80), how, chance())[:, 0] == 0
    bands, frames = masked.all(2), masked.all(1)
    assert torch.equal(masked, bands[:, :, None] | frames[:, None, :])
    assert bands.sum(1).max() <= 10 + 1
    assert frames.sum(1).max() <= 20 + 1
    assert masked.any()


def test_two_clips_of_one_label_mix_to_that_label() -> None:
    targets = torch.ones(6, 1)
    _, mixed = mix_clips(noise(), targets, Augmentation(mixing=1.0), chance(), "multi")
    assert torch.allclose(mixed, targets)


def test_a_clip_of_nothing_adds_no_label() -> None:
    targets = torch.eye(2)[[0, 0, 0, 1, 1, 1]] * torch.tensor([[1.0, 0.0]])
    _, mixed = mix_clips(noise(), targets, Augmentation(mixing=1.0), chance(), "multi")
    assert (mixed[:, 1] == 0).all()
