"""What people say of sounds, as events: written at once, kept for ever, and undone one by one.

The label of a part and its marks ("not this", "unsure") follow from its events. Each event keeps
what stood there before, so that undoing it brings back exactly that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, tuple_

from storage.database.bulk import chunks, execute_many
from storage.database.database import Database
from storage.database.tables import human_label, label_event, label_mark
from storage.errors import StorageError
from storage.values.decision import labels_in, written
from storage.values.timestamps import utc_now

Say = Literal["label", "not", "unsure", "clear"]
# How an author came to it: by ear, by a look at the picture, in a check of a label, for many at
# once, by a command or from a file.
Way = Literal["listened", "looked", "verified", "bulk", "command", "imported"]
PartKey = tuple[str, float, float]  # the digest of a content, start and end; all of it: 0, 0
MAX_EVENTS = 500  # at once: a daemon that writes beside waits for no more

_LABEL = ("label", "group_name", "origin", "labelled_at", "author", "way")
_EVENT = tuple(column.name for column in label_event.c)
_MARK = ("kind", "label", "author", "way", "marked_at")
_event, _human, _mark = label_event.c, human_label.c, label_mark.c
_INSERT_EVENT, _INSERT_LABEL = label_event.insert(), human_label.insert()
_INSERT_MARK = label_mark.insert()


@dataclass(frozen=True, slots=True)  # an import has many
class LabelEvent:
    """What somebody says of a part of a sound; from 0 to 0 it is all of it.

    `seen` is the number of the newest event that its author knew of: where somebody else has said
    something of the part since, nothing is written. None: whatever stands there.
    """

    id: str
    digest: str
    say: Say
    label: str | None = None
    start_s: float = 0.0
    end_s: float = 0.0
    way: Way = "command"
    seen: int | None = None
    group: str | None = None
    origin: str = "page"

    @property
    def part(self) -> PartKey:
        return self.digest, self.start_s, self.end_s


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as it stands in the ledger."""

    number: int
    id: str
    act: str
    digest: str
    start_s: float
    end_s: float
    say: str
    label: str | None
    author: str
    way: str
    made_at: str
    before: str
    undoes: int | None

    @property
    def part(self) -> PartKey:
        return self.digest, self.start_s, self.end_s


@dataclass(frozen=True)
class Conflict:
    """An event, or the undoing of one, that was not written, since another one stands there."""

    event: LabelEvent | RecordedEvent
    standing: RecordedEvent


@dataclass
class Written:
    """What became of events; `repeated` are the ids of those among them that were there already."""

    events: list[RecordedEvent] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    repeated: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _State:
    """What stands at a part: its label, if it has one, and its marks."""

    label: dict[str, Any] | None = None
    marks: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> str:
        return json.dumps([self.label, self.marks], ensure_ascii=False)

    @classmethod
    def of_json(cls, text: str) -> _State:
        return cls(*json.loads(text))

    def after(self, event: LabelEvent, author: str, now: str) -> _State:
        by = {"author": author, "way": event.way}
        match event.say:
            case "label":
                given = {"label": event.label, "group_name": event.group, "origin": event.origin}
                return _State({**given, "labelled_at": now, **by})
            case "not":
                names, mark = labels_in(event.label or ""), {"kind": "not", **by, "marked_at": now}
                others = [m for m in self.marks if m["kind"] == "not" and m["label"] not in names]
                own = [{**mark, "label": name} for name in names]
                return _State(self._label_without(names), [*others, *own])
            case "unsure":
                return _State(None, [{"kind": "unsure", "label": "", **by, "marked_at": now}])
        return _State()

    def _label_without(self, names: Sequence[str]) -> dict[str, Any] | None:
        given = labels_in(self.label["label"]) if self.label else []
        left = written(name for name in given if name not in names)
        return {**self.label, "label": left} if self.label and left else None


_NOTHING = _State().as_json()


def write_events(
    database: Database, events: Sequence[LabelEvent], author: str, act: str = ""
) -> Written:
    """All in one transaction and in their order; with an `act`, one undo takes all of them back.

    Raises StorageError for too many, and for an id that was written with something else.
    """
    if len(events) > MAX_EVENTS:
        raise StorageError(f"{len(events)} events at once; write {MAX_EVENTS} at most")
    with database.transaction() as connection:
        return apply_events(connection, events, author, act)


