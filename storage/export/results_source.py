"""What `clfd results` asks of where answers lie: the ledger here, a work folder elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sqlalchemy import Connection

from storage.database import decision_sql
from storage.labels import known_labels
from storage.queries import clips as clips_of
from storage.queries import counts, results
from storage.queries.clips import ClipOptions
from storage.queries.counts import Counts, Number
from storage.queries.disagreements import names_that_answered
from storage.queries.filters import Axis, Filters, Sort
from storage.queries.result import Result
from storage.queries.results import OnRead
from storage.values.decision import DisplayRules

EMPTY = "nothing found: the ledger is empty"


class ResultsSource(Protocol):
    """Recordings and their answers, as they are shown."""

    @property
    def empty_hint(self) -> str:
        """What to say, and to do, where there is no recording at all."""

    def results(
        self, filters: Filters, sort: Sort, limit: int, clips: ClipOptions | None, on_read: OnRead
    ) -> Iterator[Result]:
        """See `storage.queries.results`."""

    def recordings_with_clips(
        self, filters: Filters, clips: ClipOptions, on_read: OnRead
    ) -> Iterator[tuple[Result, list[Result]]]:
        """See `storage.queries.results`."""

    def recordings_to_read(self, filters: Filters, clips: ClipOptions | None) -> Filters:
        """See `storage.queries.clips`."""

    def with_embeddings(self, rows: Iterable[Result]) -> Iterator[Result]:
        """The same rows, with the features of their clips."""

    def count_by(self, filters: Filters, axis: Axis) -> Counts:
        """See `storage.queries.counts`."""

    def count_clips_by(
        self, filters: Filters, clips: ClipOptions, axis: Axis, on_read: OnRead
    ) -> Counts:
        """See `storage.queries.counts`."""

    def count_in_time(self, filters: Filters, seconds: float) -> Number:
        """See `storage.queries.counts`."""

    def labels_given(self) -> list[str]:
        """In alphabetical order."""

    def labels_known(self) -> list[str]:
        """Those that a checkpoint could have given, in alphabetical order."""

    def checkpoints_that_answered(self) -> str:
        """Their names, in a sentence."""

    def rules_within(self, rules: DisplayRules) -> DisplayRules:
        """With what they need not ask here."""

    def hides_labels(self, rules: DisplayRules) -> bool:
        """Whether a threshold lies below the floor, where no findings are kept."""

    def has_unmeasured_levels(self) -> bool:
        """Whether there are answers from before levels were measured."""


@dataclass(frozen=True)
class LedgerSource:
    """The ledger, as it is in one transaction."""

    connection: Connection
    empty_hint: str = f"{EMPTY}; drop audio files into the inbox, then `clfd run`"

    def results(
        self, filters: Filters, sort: Sort, limit: int, clips: ClipOptions | None, on_read: OnRead
    ) -> Iterator[Result]:
        return results.results(self.connection, filters, sort, limit, clips, on_read)

    def recordings_with_clips(
        self, filters: Filters, clips: ClipOptions, on_read: OnRead
    ) -> Iterator[tuple[Result, list[Result]]]:
        return results.recordings_with_clips(self.connection, filters, clips, on_read)

    def recordings_to_read(self, filters: Filters, clips: ClipOptions | None) -> Filters:
        longest = partial(clips_of.longest_recording, self.connection)
        return clips_of.recordings_to_read(filters, clips, longest)

    def with_embeddings(self, rows: Iterable[Result]) -> Iterator[Result]:
        from storage.queries.embeddings import with_embeddings

        return with_embeddings(self.connection, rows)

    def count_by(self, filters: Filters, axis: Axis) -> Counts:
        return counts.count_by(self.connection, filters, axis)

    def count_clips_by(
        self, filters: Filters, clips: ClipOptions, axis: Axis, on_read: OnRead
    ) -> Counts:
        return counts.count_clips_by(self.connection, filters, clips, axis, on_read)

    def count_in_time(self, filters: Filters, seconds: float) -> Number:
        return counts.count_in_time(self.connection, filters, seconds)

    def labels_given(self) -> list[str]:
        return known_labels.answered_labels(self.connection)

    def labels_known(self) -> list[str]:
        return known_labels.checkpoint_labels(self.connection)

    def checkpoints_that_answered(self) -> str:
        return names_that_answered(self.connection)

    def rules_within(self, rules: DisplayRules) -> DisplayRules:
        return decision_sql.rules_within(self.connection, rules)

    def hides_labels(self, rules: DisplayRules) -> bool:
        return decision_sql.hides_labels(self.connection, rules)

    def has_unmeasured_levels(self) -> bool:
        return counts.has_unmeasured_levels(self.connection)
