"""Tables for people, within the width of a terminal: what stands in a row, and what below it.

A path is shortened in the middle, and has 20 characters or a line of its own. What a row has no
room for stands below it, with the name of its column: first long reasons, then what helps least.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

PATH = "path"
_LEAST = {PATH: 20, "value": 12, "why": 12}  # the others are neither shortened nor folded
_REASONS = ("error", "warning")
_TIMES = ("time", "clip_at", "recorded_at", "classified_at")
_LAST_TO_GO = (*_TIMES, "status", "start_s", "end_s", "label", "confidence")
_YEAR = re.compile(r"\d{4}-(?=\d\d-\d\d )")
_GAP, _NARROW_GAP = 3, 2
_INDENT = "    "

Row = Sequence[str]


@dataclass(frozen=True)
class _Layout:
    """Positions of columns: those in the row with their widths, and those below it."""

    widths: dict[int, int]
    below: tuple[int, ...]
    gap: int


def table_lines(console: Console, columns: Row, rows: Sequence[Row]) -> Iterator[Text]:
    """Header, rule and rows; none is wider than the console."""
    layout = _layout(console.width, columns, rows)
    if any(columns[at] not in _REASONS for at in layout.below):
        rows = _without_common_year(columns, rows)
        layout = _layout(console.width, columns, rows)
    yield from (Text(line, style="bold") for line in _row_lines(console, layout, columns, columns))
    total = sum(layout.widths.values()) + layout.gap * (len(layout.widths) - 1)
    yield Text("─" * total)
    for row in rows:
        yield from map(Text, _row_lines(console, layout, columns, row))
        for at in layout.below:
            yield from map(Text, _lines_below(console, columns[at], row[at]))


def shortened(path: str, width: int) -> str:
    """Its first folder, which is the site, and its end, which tells the files of a site apart."""
    if cell_len(path) <= width:
        return path
    first, slash, rest = path.partition("/")
    if not slash:
        return _without_middle(path, width, width // 3)
    site_width = (width - 2) // 2
    site = _without_middle(first, site_width, site_width // 2)
    room = width - cell_len(site) - 1
    return f"{site}/{_without_middle(rest, room, 0)}"


def _without_middle(text: str, width: int, n_head: int) -> str:
    """At most so wide, with so much of the beginning; the end is what is left."""
    if cell_len(text) <= width:
        return text
    head = set_cell_size(text, n_head).rstrip()
    room, start = width - cell_len(head) - 1, len(text)
    while cell_len(text[start - 1 :]) <= room:
        start -= 1
    return f"{head}…{text[start:]}"


def _layout(width: int, columns: Row, rows: Sequence[Row]) -> _Layout:
    whole = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    least = [min(n, _LEAST.get(name, n)) for name, n in zip(columns, whole, strict=True)]
    inside = list(range(len(columns)))
    if sum(whole) + _GAP * (len(inside) - 1) <= width:
        return _Layout(dict(enumerate(whole)), (), _GAP)
    short = width // 3  # a longer reason folds better below
    inside = [at for at in inside if columns[at] not in _REASONS or whole[at] <= short]
    while len(inside) > 1 and _total(inside, least) > width:
        inside.remove(max(inside, key=lambda at: (*_rank(columns[at]), whole[at])))
    widths = {at: least[at] for at in inside}
    for at in sorted(inside, key=lambda at: columns[at] != PATH):
        widths[at] = min(whole[at], widths[at] + max(0, width - _total(inside, widths)), width)
    outside = sorted({*range(len(columns))} - {*inside}, key=lambda at: columns[at] != PATH)
    is_narrow = sum(widths.values()) + _GAP * (len(inside) - 1) > width
    return _Layout(widths, tuple(outside), _NARROW_GAP if is_narrow else _GAP)


def _total(inside: Sequence[int], widths: Sequence[int] | dict[int, int]) -> int:
    return sum(widths[at] for at in inside) + _NARROW_GAP * (len(inside) - 1)


def _rank(column: str) -> tuple[bool, bool]:
    """The highest goes first."""
    return column != PATH and column not in _LAST_TO_GO, column == PATH


def _without_common_year(columns: Row, rows: Sequence[Row]) -> list[list[str]]:
    """Times that are all of one year, without it; their column stays apart from the others."""
    cells = [list(column) for column in zip(*rows, strict=True)]
    for name, column in zip(columns, cells, strict=True):
        years = {match and match[0] for match in map(_YEAR.match, filter(None, column))}
        if name in _TIMES and len(years) == 1 and None not in years:
            column[:] = [_YEAR.sub("", cell) for cell in column]
    return [list(row) for row in zip(*cells, strict=True)]


def _row_lines(console: Console, layout: _Layout, columns: Row, row: Row) -> Iterator[str]:
    folded = [_cell_lines(console, columns[at], row[at], n) for at, n in layout.widths.items()]
    for line in zip_longest(*folded, fillvalue=""):
        cells = map(set_cell_size, line, layout.widths.values())
        yield (" " * layout.gap).join(cells).rstrip()


def _cell_lines(console: Console, column: str, cell: str, width: int) -> list[str]:
    if cell_len(cell) <= width:
        return [cell]
    if column == PATH:
        return [shortened(cell, width)]
    return [line.plain.rstrip() for line in Text(cell).wrap(console, width, overflow="fold")]


def _lines_below(console: Console, column: str, cell: str) -> Iterator[str]:
    width = max(1, console.width - len(_INDENT))
    text = cell if column == PATH else f"{column}: {cell}"
    if cell:
        yield from (f"{_INDENT}{line}" for line in _cell_lines(console, column, text, width))
