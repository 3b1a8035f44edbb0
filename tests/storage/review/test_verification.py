"""What people judged of some clips, and the threshold that it gives for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_rows import add

from storage.labels.label_events import LabelEvent, Say, Way, new_act, write_events
from storage.ledger.ledger import Ledger, open_ledger
from storage.review.verification import Judgement, threshold_for, verification_queue, verified

EVEN = Counter({9: 100, 7: 100, 4: 100})


def judged(*shares: tuple[float, int, int]) -> list[Judgement]:
    """Of each confidence so many right of so many."""
    return [Judgement(confidence, at < right) for confidence, right, n in shares for at in range(n)]


def test_the_threshold_lies_where_the_wanted_share_is_right() -> None:
    found = threshold_for(judged((0.95, 50, 50), (0.75, 48, 50), (0.45, 10, 50)), EVEN, 0.9)
    assert found.threshold == 0.75
    assert found.precision == pytest.approx(0.98)
    assert 0.9 <= (found.precision_low or 0) < 0.98


def test_few_judgements_prove_no_threshold() -> None:
    found = threshold_for(judged((0.95, 3, 3)), EVEN, 0.9)
    assert (found.threshold, found.right) == (None, 1.0)
    assert found.low is not None and found.low < 0.5


def test_nothing_judged_says_nothing() -> None:
    found = threshold_for([], EVEN, 0.9)
    assert (found.n_judged, found.right, found.threshold) == (0, None, None)


def test_a_share_is_that_of_all_answers_and_not_of_those_that_were_judged() -> None:
    n_answers = Counter({9: 900, 1: 100})
    found = threshold_for(judged((0.95, 10, 10), (0.15, 0, 10)), n_answers, 0.9)
    assert found.right == pytest.approx(0.9)


def test_no_threshold_lies_below_answers_that_nobody_judged() -> None:
    found = threshold_for(judged((0.95, 50, 50), (0.45, 50, 50)), EVEN, 0.9)
    assert found.threshold == 0.95


def test_what_was_corrected_before_counts_for_itself() -> None:
    corrected = [Judgement(0.95, False, is_drawn=False)] * 50
    found = threshold_for([*judged((0.95, 25, 25)), *corrected], Counter({9: 100}), 0.9)
    assert (found.right, found.n_judged) == (pytest.approx(0.5), 25)
    assert found.threshold is None


@given(
    st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=60),
    st.floats(0.5, 0.99),
)
def test_above_a_threshold_the_wanted_share_is_right(
    answers: list[tuple[int, bool]], precision: float
) -> None:
    judgements = [Judgement(percent / 100, is_right) for percent, is_right in answers]
    n_answers = Counter(min(9, int(one.confidence * 10)) for one in judgements)
    found = threshold_for(judgements, n_answers, precision)  # all were judged
    if found.threshold is not None:
        above = [one.is_right for one in judgements if one.confidence >= found.threshold]
        assert sum(above) / len(above) == pytest.approx(found.precision)
        assert precision <= (found.precision_low or 0) <= (found.precision or 0) <= 1


def test_the_interval_widens_where_the_weights_differ() -> None:
    even = threshold_for(judged((0.95, 9, 10), (0.15, 9, 10)), Counter({9: 10, 1: 10}), 0.9)
    skewed = threshold_for(judged((0.95, 9, 10), (0.15, 9, 10)), Counter({9: 1000, 1: 10}), 0.9)
    width = (even.high or 0) - (even.low or 0)
    assert (skewed.high or 0) - (skewed.low or 0) > width


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Ten sure dogs, then thirty unsure ones."""
    with open_ledger(f"sqlite:///{tmp_path / 'clfd.db'}", "daemon") as ledger:
        for number in range(40):
            add(ledger, f"{number}.wav", "dog", 0.95 if number < 10 else 0.55)
        yield ledger


def say(ledger: Ledger, number: int, label: str, way: Way, what: Say = "label") -> None:
    event = LabelEvent(new_act(), f"{number:064}", what, label, way=way)
    write_events(ledger.database, [event], "ann")


def queue(ledger: Ledger, n: int, seed: int = 0) -> list[int]:
    with ledger.database.transaction() as connection:
        return verification_queue(connection, "dog", n, seed)


def test_clips_are_drawn_evenly_over_confidences_and_otherwise_by_chance(ledger: Ledger) -> None:
    drawn = queue(ledger, 10)
    assert len([number for number in drawn if number <= 10]) == 5
    assert drawn == queue(ledger, 10) != queue(ledger, 10, seed=1)


def test_what_people_said_is_not_asked_again_but_what_was_said_in_bulk_is(ledger: Ledger) -> None:
    say(ledger, 1, "rain", "listened")
    say(ledger, 2, "dog", "verified", "not")
    say(ledger, 3, "dog", "bulk")
    assert {*range(1, 41)} - {*queue(ledger, 40)} == {1, 2}


def test_corrections_from_before_are_part_of_what_is_right(ledger: Ledger) -> None:
    for number in range(1, 6):
        say(ledger, number, "rain", "listened")
    for number in range(6, 11):
        say(ledger, number, "dog", "verified")
    with ledger.database.transaction() as connection:
        found = verified(connection, "dog", 0.9)
    assert (found.right, found.n_judged) == (pytest.approx(0.5), 5)


def test_what_is_in_bulk_judges_nothing(ledger: Ledger) -> None:
    for number in range(1, 41):
        say(ledger, number, "dog", "bulk")
    with ledger.database.transaction() as connection:
        assert verified(connection, "dog", 0.9).right is None
