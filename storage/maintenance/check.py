"""Findings in a valid ledger: rows that may be pruned, files that are missing or have no row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import func, select

from storage.database.database import Database
from storage.database.tables import prediction, recording
from storage.maintenance.file_presence import PLACE_COLUMNS, FilePresence
from storage.maintenance.files_without_row import without_row
from storage.maintenance.id_ranges import id_ranges, rows_by_range
from storage.maintenance.prune_plan import unused_predictions
from storage.settings.schema import Settings
from storage.values.progress import ProgressTicker
from storage.values.text import counted, printable_path

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

    def lines(self) -> Iterator[str]:
        predictions = counted(self.predictions, "prediction")
        yield f"{counted(self.recordings, 'recording')}, {predictions}"
        if self.superseded:
            were = counted(self.superseded, "recording was", "recordings were")
            yield f"{were} superseded by newer content: `clfd db prune --superseded`"
        if self.unused_predictions:
            are = counted(self.unused_predictions, "prediction is", "predictions are")
            yield f"{are} no current answer: `clfd db prune --history`"
        if self.missing:
            have = counted(self.missing, "recording has", "recordings have")
            yield f"{have} no file any more: `clfd db prune --missing`"
            yield from _listed(self.missing_paths, self.missing)
        for folder in self.away:
            yield f"{folder} is away as a whole, so nothing in it counts as missing"
        if self.without_row:
            have = counted(self.without_row, "audio file has", "audio files have")
            yield f"{have} no row yet; `clfd scan` says why"
            yield from _listed(self.without_row_paths, self.without_row)


def _listed(paths: list[str], total: int) -> Iterator[str]:
    yield from (f"  {path}" for path in paths)
    if total > len(paths):
        yield f"  and {total - len(paths)} more"


def check_findings(
    database: Database, settings: Settings, progress: ProgressTicker
) -> CheckFindings:
    """Reads page by page, so a daemon that writes meanwhile may put a figure off by what it did."""
    found = CheckFindings()
    _check_recordings(database, found, progress)
    _count_predictions(database, found, progress)
    for path in without_row(database, settings, progress):
        found.without_row += 1
        if found.without_row <= _FIRST:
            found.without_row_paths.append(path)
    return found


def _check_recordings(database: Database, found: CheckFindings, progress: ProgressTicker) -> None:
    presence = FilePresence(database)
    query = select(*PLACE_COLUMNS, _row.state)
    for rows in rows_by_range(database, query, _row.id, progress, "recordings looked at"):
        _, missing = presence.look(rows)
        found.recordings += len(rows)
        found.superseded += sum(row.state == "superseded" for row in rows)
        found.missing += len(missing)
        first = [row for row in rows if row.id in missing][: _FIRST - len(found.missing_paths)]
        found.missing_paths += [printable_path(presence.usual_place(row)) for row in first]
    presence.look_for_inboxes()
    found.away = sorted(map(printable_path, presence.away))


def _count_predictions(database: Database, found: CheckFindings, progress: ProgressTicker) -> None:
    with database.transaction() as connection:
        found.predictions = connection.scalar(select(func.count()).select_from(prediction)) or 0
    for is_in_range in id_ranges(database, _row.id, progress, "predictions"):
        unused = unused_predictions().where(is_in_range).with_only_columns(func.count())
        with database.transaction() as connection:
            found.unused_predictions += connection.scalar(unused) or 0
