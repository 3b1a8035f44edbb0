"""The figures of a benchmark: what follows from them, as a table for people and as JSON."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from classifier.workers.cores import usable_cores
from daemon.benchmark.run import Run
from daemon.benchmark.stages import Stages


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


def figures(stages: Stages, run: Run, cores: int) -> dict[str, float]:
    """What the table shows, by the names of its rows; `ms` are core-milliseconds per clip."""
    clips_per_second, limit = run.clips / run.seconds, stages.limit(cores)
    return {
        **{f"{stage}_ms": ms for stage, ms in stages.ms.items()},
        "sum_of_stages_ms": stages.core_ms,
        "whole_daemon_ms": 1000 * run.cpu_seconds / run.clips,
        "files_per_second": run.files_per_second,
        "clips_per_second": clips_per_second,
        "limit_clips_per_second": limit,
        "share_of_limit": clips_per_second / limit,
        "times_real_time": run.times_real_time,
        "peak_memory_mb": run.peak_bytes / 1e6,
        "start_seconds": run.start_seconds,
        "first_answer_seconds": run.first_answer_seconds,
    }


def report_lines(benchmark: Benchmark) -> Iterator[str]:
    """A table, after what it is of."""
    copies, failed = benchmark.copies, benchmark.run.failed
    left_out = f"; {copies} copies or links of others left out" if copies else ""
    not_decoded = f"; {failed} failed" if failed else ""
    yield f"machine     {benchmark.machine}; throw-away ledgers on {benchmark.file_system}"
    yield f"checkpoint  {model_line(benchmark.stages)}"
    yield f"files       {benchmark.run.files} of {benchmark.files}{left_out}{not_decoded}"
    yield ""
    for name, value in figures(benchmark.stages, benchmark.run, benchmark.cores).items():
        yield f"{name:<24}{value:>9.2f}"


def as_object(benchmark: Benchmark) -> dict[str, object]:
    """What `--json` prints."""
    found = figures(benchmark.stages, benchmark.run, benchmark.cores)
    return asdict(benchmark) | {"figures": found}


def model_line(stages: Stages) -> str:
    return (
        f"{stages.checkpoint}, {stages.gflop_per_clip:.2f} GFLOP a clip of"
        f" {stages.clip_seconds:g} s, {stages.precision}, {stages.path}, on {stages.device}"
    )


def describe_machine() -> str:
    """`2 cores of AMD EPYC, no GPU, torch 2.7.0`"""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{usable_cores()} cores of {_processor()}, {device}, torch {torch.__version__}"


def _processor() -> str:
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return model[1] if model else platform.machine()
