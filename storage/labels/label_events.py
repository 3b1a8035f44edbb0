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

from sqlalchemy import Connection, delete, func, select, tuple_

from storage.database.bulk import chunks, execute_many
from storage.database.sqlite import Database
from storage.database.tables import human_label, label_event, label_mark
from storage.values.timestamps import utc_now

Say = Literal["label", "not", "unsure", "clear"]
# How an author came to it: by ear, by a look at the picture, in a check of a label, for many at
# once, by a command or from a file.
Way = Literal["listened", "looked", "verified", "bulk", "command", "imported"]
PartKey = tuple[str, float, float]  # the digest of a content, start and end; all of it: 0, 0

_LABEL = ("label", "group_name", "origin", "labelled_at", "author", "way")
_MARK = ("kind", "label", "author", "way", "marked_at")
_event, _human, _mark = label_event.c, human_label.c, label_mark.c
_INSERT_EVENT, _INSERT_LABEL = label_event.insert(), human_label.insert()
_INSERT_MARK = label_mark.insert()


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
    """What became of events; one that was there already counts as written."""

    events: list[RecordedEvent] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)


@dataclass
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
                mark = {"kind": "not", "label": event.label, **by, "marked_at": now}
                kept = None if self.label and self.label["label"] == event.label else self.label
                others = [one for one in self.marks if _is_other(one, event.label)]
                return _State(kept, [*others, mark])
            case "unsure":
                return _State(None, [{"kind": "unsure", "label": "", **by, "marked_at": now}])
        return _State()


def _is_other(mark: dict[str, Any], label: str | None) -> bool:
    return bool(mark["kind"] == "not" and mark["label"] != label)


def write_events(
    database: Database, events: Sequence[LabelEvent], author: str, act: str = ""
) -> Written:
    """All in one transaction and in their order; with an `act`, one undo takes all of them back."""
    with database.transaction() as connection:
        return apply_events(connection, events, author, act)


def apply_events(
    connection: Connection, events: Sequence[LabelEvent], author: str, act: str = ""
) -> Written:
    """The same, in a transaction that writes."""
    now, written = utc_now(), Written()
    parts = list(dict.fromkeys(event.part for event in events))
    known = {one.id: one for one in _events_with(connection, "id", [one.id for one in events])}
    newest, states = _newest_of(connection, parts), _states_of(connection, parts)
    rows: list[RecordedEvent] = []
    number = newest_number(connection)
    for event in events:
        if event.id in known:
            written.events.append(known[event.id])
            continue
        standing = newest.get(event.part)
        if standing is not None and _is_news(event, standing, author):
            written.conflicts.append(Conflict(event, standing))
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
    written.events += rows
    return written


def _is_news(event: LabelEvent, standing: RecordedEvent, author: str) -> bool:
    """Whether somebody else has said what the event's author did not see."""
    return event.seen is not None and standing.number > event.seen and standing.author != author


def undo_events(database: Database, ids: Sequence[str], author: str) -> Written:
    """Brings back what stood before these events, the newest first.

    One is not undone where another one, which was not undone itself, has come since: a conflict.
    """
    now, written = utc_now(), Written()
    rows: list[RecordedEvent] = []
    with database.transaction() as connection:
        events = sorted(_events_with(connection, "id", ids), key=lambda one: -one.number)
        standing = _standing_of(connection, [one.part for one in events])
        states = _states_of(connection, list(standing))
        number = newest_number(connection)
        for event in events:
            stack = standing[event.part]
            if not stack or stack[-1].id != event.id:
                written.conflicts += [Conflict(event, stack[-1])] if stack else []
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
    written.events += rows
    return written


def last_act(connection: Connection, author: str) -> list[RecordedEvent]:
    """The events of the author's newest act that was not undone; none: there is nothing left."""
    undone = select(_event.undoes).where(_event.undoes.is_not(None))
    own = select(_event.act).where(_event.author == author, _event.say != "undo")
    newest = own.where(_event.number.not_in(undone)).order_by(_event.number.desc()).limit(1)
    act = connection.scalar(newest)
    found = _events_with(connection, "act", [act]) if act else []
    taken_back = {one.undoes for one in found}
    return [one for one in found if one.say != "undo" and one.number not in taken_back]


def new_act() -> str:
    """The name of an act, or of an event."""
    return uuid4().hex


def history_of(connection: Connection, digest: str) -> list[RecordedEvent]:
    """All that was said of a sound and its parts, the oldest first."""
    return sorted(_events_with(connection, "digest", [digest]), key=lambda one: one.number)


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
) -> dict[PartKey, list[RecordedEvent]]:
    """The events of each part that were not undone, in their order."""
    found: dict[PartKey, list[RecordedEvent]] = {part: [] for part in parts}
    for event in _events_with(connection, "digest", {digest for digest, *_ in parts}):
        if event.part not in found:
            continue
        stack = found[event.part]
        if event.undoes is None:
            stack.append(event)
        elif stack and stack[-1].number == event.undoes:
            stack.pop()
    return found


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
    parts = list(dict.fromkeys(row.part for row in rows))
    labels: list[dict[str, object]] = []
    marks: list[dict[str, object]] = []
    for some in chunks(parts):
        connection.execute(delete(human_label).where(_at(_human).in_(some)))
        connection.execute(delete(label_mark).where(_at(_mark).in_(some)))
    for part in parts:
        key, state = dict(zip(("digest", "start_s", "end_s"), part, strict=True)), states[part]
        labels += [{**key, **state.label}] if state.label else []
        marks += ({**key, **mark} for mark in state.marks)
    execute_many(connection, _INSERT_LABEL, labels)
    execute_many(connection, _INSERT_MARK, marks)
    execute_many(connection, _INSERT_EVENT, [vars(row) for row in rows])


def _at(columns: Any) -> Any:
    return tuple_(columns.digest, columns.start_s, columns.end_s)
