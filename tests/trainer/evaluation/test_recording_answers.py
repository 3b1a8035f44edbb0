"""Figures of training and evaluation are of the answers that the daemon gives and results tell."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.model.checkpoint import Threshold
from storage.values.decision import FLOOR, DisplayRules
from storage.values.findings import answer_of
from trainer.evaluation.assessment import ClipPredictions, assess_as_served, assess_validation
from trainer.evaluation.calibration import ClipLogits
from trainer.evaluation.recording_answers import NOT_TOLD, Serving, answers, found_labels

LABELS = ("none", "owl", "rain")


def logits_of(probabilities: list[list[float]], recording: list[int], task: str) -> ClipLogits:
    """Of clips (N, L)."""
    given = np.array(probabilities)
    logits = np.log(given) - (np.log1p(-given) if task == "multi" else 0)
    return ClipLogits(logits.astype(np.float32), np.array(recording), task)  # type: ignore[arg-type]


def one_owl(n_clips: int, task: str) -> ClipLogits:
    """A recording of rain, in one clip of which an owl calls."""
    calm, call = [0.04, 0.06, 0.9], [0.04, 0.9, 0.06]
    return logits_of([calm] * (n_clips - 1) + [call], [0] * n_clips, task)


def threshold(value: float) -> Threshold:
    return Threshold(
        threshold=value,
        precision=1.0,
        precision_low=0.9,
        recall=1.0,
        n_examples=9,
        n_found=9,
        rests_on="validation",
    )


@pytest.mark.parametrize(("n_clips", "owl"), [(3, 0.34), (4, 0.9)])
def test_a_long_recording_is_told_by_its_clips_and_a_short_one_by_their_mean(
    n_clips: int, owl: float
) -> None:
    given = answers(one_owl(n_clips, "multi"), 1.0, LABELS)
    assert given.told_scores[0, 1] == pytest.approx(owl, abs=0.001)
    assert found_labels(one_owl(n_clips, "multi"), 1.0, LABELS, {})[0].tolist() == [
        False,
        n_clips > 3,
        True,
    ]


def test_how_many_clips_are_long_is_a_setting() -> None:
    found = found_labels(one_owl(4, "multi"), 1.0, LABELS, {}, Serving(long_clips=4))
    assert found[0].tolist() == [False, False, True]


def test_a_single_task_tells_one_answer_and_ranks_by_means() -> None:
    given = answers(one_owl(4, "single"), 1.0, LABELS)
    assert given.scores[0].sum() == pytest.approx(1, abs=1e-6)
    assert given.told_scores[0].tolist() == [NOT_TOLD, pytest.approx(0.9, abs=0.001), NOT_TOLD]


def test_what_was_found_in_a_clip_goes_before_nothing_in_all_others() -> None:
    clips = [[0.98, 0.01, 0.01]] * 4 + [[0.2, 0.6, 0.2]]
    given = answers(logits_of(clips, [0] * 5, "single"), 1.0, LABELS)
    assert LABELS[given.told_scores[0].argmax()] == "owl"


def test_settings_go_before_the_thresholds_of_the_checkpoint() -> None:
    logits = logits_of([[0.3, 0.3, 0.3]], [0], "multi")
    own = {"owl": threshold(0.2), "rain": threshold(0.2)}
    serving = Serving(rules=DisplayRules(thresholds=(("rain", 0.4),)))
    assert found_labels(logits, 1.0, LABELS, own, serving).tolist() == [[False, True, False]]


def test_a_label_without_a_threshold_is_found_at_even_odds_and_none_below_the_floor() -> None:
    logits = logits_of([[0.501, 0.499, FLOOR / 2]], [0], "multi")
    found = found_labels(logits, 1.0, LABELS, {"rain": threshold(0.01)})
    assert found.tolist() == [[True, False, False]]


def test_thresholds_rest_on_the_probabilities_by_which_labels_are_told() -> None:
    """Each recording has five clips; of half of them one is of the owl."""
    calm, call = [0.1, 0.1, 0.2], [0.1, 0.8, 0.2]
    clips = [call if at % 10 == 0 else calm for at in range(200)]
    logits = logits_of(clips, [at // 5 for at in range(200)], "multi")
    truth = np.zeros((40, 3), bool)
    truth[::2, 1] = True
    predictions = ClipPredictions(tuple(range(40)), logits, truth)
    assessed = assess_validation(predictions, LABELS, [str(at) for at in range(40)])
    mean = 0.24
    assert assessed.thresholds["owl"].threshold > mean
    found = found_labels(logits, assessed.temperature, LABELS, assessed.thresholds)
    assert (found[:, 1] == truth[:, 1]).all()


def test_an_evaluation_shows_the_threshold_that_counts() -> None:
    logits = logits_of([[0.3, 0.3, 0.3], [0.1, 0.1, 0.1]], [0, 1], "multi")
    truth = np.array([[0, 1, 0], [0, 0, 0]], bool)
    serving = Serving(rules=DisplayRules(thresholds=(("rain", 0.4),)))
    own = {"owl": threshold(0.2), "rain": threshold(0.2)}
    predictions = ClipPredictions((0, 1), logits, truth)
    assessed = assess_as_served(predictions, LABELS, 1.0, serving, {}, own)
    assert [each.threshold for each in assessed.evaluation.per_label] == [None, 0.2, 0.4]
    assert assessed.evaluation.accuracy == 1.0


@pytest.mark.parametrize("task", ["single", "multi"])
def test_what_is_told_is_what_the_ledger_would_hold(task: str) -> None:
    random = np.random.RandomState(0)
    n_clips = [1, 3, 4, 2, 7, 1, 5]
    recording = np.repeat(np.arange(len(n_clips)), n_clips)
    logits = ClipLogits(random.randn(len(recording), 3).astype(np.float32), recording, task)  # type: ignore[arg-type]
    given, clips = answers(logits, 1.0, LABELS), logits.probabilities(1.0)
    for at, scores in enumerate(logits.scores(1.0)):
        stored = answer_of(task, LABELS, scores, clips[recording == at])
        assert given.told_scores[at].max() == pytest.approx(stored.confidence)
        assert LABELS[given.told_scores[at].argmax()] == stored.label
