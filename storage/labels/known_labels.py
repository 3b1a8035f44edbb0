"""Labels that are known: of checkpoints, of answers, and those that people gave."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, select

from storage.database.tables import checkpoint, human_label, recording_label, tally
from storage.values.clip_scores import labels_of
from storage.values.decision import labels_in
from storage.values.text import listed, nearest

_NEAR = 0.75  # of difflib's ratio: dogs and dog_brak, but not cat and car


def checkpoint_labels(connection: Connection) -> list[str]:
    """Every label that a checkpoint could have given, in alphabetical order."""
    lists = connection.scalars(select(checkpoint.c.labels))
    return sorted({label for each in lists for label in labels_of(each)})


def answered_labels(connection: Connection) -> list[str]:
    """Every label that has been given, in alphabetical order."""
    surest = select(tally.c.label).where(tally.c.label != "", tally.c.n > 0)
    given = {*connection.scalars(surest.distinct())}
    found = select(recording_label.c.recording_id).where(recording_label.c.probability.is_not(None))
    further = (label for label in checkpoint_labels(connection) if label not in given)
    given |= {
        label
        for label in further
        if connection.scalar(found.where(recording_label.c.label == label).limit(1)) is not None
    }
    return sorted(given)


def known_labels(connection: Connection, active: str | None) -> set[str]:
    """`active` is the name of a checkpoint; one that no daemon has served yet tells nothing."""
    own = connection.scalar(select(checkpoint.c.labels).where(checkpoint.c.name == active))
    given = connection.scalars(select(human_label.c.label).distinct())
    by_people = {label for text in given for label in labels_in(text)}
    return {*labels_of(own or "[]"), *answered_labels(connection), *by_people}


def near_label(label: str, known: Collection[str]) -> str | None:
    """The known label that was probably meant; None where it is one itself, or far from all."""
    near = [] if label in known else nearest(label, sorted(known), cutoff=_NEAR)
    return near[0] if near else None


def with_near(strange: Sequence[str], known: Collection[str]) -> str:
    """The first of them, each with the known label that was probably meant."""
    near = {label: near_label(label, known) for label in strange}
    return listed([f"{label} ({one}?)" if one else label for label, one in near.items()])
