"""What follows from a benchmark's measurements by arithmetic, and how it is shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from daemon.benchmark.report import Benchmark, as_object, figures, report_lines
from daemon.benchmark.run import Run
from daemon.benchmark.stages import DECODE, LEDGER, LOG_MEL, NETWORK, Stages

STAGES_MS = {DECODE: 4.5, LOG_MEL: 1.0, NETWORK: 4.0, LEDGER: 0.5}  # 10 ms
CHECKPOINT = "20260131T120000Z-1a2b3c4d"
STAGES = Stages(CHECKPOINT, "cpu", "float32", "eager", 5.0, 0.16, STAGES_MS)
ON_GPU = replace(STAGES, device="cuda")
RUN = Run(
    files=100,
    failed=0,
    clips=100,
    audio_seconds=500.0,
    seconds=1.0,
    ready_seconds=2.5,
    first_answer_seconds=0.65,
    cpu_seconds=1.2,
    peak_bytes=350_000_000,
)
BENCHMARK = Benchmark("2 cores of a test", 2, "ext4", 100, 3, STAGES, RUN)


def test_the_sum_of_the_stages_is_what_a_clip_costs_one_core() -> None:
    assert STAGES.core_ms == pytest.approx(10.0)


def test_the_limit_is_what_the_cores_could_pass_without_waiting() -> None:
    assert STAGES.limit(cores=2) == pytest.approx(200.0)


def test_a_gpu_works_beside_the_cores() -> None:
    assert ON_GPU.core_ms == pytest.approx(5.0)
    assert ON_GPU.limit(cores=1) == pytest.approx(200.0)


def test_a_gpu_that_is_slower_than_the_cores_sets_the_limit() -> None:
    assert ON_GPU.limit(cores=100) == pytest.approx(200.0)


def test_the_report_shows_every_stage_the_whole_daemon_and_its_share_of_the_limit() -> None:
    shown = figures(STAGES, RUN, cores=2)
    assert list(shown)[:4] == list(STAGES_MS)
    assert (shown["sum of the stages"], shown["the whole daemon"]) == ("10.00", "12.00")
    assert (shown["files a second"], shown["times real time"]) == ("100.0", "500")
    assert shown["  share of the limit"] == "50%"


def test_the_report_says_how_long_the_start_took_and_what_was_left_out() -> None:
    report = "\n".join(report_lines(BENCHMARK))
    assert "ready after 2.50 s, the first answer 0.65 s later" in report
    assert "100; 3 copies or links of others left out" in report
    assert "0.16 GFLOP a clip of 5 s, float32, eager, on cpu (40 GFLOP/s a core)" in report


def test_json_holds_what_was_measured_and_what_follows() -> None:
    shown = json.loads(json.dumps(as_object(BENCHMARK)))
    assert shown["stages"]["ms"] == STAGES_MS
    assert shown["stages"]["limit_clips_per_second"] == 200.0
    assert shown["run"]["share_of_limit"] == 0.5
    assert shown["cores"] == 2