def apply_events(
    connection: Connection, events: Sequence[LabelEvent], author: str, act: str = ""
) -> Written:
    """The same, in a transaction that writes, and of any number."""
    now, outcome = utc_now(), Written()
    parts = list(dict.fromkeys(event.part for event in events))
    known = {one.id: one for one in _events_with(connection, "id", [one.id for one in events])}
    checked = list(dict.fromkeys(event.part for event in events if event.seen is not None))
    newest, states = _newest_of(connection, checked), _states_of(connection, parts)
    rows: list[RecordedEvent] = []
    number = newest_number(connection)
    for event in events:
        if earlier := known.get(event.id):
            _require_same(event, earlier)
            outcome.events.append(earlier)
            outcome.repeated.add(event.id)
            continue
        standing = newest.get(event.part)
        if standing is not None and _is_news(event, standing, author):
            outcome.conflicts.append(Conflict(event, standing))
            continue
        before, number = states[event.part], number + 1
        states[event.part] = before.after(event, author, now)
        row = RecordedEvent(
            number,
            event.id,
            act or event.id,
            *event.part,
            say=event.say,
            label=event.label,
            author=author,
            way=event.way,
            made_at=now,
            before=before.as_json(),
            undoes=None,
        )
        known[event.id] = newest[event.part] = row
        rows.append(row)
    _store(connection, rows, states)
    outcome.events += rows
    return outcome


def _require_same(event: LabelEvent, earlier: RecordedEvent) -> None:
    said = earlier.part, earlier.say, earlier.label
    if (event.part, event.say, event.label) != said:
        raise StorageError(f"event {event.id} says something else than before; give it a new id")


def _is_news(event: LabelEvent, standing: RecordedEvent, author: str) -> bool:
    """Whether somebody else has said something else, which the event's author did not see."""
    is_unseen = event.seen is not None and standing.number > event.seen
    says_other = (standing.say, standing.label) != (event.say, event.label)
    return is_unseen and says_other and standing.author != author


def undo_events(database: Database, ids: Sequence[str], author: str) -> Written:
    """Brings back what stood before these events, the newest first.

    One is not undone where another one, which was not undone itself, has come since: a conflict.
    """
    now, outcome = utc_now(), Written()
    rows: list[RecordedEvent] = []
    with database.transaction() as connection:
        events = sorted(_events_with(connection, "id", ids), key=lambda one: -one.number)
        standing, undoings = _standing_of(connection, [one.part for one in events])
        states = _states_of(connection, list(standing))
        number = newest_number(connection)
        for event in events:
            stack = standing[event.part]
            if earlier := undoings.get(event.number):
                outcome.events.append(earlier)
                outcome.repeated.add(earlier.id)
                continue
            if event.undoes is not None or stack[-1].number != event.number:
                outcome.conflicts += [Conflict(event, one) for one in stack[-1:]]
                continue
            stack.pop()
            before, number = states[event.part], number + 1
            states[event.part] = _State.of_json(event.before)
            undone = replace(
                event,
                number=number,
                id=new_act(),
                say="undo",
                author=author,
                made_at=now,
                before=before.as_json(),
                undoes=event.number,
            )
            rows.append(undone)
        _store(connection, rows, states)
    outcome.events += rows
    return outcome


def last_act(connection: Connection, author: str) -> list[RecordedEvent]:
    """The events of the author's newest act that can be undone; none: there is nothing left."""
    own = select(_event.act).where(_event.author == author, _in_effect(_event))
    later = label_event.alias()
    is_same_part = (later.c[name] == _event[name] for name in ("digest", "start_s", "end_s"))
    is_later = later.c.number > _event.number, _in_effect(later.c)
    own = own.where(~select(later.c.number).where(*is_same_part, *is_later).exists())
    act = connection.scalar(own.order_by(_event.number.desc()).limit(1))
    found = _events_with(connection, "act", [act]) if act else []
    taken_back = {one.undoes for one in found}
    return [one for one in found if one.say != "undo" and one.number not in taken_back]


def _in_effect(columns: Any) -> ColumnElement[bool]:
    undone = label_event.alias()
    numbers = select(undone.c.undoes).where(undone.c.undoes.is_not(None))
    return and_(columns.say != "undo", columns.number.not_in(numbers))


