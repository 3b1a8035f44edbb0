"""What people say is written once, kept with who said it, and undone exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from storage.database.database import Database
from storage.database.engine import open_database
from storage.database.tables import human_label, label_event, label_mark
from storage.errors import StorageError
from storage.labels.label_events import (
    MAX_EVENTS,
    LabelEvent,
    RecordedEvent,
    Say,
    Written,
    apply_events,
    history_of,
    last_act,
    newest_number,
    undo_events,
    write_events,
)

A, B = "a" * 64, "b" * 64
State = tuple[frozenset[str], frozenset[str]]  # labels, and what it is not; "" is unsure
NOTHING: State = (frozenset(), frozenset())
PARTS = [(A, 0.0, 0.0), (A, 0.0, 5.0), (B, 0.0, 0.0)]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'clfd.db'}"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with open_database(url, "writer") as opened:
        yield opened


def label(id: str, text: str, digest: str = A, seen: int | None = 0) -> LabelEvent:
    return LabelEvent(id, digest, "label", text, seen=seen)


def say(id: str, what: Say, text: str | None = None) -> LabelEvent:
    return LabelEvent(id, A, what, text)


def stands(database: Database) -> dict[tuple[str, float, float], State]:
    found: dict[tuple[str, float, float], State] = {}
    with database.transaction() as connection:
        for row in connection.execute(select(human_label)):
            found[row.digest, row.start_s, row.end_s] = (
                frozenset(row.label.split(";")),
                NOTHING[1],
            )
        for row in connection.execute(select(label_mark)):
            part = row.digest, row.start_s, row.end_s
            labels, marks = found.get(part, NOTHING)
            found[part] = labels, marks | {row.label}
    return found


def rows(database: Database) -> list[tuple[object, ...]]:
    with database.transaction() as connection:
        tables = (human_label, label_mark)
        return [
            tuple(row)
            for table in tables
            for row in connection.execute(select(table).order_by(*table.primary_key))
        ]


def said(state: State, what: str, names: frozenset[str]) -> State:
    labels, marks = state
    if what == "label":
        return names, frozenset()
    if what == "not":
        return labels - names, marks - {""} | names
    return frozenset(), frozenset({""} if what == "unsure" else ())


saying = st.tuples(
    st.sampled_from(["label", "not", "unsure", "clear"]),
    st.sampled_from(PARTS),
    st.frozensets(st.sampled_from(["dog", "rain", "siren"]), min_size=1, max_size=2),
)
undoing = st.tuples(st.just("undo"), st.integers(0, 30))


@given(st.lists(st.lists(saying | undoing, max_size=4), max_size=12))
@settings(max_examples=25, deadline=None)
def test_any_sayings_and_undoings_end_where_a_simple_model_does(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[object, ...]]]
) -> None:
    file = tmp_path_factory.mktemp("events") / "clfd.db"
    stacks: dict[tuple[str, float, float], list[tuple[str, State]]] = {part: [] for part in PARTS}
    numbers = count()
    with open_database(f"sqlite:///{file}", "writer") as database:
        for batch in batches:
            events = []
            for what, *rest in batch:
                if what == "undo":
                    write_events(database, events, "ann")
                    events = []
                    id = f"e{rest[0]}"
                    undo_events(database, [id], "ann")
                    for stack in stacks.values():
                        if stack and stack[-1][0] == id:
                            stack.pop()
                    continue
                part, names = rest
                id = f"e{next(numbers)}"
                text = ";".join(sorted(names)) if what in ("label", "not") else None
                events.append(LabelEvent(id, part[0], what, text, *part[1:]))
                before = stacks[part][-1][1] if stacks[part] else NOTHING
                stacks[part].append((id, said(before, str(what), names)))
            write_events(database, events, "ann")
        expected = {part: stack[-1][1] for part, stack in stacks.items() if stack}
        expected = {part: state for part, state in expected.items() if state != NOTHING}
        assert stands(database) == expected


def test_undoing_all_brings_back_every_row_as_it_was(database: Database) -> None:
    write_events(database, [label("e1", "dog"), label("e2", "rain", B)], "ann")
    before = rows(database)
    said = [say("e3", "not", "dog"), say("e4", "unsure"), label("e5", "siren"), say("e6", "clear")]
    write_events(database, said, "bob")
    undo_events(database, [one.id for one in said], "cat")
    assert rows(database) == before


def test_an_event_that_comes_again_is_harmless_and_says_the_same(database: Database) -> None:
    first = write_events(database, [label("e1", "dog")], "ann")
    write_events(database, [label("e2", "rain")], "ann")
    again = write_events(database, [label("e1", "dog")], "ann")
    assert (again.events, again.repeated) == (first.events, {"e1"})
    assert stands(database)[A, 0, 0][0] == {"rain"}


def test_an_id_that_comes_again_with_another_label_is_refused(database: Database) -> None:
    write_events(database, [label("e1", "dog")], "ann")
    with pytest.raises(StorageError, match="e1 says something else than before"):
        write_events(database, [label("e2", "siren", B), label("e1", "rain")], "ann")
    assert stands(database) == {(A, 0, 0): (frozenset({"dog"}), frozenset())}


def test_what_somebody_else_said_unseen_is_a_conflict_and_stays(database: Database) -> None:
    write_events(database, [label("e1", "dog")], "ann")
    outcome = write_events(database, [label("e2", "rain"), label("e3", "rain", B)], "bob")
    (conflict,) = outcome.conflicts
    assert (conflict.standing.author, conflict.standing.label) == ("ann", "dog")
    assert [one.id for one in outcome.events] == ["e3"]
    assert stands(database)[A, 0, 0][0] == {"dog"}


def test_who_has_seen_it_may_say_otherwise(database: Database) -> None:
    write_events(database, [label("e1", "dog")], "ann")
    with database.transaction() as connection:
        seen = newest_number(connection)
    assert not write_events(database, [label("e2", "rain", seen=seen)], "bob").conflicts


def test_who_says_something_twice_meets_no_conflict_with_themselves(database: Database) -> None:
    write_events(database, [label("e1", "dog")], "ann")
    assert not write_events(database, [label("e2", "rain")], "ann").conflicts


def test_two_who_say_the_same_do_not_conflict(database: Database) -> None:
    write_events(database, [label("e1", "dog")], "ann")
    assert not write_events(database, [label("e2", "dog")], "bob").conflicts


def test_what_somebody_changed_since_is_not_undone(database: Database) -> None:
    write_events(database, [label("e1", "dog")], "ann")
    write_events(database, [label("e2", "rain", seen=1)], "bob")
    outcome = undo_events(database, ["e1"], "ann")
    assert [one.standing.author for one in outcome.conflicts] == ["bob"]
    assert stands(database)[A, 0, 0][0] == {"rain"}
    undo_events(database, ["e2"], "bob")
    undo_events(database, ["e1"], "ann")
    assert stands(database) == {}


def test_undoing_twice_undoes_once(database: Database) -> None:
    write_events(database, [label("e1", "dog"), label("e2", "rain")], "ann")
    first = undo_events(database, ["e2"], "ann")
    again = undo_events(database, ["e2"], "ann")
    assert (again.events, again.conflicts) == (first.events, [])
    assert stands(database)[A, 0, 0][0] == {"dog"}


def test_the_last_act_is_the_newest_that_can_be_undone(database: Database) -> None:
    write_events(database, [label("e1", "dog", B)], "ann")
    write_events(database, [label("e2", "rain"), label("e3", "dog", "c" * 64)], "ann", "act")
    assert [one.id for one in last(database)] == ["e2", "e3"]
    undo_events(database, ["e3"], "ann")
    write_events(database, [label("e4", "siren", seen=9)], "bob")
    assert [one.id for one in last(database)] == ["e1"]


def last(database: Database) -> list[RecordedEvent]:
    with database.transaction() as connection:
        return last_act(connection, "ann")


def test_a_history_tells_who_said_what_and_what_was_taken_back(database: Database) -> None:
    write_events(database, [label("e1", "dog"), say("e2", "not", "rain")], "ann")
    undo_events(database, ["e2"], "bob")
    with database.transaction() as connection:
        told = [(one.author, one.say, one.label, one.undoes) for one in history_of(connection, A)]
    assert told == [
        ("ann", "label", "dog", None),
        ("ann", "not", "rain", None),
        ("bob", "undo", "rain", 2),
    ]


def test_a_label_from_before_authors_were_kept_comes_back_as_it_was(database: Database) -> None:
    old = {"digest": A, "start_s": 0, "end_s": 0, "label": "dog", "group_name": "g", "origin": "o"}
    with database.transaction() as connection:
        connection.execute(human_label.insert(), {**old, "labelled_at": "2026"})
    before = rows(database)
    write_events(database, [label("e1", "rain", seen=0)], "ann")
    undo_events(database, ["e1"], "ann")
    assert rows(database) == before


def test_what_is_not_a_label_leaves_the_others_that_were_given(database: Database) -> None:
    write_events(database, [label("e1", "dog;rain"), say("e2", "not", "dog")], "ann")
    assert stands(database)[A, 0, 0] == ({"rain"}, {"dog"})


def test_more_than_the_limit_at_once_is_refused(database: Database) -> None:
    with pytest.raises(StorageError, match="write 500 at most"):
        write_events(database, [label(f"e{at}", "dog") for at in range(MAX_EVENTS + 1)], "ann")


def test_two_writers_at_once_lose_nothing_and_number_every_event(
    database: Database, url: str
) -> None:
    outcomes: list[Written] = []

    def write(author: str) -> None:
        with open_database(url, "editor") as own:
            for at in range(20):
                one = LabelEvent(f"{author}{at}", f"{at:064}", "label", author, seen=0)
                outcomes.append(write_events(own, [one], author))

    writers = [threading.Thread(target=write, args=(name,)) for name in ("ann", "bob")]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    written = [event for one in outcomes for event in one.events]
    conflicts = [conflict for one in outcomes for conflict in one.conflicts]
    assert len(written) == len(conflicts) == 20
    assert sorted(one.number for one in written) == list(range(1, 21))
    standing = {part[0]: state[0] for part, state in stands(database).items()}
    assert standing == {one.digest: {one.author} for one in written}


KILLED = """
import os, signal, sys
from storage.database.engine import open_database
from storage.labels.label_events import LabelEvent, apply_events
with open_database(sys.argv[1], "editor") as database, database.transaction() as connection:
    events = [LabelEvent(f"e{at}", f"{at:064}", "label", "dog") for at in range(1000)]
    apply_events(connection, events, "ann")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.sqlite
def test_a_writer_that_is_killed_leaves_nothing_half_written(database: Database, url: str) -> None:
    write_events(database, [label("e", "rain")], "ann")
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", KILLED, url], cwd=root, env={**os.environ})
    assert done.returncode == -signal.SIGKILL
    assert stands(database) == {(A, 0, 0): (frozenset({"rain"}), frozenset())}
    with database.transaction() as connection:
        assert connection.scalars(select(label_event.c.id)).all() == ["e"]
        apply_events(connection, [label("f", "dog", B)], "ann")
    assert len(stands(database)) == 2
