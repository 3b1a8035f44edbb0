"""One question to `clfd results`, and the format of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storage.export.text_formats import TABLE, Format
from storage.queries.clips import ClipOptions
from storage.queries.filters import Filters, Sort
from storage.queries.result import CLIP_COLUMNS, COLUMNS

TABLE_LIMIT = 50


@dataclass(frozen=True)
class ResultsRequest:
    """One question and the format of its answer; a limit of None is the format's own.

    `chosen` columns are all that is written, in their order; without any it is what the format has.
    Parquet may have the embeddings behind them.
    """

    filters: Filters
    sort: Sort = "newest"
    limit: int | None = None
    clips: ClipOptions | None = None
    format: Format = TABLE
    file: Path | None = None
    chosen: tuple[str, ...] = ()
    has_embeddings: bool = False
    shows_progress: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return self.chosen or self.known_columns

    @property
    def known_columns(self) -> tuple[str, ...]:
        """Those that may be chosen."""
        return CLIP_COLUMNS if self.clips else COLUMNS

    @property
    def rows_limit(self) -> int:
        if self.limit is not None:
            return self.limit
        return TABLE_LIMIT if self.format is TABLE else 0
