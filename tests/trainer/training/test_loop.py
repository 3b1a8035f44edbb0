"""The training loop, and the judgement of what it made, on tones that need no decoding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tones import TONE_RECIPE, dataset_of, tone, two_tones

from trainer.data.dataset import Dataset
from trainer.data.splits import Split, everything
from trainer.distributed.process_group import ProcessGroup
from trainer.errors import TrainerError, TrainingDiverged
from trainer.evaluation.metrics import (
    answer_recordings,
    cross_entropy,
    evaluate,
    expected_calibration_error,
)
from trainer.training.batches import (
    batches,
    epoch_order,
    generator,
    measure_bands,
    n_batches,
    refresh_batch_norm,
)
from trainer.training.loop import (
    EpochFacts,
    clip_loss,
    new_model,
    seed_everything,
    train_network,
    validate,
)

RECIPE = TONE_RECIPE


@pytest.fixture(scope="module")
def tones() -> Dataset:
    return two_tones(40)


@pytest.fixture(scope="module")
def split() -> Split:
    return Split(tuple(range(32)), tuple(range(32, 40)), "the last eight validate")


def test_two_tones_are_separated(tones: Dataset, split: Split) -> None:
    seen: list[EpochFacts] = []
    trained = train_network(tones, split, RECIPE, seed=0, on_epoch=seen.append)
    assert trained.history[-1].val_accuracy == 1.0
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    assert [facts.epoch for facts in seen] == list(range(1, 16))


def test_the_same_seed_gives_the_same_weights(tones: Dataset, split: Split) -> None:
    def weights(seed: int) -> torch.Tensor:
        model = train_network(tones, split, replace(RECIPE, epochs=2), seed).model
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_validation_files_do_not_change_the_weights(tones: Dataset, split: Split) -> None:
    recipe = replace(RECIPE, epochs=2, normalise=True)
    validated = train_network(tones, split, recipe, seed=0).model
    alone = train_network(tones, replace(split, validation=()), recipe, seed=0).model
    assert torch.equal(validated.band_mean, alone.band_mean)
    assert all(
        torch.equal(one, other)
        for one, other in zip(
            validated.state_dict().values(), alone.state_dict().values(), strict=True
        )
    )


def test_without_validation_there_is_nothing_to_report(tones: Dataset) -> None:
    trained = train_network(tones, everything(40), replace(RECIPE, epochs=1), seed=0)
    assert (trained.history[0].val_loss, trained.history[0].val_accuracy) == (None, None)


@pytest.mark.parametrize("epochs", range(1, 7))
def test_a_cycle_may_have_a_few_steps_only(epochs: int) -> None:
    recipe = replace(RECIPE, epochs=epochs, schedule="one-cycle", averaging=0.9)
    trained = train_network(two_tones(8), everything(8), recipe, seed=0)
    assert len(trained.history) == epochs


def test_divergence_stops_and_names_the_learning_rate(tones: Dataset, split: Split) -> None:
    with pytest.raises(TrainingDiverged, match="--lr smaller than 1e\\+30"):
        train_network(tones, split, replace(RECIPE, learning_rate=1e30), seed=0)


def test_a_last_batch_of_one_is_left_out() -> None:
    assert [len(part) for part in batches(torch.arange(9), 4)] == [4, 4]


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [2, 5, 8])
@pytest.mark.parametrize("n_clips", [2, 9, 16, 17])
def test_batches_are_counted_as_they_come(n_clips: int, batch_size: int, size: int) -> None:
    process_group = ProcessGroup(0, size)
    there = len(list(batches(torch.arange(n_clips), batch_size, process_group)))
    if there:
        assert n_batches(n_clips, batch_size, process_group) == there
    else:
        with pytest.raises(TrainerError, match="take more files or a larger --batch-size"):
            n_batches(n_clips, batch_size, process_group)


def test_settled_statistics_are_those_of_all_clips_as_they_are_served(tones: Dataset) -> None:
    model = new_model(tones, RECIPE)
    refresh_batch_norm(model, tones, torch.arange(40), batch_size=8)
    first, norm = model.network.stages[0][:2]
    with torch.no_grad():
        maps = first(model.spectrograms(tones.audio(torch.arange(40))))
    torch.testing.assert_close(norm.running_mean, maps.mean((0, 2, 3)))
    # The mean of the batches' variances: nearly that of all, since labels are mixed in each batch.
    torch.testing.assert_close(norm.running_var, maps.var((0, 2, 3)), rtol=0.05, atol=0)
    assert norm.momentum == 0.1


def test_normalised_bands_have_mean_zero_and_deviation_one(tones: Dataset) -> None:
    model = new_model(tones, RECIPE)
    clips = tones.clips_of(range(40))
    measure_bands(model, tones, clips, batch_size=7)
    with torch.inference_mode():
        bands = model.spectrograms(tones.audio(clips))[:, 0].transpose(0, 1).flatten(1)
    assert bands.mean(1).abs().max() < 1e-3
    assert (bands.std(1) - 1).abs().max() < 1e-2


def test_a_recording_is_scored_by_the_mean_of_its_clips(tones: Dataset) -> None:
    clips = [tone(hz) for hz in (400, 2000, 500, 2500, 3000)]
    dataset = dataset_of(clips, [0, 1, 1, 2, 2], ["low", "high", "low"])
    seed_everything(0)
    model = new_model(dataset, RECIPE)
    scores = answer_recordings(model, dataset.labels, dataset, [0, 2], batch_size=2).scores
    with torch.inference_mode():
        clip_scores = model.scores(dataset.audio(torch.arange(5))).numpy()
    expected = [clip_scores[0], clip_scores[3:].mean(axis=0)]
    assert np.allclose(scores, expected, atol=1e-6)


def test_loss_and_accuracy_count_recordings() -> None:
    scores = np.array([[0.5, 0.5], [0.75, 0.25]], np.float32)
    truth = np.array([0, 1])
    assert cross_entropy(scores, truth) == pytest.approx((np.log(2) + np.log(4)) / 2)
    evaluation = evaluate(scores, truth, ("a", "b"))
    assert evaluation.accuracy == 0.5
    assert evaluation.confusion_matrix().tolist() == [[1, 0], [1, 0]]


def test_a_label_without_validation_does_not_spoil_the_mean() -> None:
    scores = np.eye(3, dtype=np.float32)[[0, 1]]
    evaluation = evaluate(scores, np.array([0, 1]), ("a", "b", "absent"))
    assert (evaluation.accuracy, evaluation.macro_f1, evaluation.per_label[2].support) == (
        1.0,
        1.0,
        0,
    )


def test_confidence_that_comes_true_is_calibrated() -> None:
    confidence = np.repeat(np.linspace(0.5, 0.95, 10), 2000)
    right = np.random.RandomState(0).rand(len(confidence)) < confidence
    assert expected_calibration_error(confidence, right) < 0.02
    assert expected_calibration_error(confidence, np.zeros(len(right), bool)) > 0.7


def test_no_recordings_are_worth_no_numbers(tones: Dataset) -> None:
    assert validate(new_model(tones, RECIPE), tones, (), batch_size=8) == (None, None, None)


def test_clips_keep_their_level_and_shape(tones: Dataset) -> None:
    quiet = replace(tones, peaks=torch.full((40, 1), 1e-4))
    assert torch.allclose(quiet.audio(torch.arange(3)), tones.audio(torch.arange(3)) * 1e-4)


def unequal() -> Dataset:
    """90 low tones and 10 high ones."""
    clips = [tone(300)] * 90 + [tone(2000)] * 10
    return dataset_of(clips, list(range(100)), ["low"] * 90 + ["high"] * 10)


@pytest.mark.parametrize(("balance", "n_high"), [("none", 10), ("sqrt", 25), ("full", 50)])
def test_a_balance_takes_the_clips_of_rare_labels_more_often(balance: str, n_high: int) -> None:
    dataset, clips = unequal(), torch.arange(100)
    order = epoch_order(dataset, clips, balance, generator(0))
    assert len(order) == 100
    assert abs(int((order >= 90).sum()) - n_high) <= 1
    again = epoch_order(dataset, clips, balance, generator(1))
    assert not torch.equal(order, again)


def test_a_balance_changes_nothing_where_labels_are_alike(tones: Dataset) -> None:
    clips = tones.clips_of(range(40))
    orders = [epoch_order(tones, clips, balance, generator(0)) for balance in ("none", "full")]
    assert torch.equal(*orders)


def test_of_several_labels_the_rarest_counts() -> None:
    dataset = unequal()
    kinds = ["ab" if at < 5 else "b" if at < 80 else "" for at in range(100)]
    several = tuple(e.with_labels(kind) for e, kind in zip(dataset.examples, kinds, strict=True))
    order = epoch_order(replace(dataset, examples=several), torch.arange(100), "full", generator(0))
    numbers = torch.tensor([(order < 5).sum(), (order >= 80).sum()])
    assert (numbers >= 30).all()


def test_each_label_of_several_has_a_loss_of_its_own() -> None:
    logits, targets = torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 1.0]])
    expected = torch.log1p(torch.exp(-logits)).mean()
    assert torch.isclose(clip_loss(logits, targets, "multi", 0.0), expected)
