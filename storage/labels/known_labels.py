"""Labels that are known: of the active checkpoint, of answers, and those that people gave."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, select

from storage.database.tables import checkpoint, human_label, tally
from storage.values.text import caseless, listed

_NEAR = 0.75  # of difflib's ratio: dogs and dog_brak, but not cat and car


def known_labels(connection: Connection, active: str | None) -> set[str]:
    """`active` is the name of a checkpoint; one that no daemon has served yet tells nothing."""
    own = connection.scalar(select(checkpoint.c.labels).where(checkpoint.c.name == active))
    answered = select(tally.c.label).where(tally.c.label != "", tally.c.n > 0).distinct()
    given = select(human_label.c.label).distinct()
    return {*json.loads(own or "[]"), *connection.scalars(answered), *connection.scalars(given)}


def near_label(label: str, known: Collection[str]) -> str | None:
    """The known label that was probably meant; None where it is one itself, or far from all."""
    if label in known:
        return None
    spellings = {caseless(one): one for one in sorted(known)}
    near = difflib.get_close_matches(caseless(label), spellings, 1, _NEAR)
    return spellings[near[0]] if near else None


def with_near(strange: Sequence[str], known: Collection[str]) -> str:
    """The first of them, each with the known label that was probably meant."""
    near = {label: near_label(label, known) for label in strange}
    return listed([f"{label} ({one}?)" if one else label for label, one in near.items()])
