"""The HTML page of a period: one file, without a network and without a script."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from markupsafe import Markup, escape

from storage.home.inbox_rules import ignored_text
from storage.queries.figures.activity import LabelActivity, combined
from storage.queries.figures.period import Period
from storage.queries.figures.statistics import BINS, Sample
from storage.values.distribution import installed_version
from storage.values.text import visible
from storage.values.timestamps import from_stamp
from trainer.reports.audio_excerpts import Excerpt, encode_excerpt
from trainer.reports.figures import spectrogram_png
from trainer.reports.html import templates

TEMPLATE = "period.html"
MAX_LABELS = 24  # shown one by one; the others together
MAX_SITES = 100
FEW_LABELS = 12  # whose confidences are shown one by one
COLOURS = 6  # of labels; further ones share a grey, and each has its name beside it
MAX_COLUMNS = 42  # of days; in longer periods a column is several

Bars = list[tuple[str, int]]  # what a bar stands for, and how high it is


@dataclass(frozen=True)
class Row:
    """A label on the page."""

    activity: LabelActivity
    colour: int  # 0 is the grey
    hours: Bars
    days: Bars
    confidences: Bars
    is_label: bool = True


@dataclass(frozen=True)
class Card:
    """A sample on the page; picture and audio are `data:` URIs, None where there is none."""

    sample: Sample
    excerpt: Excerpt
    picture: str | None
    audio: str | None


@dataclass(frozen=True)
class Calendar:
    """Columns of `step` days from the first day on."""

    first: date
    last: date
    step: int

    @property
    def ends(self) -> list[str]:
        """What stands below the first and the last column."""
        ends = [self.first] if self.first == self.last else [self.first, self.last]
        pattern = "%d %b" if self.first.year == self.last.year else "%Y-%m-%d"
        return [end.strftime(pattern) for end in ends]

    def bars(self, activity: LabelActivity) -> Bars:
        n_columns = (self.last - self.first).days // self.step + 1
        begins = [self.first + at * timedelta(self.step) for at in range(n_columns)]
        numbers = dict.fromkeys(begins, 0)
        for day, number in activity.by_day.items():
            at = (day - self.first).days // self.step
            numbers[begins[min(max(at, 0), n_columns - 1)]] += number
        return [(self._name(begin), number) for begin, number in numbers.items()]

    def _name(self, begin: date) -> str:
        if self.step == 1:
            return f"{begin:%a} {begin}"
        return f"{begin} to {min(begin + timedelta(self.step - 1), self.last)}"


def render_period(
    period: Period,
    excerpts: Mapping[Sample, Excerpt],
    now: datetime,
    with_audio: bool,
    summary: str = "",
) -> str:
    """The page. `excerpts` holds one for each sample that is shown."""
    environment = templates()
    environment.filters |= {"name": _name, "plain": visible, "short": short, "local": _local}
    whole, labels = period.all_labels, period.activity.labels
    calendar = calendar_of(period, whole)
    shown, others = labels[:MAX_LABELS], labels[MAX_LABELS:]
    rows = [_row(each, at + 1 if at < COLOURS else 0, calendar) for at, each in enumerate(shown)]
    if others:
        rest = combined(f"{len(others)} other labels", others)
        rows.append(_row(rest, 0, calendar, is_label=False))
    return environment.get_template(TEMPLATE).render(
        period=period,
        summary=summary,
        sites=period.activity.sites,
        whole=_row(whole, 0, calendar, is_label=False),
        rows=rows,
        max_labels=MAX_LABELS,
        max_sites=MAX_SITES,
        ignored=ignored_text(period.ignored),
        few=len(rows) <= FEW_LABELS and len(rows) > 1,
        calendar=calendar,
        surest=[_card(each, excerpts[each], with_audio) for each in period.activity.surest],
        least_sure=[_card(each, excerpts[each], with_audio) for each in period.activity.least_sure],
        with_audio=with_audio,
        made=now,
        clock=f"{period.until:%Z}, UTC{period.until:%z}",
        version=installed_version(),
    )


def calendar_of(period: Period, whole: LabelActivity) -> Calendar:
    """The days of the period; of a long one those between the first and the last answer."""
    first, last = period.since.date(), period.until.date()
    if period.until.time() == datetime.min.time() and last > first:
        last -= timedelta(1)  # it ends with the day before
    if (last - first).days >= MAX_COLUMNS and whole.by_day:
        first, last = min(whole.by_day), max(whole.by_day)
    step = math.ceil(((last - first).days + 1) / MAX_COLUMNS)
    return Calendar(first, last, step)


def _row(activity: LabelActivity, colour: int, calendar: Calendar, is_label: bool = True) -> Row:
    return Row(
        activity,
        colour,
        hours=[(f"{hour:02}:00", activity.by_hour[hour]) for hour in range(24)],
        days=calendar.bars(activity),
        confidences=[
            (f"{at / BINS:.2f} to {(at + 1) / BINS:.2f}", activity.by_confidence[at])
            for at in range(BINS)
        ],
        is_label=is_label,
    )


def _card(sample: Sample, excerpt: Excerpt, with_audio: bool) -> Card:
    picture = audio = None
    if excerpt.decibels is not None:
        picture = _data_uri("image/png", spectrogram_png(excerpt.decibels))
        audio = _data_uri(*encode_excerpt(excerpt)) if with_audio else None
    return Card(sample, excerpt, picture, audio)


def _data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _local(moment: datetime | str) -> str:
    moment = from_stamp(moment).astimezone() if isinstance(moment, str) else moment
    return f"{moment:%Y-%m-%d %H:%M}"


def _name(text: str) -> Markup:
    """Untrusted text: escaped, and isolated from the writing direction around it."""
    return Markup("<bdi>{}</bdi>").format(escape(visible(text)))


def short(number: int) -> str:
    """In four letters: 999, 1.2k, 120k, 3.4M."""
    if number < 1000:
        return str(number)
    unit, letter = (1e3, "k") if number < 999_500 else (1e6, "M")
    return (
        f"{number / unit:.1f}{letter}" if number < 9.95 * unit else f"{number / unit:.0f}{letter}"
    )
