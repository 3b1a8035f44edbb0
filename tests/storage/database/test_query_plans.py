"""No question reads the whole ledger, and no index is there for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from benchmarks.big_ledger import fill_ledger
from storage.database.indexes import metadata
from storage.home.paths import Home
from storage.labels.label_events import history_of
from storage.ledger.ledger import Ledger, open_ledger
from storage.ledger.outcomes import Arrival, Failed
from storage.queries.clips import ClipOptions
from storage.queries.counts import count_by
from storage.queries.disagreements import answering, pairs
from storage.queries.filters import Filters
from storage.queries.results import (
    Position,
    answers_after,
    results,
    results_after,
    unnumbered_after,
)
from storage.queries.results import page as page_of
from storage.settings.loading import load_settings
from storage.values.decision import DisplayRules

INBOX = Path("/inbox")
DIGEST = "0" * 64
SIREN = Filters(labels=("siren",))
UNSURE = {"labels": ("unknown",), "rules": DisplayRules(unknown_below=0.5)}
BEHIND_ALL = Position(10**9, 10**9)
LABEL = "recording_label USING PRIMARY KEY"  # a table that is an index
CONSTRAINTS = {"uq_recording_provisional", "uq_recording_current"}

Ask = Callable[[Ledger], object]


def asked(ask: Callable[[Connection], object]) -> Ask:
    def with_ledger(ledger: Ledger) -> object:
        with ledger.database.transaction() as connection:
            return ask(connection)

    return with_ledger


def page(sort: Any = "newest", **filters: Any) -> Ask:
    return asked(lambda connection: page_of(connection, Filters(**filters), sort, 50))


QUESTIONS: list[tuple[str, Ask]] = [
    ("ix_recording_answer", page()),
    ("ix_recording_answer", page("oldest", status="failed")),
    ("ix_recording_answer", page(min_confidence=0.5)),
    ("ix_recording_answer", page(checkpoint="20260101")),
    ("ix_recording_answer", page(since="2026-03-01", until="2026-03-02")),
    (LABEL, page(labels=("siren",))),
    (LABEL, page("path", labels=("bear", "woodpecker"), since="2026-03-31")),
    ("ix_recording_moment", page(status="all")),
    ("ix_recording_confidence", page("confidence")),
    ("ix_recording_recorded", page(by_recorded=True, since="2026-03-01T00:00:00.000Z")),
    ("ix_recording_digest", page(wrong=True)),
    ("ix_human_label_author", page(author="ann")),
    ("ix_recording_digest", page(author="ada")),
    ("ix_label_event_digest", asked(lambda c: history_of(c, DIGEST))),
    ("ix_recording_answer_number", asked(lambda c: answers_after(c, Filters(), 1, 100))),
    ("ix_recording_answer_number", asked(lambda c: results_after(c, Filters("all"), BEHIND_ALL))),
    ("ix_recording_answer", asked(lambda c: unnumbered_after(c, Filters(), "2026-03", 1, 100))),
    ("sqlite_autoindex_recording_1", page("path")),
    ("sqlite_autoindex_recording_1", page(path="site003/0000*")),
    (LABEL, asked(lambda c: list(results(c, SIREN, limit=5, clips=ClipOptions())))),
    ("ix_recording_answer", asked(lambda c: count_by(c, Filters(min_confidence=0.9), "label"))),
    ("ix_recording_answer", asked(lambda c: count_by(c, Filters(since="2026-03-01"), "day"))),
    ("ix_recording_answer", lambda ledger: ledger.last_failure()),
    ("ix_recording_queue", lambda ledger: ledger.counts()),
    ("ix_recording_queue", lambda ledger: ledger.claim("me", 10, 3)),
    ("ix_recording_queue", lambda ledger: ledger.has_work()),
    ("ix_recording_queue", lambda ledger: ledger.reclaim()),
    ("ix_recording_digest", lambda ledger: ledger.known_answers([(1, DIGEST, 1)], link=True)),
    ("uq_recording_current", lambda ledger: ledger.known(INBOX, [b"a.wav"])),
    ("sqlite_autoindex_recording_1", lambda ledger: ledger.queued(INBOX, [b"a.wav"])),
    ("uq_recording_current", lambda here: here.admit([Arrival(INBOX, b"a.wav", "f", 1)])),
    ("uq_recording_current", lambda ledger: ledger.record([Failed(1, "decode", "no", DIGEST)])),
    ("ix_recording_archiving", lambda ledger: ledger.moves.outstanding(0, 10)),
    ("ix_recording_archiving", lambda ledger: ledger.moves.count()),
    ("ix_recording_archive_path", lambda here: here.moves.has_archived(Path("/archive"))),
]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    wanted = load_settings(Home(tmp_path_factory.mktemp("home")), environ={})
    fill_ledger(wanted, 20_000)
    with open_ledger(wanted.database, "daemon") as opened:
        yield opened


@contextmanager
def plans(ledger: Ledger) -> Iterator[list[str]]:
    """The steps of every statement that is run meanwhile, as the database plans them."""
    steps: list[str] = []

    def note(*facts: Any) -> None:
        _, cursor, statement, values, _, is_many = facts
        if statement.startswith(("SELECT", "UPDATE")):
            first = values[0] if is_many else values
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", first)
            steps.extend(row[3] for row in cursor.fetchall())

    engine = ledger.database._engine
    event.listen(engine, "before_cursor_execute", note)
    yield steps
    event.remove(engine, "before_cursor_execute", note)


RARE: list[tuple[str, Ask]] = [
    ("ix_recording_confidence", page(min_confidence=0.9999)),
    (r"ix_recording_confidence \(confidence", page("confidence", **UNSURE)),
    (LABEL, page("confidence", labels=("bear", "woodpecker"), checkpoint="2026")),
    ("ix_recording_answer", page("path", status="failed")),
    ("sqlite_autoindex_recording_1", page("confidence", path="site003/0000*")),
]


@pytest.mark.parametrize(("index", "ask"), RARE)
def test_what_is_rare_is_not_looked_for_along_the_whole_order(
    ledger: Ledger, index: str, ask: Ask
) -> None:
    with plans(ledger) as steps:
        ask(ledger)
    read = [step for step in steps if re.match(r"(SCAN|SEARCH) recording(_label)? USING", step)]
    read = [step for step in read if "INTEGER PRIMARY KEY" not in step]
    assert re.search(rf"{index}\b", read[-1]), steps


CONCERNED_WITH_VERSIONS: list[Ask] = [
    lambda ledger: ledger.known(INBOX, [b"a.wav"]),
    lambda ledger: ledger.admit([Arrival(INBOX, b"a.wav", "f", 1)]),
    lambda ledger: ledger.known_answers([(1, DIGEST, 1)], link=True),
    lambda ledger: ledger.record([Failed(1, "decode", "no", DIGEST)]),
]


@pytest.mark.parametrize("ask", CONCERNED_WITH_VERSIONS)
def test_no_question_goes_through_all_versions_of_a_file(ledger: Ledger, ask: Ask) -> None:
    with plans(ledger) as steps:
        ask(ledger)
    by_path = [step for step in steps if "autoindex_recording_1" in step]
    assert all("digest=?" in step for step in by_path), by_path


@pytest.mark.parametrize(("index", "ask"), QUESTIONS)
def test_a_question_is_answered_by_its_index(ledger: Ledger, index: str, ask: Ask) -> None:
    with plans(ledger) as steps:
        ask(ledger)
    assert any(re.search(rf"{index}\b", step) for step in steps), steps
    assert not [step for step in steps if step.startswith("SCAN recording") and "USING" not in step]


@pytest.mark.parametrize("filters", [Filters("all"), Filters("all", since="2026-03-01")])
def test_two_checkpoints_are_compared_piece_by_piece(ledger: Ledger, filters: Filters) -> None:
    """SQLite sorts what it groups, and indexes of its own making are held, in memory."""

    def compare(connection: Connection) -> None:
        one = answering(connection, "a")
        pairs(connection, one, one, filters)

    with plans(ledger) as steps:
        asked(compare)(ledger)
    assert any("(recording_id>? AND recording_id<?)" in step for step in steps), steps
    assert not [step for step in steps if "AUTOMATIC" in step or step == "SCAN a"], steps


def test_no_index_is_there_for_nothing() -> None:
    made = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    assert made == {index for index, _ in QUESTIONS if index.startswith("ix")} | CONSTRAINTS
