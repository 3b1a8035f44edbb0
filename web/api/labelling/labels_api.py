"""`/labels`: what people say of sounds, each an event that is written at once and can be undone."""

from __future__ import annotations

from collections import Counter
from io import StringIO
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field, model_validator
from sqlalchemy import func, select

from storage.database.tables import human_label, tally
from storage.export.text_formats import write_csv
from storage.home.checkpoint_folder import CheckpointFolder
from storage.labels.known_labels import known_labels
from storage.labels.label_events import (
    Conflict,
    LabelEvent,
    RecordedEvent,
    Say,
    Way,
    Written,
    undo_events,
    write_events,
)
from storage.labels.label_names import read_labels
from storage.labels.training_table import EXPORT_COLUMNS, label_rows
from storage.review.bulk_labels import label_matching
from storage.values.decision import labels_in
from web.api.filters_query import AskedFilters
from web.server.context import Author, Context

router = APIRouter(tags=["labels"])

MAX_EVENTS = 500
Id = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[\w.:-]+$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class Event(BaseModel):
    """What is said of a part of a sound; from 0 to 0 it is all of it."""

    id: Id = Field(description="Made by who says it. Sent twice, it is the same event.")
    digest: Digest
    start_s: Seconds = 0.0
    end_s: Seconds = 0.0
    say: Say
    label: str | None = Field(None, max_length=1000, description="Several as `a;b`.")
    way: Way = "listened"
    seen: int | None = Field(None, description="The newest event that its author knew of.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Event:
        if (self.say in ("label", "not")) != bool(self.label and self.label.strip()):
            raise ValueError(f"{self.say} goes with {'a' if self.say in NAMED else 'no'} label")
        if self.label:
            self.label = read_labels(self.label)
        if self.end_s and self.end_s <= self.start_s:
            raise ValueError("end_s is not after start_s")
        return self


NAMED = ("label", "not")


class Events(BaseModel):
    events: list[Event] = Field(max_length=MAX_EVENTS)


class Ids(BaseModel):
    ids: list[Id] = Field(max_length=10_000)


class Matching(BaseModel):
    """A label for all that fit the filters of the address."""

    id: Id = Field(description="Of the act, which one undo takes back.")
    label: str = Field(min_length=1, max_length=1000)
    expected: int = Field(ge=1, description="How many recordings the person saw to fit.")


class Known(BaseModel):
    label: str
    n: int = Field(description="How many answers have it.")
    n_human: int = Field(description="How many sounds people gave it.")


class Outcome(BaseModel):
    written: list[dict[str, Any]]
    conflicts: list[dict[str, Any]] = Field(description="Not written: what stands there instead.")


@router.post("/labels")
def write(body: Events, context: Context, author: Author) -> Outcome:
    """Writes events in one transaction, in their order."""
    events = [LabelEvent(**event.model_dump()) for event in body.events]
    return _outcome(write_events(context.database("editor"), events, author))


@router.post("/labels/undo")
def undo(body: Ids, context: Context, author: Author) -> Outcome:
    """Brings back what stood before these events."""
    return _outcome(undo_events(context.database("editor"), body.ids, author))


@router.post("/labels/matching")
def write_matching(
    body: Matching, filters: AskedFilters, context: Context, author: Author
) -> Outcome:
    """Labels all that fit, at most 10,000; 409 where not as many fit as were expected."""
    label = read_labels(body.label)
    database = context.database("editor")
    return _outcome(label_matching(database, filters, label, body.expected, author, body.id))


@router.get("/labels/known")
def known(context: Context) -> list[Known]:
    """Labels of the active checkpoint, of answers and of people: the commonest first."""
    active = CheckpointFolder(context.home.checkpoints).active()
    of_answers = select(tally.c.label, func.sum(tally.c.n)).group_by(tally.c.label)
    of_people = select(human_label.c.label, func.count()).group_by(human_label.c.label)
    with context.reading() as connection:
        names = known_labels(connection, active)
        answers = Counter(dict(row._tuple() for row in connection.execute(of_answers)))
        people: Counter[str] = Counter()
        for text, n in connection.execute(of_people):
            people.update(dict.fromkeys(labels_in(text), n))
    found = [Known(label=one, n=answers[one], n_human=people[one]) for one in names]
    return sorted(found, key=lambda one: (-one.n - one.n_human, one.label))


@router.get("/labels.csv", response_class=PlainTextResponse)
def export(context: Context) -> PlainTextResponse:
    """The table that `clfd train` takes, as `clfd labels export` writes it."""
    table = StringIO()
    with context.reading() as connection:
        rows = (row for row, refusal in label_rows(connection, context.rules) if not refusal)
        write_csv(table, EXPORT_COLUMNS, rows)
    named = {"Content-Disposition": 'attachment; filename="labels.csv"'}
    return PlainTextResponse(table.getvalue(), headers=named, media_type="text/csv")


def _outcome(written: Written) -> Outcome:
    return Outcome(
        written=[_shown(one) for one in written.events],
        conflicts=[_conflict(one) for one in written.conflicts],
    )


def _shown(one: RecordedEvent) -> dict[str, Any]:
    names = ("id", "number", "digest", "start_s", "end_s", "say", "label", "author", "made_at")
    return {name: getattr(one, name) for name in names}


def _conflict(one: Conflict) -> dict[str, Any]:
    mine = {"say": one.event.say, "label": one.event.label, "way": one.event.way}
    return {**_shown(one.standing), "id": one.event.id, "mine": mine}
