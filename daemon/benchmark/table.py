"""The figures of several formats side by side, as rows for a terminal or a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from daemon.benchmark.figures import STAGES, Costs, Run, Whole, whole_of

NAME_LETTERS, NUMBER_LETTERS = 30, 9


@dataclass(frozen=True)
class Format:
    """Files of one suffix: what they cost alone and, where it was run, the whole daemon.

    `starting_seconds` is the CPU time in which its workers start.
    """

    suffix: str
    costs: Costs
    run: Run | None = None
    starting_seconds: float = 0.0

    def whole(self, cores: int) -> Whole | None:
        if self.run is None:
            return None
        return whole_of(self.run, self.costs, cores, self.starting_seconds)


class Row(NamedTuple):
    """`cells` hold a text for each format, empty where nothing was measured."""

    name: str
    cells: list[str]


def rows_of(formats: Sequence[Format], cores: int) -> Iterator[Row]:
    """Times in core-milliseconds per clip."""

    def row(name: str, text: str, value: Callable[[Format], float | None]) -> Row:
        found = [value(each) for each in formats]
        return Row(name, ["" if number is None else text.format(number) for number in found])

    def of_run(name: str, text: str, value: Callable[[Run], float]) -> Row:
        return row(name, text, lambda each: value(each.run) if each.run else None)

    def of_whole(name: str, value: Callable[[Whole], float]) -> Row:
        wholes = {each.suffix: each.whole(cores) for each in formats}

        def part(each: Format) -> float | None:
            whole = wholes[each.suffix]
            return value(whole) if whole else None

        return row(name, "{:.2f}", part)

    for stage in STAGES:
        yield row(stage, "{:.2f}", lambda each, stage=stage: each.costs.stages[stage])  # type: ignore[misc]
    yield row("sum of the stages", "{:.2f}", lambda each: each.costs.core_ms)
    yield of_whole("starting workers", lambda whole: whole.starting)
    yield of_whole("between the stages", lambda whole: whole.between)
    yield of_whole("idle", lambda whole: whole.idle)
    yield of_whole("other programs", lambda whole: whole.others)
    yield of_whole("the whole machine", lambda whole: whole.total)
    yield of_run("files in the run", "{:d}", lambda run: run.files)
    yield of_run("files a second", "{:.1f}", lambda run: run.files_per_second)
    yield of_run("clips a second", "{:.1f}", lambda run: run.clips_per_second)
    yield row(f"  limit of {cores} cores", "{:.1f}", lambda each: each.costs.limit(cores))
    yield row("  share of the limit", "{:.0%}", lambda each: _share(each, cores))
    yield of_run("times real time", "{:.0f}", lambda run: run.times_real_time)
    yield of_run("memory at its peak, MB", "{:.0f}", lambda run: run.peak_bytes / 1e6)


def text_table(formats: Sequence[Format], cores: int) -> Iterator[str]:
    yield _text_line(Row("core-milliseconds per clip", [each.suffix for each in formats]))
    yield from map(_text_line, rows_of(formats, cores))


def markdown_table(formats: Sequence[Format], cores: int) -> Iterator[str]:
    yield _markdown_line(Row("core-milliseconds per clip", [each.suffix for each in formats]))
    yield _markdown_line(Row("---", ["---:"] * len(formats)))
    yield from map(_markdown_line, rows_of(formats, cores))


def _share(each: Format, cores: int) -> float | None:
    return each.run.clips_per_second / each.costs.limit(cores) if each.run else None


def _text_line(row: Row) -> str:
    return f"{row.name:<{NAME_LETTERS}}" + "".join(f"{c:>{NUMBER_LETTERS}}" for c in row.cells)


def _markdown_line(row: Row) -> str:
    return f"| {' | '.join([row.name.strip(), *row.cells])} |"
