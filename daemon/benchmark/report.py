"""A benchmark as people read it, and as programs do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from daemon.benchmark.advice import Advice, Trial, toml_lines
from daemon.benchmark.figures import Start, spread
from daemon.benchmark.session import Benchmark
from daemon.benchmark.stages import ModelFacts
from daemon.benchmark.table import Format, text_table

BUSY_CORES = 0.2  # of other programs; with more, figures are those of a part of the machine


def report_lines(benchmark: Benchmark) -> Iterator[str]:
    """A table, formats side by side, and what follows from it."""
    yield f"machine     {benchmark.machine}; throw-away ledgers on {benchmark.file_system}"
    yield f"checkpoint  {model_line(benchmark.model)}"
    yield f"files       {files_line(benchmark)}"
    yield from ("", *text_table(benchmark.formats, benchmark.cores), "")
    runs = [each.run for each in benchmark.formats if each.run]
    if runs:
        yield f"start       {start_line(runs[0].start)}"
    yield f"network     {network_line(benchmark.model)}"
    yield from _headed("settings", advice_lines(benchmark.advice))
    busy = max((run.others_cores for run in runs), default=0.0)
    if busy > BUSY_CORES:
        yield (
            f"note        other programs used {busy:.1f} cores: rates and settings are those of a"
            " busy machine; measure again when they rest"
        )


def as_object(benchmark: Benchmark) -> dict[str, object]:
    """What `--json` prints."""
    measured = asdict(benchmark)
    del measured["advice"]
    formats = [_format_object(each, benchmark.cores) for each in benchmark.formats]
    return measured | {"formats": formats, "settings": _advice_object(benchmark.advice)}


def model_line(model: ModelFacts) -> str:
    return (
        f"{model.checkpoint}, {model.gflop_per_clip:.2f} GFLOP a clip of {model.clip_seconds:g} s,"
        f" {model.precision}, {model.path}, on {model.device}"
    )


def files_line(benchmark: Benchmark) -> str:
    told = f"{benchmark.files}, {'made here' if benchmark.made else 'each content once'}"
    failed = sum(each.run.failed for each in benchmark.formats if each.run)
    told += f"; {benchmark.copies} copies or links of others left out" if benchmark.copies else ""
    return told + (f"; {failed} failed" if failed else "")


def network_line(model: ModelFacts) -> str:
    where = "one core" if model.device == "cpu" else "the GPU"
    return (
        f"{model.gflops:.0f} GFLOP/s on {where}, {model.gflops / model.peak_gflops:.0%} of what a"
        f" product of large matrices reaches ({model.peak_gflops:.0f} GFLOP/s in {model.precision})"
    )


def start_line(start: Start) -> str:
    return (
        f"ready after {start.ready:.2f} s: imports {start.imports:.2f}, ledger {start.ledger:.2f},"
        f" checkpoint {start.checkpoint:.2f}, rest {start.rest:.2f}; {start.first_row:.2f} s later"
        f" the first row, {start.first_answer:.2f} s after that the first answer"
    )


def advice_lines(advice: Advice) -> Iterator[str]:
    """Lines for clfd.toml only where they were measured to be better."""
    tried = f"{len(advice.others)} others tried" + (
        f", {advice.untried} not for lack of time: raise --seconds" if advice.untried else ""
    )
    known = f"{advice.present.rate:.1f} clips a second{_spread_of(advice.present)}"
    if not advice.others:
        yield f"nothing can be said for lack of time: raise --seconds; {known}"
        return
    if advice.better is None:
        yield f"fine: no others were measurably faster; {known}; {tried}"
        return
    yield (
        f"{advice.gain:.0%} more clips a second ({advice.present.rate:.1f} to"
        f" {advice.better.rate:.1f}{_spread_of(advice.better)}; {tried}) with this in clfd.toml:"
    )
    yield from toml_lines(advice.better.changes)


def _spread_of(trial: Trial) -> str:
    n_runs = len(trial.rates)
    return f", {n_runs} runs within {spread(trial.rates):.0%}" if n_runs > 1 else ", one run"


def _headed(heading: str, lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{'' if number else heading:<12}{line}"


def _format_object(each: Format, cores: int) -> dict[str, object]:
    """With what follows by arithmetic."""
    costs, run, whole = each.costs, each.run, each.whole(cores)
    derived = run and {
        "files_per_second": run.files_per_second,
        "clips_per_second": run.clips_per_second,
        "times_real_time": run.times_real_time,
        "share_of_limit": run.clips_per_second / costs.limit(cores),
    }
    return {
        "format": each.suffix,
        "stages_ms": dict(costs.stages),
        "core_ms": costs.core_ms,
        "limit_clips_per_second": costs.limit(cores),
        "whole_ms": whole and asdict(whole),
        "run": run and derived and asdict(run) | derived,
    }


def _advice_object(advice: Advice) -> dict[str, object]:
    trials = [advice.present, *advice.others]
    return {
        "better": advice.better.changes if advice.better else None,
        "gain": advice.gain,
        "tried": [asdict(trial) for trial in trials],
        "untried": advice.untried,
    }
