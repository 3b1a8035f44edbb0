"""What a network is worth, and which of its mistakes are shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tones import dataset_of

from classifier.model.checkpoint import read_checkpoint
from classifier.model.classifier import ClipClassifier
from trainer.data.dataset import Dataset
from trainer.evaluation.assessment import (
    Assessment,
    ClipPredictions,
    assess_as_served,
    assess_folds,
    assess_validation,
    predict,
)
from trainer.evaluation.calibration import ClipLogits
from trainer.evaluation.metrics import calibration_error_by_chance
from trainer.evaluation.top_errors import MOST, find_top_errors

LABELS = ("bell", "dog", "rain")
CLIP_SAMPLES = 4000


@pytest.fixture(scope="module")
def model(checkpoint_file: Path) -> ClipClassifier:
    return read_checkpoint(checkpoint_file).build()


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Fifteen recordings of two clips each, called rain and bell in turn, in rows from 2 on."""
    noise = np.random.RandomState(0).randn(30, CLIP_SAMPLES)
    clips = noise * np.linspace(0.1, 1, CLIP_SAMPLES) ** np.arange(30)[:, None]
    found = dataset_of(list(clips), [at // 2 for at in range(30)], ["rain", "bell"] * 7 + ["rain"])
    rows = [replace(example, row=at) for at, example in enumerate(found.examples, start=2)]
    return replace(found, examples=tuple(rows))


def boasting(n: int, seed: int) -> ClipPredictions:
    """Two recordings of three are answered rightly, and each with 99 %."""
    random = np.random.RandomState(seed)
    truth = random.randint(0, 3, n)
    answers = np.where(random.rand(n) < 2 / 3, truth, (truth + 1) % 3)
    logits = (5.3 * np.eye(3)[answers]).astype(np.float32)
    return ClipPredictions(tuple(range(n)), ClipLogits(logits, np.arange(n)), truth)


def all_wrong(model: ClipClassifier, dataset: Dataset) -> Assessment:
    predictions = predict(model, LABELS, dataset, range(15), batch_size=8)
    answers = predictions.clip_logits.scores(1.0).argmax(axis=1)
    mistaken = replace(predictions, truth=(answers + 1) % 3)
    return assess_as_served(mistaken, LABELS, 1.0, "mean", {})


def test_labels_are_matched_by_name_not_by_place(model: ClipClassifier, dataset: Dataset) -> None:
    predictions = predict(model, ("rain", "dog", "bell"), dataset, [0, 1, 4], batch_size=4)
    assert dataset.labels == ("bell", "rain")
    assert predictions.truth.tolist() == [0, 2, 0]


def test_a_boasting_network_is_cooled_down_by_recordings_it_had_not_heard() -> None:
    judged = assess_validation(boasting(200, 0), LABELS, [str(at) for at in range(200)])
    assert judged.temperature > 2
    assert judged.evaluation.ece < judged.uncalibrated.ece / 2
    assert judged.evaluation.accuracy == judged.uncalibrated.accuracy


def test_a_fold_is_measured_without_its_own_labels() -> None:
    boaster, honest = boasting(100, 0), boasting(100, 1)
    honest = replace(honest, truth=honest.clip_logits.logits.argmax(axis=1))
    judged = assess_folds([boaster, honest], LABELS)
    boaster_sure, honest_sure = judged.scores.max(axis=1).reshape(2, 100).mean(axis=1)
    assert boaster_sure > 0.95  # by the temperature of the other fold, which was always right
    assert honest_sure < 0.8
    assert judged.predictions.positions == (*range(100), *range(100))


def test_every_number_says_what_was_chosen_on_its_recordings() -> None:
    judged = assess_folds([boasting(20, 0), boasting(20, 1)], LABELS)
    assert judged.selection["ece"] == "each fold under a temperature fitted on the other folds"
    assert judged.selection["epochs"].startswith("fixed beforehand")


def test_a_checkpoint_is_judged_by_the_temperature_it_is_served_with() -> None:
    judged = assess_as_served(boasting(100, 0), LABELS, 4.0, "max", {})
    assert judged.temperature == 4.0
    assert judged.evaluation.ece < judged.uncalibrated.ece


def test_the_surest_mistakes_come_first_and_no_more_than_twelve(
    model: ClipClassifier, dataset: Dataset
) -> None:
    judged = all_wrong(model, dataset)
    confidences = [each.confidence for each in find_top_errors(dataset, judged, model.logmel)]
    assert confidences == sorted(judged.scores.max(axis=1).tolist(), reverse=True)[:MOST]


def test_a_mistake_can_be_found_again_and_is_pictured_where_it_was_made(
    model: ClipClassifier, dataset: Dataset
) -> None:
    judged = all_wrong(model, dataset)
    first = find_top_errors(dataset, judged, model.logmel)[0]
    at = int(judged.scores.max(axis=1).argmax())
    clips = judged.predictions.clip_logits.probabilities(1.0)[2 * at : 2 * at + 2]
    spoke_most = int(clips[:, LABELS.index(first.answer)].argmax())
    assert (first.file, first.row) == (f"{at}.wav", at + 2)
    assert first.truth == LABELS[judged.predictions.truth[at]] != first.answer
    assert first.start_seconds == 0.5 * spoke_most
    heard = model.logmel(dataset.audio(dataset.clips_of([at])))[spoke_most]
    assert np.allclose(first.decibels, heard)


def test_a_network_without_a_mistake_shows_none(model: ClipClassifier, dataset: Dataset) -> None:
    predictions = predict(model, LABELS, dataset, range(15), batch_size=8)
    right = replace(predictions, truth=predictions.clip_logits.scores(1.0).argmax(axis=1))
    judged = assess_as_served(right, LABELS, 1.0, "mean", {})
    assert find_top_errors(dataset, judged, model.logmel) == ()


def test_few_recordings_look_badly_calibrated_by_chance() -> None:
    few, many = (np.tile([[0.8, 0.2]], (n, 1)).astype(np.float32) for n in (80, 20_000))
    assert calibration_error_by_chance(many) < 0.02 < 0.1 < calibration_error_by_chance(few) < 0.2


def test_a_network_speaks_for_itself_before_its_temperature(
    model: ClipClassifier, dataset: Dataset
) -> None:
    cool = predict(model, LABELS, dataset, [2, 3], batch_size=1)
    model.temperature, before = 7.0, model.temperature
    hot = predict(model, LABELS, dataset, [2, 3], batch_size=4)
    model.temperature = before
    assert np.allclose(cool.clip_logits.logits, hot.clip_logits.logits, atol=1e-4)
    assert cool.clip_logits.recording.tolist() == [0, 0, 1, 1]
