"""What the columns of a labels table are called: clfd's own names, and those of other programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from storage.values.text import listed, visible

# The first name is ours. Two columns that have names of one of these lines are refused.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name"),
    "label": ("label", "category", "class"),
    "start": ("start",),
    "end": ("end",),
    "fold": ("fold",),
    "group": ("group", "src_file", "source"),
    "split": ("split",),
    "digest": ("digest",),
}
# Of Raven, BirdNET, Kaleidoscope, OpenSoundscape, sed_eval and UrbanSound8K, as `plain` has them.
# They count where there is none of the names above; the first that a table has is meant.
_OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "path": ("beginpath", "filepath", "audiofile", "slicefilename", "infile", "beginfile"),
    "label": (
        *("annotation", "eventlabel", "species", "commonname", "scientificname", "manualid"),
    ),
    "group": ("fsid",),
    "indir": ("indir",),
    "folder": ("folder",),
}
_SHOWN = 40  # columns, and characters of each
_UNIT = "(time)?(in)?(s|secs?|seconds?)?"
_TIMES = {
    "start": re.compile(f"(t|time)?(start|begin|onset){_UNIT}"),
    "end": re.compile(f"(t|time)?(end|stop|finish){_UNIT}"),
    "duration": re.compile(f"(duration|deltatime){_UNIT}"),
    "offset": re.compile(f"offset{_UNIT}"),
    "file_offset": re.compile(f"fileoffset{_UNIT}"),
}
# Words and whole names of other columns that may say which part is meant, and words that deny it.
_START_WORD = re.compile(
    "(t|time)?(start|begin|onset)(s|n?ing|time|ms|sample|frame)?|beg|beginn|anfang|d[ée]but|ini[cz]io"
)
_END_WORD = re.compile(
    "(t|time)?(end|stop|finish|offset)(s|n?ing|time|ms|sample|frame)?|ende|fin|fim"
)
_LENGTH_WORD = re.compile("(duration|length|dur)(ms|s)?")
_TIME_NAME = re.compile(f"(t|x|time)(min|max|from|to|[0-2])|time(stamp)?{_UNIT}|from|to|on|off")
_NO_PART = {
    *("date", "datetime", "day", "hour", "month", "year", "utc", "zone", "timezone"),
    *("recording", "survey", "session", "deployment", "file", "path", "name", "id", "line", "row"),
    *("freq", "frequency", "hz", "khz", "lat", "latitude", "lon", "lng", "longitude"),
}
# What such a column has to hold: `time` alone may be that of the day, `timestamp` that of an epoch.
_TIME_CELL = re.compile(r"\d+(:\d\d){0,2}([.,]\d+)?", re.ASCII)
_NUMBER_CELL = re.compile(r"\d+([.,]\d+)?", re.ASCII)
_DECIMAL_CELL = re.compile(r"\d{1,6}[.,]\d+", re.ASCII)


@dataclass(frozen=True)
class LabelColumns:
    """`header` are the file's own names; `positions` are those of the columns by our names.

    `suspects` are positions of columns that are not understood, and what a time in them looks like.
    """

    header: Sequence[str]
    positions: Mapping[str, int]
    suspects: Mapping[int, re.Pattern[str]] = field(default_factory=dict)

    def name(self, ours: str) -> str:
        """As it stands in the file."""
        return self.header[self.positions[ours]] if ours in self.positions else ours

    @cached_property
    def plain_names(self) -> Mapping[str, str]:
        """The file's names of our columns, as `plain` has them."""
        return {ours: plain(self.header[at]) for ours, at in self.positions.items()}

    def not_understood(self, cells: Sequence[str]) -> str:
        """What to do with a column that holds a time here, but has the name of none; or nothing."""
        for at, time in self.suspects.items():
            if at < len(cells) and time.fullmatch(cells[at]):
                return (
                    f"row 1: column {self.header[at]} looks like a time, and is not understood;"
                    " name it start, end or duration and give seconds, or remove it"
                )
        return ""


def find_columns(header: Sequence[str], needs_path: bool) -> tuple[LabelColumns, list[str]]:
    """The columns, and a line for each problem with them."""
    positions: dict[str, int] = {}
    problems = []
    plain_names = [plain(name) for name in header]
    for ours in {**COLUMNS, **_OTHER_NAMES, **_TIMES}:
        hits = _hits(ours, plain_names)
        if len(hits) > 1:
            twice = " and ".join(header[at] for at in hits)
            problems.append(f"row 1: columns {twice} mean the same; keep one of them")
        elif hits:
            positions[ours] = hits[0]
        elif ours == "label" or (ours == "path" and needs_path):
            names = " or ".join(COLUMNS[ours])
            there = listed([visible(name[:_SHOWN]) for name in header], _SHOWN)
            problems.append(f"row 1: no column {names}; it has {there or 'none'}")
    columns = LabelColumns(header, positions)
    if columns.plain_names.get("path") == "slicefilename":  # times of the recording it was cut from
        untimed = {ours: at for ours, at in positions.items() if ours not in _TIMES}
        return LabelColumns(header, untimed), problems
    _place_offset(positions, columns)
    return LabelColumns(header, positions, dict(_suspects(header, positions))), problems


def plain(name: str) -> str:
    """Without case, spaces, underscores and brackets."""
    return "".join(_words(name))


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W_]+", apart.lower())


def _hits(ours: str, plain_names: Sequence[str]) -> list[int]:
    own = set(map(plain, COLUMNS.get(ours, ())))
    if hits := [at for at, name in enumerate(plain_names) if name in own]:
        return hits
    if pattern := _TIMES.get(ours):
        return [at for at, name in enumerate(plain_names) if pattern.fullmatch(name)]
    others = _OTHER_NAMES.get(ours, ())
    return [plain_names.index(name) for name in others if name in plain_names][:1]


def _place_offset(positions: dict[str, int], columns: LabelColumns) -> None:
    """The offset is where an event ends that has an onset, else where it starts."""
    offset = positions.pop("offset", None)
    if offset is None:
        return
    if "onset" in columns.plain_names.get("start", ""):
        positions.setdefault("end", offset)
    elif not {"start", "file_offset"} & positions.keys():
        positions["start"] = offset


def _suspects(
    header: Sequence[str], positions: Mapping[str, int]
) -> Iterator[tuple[int, re.Pattern[str]]]:
    has_start = not {"start", "file_offset"}.isdisjoint(positions)
    has_end = not {"end", "duration"}.isdisjoint(positions)
    words_of_times = [] if has_start else [_START_WORD]
    if not has_end:  # a duration alone is that of the recording
        words_of_times += [_END_WORD, *([_LENGTH_WORD] if has_start else [])]
    for at, name in enumerate(header):
        if at in positions.values():
            continue
        words = _words(name)
        if any(one.fullmatch(word) for one in words_of_times for word in words):
            if _NO_PART.isdisjoint(words):
                yield at, _TIME_CELL
        elif not has_start and _TIME_NAME.fullmatch(plain(name)):
            yield at, _DECIMAL_CELL if plain(name) in ("time", "timestamp") else _NUMBER_CELL
