"""`clfd report`: figures of a period, excerpts, and the page that shows them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from classifier.workers.pool import DecodePool
from storage.database.engine import open_database
from storage.home.atomic_write import write_output, write_whole
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import FILE_MODE, Home, make_folder, unused_path
from storage.queries.figures.period import Period, period_figures
from storage.queries.figures.statistics import Sample
from storage.queries.filters import Filters
from storage.queries.ignored_files import ignored_now
from storage.settings.schema import Settings
from storage.values.text import printable
from storage.values.timestamps import from_stamp
from trainer.errors import TrainerError
from trainer.reports.audio_excerpts import Excerpt, excerpts
from trainer.reports.period_html import render_period
from trainer.reports.period_summary import summary


def write_period_report(
    filters: Filters,
    by_clips: bool,
    file: Path | None,
    with_audio: bool,
    home: Home,
    settings: Settings,
    now: datetime,
) -> dict[str, Any]:
    """Writes the page and returns its figures as one object.

    Raises TrainerError where there is nothing to show, or StorageError.
    """
    if (filters.since or "") >= (filters.until or ""):
        raise TrainerError("the period ends before it begins; give an earlier --since")
    if file and not file.absolute().parent.is_dir():
        raise TrainerError(
            f"cannot write {file}: there is no such folder; make it, or name another"
        )
    with (
        open_database(settings.database, "reader") as database,
        database.transaction() as connection,
    ):
        inboxes = [printable(str(inbox)) for inbox in settings.inboxes]
        period = period_figures(
            connection, filters, inboxes, CheckpointFolder(home.checkpoints).active(), by_clips
        )
    period = replace(period, ignored=dict(ignored_now(settings)))
    if period.is_empty:
        raise TrainerError(_empty_message(period))
    in_words = summary(period.activity, by_clips)
    page = render_period(period, _excerpts(period, settings), now, with_audio, in_words)
    content = page.encode("utf-8", "backslashreplace")
    if file is None:
        make_folder(home.reports)
        target = unused_path(home.reports / f"period-{now:%Y%m%dT%H%M%SZ}.html")
        write_whole(target, content, FILE_MODE)
    else:
        target = file
        write_output(target, content)
    return {**period.as_json(), "summary": in_words, "report": printable(str(target))}


def _excerpts(period: Period, settings: Settings) -> dict[Sample, Excerpt]:
    samples = [*period.activity.surest, *period.activity.least_sure]
    if not samples:
        return {}
    engine = settings.engine
    with DecodePool[int](engine.decode_workers, engine.decode_timeout_seconds) as pool:
        found = excerpts(samples, period.sample_rate_hz, pool)
    return dict(zip(samples, found, strict=True))


def _empty_message(period: Period) -> str:
    asked = period.filters
    remedies = ["a longer --since, such as 30d"]
    short_sounds = "" if period.by_clips else " (for short sounds `clfd results --clips`)"
    remedies += [f"another --label{short_sounds}"] * bool(asked.labels)
    remedies += ["a lower --min-confidence"] * bool(asked.min_confidence)
    remedies += ["--time classified (recordings may not tell when they began)"] * asked.by_recorded
    remedies += ["another --path"] * (asked.path is not None)
    since, until = (from_stamp(end or "").astimezone() for end in (asked.since, asked.until))
    return (
        f"nothing to report from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M};"
        f" give {' or '.join(remedies)}"
    )
