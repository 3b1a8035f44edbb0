"""The figures of a benchmark: what follows from them, as a table for people and as JSON."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from classifier.workers.process import usable_cores
from daemon.benchmark.run import Run, Start
from daemon.benchmark.stages import ModelFacts, StageCosts

BUSY_CORES = 0.2  # of other programs; with more, figures are those of a part of the machine
NAME_LETTERS, NUMBER_LETTERS = 30, 9
HEADING = "core-milliseconds per clip"


@dataclass(frozen=True)
class MachineTime:
    """Core-milliseconds of the whole machine that a clip takes, by where they went.

    `between` is all CPU time of the daemon beyond the stages: the start of its workers, handing
    clips over, the loop, and what stages cost more beside each other than alone. `others` is what
    other programs used, and `idle` are cores that waited.
    """

    stages: float
    between: float
    others: float
    idle: float

    @property
    def total(self) -> float:
        return self.stages + self.between + self.others + self.idle


@dataclass(frozen=True)
class Format:
    """Files of one suffix: what the stages cost and, where it was run, the whole daemon."""

    suffix: str
    costs: StageCosts
    run: Run | None = None


@dataclass(frozen=True)
class Benchmark:
    """`file_system` is that of the temporary ledgers; `made` means sounds made for it."""

    machine: str
    cores: int
    file_system: str
    made: bool
    files: int
    copies: int
    model: ModelFacts
    formats: list[Format]


def machine_time(run: Run, costs: StageCosts, cores: int) -> MachineTime:
    """The daemon's own CPU time is exact; other programs and idle cores share what it has left."""
    ms_per_clip = 1000 / run.clips
    used = run.cpu_seconds * ms_per_clip
    left = max(0.0, cores * run.seconds * ms_per_clip - used)
    others = min(left, run.others_cores * run.seconds * ms_per_clip)
    between = max(0.0, used - costs.core_ms)
    return MachineTime(used - between, between, others, left - others)


def rows_of(formats: Sequence[Format], cores: int) -> Iterator[tuple[str, list[str]]]:
    """A name, and a text for each format, empty where nothing was measured."""
    columns = [_figures(each, cores) for each in formats]
    for name in max(columns, key=len):
        yield name, [column.get(name, "") for column in columns]


def report_lines(benchmark: Benchmark) -> Iterator[str]:
    """A table, formats side by side, and what follows from it."""
    yield f"machine     {benchmark.machine}; throw-away ledgers on {benchmark.file_system}"
    yield f"checkpoint  {model_line(benchmark.model)}"
    yield f"files       {_files_line(benchmark)}"
    yield ""
    heading = (HEADING, [each.suffix for each in benchmark.formats])
    for name, cells in (heading, *rows_of(benchmark.formats, benchmark.cores)):
        yield f"{name:<{NAME_LETTERS}}" + "".join(f"{c:>{NUMBER_LETTERS}}" for c in cells)
    yield ""
    runs = [each.run for each in benchmark.formats if each.run]
    if runs:
        yield f"start       {start_line(runs[0].start)}"
    yield f"network     {network_line(benchmark.model)}"
    busy = max((run.others_cores for run in runs), default=0.0)
    if busy > BUSY_CORES:
        yield (
            f"note        other programs used {busy:.1f} cores: rates are those of a busy machine;"
            " measure again when they rest"
        )


def as_object(benchmark: Benchmark) -> dict[str, object]:
    """What `--json` prints."""
    formats = [_format_object(each, benchmark.cores) for each in benchmark.formats]
    return asdict(benchmark) | {"formats": formats}


def model_line(model: ModelFacts) -> str:
    return (
        f"{model.checkpoint}, {model.gflop_per_clip:.2f} GFLOP a clip of {model.clip_seconds:g} s,"
        f" {model.precision}, {model.path}, on {model.device}"
    )


def network_line(model: ModelFacts) -> str:
    where = "one core" if model.device == "cpu" else "the GPU"
    return (
        f"{model.gflops:.0f} GFLOP/s on {where}, {model.gflops / model.peak_gflops:.0%} of what a"
        f" product of large matrices reaches ({model.peak_gflops:.0f} GFLOP/s in {model.precision})"
    )


def start_line(start: Start) -> str:
    return (
        f"ready after {start.ready:.2f} s; {start.first_row:.2f} s later the first row,"
        f" {start.first_answer:.2f} s after that the first answer"
    )


def describe_machine() -> str:
    """`2 cores of AMD EPYC, no GPU, torch 2.7.0`"""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{usable_cores()} cores of {_processor()}, {device}, torch {torch.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _files_line(benchmark: Benchmark) -> str:
    line = f"{benchmark.files}, {'made here' if benchmark.made else 'each content once'}"
    failed = sum(each.run.failed for each in benchmark.formats if each.run)
    line += f"; {benchmark.copies} copies or links of others left out" if benchmark.copies else ""
    return line + (f"; {failed} failed" if failed else "")


def _figures(each: Format, cores: int) -> dict[str, str]:
    """Times in core-milliseconds per clip."""
    costs, run = each.costs, each.run
    rows = {stage: f"{ms:.2f}" for stage, ms in costs.stages.items()}
    rows["sum of the stages"] = f"{costs.core_ms:.2f}"
    limit = {f"  limit of {cores} cores": f"{costs.limit(cores):.1f}"}
    if run is None:
        return rows | limit
    whole = machine_time(run, costs, cores)
    rows |= {
        "between the stages": f"{whole.between:.2f}",
        "idle": f"{whole.idle:.2f}",
        "other programs": f"{whole.others:.2f}",
        "the whole machine": f"{whole.total:.2f}",
        "files in the run": f"{run.files}",
        "files a second": f"{run.files_per_second:.1f}",
        "clips a second": f"{run.clips_per_second:.1f}",
    }
    return (
        rows
        | limit
        | {
            "  share of the limit": f"{run.clips_per_second / costs.limit(cores):.0%}",
            "times real time": f"{run.times_real_time:.0f}",
            "memory at its peak, MB": f"{run.peak_bytes / 1e6:.0f}",
        }
    )


def _format_object(each: Format, cores: int) -> dict[str, object]:
    """With what follows by arithmetic."""
    costs, run = each.costs, each.run
    return {
        "format": each.suffix,
        "stages_ms": dict(costs.stages),
        "core_ms": costs.core_ms,
        "limit_clips_per_second": costs.limit(cores),
        "whole_ms": run and asdict(machine_time(run, costs, cores)),
        "run": run
        and asdict(run)
        | {
            "files_per_second": run.files_per_second,
            "clips_per_second": run.clips_per_second,
            "times_real_time": run.times_real_time,
            "share_of_limit": run.clips_per_second / costs.limit(cores),
        },
    }
