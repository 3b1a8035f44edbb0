"""The gate: which new checkpoint replaces the active one, and what it says about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from sklearn.metrics import f1_score

from trainer.evaluation.significance import Comparison, answers_from, compare_answers
from trainer.promotion.rule import Active, Incomparable, Promotion, decide, find_flaw

TRUTH = ["bell", "dog", "rain", "wind"] * 20
OLD = Active("old", ("bell", "dog", "rain", "wind"))


def with_errors(n_errors: int, answer: str = "dog") -> list[str]:
    """The truth, but for so many recordings that are not of `answer`."""
    wrong = [at for at, label in enumerate(TRUTH) if label != answer][:n_errors]
    return [answer if at in wrong else label for at, label in enumerate(TRUTH)]


def compared(
    candidate: Sequence[str], active: Sequence[str], groups: Sequence[str] | None = None
) -> Comparison:
    alone = [str(at) for at in range(len(candidate))]
    return compare_answers(TRUTH[: len(candidate)], candidate, active, groups or alone)


def nothing_comparable() -> Comparison:
    raise Incomparable("both were trained on all of it")


def not_asked() -> Comparison:
    raise AssertionError("a comparison costs time and was not called for")


def decided(
    comparison: Comparison | Callable[[], Comparison] = not_asked,
    wish: str = "auto",
    flaw: str | None = None,
    labels: Sequence[str] = OLD.labels,
    active: Active | None = OLD,
    allow_label_change: bool = False,
) -> Promotion:
    ask = (lambda: comparison) if isinstance(comparison, Comparison) else comparison
    return decide(wish, flaw, labels, active, allow_label_change, ask)


def test_a_better_candidate_is_promoted() -> None:
    promotion = decided(compared(with_errors(2), with_errors(20)))
    assert promotion.promoted
    assert "a gain beyond the uncertainty" in promotion.reason


def test_an_equal_candidate_is_promoted() -> None:
    promotion = decided(compared(with_errors(5), with_errors(5)))
    assert promotion.promoted
    assert "+0.000 (90 % interval +0.000 to +0.000)" in promotion.reason


def test_a_candidate_that_is_hardly_worse_is_promoted() -> None:
    comparison = compared(with_errors(2), with_errors(1))
    assert comparison.difference < 0 <= comparison.upper
    promotion = decided(comparison)
    assert promotion.promoted
    assert "within the uncertainty" in promotion.reason


def test_a_candidate_that_is_clearly_worse_is_refused_and_can_be_activated_by_hand() -> None:
    promotion = decided(compared(with_errors(20), with_errors(2)))
    assert not promotion.promoted
    assert "a loss beyond the uncertainty" in promotion.reason
    assert "`clfd checkpoints activate` serves it all the same" in promotion.reason


def test_the_reason_has_both_figures_their_difference_and_the_number_of_recordings() -> None:
    comparison = Comparison(0.9384, 0.9121, -0.0102, 0.0611, 80, 40, 4)
    assert decided(comparison).reason == (
        "its macro-F1 is 0.938, that of old 0.912, on 80 recordings in 40 groups of 4 labels that "
        "neither was trained on; the difference, +0.026 (90 % interval -0.010 to +0.061), is "
        "within the uncertainty"
    )


def test_figures_from_cross_validation_are_called_the_recipes() -> None:
    comparison = Comparison(0.9, 0.8, 0.05, 0.15, 80, 80, 4, by_folds=True)
    assert decided(comparison).reason.startswith("over folds its recipe's macro-F1 is 0.900")


def test_a_decision_on_few_recordings_says_so() -> None:
    assert (
        "so few recordings would show large differences only"
        in decided(compared(TRUTH[:8], TRUTH[:8])).reason
    )
    assert "so few" not in decided(compared(TRUTH, TRUTH)).reason


@pytest.mark.parametrize("wish", ["always", "never"])
def test_a_wish_is_followed_without_comparing(wish: str) -> None:
    assert decided(wish=wish) == Promotion(wish == "always", f"--promote {wish}")


@pytest.mark.parametrize("wish", ["auto", "always"])
@pytest.mark.parametrize("active", [OLD, None])
def test_a_useless_network_is_never_promoted(wish: str, active: Active | None) -> None:
    promotion = decided(wish=wish, flaw="its scores are no numbers", active=active)
    assert not promotion.promoted
    assert promotion.reason.startswith("its scores are no numbers; `clfd checkpoints activate`")


def test_a_first_checkpoint_is_promoted() -> None:
    assert decided(active=None) == Promotion(True, "no checkpoint was active")


def test_the_starter_checkpoint_never_stands_in_the_way() -> None:
    promotion = decided(active=Active("old", OLD.labels, is_starter=True), labels=("frog",))
    assert promotion.promoted
    assert "starter" in promotion.reason


def test_an_active_checkpoint_that_cannot_be_read_does_not_stand_in_the_way() -> None:
    promotion = decided(active=Active("old", refusal="checkpoint old refused: no labels"))
    assert promotion == Promotion(True, "not compared: checkpoint old refused: no labels")


def test_where_nothing_is_comparable_it_is_promoted_with_the_reason() -> None:
    promotion = decided(nothing_comparable)
    assert promotion == Promotion(True, "not compared: both were trained on all of it")


def test_a_network_with_other_labels_is_promoted_with_the_reason() -> None:
    promotion = decided(labels=("frog", "owl"))
    assert promotion == Promotion(True, "not compared: old knows none of its labels")


def test_a_lost_label_is_refused_however_good_the_rest() -> None:
    promotion = decided(labels=("bell", "dog", "wind", "frog"))
    assert not promotion.promoted
    assert promotion.reason.startswith("it does not know 'rain', as old does")
    assert "--allow-label-change" in promotion.reason


def test_a_lost_label_that_is_allowed_leaves_the_decision_to_the_others() -> None:
    better, worse = compared(TRUTH, with_errors(20)), compared(with_errors(20), TRUTH)
    promotion = decided(better, labels=("bell", "dog", "wind"), allow_label_change=True)
    assert promotion.promoted
    assert promotion.reason.endswith("it no longer knows 'rain'")
    assert not decided(worse, labels=("bell", "dog", "wind"), allow_label_change=True).promoted


def test_many_lost_labels_are_counted() -> None:
    active = Active("old", tuple(f"label{n}" for n in range(9)))
    reason = decided(labels=("label0",), active=active).reason
    assert "'label5' and 3 more" in reason


def test_an_added_label_is_compared_as_any_other() -> None:
    better, worse = compared(TRUTH, with_errors(20)), compared(with_errors(20), TRUTH)
    assert decided(better, labels=(*OLD.labels, "frog")).promoted
    assert not decided(worse, labels=(*OLD.labels, "frog")).promoted


def test_a_known_label_taken_for_an_added_one_is_an_error() -> None:
    confused = ["frog" if at % 4 == 0 else label for at, label in enumerate(TRUTH)]
    comparison = compared(confused, TRUTH)
    assert comparison.of_candidate == pytest.approx(0.75)
    assert comparison.n_labels == 4


def test_scores_that_are_no_numbers_are_a_flaw() -> None:
    scores = np.array([[0.5, 0.5], [np.nan, 0.5]], np.float32)
    assert find_flaw(scores, np.array([0, 1]), ("a", "b")) == "its scores are no numbers"


def test_one_answer_to_everything_is_a_flaw() -> None:
    scores, truth = np.array([[0.9, 0.1]] * 2, np.float32), np.array([0, 1])
    assert find_flaw(scores, truth, ("a", "b")) == "it answers 'a' to everything"


def test_one_answer_is_no_flaw_where_only_one_label_was_asked_for() -> None:
    scores, truth = np.array([[0.9, 0.1]] * 2, np.float32), np.array([0, 0])
    assert find_flaw(scores, truth, ("a", "b")) is None


def test_answers_are_compared_by_name_whatever_the_order_of_labels() -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], np.float32)
    order = [2, 0, 1]
    labels = ("bell", "dog", "rain")
    turned = answers_from(scores[:, order], [labels[at] for at in order])
    assert turned == answers_from(scores, labels) == ["bell", "dog"]


def test_scores_that_are_no_numbers_are_no_answer() -> None:
    silent = answers_from(np.array([[np.nan, 1.0]], np.float32), ("bell", "dog"))
    comparison = compare_answers(["bell"], ["bell"], silent, ["g"])
    assert (comparison.of_candidate, comparison.of_active) == (1.0, 0.0)


def test_macro_f1_is_that_of_the_report() -> None:
    answers = with_errors(13)
    comparison = compared(answers, TRUTH)
    assert comparison.of_candidate == pytest.approx(f1_score(TRUTH, answers, average="macro"))
    assert comparison.of_active == 1.0


def test_the_same_answers_give_the_same_interval_in_any_order() -> None:
    one, other = with_errors(9), with_errors(4, "wind")
    order = np.random.RandomState(0).permutation(len(TRUTH))
    turned = compare_answers(
        *([names[at] for at in order] for names in (TRUTH, one, other)),
        groups=[str(at) for at in order],
    )
    assert turned == compared(one, other)


def test_what_one_gains_the_other_loses() -> None:
    one, other = with_errors(9), with_errors(4, "wind")
    there, back = compared(one, other), compared(other, one)
    assert (there.lower, there.upper) == pytest.approx((-back.upper, -back.lower), abs=0.01)


def test_relatives_are_one_piece_of_evidence() -> None:
    """Ten errors in one long recording are less of a proof than ten in ten."""
    worse = with_errors(10)
    combined = ["long" if worse[at] != label else str(at) for at, label in enumerate(TRUTH)]
    alone, related = compared(worse, TRUTH), compared(worse, TRUTH, combined)
    assert related.of_candidate == alone.of_candidate
    assert (alone.upper < 0, related.upper) == (True, 0.0)
    assert (related.n_recordings, related.n_groups) == (80, 71)


def test_a_network_that_is_as_good_is_refused_about_once_in_twenty_times() -> None:
    random = np.random.RandomState(0)

    def answers() -> list[str]:
        return [label if random.rand() < 0.85 else "?" for label in TRUTH]

    refused = [compared(answers(), answers()).upper < 0 for _ in range(200)]
    assert 0.01 < np.mean(refused) < 0.09


def test_the_same_scores_for_everything_are_a_flaw_of_several_labels() -> None:
    truth = np.array([[True, False], [False, False]])
    flat = np.array([[0.3, 0.1], [0.3, 0.1]], np.float32)
    assert find_flaw(flat, truth, ("a", "b")) == "it gives every recording the same scores"
    assert find_flaw(flat, truth[:1].repeat(2, axis=0), ("a", "b")) is None
    telling = np.array([[0.5, 0.1], [0.3, 0.1]], np.float32)
    assert find_flaw(telling, truth, ("a", "b")) is None


def test_the_reason_names_the_figure_that_was_compared() -> None:
    comparison = Comparison(0.9, 0.8, 0.05, 0.15, 80, 80, 4, figure="macro average precision")
    promotion = decide("auto", None, ("a",), Active("old", ("a",)), False, lambda: comparison)
    assert promotion.reason.startswith("its macro average precision is 0.900, that of old 0.800")
