"""Rows, filters and counts of a ledger decide as the function does, under any thresholds."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from sqlalchemy import Connection, select

from storage.database.decision_sql import CURRENT, told_confidence, told_label, told_labels
from storage.database.engine import open_database
from storage.database.tables import recording
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Scored
from storage.ledger.tallies import tally_errors
from storage.queries.clips import ClipOptions
from storage.queries.counts import count, count_by
from storage.queries.filters import Filters
from storage.queries.results import page, results
from storage.values.decision import Decision, DisplayRules
from storage.values.findings import answer_of, decide_scores

LABELS = ["dog", "siren", "rain", "noise"]  # or "hum": only the one says that there is nothing
ASKED = ("dog", "siren", "rain", "none", "unknown")
OWN = {"dog": 0.3, "rain": 0.7}
CHECKPOINTS: dict[str, dict[str, object]] = {
    "a": {},
    "b": {"thresholds": {label: {"threshold": least} for label, least in OWN.items()}},
    "c": {"task": "multi"},
    "d": {"task": "multi", "thresholds": {"dog": {"threshold": 0.3}, "rain": {"threshold": 0.7}}},
}
Scored_ = tuple[str, dict[str, float], np.ndarray]
ROWS: dict[int, Scored_] = {}
NOVELTIES = (None, 0.2, 0.7, 0.99)


def answered(number: int, letter: str, n_clips: int) -> tuple[str, dict[str, float], np.ndarray]:
    """Task, thresholds and clips (C, L) of a recording."""
    chance = np.random.default_rng(number)
    clips = chance.dirichlet((0.4,) * 4, n_clips) if letter in "ab" else chance.random((n_clips, 4))
    clips = clips ** chance.choice((1, 3, 9)) if letter in "cd" else clips
    task = str(CHECKPOINTS[letter].get("task", "single"))
    own = OWN if letter in "bd" else {}
    return task, own, clips.astype(np.float16).astype(np.float32)


def novelty_of(number: int) -> float | None:
    return NOVELTIES[number % len(NOVELTIES)]


@pytest.fixture(scope="module", params=["noise", "hum"])
def reading(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connection]:
    LABELS[3] = request.param
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'clfd.db'}"
    with Ledger(open_database(url, "daemon")) as ledger:
        for number, (letter, n_clips) in enumerate([*product("abcd", (1, 2, 3, 4, 9))] * 6, 1):
            checkpoint = ledger.register_checkpoint(
                letter * 64, letter, LABELS, 5.0, CHECKPOINTS[letter]
            )
            name = f"site{number % 7}/{number:03}.wav".encode()
            ledger.admit([Arrival(Path("/inbox"), name, "f", 1)])
            (claim,) = ledger.claim("me", 1, 3)
            ROWS[claim.recording_id] = task, _, clips = answered(number, letter, n_clips)
            scores = clips.mean(axis=0)
            answer = answer_of(task, LABELS, scores, clips)
            facts = AudioFacts(f"{number:064d}", 5.0 * n_clips, 44100, 1)
            packed = struct.pack("<4f", *scores), clips.astype("<f2").tobytes()
            head = claim.recording_id, facts, checkpoint, answer.label, answer.confidence
            ledger.record(
                [
                    Scored(
                        *head,
                        *packed,
                        5.0,
                        5.0,
                        findings=answer.findings,
                        novelty=novelty_of(number),
                    )
                ]
            )
        assert list(tally_errors(ledger.database)) == []
    with open_database(url, "reader") as database, database.transaction() as connection:
        yield connection


THRESHOLDS = some.dictionaries(some.sampled_from(LABELS), some.floats(0, 1), max_size=3)
RULES = some.builds(
    DisplayRules,
    thresholds=THRESHOLDS.map(lambda given: tuple(given.items())),
    unknown_below=some.sampled_from((0.0, 0.4, 0.8)),
    novel_above=some.sampled_from((1.0, 1.0, 0.5, 0.9)),
)
property_of_ledger = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def decided(
    number: int, task: str, own: dict[str, float], clips: np.ndarray, rules: DisplayRules
) -> Decision:
    told = decide_scores(task, LABELS, clips.mean(axis=0), clips, own, rules)
    if (novelty_of(number) or 0) <= rules.novel_above:
        return told
    answer = answer_of(task, LABELS, clips.mean(axis=0), clips)
    return Decision("unknown", answer.confidence)


def decisions(rules: DisplayRules) -> dict[int, Decision]:
    return {
        number: decided(number, task, own, clips, rules)
        for number, (task, own, clips) in ROWS.items()
    }


@property_of_ledger
@given(rules=RULES)
def test_sql_decides_as_the_function_does(reading: Connection, rules: DisplayRules) -> None:
    columns = (f(rules, CURRENT) for f in (told_label, told_confidence, told_labels))
    found = {row[0]: tuple(row[1:]) for row in reading.execute(select(recording.c.id, *columns))}
    wanted = {number: (*told[:2], told.text) for number, told in decisions(rules).items()}
    assert found == wanted


@property_of_ledger
@given(rules=RULES, history=some.booleans())
def test_rows_tell_what_the_function_tells(
    reading: Connection, rules: DisplayRules, history: bool
) -> None:
    told = decisions(rules)
    for row in results(reading, Filters(rules=rules, history=history)):
        assert (row.label, row.confidence) == told[row.id][:2]
        assert str(row.labels) == ";".join(label for label, _ in told[row.id].labels)


@property_of_ledger
@given(
    rules=RULES,
    labels=some.lists(some.sampled_from(ASKED), max_size=2, unique=True),
    least=some.sampled_from((None, 0.5, 0.9)),
    most=some.sampled_from((None, 0.45, 0.7)),
    sort=some.sampled_from(("newest", "oldest", "confidence", "path")),
    history=some.booleans(),
)
def test_filters_find_what_is_told(
    reading: Connection,
    rules: DisplayRules,
    labels: list[str],
    least: float | None,
    most: float | None,
    sort: str,
    history: bool,
) -> None:
    filters = Filters(
        labels=tuple(labels),
        min_confidence=least,
        max_confidence=most,
        rules=rules,
        history=history,
    )
    wanted = {
        number
        for number, told in decisions(rules).items()
        if not labels or {*labels} & {told.label, *(label for label, _ in told.labels)}
        if (least or 0) <= (told.confidence or 0) <= (most or 1)
    }
    found = [row.id for row in results(reading, filters, sort)]  # type: ignore[arg-type]
    assert sorted(found) == sorted(wanted)
    assert count(reading, filters) == len(wanted)
    if not history:
        first = page(reading, filters, sort, 10)  # type: ignore[arg-type]
        assert [row.id for row in first.rows] == found[:10]
        if first.after:
            second = page(reading, filters, sort, 10, first.after)  # type: ignore[arg-type]
            assert [row.id for row in second.rows] == found[10:20]


@property_of_ledger
@given(rules=RULES, history=some.booleans())
def test_a_recording_counts_once_for_each_of_its_labels(
    reading: Connection, rules: DisplayRules, history: bool
) -> None:
    wanted: Counter[str | None] = Counter()
    for told in decisions(rules).values():
        wanted.update([label for label, _ in told.labels] or [told.label])
    filters = Filters(rules=rules, history=history)
    assert dict(count_by(reading, filters, "label")) == dict(wanted)


@property_of_ledger
@given(rules=RULES, label=some.sampled_from(LABELS[:3]))
def test_clips_of_a_label_are_found_by_the_index(
    reading: Connection, rules: DisplayRules, label: str
) -> None:
    asked = Filters(labels=(label,), rules=rules)
    found = {(row.id, row.start_s) for row in results(reading, asked, clips=ClipOptions())}
    wanted = {
        (number, 5.0 * at)
        for number, (task, own, clips) in ROWS.items()
        for at, scores in enumerate(clips)
        if label in dict(rules.decide_clip(LABELS, scores.tolist(), task, own).labels)
        or label == rules.decide_clip(LABELS, scores.tolist(), task, own).label
    }
    assert found == wanted
