"""What a person may want to know of a sound ledger: what to prune, what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from sqlalchemy import func, select

from storage.database.engine import Database
from storage.database.tables import prediction, recording
from storage.maintenance.file_presence import WHERE, FilePresence
from storage.maintenance.id_ranges import largest_id, spans_of
from storage.maintenance.prune_plan import MarkedIds
from storage.maintenance.unadmitted_files import uncovered
from storage.settings.schema import Settings
from storage.values.progress import ProgressTicker
from storage.values.text import printable_path

_FIRST = 5
_row = recording.c


@dataclass
class CheckFindings:
    """None of it is damage. Lists of paths hold the first few, with their inbox.

    `away` are folders that are not there as a whole; nothing in them counts as missing.
    """

    recordings: int = 0
    superseded: int = 0
    predictions: int = 0
    unused_predictions: int = 0
    missing: int = 0
    missing_paths: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)
    without_row: int = 0
    without_row_paths: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, object]:
        return asdict(self)

    def lines(self) -> Iterator[str]:
        yield f"{self.recordings} recordings, {self.predictions} predictions"
        if self.superseded:
            yield (
                f"{self.superseded} recordings were superseded by newer content:"
                " `clfd db prune --superseded`"
            )
        if self.unused_predictions:
            yield (
                f"{self.unused_predictions} predictions are no current answer:"
                " `clfd db prune --history`"
            )
        if self.missing:
            yield f"{self.missing} recordings have no file any more: `clfd db prune --missing`"
            yield from _listed(self.missing_paths, self.missing)
        for folder in self.away:
            yield f"{folder} is away as a whole, so nothing in it counts as missing"
        if self.without_row:
            yield f"{self.without_row} audio files have no row yet; `clfd scan` says why"
            yield from _listed(self.without_row_paths, self.without_row)


def _listed(paths: list[str], total: int) -> Iterator[str]:
    yield from (f"  {path}" for path in paths)
    if total > len(paths):
        yield f"  and {total - len(paths)} more"


def remarks_on(database: Database, settings: Settings, pulse: ProgressTicker) -> CheckFindings:
    """Reads page by page, so a daemon that writes meanwhile may put a figure off by what it did."""
    found = CheckFindings()
    _look_at_recordings(database, found, pulse)
    for path in uncovered(database, settings, pulse):
        found.without_row += 1
        if found.without_row <= _FIRST:
            found.without_row_paths.append(path)
    return found


def _look_at_recordings(database: Database, found: CheckFindings, pulse: ProgressTicker) -> None:
    whereabouts = FilePresence(database)
    in_use = MarkedIds(largest_id(database, prediction))
    query = select(*WHERE, _row.state, _row.prediction_id)
    largest = largest_id(database, recording)
    for rows in spans_of(database, query, _row.id, largest, pulse, "recordings looked at"):
        missing = whereabouts.missing(rows)
        found.missing += len(missing)
        for row in rows:
            found.recordings += 1
            found.superseded += row.state == "superseded"
            in_use.add(row.prediction_id or 0)
            if row.id in missing and len(found.missing_paths) < _FIRST:
                found.missing_paths.append(printable_path(whereabouts.usual_place(row)))
    in_use.discard(0)
    with database.transaction() as connection:
        number = connection.scalar(select(func.count()).select_from(prediction)) or 0
    found.predictions, found.unused_predictions = number, max(0, number - len(in_use))
    whereabouts.look_for_inboxes()
    found.away = sorted(map(printable_path, whereabouts.away))
