"""The figures of a benchmark: what follows from them, as a table for people and as JSON."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from classifier.workers.process import usable_cores
from daemon.benchmark.run import Run
from daemon.benchmark.stages import Stages

HEADING = "core-milliseconds per clip"


@dataclass(frozen=True)
class Benchmark:
    """`file_system` is that of the temporary ledgers; `copies` of files were left out."""

    machine: str
    cores: int
    file_system: str
    files: int
    copies: int
    stages: Stages
    run: Run


def figures(stages: Stages, run: Run, cores: int) -> dict[str, str]:
    """The rows of the table; times are in core-milliseconds per clip."""
    limit = stages.limit(cores)
    return {
        **{stage: f"{ms:.2f}" for stage, ms in stages.ms.items()},
        "sum of the stages": f"{stages.core_ms:.2f}",
        "the whole daemon": f"{1000 * run.cpu_seconds / run.clips:.2f}",
        "files in the run": f"{run.files}",
        "files a second": f"{run.files_per_second:.1f}",
        "clips a second": f"{run.clips_per_second:.1f}",
        f"  limit of {cores} cores": f"{limit:.1f}",
        "  share of the limit": f"{run.clips_per_second / limit:.0%}",
        "times real time": f"{run.times_real_time:.0f}",
        "memory at its peak, MB": f"{run.peak_bytes / 1e6:.0f}",
    }


def report_lines(benchmark: Benchmark) -> Iterator[str]:
    """A table, and what follows from it."""
    copies, failed = benchmark.copies, benchmark.run.failed
    left_out = f"; {copies} copies or links of others left out" if copies else ""
    yield f"machine     {benchmark.machine}; throw-away ledgers on {benchmark.file_system}"
    yield f"checkpoint  {model_line(benchmark.stages)}"
    yield f"files       {benchmark.files}{left_out}" + (f"; {failed} failed" if failed else "")
    yield from ("", HEADING)
    for name, figure in figures(benchmark.stages, benchmark.run, benchmark.cores).items():
        yield f"{name:<30}{figure:>9}"
    yield from ("", f"start       {start_line(benchmark.run)}")


def as_object(benchmark: Benchmark) -> dict[str, object]:
    """What `--json` prints, with what follows by arithmetic."""
    stages, run = benchmark.stages, benchmark.run
    limit = stages.limit(benchmark.cores)
    return asdict(benchmark) | {
        "stages": asdict(stages)
        | {"core_ms": stages.core_ms, "gflops": stages.gflops, "limit_clips_per_second": limit},
        "run": asdict(run)
        | {
            "files_per_second": run.files_per_second,
            "clips_per_second": run.clips_per_second,
            "times_real_time": run.times_real_time,
            "share_of_limit": run.clips_per_second / limit,
        },
    }


def model_line(stages: Stages) -> str:
    return (
        f"{stages.checkpoint}, {stages.gflop_per_clip:.2f} GFLOP a clip of"
        f" {stages.clip_seconds:g} s, {stages.precision}, {stages.path}, on {stages.device}"
        f" ({stages.gflops:.0f} GFLOP/s{'' if stages.gpu_ms else ' a core'})"
    )


def start_line(run: Run) -> str:
    return (
        f"ready after {run.ready_seconds:.2f} s,"
        f" the first answer {run.first_answer_seconds:.2f} s later"
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
