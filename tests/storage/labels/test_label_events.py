"""Whatever people say and take back, what stands is what a list of events says that it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import delete, select

from storage.database.engine import open_database
from storage.database.sqlite import Database
from storage.database.tables import human_label, label_event, label_mark
from storage.labels.label_events import (
    LabelEvent,
    Say,
    history_of,
    last_act,
    newest_number,
    undo_events,
    write_events,
)

PEOPLE = st.sampled_from(["ada", "bob"])
PARTS = st.sampled_from([("a" * 64, 0.0, 0.0), ("a" * 64, 1.0, 2.5), ("b" * 64, 0.0, 0.0)])
SAYS: Any = st.sampled_from(["label", "not", "unsure", "clear"])
LABELS = st.sampled_from(["dog", "rain"])
DATABASE: Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path / 'clfd.db'}", "daemon") as database:
        yield database


def event(number: int, say: Say, label: str | None, part: Any, seen: int | None) -> LabelEvent:
    named = label if say in ("label", "not") else None
    digest, start_s, end_s = part
    return LabelEvent(f"event-{number}", digest, say, named, start_s, end_s, "listened", seen)


def standing(database: Database) -> dict[Any, tuple[str | None, frozenset[str]]]:
    """By part: the label, and the marks."""
    found: dict[Any, tuple[str | None, set[str]]] = {}
    with database.transaction() as connection:
        for row in connection.execute(select(human_label)):
            found[row.digest, row.start_s, row.end_s] = (row.label, set())
        for row in connection.execute(select(label_mark)):
            part = row.digest, row.start_s, row.end_s
            found.setdefault(part, (None, set()))[1].add(f"{row.kind} {row.label}".strip())
    return {part: (label, frozenset(marks)) for part, (label, marks) in found.items()}


class Model:
    """The same in ten lines: of each part the events that count, the newest last."""

    def __init__(self) -> None:
        self.events: dict[Any, list[tuple[str, Say, str | None, str]]] = {}

    def stands(self) -> dict[Any, tuple[str | None, frozenset[str]]]:
        found = {part: self._state(events) for part, events in self.events.items()}
        return {part: state for part, state in found.items() if state != (None, frozenset())}

    @staticmethod
    def _state(events: list[tuple[str, Say, str | None, str]]) -> tuple[Any, frozenset[str]]:
        label: str | None = None
        marks: frozenset[str] = frozenset()
        for _, say, named, _ in events:
            if say == "not":
                label = None if label == named else label
                marks = (marks - {"unsure"}) | {f"not {named}"}
            else:
                label = named if say == "label" else None
                marks = frozenset({"unsure"} if say == "unsure" else ())
        return label, marks


@pytest.fixture(scope="module", autouse=True)
def _one_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For all sequences, which each begin with none of it."""
    global DATABASE
    file = tmp_path_factory.mktemp("ledger") / "clfd.db"
    with open_database(f"sqlite:///{file}", "daemon") as DATABASE:
        yield


class Labelling(RuleBasedStateMachine):
    """Two people who label three parts and take back what they said."""

    @initialize()
    def begin(self) -> None:
        with DATABASE.transaction() as connection:
            for table in (human_label, label_mark, label_event):
                connection.execute(delete(table))
        self.model, self.number = Model(), 0
        self.ids: list[tuple[str, Any]] = []

    @rule(say=SAYS, label=LABELS, part=PARTS, author=PEOPLE)
    def say(self, say: Say, label: str, part: Any, author: str) -> None:
        self.number += 1
        one = event(self.number, say, label, part, None)
        assert len(write_events(DATABASE, [one], author).events) == 1
        self.model.events.setdefault(part, []).append((one.id, say, one.label, author))
        self.ids.append((one.id, part))

    @rule(data=st.data(), author=PEOPLE)
    def undo(self, data: st.DataObject, author: str) -> None:
        if not self.ids:
            return
        id, part = data.draw(st.sampled_from(self.ids))
        events = self.model.events[part]
        is_newest = bool(events) and events[-1][0] == id
        written = undo_events(DATABASE, [id], author)
        assert bool(written.events) == is_newest
        if is_newest:
            events.pop()

    @invariant()
    def what_stands_is_what_was_said(self) -> None:
        assert standing(DATABASE) == self.model.stands()


TestLabelling = Labelling.TestCase
TestLabelling.settings = settings(max_examples=25, stateful_step_count=20)


def test_who_did_not_see_what_somebody_else_said_meets_a_conflict(database: Database) -> None:
    part = ("a" * 64, 0.0, 0.0)
    write_events(database, [event(1, "label", "dog", part, 0)], "ada")
    met = write_events(database, [event(2, "label", "rain", part, 0)], "bob")
    assert [one.standing.label for one in met.conflicts] == ["dog"]
    assert not met.events
    with database.transaction() as connection:
        seen = newest_number(connection)
    assert write_events(database, [event(3, "label", "rain", part, seen)], "bob").events


def test_who_says_something_twice_meets_no_conflict_with_themselves(database: Database) -> None:
    part = ("a" * 64, 0.0, 0.0)
    write_events(database, [event(1, "label", "dog", part, 0)], "ada")
    assert write_events(database, [event(2, "label", "rain", part, 0)], "ada").events


def test_the_last_act_of_an_author_is_found_until_all_are_undone(database: Database) -> None:
    parts = [("a" * 64, 0.0, 0.0), ("b" * 64, 0.0, 0.0)]
    one_by_one = [event(at, "label", "dog", part, None) for at, part in enumerate(parts)]
    write_events(database, one_by_one, "ada", act="import")
    write_events(database, [event(9, "label", "rain", parts[0], None)], "bob")
    write_events(database, [event(10, "label", "owl", parts[1], None)], "ada")
    sizes = []
    for _ in range(3):
        with database.transaction() as connection:
            act = last_act(connection, "ada")
        sizes.append(len(act))
        undo_events(database, [one.id for one in act], "ada")
    assert sizes == [1, 2, 1]  # of the import one stays, for bob labelled that sound since
    with database.transaction() as connection:
        said = [(one.say, one.author) for one in history_of(connection, "b" * 64)]
    assert said == [("label", "ada"), ("label", "ada"), ("undo", "ada"), ("undo", "ada")]
