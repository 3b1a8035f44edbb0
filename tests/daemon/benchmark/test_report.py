"""What follows from a benchmark's measurements by arithmetic, and how it is shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from daemon.benchmark.report import (
    Benchmark,
    Format,
    as_object,
    machine_time,
    report_lines,
    rows_of,
)
from daemon.benchmark.run import Run, Start
from daemon.benchmark.stages import STAGES, ModelFacts, StageCosts

STAGES_MS = dict(zip(STAGES, (4.0, 0.5, 1.0, 4.0, 0.5), strict=True))
COSTS = StageCosts(STAGES_MS)  # 10 ms
START = Start(ready=2.5, first_row=0.05, first_answer=0.6)
RUN = Run(
    files=100,
    failed=0,
    clips=100,
    audio_seconds=500.0,
    seconds=1.0,
    cpu_seconds=1.2,
    others_cores=0.1,
    peak_bytes=350_000_000,
    start=START,
)
MODEL = ModelFacts("20260131T120000Z-1a2b3c4d", "cpu", "float32", "eager", 5.0, 0.16, 40, 80)


def benchmark(**changes: object) -> Benchmark:
    measured = Benchmark(
        machine="2 cores of a test",
        cores=2,
        file_system="ext4",
        made=False,
        files=100,
        copies=0,
        model=MODEL,
        formats=[Format("wav", COSTS, RUN), Format("ogg", COSTS)],
    )
    return replace(measured, **changes)


def report(**changes: object) -> str:
    return "\n".join(report_lines(benchmark(**changes)))


def cells(name: str) -> list[str]:
    formats = benchmark().formats
    return next(cells for row, cells in rows_of(formats, 2) if row.strip() == name)


def test_the_sum_of_the_stages_is_what_a_clip_costs_one_core() -> None:
    assert COSTS.core_ms == pytest.approx(10.0)


def test_the_limit_is_what_the_cores_could_pass_without_waiting() -> None:
    assert COSTS.limit(cores=2) == pytest.approx(200.0)


def test_a_gpu_works_beside_the_cores() -> None:
    on_gpu = StageCosts(STAGES_MS, on_gpu=True)
    assert on_gpu.core_ms == pytest.approx(5.0)
    assert on_gpu.limit(cores=1) == pytest.approx(200.0)


def test_a_gpu_that_is_slower_than_the_cores_sets_the_limit() -> None:
    assert StageCosts(STAGES_MS, on_gpu=True).limit(cores=100) == pytest.approx(200.0)


def test_the_parts_of_the_machines_time_add_up_to_all_of_it() -> None:
    whole = machine_time(RUN, COSTS, cores=2)
    parts = whole.stages, whole.between, whole.others, whole.idle
    assert parts == pytest.approx((10.0, 2.0, 1.0, 7.0))
    assert whole.total == pytest.approx(20.0)


def test_a_daemon_that_costs_less_than_its_stages_has_nothing_between_them() -> None:
    whole = machine_time(replace(RUN, cpu_seconds=0.8), COSTS, cores=2)
    assert whole.between == 0
    assert whole.total == pytest.approx(20.0)


def test_the_time_of_other_programs_is_never_time_that_the_daemon_used() -> None:
    whole = machine_time(replace(RUN, others_cores=1.9), COSTS, cores=2)
    assert (whole.stages, whole.others, whole.idle) == pytest.approx((10.0, 8.0, 0.0))


def test_the_report_says_how_long_the_start_took() -> None:
    told = "ready after 2.50 s; 0.05 s later the first row, 0.60 s after that the first answer"
    assert told in report()


def test_only_a_format_whose_daemon_was_run_has_a_share_of_the_limit() -> None:
    assert cells("share of the limit") == ["50%", ""]


def test_rates_are_shown_in_files_and_in_real_time() -> None:
    assert (cells("files a second")[0], cells("times real time")[0]) == ("100.0", "500")


def test_every_stage_has_a_row() -> None:
    told = report().splitlines()
    heading = next(n for n, line in enumerate(told) if line.startswith("core-milliseconds"))
    assert told[heading].split()[-2:] == ["wav", "ogg"]
    rows = told[heading + 1 : heading + 1 + len(STAGES)]
    assert [row.split() for row in rows] == [
        [n, f"{ms:.2f}", f"{ms:.2f}"] for n, ms in STAGES_MS.items()
    ]


def test_the_network_is_compared_with_a_matrix_product() -> None:
    assert "40 GFLOP/s on one core, 50% of what a product of large matrices" in report()


def test_the_report_says_how_many_copies_were_left_out() -> None:
    assert "100, each content once; 3 copies or links of others left out" in report(copies=3)


def test_the_report_says_that_the_machine_was_busy() -> None:
    busy = Format("wav", COSTS, replace(RUN, others_cores=1.5))
    assert "other programs used 1.5 cores" in report(formats=[busy])
    assert "other programs used" not in report()


def test_json_holds_what_was_measured_and_what_follows() -> None:
    shown = json.loads(json.dumps(as_object(benchmark())))
    wav, ogg = shown["formats"]
    assert (wav["limit_clips_per_second"], wav["run"]["share_of_limit"]) == (200.0, 0.5)
    assert ogg["run"] is None
    assert shown["cores"] == 2
