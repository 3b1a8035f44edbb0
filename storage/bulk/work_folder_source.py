"""`clfd results --from WORK`: the rows of a work folder, which DuckDB reads where they lie."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

from storage.bulk.duckdb_sql import AnswerSql, quoted
from storage.bulk.work_folder import WorkFolder
from storage.errors import StorageError, UnknownFormat
from storage.ledger.checkpoints import decision_facts
from storage.queries.clips import ClipOptions, Span, recordings_to_read, spans_of
from storage.queries.counts import Counts, Number, count_spans, in_order
from storage.queries.filters import Axis, Filters, Sort
from storage.queries.result import Result
from storage.queries.results import OnRead, clip_rows, each_with_clips
from storage.values.decision import FLOOR, DisplayRules, own_thresholds
from storage.values.text import printable_path

try:
    import duckdb
except ImportError as missing:
    raise StorageError(
        "clfd results --from reads with DuckDB, which is not installed: pip install duckdb"
    ) from missing

_CHUNK_ROWS = 1000
_FIRST_PAGE = 1000  # of recordings whose clips are asked
# What a row of the results has from a row of a part.
_COLUMNS = {
    "path": "path_text",
    "status": "state",
    "classified_at": "answered_at",
    "inbox": "root",
    "clip_scores_bytes": "octet_length(clip_scores)",
    **{
        name: name
        for name in (
            *("id", "label", "confidence", "duration_s", "sample_rate_hz", "checkpoint", "error"),
            *("digest", "checkpoint_digest", "warning", "recorded_at", "channels", "rms_dbfs"),
            *("peak_dbfs", "clipped", "recorder", "novelty", "clip_seconds", "clip_hop_seconds"),
        )
    },
}


class WorkFolderSource:
    """A `ResultsSource` of `storage.export`; what has no row yet is pending.

    Raises StorageError, also later, where a part cannot be read.
    """

    def __init__(self, work: WorkFolder) -> None:
        self._work, self._job = work, work.read_job()
        decides = decision_facts(self._job.facts)
        self._task, self._thresholds_json = decides["task"] or "single", decides["thresholds"]
        self._labels_json = json.dumps(self._job.labels, ensure_ascii=False)
        self._connection = duckdb.connect(
            config={
                # It would fetch what it lacks from the network, and write into this folder.
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "temp_directory": str(Path(tempfile.gettempdir(), f"clfd-duckdb-{os.getpid()}")),
            }
        )
        self._states: dict[Filters, dict[str, int]] = {}
        self._make_views()
        [(n_rows,)] = self._ask("SELECT count(*) FROM scored")
        self._has_pending = n_rows < self._job.n_files

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def empty_hint(self) -> str:
        return f"nothing found: no file has a row yet; run `clfd bulk score {self._work.root}`"

    def results(
        self, filters: Filters, sort: Sort, limit: int, clips: ClipOptions | None, on_read: OnRead
    ) -> Iterator[Result]:
        order = self._sql(filters).order(sort)
        if clips is None:
            return self._rows(filters, order, f"LIMIT {limit}" if limit else "")
        read = self._read(filters, clips, order, on_read)
        return islice(clip_rows(read, clips, filters, sort, limit), limit or None)

    def recordings_with_clips(
        self, filters: Filters, clips: ClipOptions, on_read: OnRead
    ) -> Iterator[tuple[Result, list[Result]]]:
        wide = self.recordings_to_read(filters, None)
        read = self._rows(wide, "root, path, id", with_clips=True)
        return each_with_clips(read, clips, filters, on_read)

    def recordings_to_read(self, filters: Filters, clips: ClipOptions | None) -> Filters:
        return recordings_to_read(filters, clips, self._longest_recording)

    def with_embeddings(self, rows: Iterable[Result]) -> Iterator[Result]:
        raise UnknownFormat("a work folder has no embeddings; leave out --embeddings")

    def count_by(self, filters: Filters, axis: Axis) -> Counts:
        if axis == "site" and filters.rules.site_pattern:  # of Python
            paths = self._ask(f"SELECT path_text FROM {self._matching(filters)}")
            found = Counter(filters.rules.site_of(path) or None for (path,) in paths)
            return in_order(found.items(), axis)
        value = self._sql(filters).counted(axis)
        query = f"SELECT {value} AS value, count(*) FROM {self._matching(filters)} GROUP BY value"
        return in_order(self._ask(query), axis)

    def count_clips_by(
        self, filters: Filters, clips: ClipOptions, axis: Axis, on_read: OnRead
    ) -> Counts:
        spans = self._spans(filters, clips, on_read)
        return count_spans(spans, axis, filters.rules.zone)

    def count_in_time(self, filters: Filters, seconds: float) -> Number:
        by_state = self._by_state(filters.with_status("all"))
        return Number(sum(by_state.get(state, 0) for state in filters.states))

    def labels_given(self) -> list[str]:
        told = "list_filter(labels, lambda one: one.probability IS NOT NULL)"
        each = f"unnest(list_transform({told}, lambda one: one.label))"
        return [
            label
            for (label,) in self._ask(f"SELECT DISTINCT {each} AS label FROM scored ORDER BY label")
        ]

    def labels_known(self) -> list[str]:
        return sorted(self._job.labels)

    def checkpoints_that_answered(self) -> str:
        return self._job.checkpoint

    def rules_within(self, rules: DisplayRules) -> DisplayRules:
        return rules

    def hides_labels(self, rules: DisplayRules) -> bool:
        given = {**own_thresholds(self._thresholds_json), **dict(rules.thresholds)}
        return self._task == "multi" and any(least < FLOOR for least in given.values())

    def has_unmeasured_levels(self) -> bool:
        return False

    # --- the rows

    def _make_views(self) -> None:
        """`scored` has the rows of all parts, `listed` files without a row as well."""
        parts = self._work.output_parts()
        if not parts:
            from storage.bulk.parquet_parts import OUTPUT

            self._connection.register("no_columns", OUTPUT.empty_table())
            self._connection.execute("CREATE TABLE no_rows AS FROM no_columns")
        is_done = "state = 'done'"
        views = f"""
            CREATE VIEW scored AS SELECT * REPLACE (
                CASE WHEN {is_done} THEN checkpoint_digest END AS checkpoint_digest),
                CASE WHEN {is_done} THEN {quoted(self._job.checkpoint)} END AS checkpoint,
                answered_at AS moment
            FROM {_parquet(parts) if parts else "no_rows"};
            CREATE VIEW listed AS SELECT * FROM scored UNION ALL BY NAME SELECT
                id, root, path, coalesce(try(decode(path)), path::VARCHAR) AS path_text,
                'pending' AS state, {quoted(self._job.listed_at)} AS moment
            FROM {_parquet(self._work.manifest_parts())} AS file
            WHERE NOT EXISTS (FROM scored WHERE scored.id = file.id);
        """
        list(self._ask(views))

    def _sql(self, filters: Filters) -> AnswerSql:
        return AnswerSql(self._task, own_thresholds(self._thresholds_json), filters.rules)

    def _by_state(self, filters: Filters) -> dict[str, int]:
        """One question for the foot, which asks for each of the states."""
        if filters not in self._states:
            query = f"SELECT state, count(*) FROM {self._matching(filters)} GROUP BY state"
            self._states[filters] = dict(self._ask(query))
        return self._states[filters]

    def _matching(self, filters: Filters) -> str:
        view = "listed" if "pending" in filters.states and self._has_pending else "scored"
        return f"{view} WHERE {self._sql(filters).where(filters)}"

    def _rows(
        self, filters: Filters, order: str, page: str = "", with_clips: bool = False
    ) -> Iterator[Result]:
        further = ["path", "labels", "scores", "clip_scores" if with_clips else "NULL"]
        query = f"SELECT {', '.join([*_COLUMNS.values(), *further])}"
        query += f" FROM {self._matching(filters)} ORDER BY {order} {page}"
        for row in self._ask(query):
            yield self._result(row).displayed(filters.rules)

    def _result(self, row: tuple[Any, ...]) -> Result:
        path, findings, scores, clip_scores = row[len(_COLUMNS) :]
        one = Result(**dict(zip(_COLUMNS, row, strict=False)))
        if one.status == "pending":  # of which the list has the bytes alone
            return replace(one, path=printable_path(path))
        if one.status != "done":
            return one
        told = [(each["label"], each["probability"]) for each in findings]
        return replace(
            one,
            labels_json=self._labels_json,
            packed_scores=struct.pack(f"<{len(scores)}f", *scores),
            packed_clip_scores=clip_scores,
            task=self._task,
            thresholds_json=self._thresholds_json,
            findings_json=json.dumps([pair for pair in told if pair[1] is not None]),
        )

    def _read(
        self, filters: Filters, clips: ClipOptions, order: str, on_read: OnRead
    ) -> Iterator[Result]:
        """Few may be asked for, and to sort all of them takes seconds a million."""
        wide = self.recordings_to_read(filters, clips)
        for page in (f"LIMIT {_FIRST_PAGE}", f"OFFSET {_FIRST_PAGE}"):
            for one in self._rows(wide, order, page, with_clips=True):
                on_read()
                yield one

    def _spans(
        self, filters: Filters, clips: ClipOptions, on_read: OnRead
    ) -> Iterator[tuple[Result, Span]]:
        for one in self._read(filters, clips, "id", on_read):
            yield from ((one, span) for span in spans_of(one, clips, filters))

    def _longest_recording(self) -> float:
        [(seconds,)] = self._ask("SELECT max(duration_s) FROM scored")
        return seconds or 0.0

    def _ask(self, query: str) -> Iterator[tuple[Any, ...]]:
        """A cursor of its own, since rows are read while something else is asked."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(query)
                while rows := cursor.fetchmany(_CHUNK_ROWS):
                    yield from rows
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise StorageError(f"{self._work.root} cannot be read: {reason}") from error


def _parquet(parts: Iterable[Path]) -> str:
    return f"read_parquet([{', '.join(quoted(str(part)) for part in parts)}])"
