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
from trainer.evaluation.recording_answers import AS_USUAL, Serving
from trainer.evaluation.top_errors import MAX_TOP_ERRORS, find_top_errors

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


def overconfident(n: int, seed: int) -> ClipPredictions:
    """Two recordings of three are answered rightly, and each with 99 %."""
    random = np.random.RandomState(seed)
    truth = random.randint(0, 3, n)
    answers = np.where(random.rand(n) < 2 / 3, truth, (truth + 1) % 3)
    logits = (5.3 * np.eye(3)[answers]).astype(np.float32)
    return ClipPredictions(tuple(range(n)), ClipLogits(logits, np.arange(n)), truth)


def all_wrong(model: ClipClassifier, dataset: Dataset) -> Assessment:
    predictions = predict(model, LABELS, dataset, range(15), batch_size=8)
    answers = predictions.clip_logits.scores(1.0).argmax(axis=1)
    wrong = replace(predictions, truth=(answers + 1) % 3)
    return assess_as_served(wrong, LABELS, 1.0, AS_USUAL, {}, {})


def test_labels_are_matched_by_name_not_by_place(model: ClipClassifier, dataset: Dataset) -> None:
    predictions = predict(model, ("rain", "dog", "bell"), dataset, [0, 1, 4], batch_size=4)
    assert dataset.labels == ("bell", "rain")
    assert predictions.truth.tolist() == [0, 2, 0]


def test_an_overconfident_network_gets_a_higher_temperature_from_held_out_recordings() -> None:
    assessed = assess_validation(overconfident(200, 0), LABELS, [str(at) for at in range(200)])
    assert assessed.temperature > 2
    assert assessed.evaluation.ece < assessed.uncalibrated.ece / 2
    assert assessed.evaluation.accuracy == assessed.uncalibrated.accuracy


def test_a_fold_is_measured_without_its_own_labels() -> None:
    overconfident_fold, calibrated_fold = overconfident(100, 0), overconfident(100, 1)
    calibrated_fold = replace(
        calibrated_fold, truth=calibrated_fold.clip_logits.logits.argmax(axis=1)
    )
    assessed = assess_folds([overconfident_fold, calibrated_fold], LABELS)
    boaster_sure, honest_sure = assessed.scores.max(axis=1).reshape(2, 100).mean(axis=1)
    assert boaster_sure > 0.95  # by the temperature of the other fold, which was always right
    assert honest_sure < 0.8
    assert assessed.predictions.positions == (*range(100), *range(100))


def test_every_number_says_what_was_chosen_on_its_recordings() -> None:
    assessed = assess_folds([overconfident(20, 0), overconfident(20, 1)], LABELS)
    assert assessed.selection["ece"] == "each fold under a temperature fitted on the other folds"
    assert assessed.selection["epochs"].startswith("fixed beforehand")


def test_a_checkpoint_is_assessed_by_the_temperature_it_is_served_with() -> None:
    assessed = assess_as_served(overconfident(100, 0), LABELS, 4.0, Serving("max"), {}, {})
    assert assessed.temperature == 4.0
    assert assessed.evaluation.ece < assessed.uncalibrated.ece


def test_the_most_confident_errors_come_first_and_no_more_than_twelve(
    model: ClipClassifier, dataset: Dataset
) -> None:
    assessed = all_wrong(model, dataset)
    confidences = [each.confidence for each in find_top_errors(dataset, assessed, model.logmel)]
    assert (
        confidences
        == sorted(assessed.told_scores.max(axis=1).tolist(), reverse=True)[:MAX_TOP_ERRORS]
    )


def test_an_error_names_its_row_and_shows_the_clip_that_decided(
    model: ClipClassifier, dataset: Dataset
) -> None:
    assessed = all_wrong(model, dataset)
    first = find_top_errors(dataset, assessed, model.logmel)[0]
    at = int(assessed.scores.max(axis=1).argmax())
    clips = assessed.predictions.clip_logits.probabilities(1.0)[2 * at : 2 * at + 2]
    spoke_most = int(clips[:, LABELS.index(first.answer)].argmax())
    assert (first.file, first.row) == (f"{at}.wav", at + 2)
    assert first.truth == LABELS[assessed.predictions.truth[at]] != first.answer
    assert first.start_seconds == 0.5 * spoke_most
    expected = model.logmel(dataset.audio(dataset.clips_of([at])))[spoke_most]
    assert np.allclose(first.decibels, expected)


def test_a_network_without_an_error_shows_none(model: ClipClassifier, dataset: Dataset) -> None:
    predictions = predict(model, LABELS, dataset, range(15), batch_size=8)
    right = replace(predictions, truth=predictions.clip_logits.scores(1.0).argmax(axis=1))
    assessed = assess_as_served(right, LABELS, 1.0, AS_USUAL, {}, {})
    assert find_top_errors(dataset, assessed, model.logmel) == ()


def test_few_recordings_look_badly_calibrated_by_chance() -> None:
    few, many = (np.full(n, 0.8) for n in (80, 20_000))
    assert calibration_error_by_chance(many) < 0.02 < 0.1 < calibration_error_by_chance(few) < 0.2


def test_logits_do_not_depend_on_the_temperature(model: ClipClassifier, dataset: Dataset) -> None:
    cool = predict(model, LABELS, dataset, [2, 3], batch_size=1)
    model.temperature, before = 7.0, model.temperature
    hot = predict(model, LABELS, dataset, [2, 3], batch_size=4)
    model.temperature = before
    assert np.allclose(cool.clip_logits.logits, hot.clip_logits.logits, atol=1e-4)
    assert cool.clip_logits.recording.tolist() == [0, 0, 1, 1]
