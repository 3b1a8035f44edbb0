"""A run that is stopped and resumed ends where an uninterrupted one does; several processes too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tones import TONE_RECIPE, two_tones

from classifier.model.classifier import ClipClassifier
from trainer.data.dataset import Dataset
from trainer.data.splits import Split
from trainer.training.augmentation import Augmentation
from trainer.training.loop import EpochFacts, new_model, train_network
from trainer.training.optimizer import Optimization
from trainer.training.resume import RunStage

RECIPE = replace(
    TONE_RECIPE,
    epochs=6,
    optimizer="adamw",
    schedule="one-cycle",
    averaging=0.9,
    normalise=True,
    augmentation=Augmentation(
        mixing=1.0,
        shift=1.0,
        speed=1.1,
        gain_decibels=3.0,
        equalise_decibels=6.0,
        band_masks=1,
        time_masks=1,
    ),
)


class Stopped(Exception):
    """Stands for Ctrl-C, kill -9 and the power."""


@pytest.fixture(scope="module")
def tones() -> Dataset:
    return two_tones(12)


@pytest.fixture(scope="module")
def split() -> Split:
    return Split(tuple(range(9)), (9, 10, 11), "by hand")


def weights(model: ClipClassifier) -> torch.Tensor:
    return torch.cat([t.flatten().float() for t in model.network.state_dict().values()])


@pytest.mark.parametrize("stopped_after", [1, 4, 6])
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    tones: Dataset,
    split: Split,
    tmp_path: Path,
    stopped_after: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.training.resume.SAVE_SECONDS", 0.0)
    whole = train_network(tones, split, RECIPE, seed=3)

    def stop(facts: EpochFacts) -> None:
        if facts.epoch == stopped_after:
            raise Stopped

    stage = RunStage(tmp_path / "final.safetensors")
    with pytest.raises(Stopped):
        train_network(tones, split, RECIPE, 3, stop, stage=stage)
    resumed = train_network(tones, split, RECIPE, 3, stage=stage)
    assert torch.equal(weights(resumed.model), weights(whole.model))
    assert [facts.val_loss for facts in resumed.history] == [
        facts.val_loss for facts in whole.history
    ]


def test_the_average_forgets_the_beginning_and_then_keeps_its_share(tones: Dataset) -> None:
    model = new_model(tones, RECIPE)
    optimization = Optimization(model, replace(RECIPE, averaging=0.5, learning_rate=1e-30), 100)
    bias, seen = model.network.head[-1].bias, []
    for value in [1.0, 2.0] + [3.0] * 20 + [4.0]:
        bias.data.fill_(value)
        optimization.step(0 * bias.sum())
        seen.append(optimization.averaged.network.head[-1].bias[0].item())
    assert seen[0] == 1.0  # nothing of the random beginning
    assert seen[1] == pytest.approx(2 - 2 / 11)  # it keeps (1 + 1) / (10 + 1)
    assert seen[-1] == pytest.approx(3.5, abs=1e-3)


def test_resuming_repeats_no_epoch_that_was_saved(
    tones: Dataset, split: Split, tmp_path: Path
) -> None:
    stage = RunStage(tmp_path / "final.safetensors")
    train_network(tones, split, RECIPE, 3, stage=stage)
    repeated: list[EpochFacts] = []
    train_network(tones, split, RECIPE, 3, repeated.append, stage=stage)
    assert repeated == []
