"""One label for all recordings that fit, as one act."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from storage.database.database import Database
from storage.errors import StorageError
from storage.labels.label_events import LabelEvent, Written, apply_events, numbered_events
from storage.queries.filters import Filters
from storage.queries.results import page

MOST = 10_000
_PAGE = 500


class CountMoved(StorageError):
    """Others came, or went, since the person looked."""


@dataclass(frozen=True)
class Matching:
    """What fits: the contents, each once, and how many recordings have them."""

    digests: tuple[str, ...]
    n: int


def label_matching(
    database: Database,
    filters: Filters,
    label: str,
    expected: int,
    author: str,
    act: str,
    replaces: bool = False,
) -> Written:
    """Labels the whole of each; what another person said otherwise is a conflict and stays.

    With `replaces` it does not. An act that was written before is not written again. Raises
    CountMoved where not `expected` recordings fit.
    """
    with database.transaction() as connection:
        if repeated := numbered_events(connection, act):
            return Written(repeated, repeated={one.id for one in repeated})
        found = matching(connection, filters)
        if found.n != expected:
            raise CountMoved(f"{found.n} recordings fit now, not {expected}; look again")
        seen = None if replaces else 0
        events = [
            LabelEvent(f"{act}-{at}", digest, "label", label, way="bulk", seen=seen)
            for at, digest in enumerate(found.digests)
        ]
        return apply_events(connection, events, author, act)


def matching(connection: Connection, filters: Filters) -> Matching:
    """Raises StorageError where there are more than can be labelled at once."""
    digests: dict[str, None] = {}
    n, after = 0, None
    while True:
        found = page(connection, filters, "newest", _PAGE, after)
        n, after = n + len(found.rows), found.after
        digests.update((one.digest, None) for one in found.rows if one.digest)
        if n > MOST:
            raise StorageError(f"more than {MOST:,} recordings fit; narrow the filters")
        if after is None:
            return Matching(tuple(digests), n)
