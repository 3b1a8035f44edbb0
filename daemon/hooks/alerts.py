"""Which alerts an answer makes, and what is sent of each: the settings, as hooks read them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import islice

from storage.export.text_formats import nested
from storage.queries.clips import ClipOptions, rows_of
from storage.queries.filters import Filters
from storage.queries.result import COLUMNS, Result, rows_by_label
from storage.settings.schema import Settings
from storage.values.alert import JSON_TYPE, Alert, BodyTemplate
from storage.values.decision import NONE, UNKNOWN
from storage.values.text import text_digest
from storage.values.timestamps import later, parse_duration

ID_LETTERS = 32
_RUNS = ClipOptions(merge_gap_seconds=0.0)


class AlertRules:
    """`display` says how answers are shown; labels are meant as they are shown."""

    def __init__(self, settings: Settings) -> None:
        hooks = settings.hooks
        self.display = settings.results.display_rules
        self.is_of_clips = hooks.per == "clip"
        self.cooldown_seconds = parse_duration(hooks.cooldown) if hooks.cooldown else 0.0
        self._wanted = Filters(
            labels=hooks.labels, min_confidence=hooks.min_confidence, rules=self.display
        )
        self._template = BodyTemplate(hooks.body) if hooks.body else None

    def alerts_of(self, answer: Result) -> list[Alert]:
        """One for an answer that is sure enough, or for each run of its clips that is."""
        if not self.is_of_clips:
            told = rows_by_label(answer)
            fitting = (row for row in told if self._wanted.fit_answer(row.label, row.confidence))
            return [alert_of(row) for row in islice(fitting, 1)]
        # What people say of parts of an earlier answer parts no run.
        runs = rows_of(replace(answer, human_parts=None), _RUNS, self._wanted)
        # Where nothing is told it rings only for those who ask for that by name.
        return [
            alert_of(run)
            for run in runs
            if run.label not in (NONE, UNKNOWN) or run.label in self._wanted.labels
        ]

    def message(self, answer: Result, alert: Alert) -> tuple[bytes, str]:
        """What is sent, and its media type."""
        if self._template:
            return self._template.fill(asdict(alert)).encode(), self._template.content_type
        if self.is_of_clips:
            return json.dumps(asdict(alert)).encode(), JSON_TYPE
        result = dict(nested(answer.as_object(COLUMNS)))
        if self.cooldown_seconds:
            result["held_back"] = alert.held_back
        if alert.test:
            result["test"] = True
        return json.dumps(result).encode(), JSON_TYPE


def alert_of(row: Result) -> Alert:
    """Of a recording, or of a run of clips of it."""
    start_s = row.start_s or 0.0
    identity = (row.id, row.digest, row.classified_at, row.label, round(start_s, 3))
    rounded = row.record(("label", "confidence", "duration_s"))
    return Alert(
        id=text_digest(json.dumps(identity))[:ID_LETTERS],
        start_s=round(start_s, 6),
        end_s=row.duration_s if row.end_s is None else round(row.end_s, 6),
        started_at=row.recorded_at and later(row.recorded_at, start_s),
        site=row.site,
        path=row.path,
        inbox=row.inbox,
        recording=row.id,
        digest=row.digest,
        recorded_at=row.recorded_at,
        classified_at=row.classified_at,
        checkpoint=row.checkpoint,
        **rounded,  # type: ignore[arg-type]
    )