def new_act() -> str:
    """The name of an act, or of an event."""
    return uuid4().hex


def history_of(connection: Connection, digest: str) -> list[RecordedEvent]:
    """All that was said of a sound and its parts, the oldest first."""
    return sorted(_events_with(connection, "digest", [digest]), key=lambda one: one.number)


def numbered_events(connection: Connection, act: str) -> list[RecordedEvent]:
    """Those whose ids are the act's with a number behind; an index knows ids, but no acts."""
    query = select(label_event).where(_event.id > f"{act}-", _event.id < f"{act}.")
    return [RecordedEvent(*row) for row in connection.execute(query.order_by(_event.number))]


def newest_number(connection: Connection) -> int:
    """Of the newest event: what somebody who looks now has seen."""
    return connection.scalar(select(func.max(_event.number))) or 0


def _events_with(
    connection: Connection, name: str, values: Iterable[object]
) -> list[RecordedEvent]:
    found = []
    for some in chunks(list(values)):
        query = select(label_event).where(_event[name].in_(some)).order_by(_event.number)
        found += [RecordedEvent(*row) for row in connection.execute(query)]
    return found


def _newest_of(connection: Connection, parts: Sequence[PartKey]) -> dict[PartKey, RecordedEvent]:
    found = {}
    for some in chunks(parts):
        at = tuple_(_event.digest, _event.start_s, _event.end_s)
        numbers = select(func.max(_event.number)).where(at.in_(some)).group_by(*at.clauses)
        query = select(label_event).where(_event.number.in_(numbers))
        events = (RecordedEvent(*row) for row in connection.execute(query))
        found.update({one.part: one for one in events})
    return found


def _standing_of(
    connection: Connection, parts: Sequence[PartKey]
) -> tuple[dict[PartKey, list[RecordedEvent]], dict[int | None, RecordedEvent]]:
    """The events of each part that were not undone, in their order, and the undoings of others."""
    found: dict[PartKey, list[RecordedEvent]] = {part: [] for part in parts}
    undoings: dict[int | None, RecordedEvent] = {}
    for event in _events_with(connection, "digest", {digest for digest, *_ in parts}):
        stack = found.get(event.part, [])
        if event.undoes is None:
            stack.append(event)
        else:
            undoings[event.undoes] = event
            del stack[-1:]
    return found, undoings


def _states_of(connection: Connection, parts: Sequence[PartKey]) -> dict[PartKey, _State]:
    states = {part: _State() for part in parts}
    labelled, marked = _at(_human), _at(_mark)
    for some in chunks(parts):
        labels = select(*labelled.clauses, *(_human[name] for name in _LABEL))
        for row in connection.execute(labels.where(labelled.in_(some))):
            states[row[0], row[1], row[2]].label = dict(zip(_LABEL, row[3:], strict=True))
        marks = select(*marked.clauses, *(_mark[name] for name in _MARK))
        for row in connection.execute(marks.where(marked.in_(some))):
            states[row[0], row[1], row[2]].marks.append(dict(zip(_MARK, row[3:], strict=True)))
    return states


def _store(
    connection: Connection, rows: Sequence[RecordedEvent], states: dict[PartKey, _State]
) -> None:
    """The events, and what stands at their parts after them."""
    for some in chunks(list({row.part for row in rows if row.before != _NOTHING})):
        connection.execute(delete(human_label).where(_at(_human).in_(some)))
        connection.execute(delete(label_mark).where(_at(_mark).in_(some)))
    for some in chunks(list(dict.fromkeys(row.part for row in rows))):
        labels: list[dict[str, object]] = []
        marks: list[dict[str, object]] = []
        for part in some:
            key, state = dict(zip(("digest", "start_s", "end_s"), part, strict=True)), states[part]
            labels += [{**key, **state.label}] if state.label else []
            marks += ({**key, **mark} for mark in state.marks)
        execute_many(connection, _INSERT_LABEL, labels)
        execute_many(connection, _INSERT_MARK, marks)
    for events in chunks(rows):
        execute_many(connection, _INSERT_EVENT, [_values(row) for row in events])


def _values(row: RecordedEvent) -> dict[str, object]:
    return {name: getattr(row, name) for name in _EVENT}


def _at(columns: Any) -> Any:
    return tuple_(columns.digest, columns.start_s, columns.end_s)
