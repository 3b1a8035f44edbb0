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
    start_seconds=2.5,
    first_answer_seconds=0.65,
    cpu_seconds=1.2,
    peak_bytes=350_000_000,
)
BENCHMARK = Benchmark("2 cores of a test", 2, "ext4", 103, 3, STAGES, RUN)


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
    assert list(shown)[:4] == ["decode_ms", "log_mel_ms", "network_ms", "ledger_ms"]
    assert (shown["sum_of_stages_ms"], shown["whole_daemon_ms"]) == (10.0, 12.0)
    assert (shown["files_per_second"], shown["times_real_time"]) == (100.0, 500.0)
    assert shown["share_of_limit"] == 0.5


def test_the_table_has_a_row_for_each_figure_and_says_what_was_left_out() -> None:
    lines = list(report_lines(BENCHMARK))
    assert "100 of 103; 3 copies or links of others left out" in lines[2]
    assert {"limit_clips_per_second": 200.0, "start_seconds": 2.5}.items() <= {
        line.split()[0]: float(line.split()[1]) for line in lines[4:]
    }.items()


def test_json_holds_what_was_measured_and_what_follows() -> None:
    shown = json.loads(json.dumps(as_object(BENCHMARK)))
    assert shown["stages"]["ms"] == STAGES_MS
    assert shown["run"]["clips"] == 100
    assert shown["figures"]["share_of_limit"] == 0.5
