"""What follows from a benchmark's measurements by arithmetic, and how it is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.benchmark.advice import Advice, Trial
from daemon.benchmark.figures import STAGES, Costs, Run, Start, spread, whole_of
from daemon.benchmark.plot import write_plot
from daemon.benchmark.report import as_object, report_lines
from daemon.benchmark.session import Benchmark
from daemon.benchmark.stages import ModelFacts
from daemon.benchmark.table import Format, markdown_table, rows_of

STAGES_MS = dict(zip(STAGES, (4.0, 0.5, 1.0, 4.0, 0.5), strict=True))
COSTS = Costs(STAGES_MS)  # 10 ms
START = Start(2.0, 0.1, 0.3, 0.1, 0.05, 0.6)
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
        advice=Advice(Trial({}, [100.0]), []),
    )
    return replace(measured, **changes)


def report(**changes: object) -> str:
    return "\n".join(report_lines(benchmark(**changes)))


def cells(name: str) -> list[str]:
    formats = benchmark().formats
    return next(row.cells for row in rows_of(formats, 2) if row.name.strip() == name)


def test_the_sum_of_the_stages_is_what_a_clip_costs_one_core() -> None:
    assert COSTS.core_ms == pytest.approx(10.0)


def test_the_limit_is_what_the_cores_could_pass_without_waiting() -> None:
    assert COSTS.limit(cores=2) == pytest.approx(200.0)


def test_a_gpu_works_beside_the_cores() -> None:
    on_gpu = Costs(STAGES_MS, on_gpu=True)
    assert on_gpu.core_ms == pytest.approx(5.0)
    assert on_gpu.limit(cores=1) == pytest.approx(200.0)


def test_a_gpu_that_is_slower_than_the_cores_sets_the_limit() -> None:
    assert Costs(STAGES_MS, on_gpu=True).limit(cores=100) == pytest.approx(200.0)


def test_the_whole_machine_is_shared_out_without_a_rest() -> None:
    whole = whole_of(RUN, COSTS, cores=2, starting_seconds=0.05)
    parts = whole.stages, whole.starting, whole.between, whole.others, whole.idle
    assert parts == pytest.approx((10.0, 0.5, 1.5, 1.0, 7.0))
    assert whole.total == pytest.approx(20.0)


def test_what_workers_did_before_the_run_began_is_no_part_of_it() -> None:
    whole = whole_of(replace(RUN, started_seconds=0.04), COSTS, 2, starting_seconds=0.05)
    assert (whole.starting, whole.between) == pytest.approx((0.1, 1.9))
    assert whole.total == pytest.approx(20.0)


def test_a_daemon_that_is_cheaper_than_its_stages_has_nothing_between_them() -> None:
    whole = whole_of(replace(RUN, cpu_seconds=0.8), COSTS, cores=2)
    assert whole.between == 0
    assert whole.total == pytest.approx(20.0)


def test_other_programs_cannot_have_had_what_the_daemon_used() -> None:
    whole = whole_of(replace(RUN, others_cores=1.9), COSTS, cores=2)
    assert (whole.stages, whole.others, whole.idle) == pytest.approx((10.0, 8.0, 0.0))


def test_a_spread_is_a_share_of_the_median() -> None:
    assert spread([95.0, 100.0, 105.0]) == pytest.approx(0.1)


def test_the_way_to_ready_is_told_in_parts() -> None:
    assert START.ready == pytest.approx(2.5)
    assert "ready after 2.50 s: imports 2.00, ledger 0.10, checkpoint 0.30" in report()


def test_the_share_of_the_limit_stands_where_a_daemon_was_run() -> None:
    assert cells("share of the limit") == ["50%", ""]


def test_rates_are_told_in_files_and_in_real_time() -> None:
    assert (cells("files a second")[0], cells("times real time")[0]) == ("100.0", "500")


def test_every_stage_has_a_row_on_a_page() -> None:
    page = list(markdown_table(benchmark().formats, 2))
    assert page[:3] == [
        "| core-milliseconds per clip | wav | ogg |",
        "| --- | ---: | ---: |",
        "| decode | 4.00 | 4.00 |",
    ]


def test_the_network_is_compared_with_a_matrix_product() -> None:
    assert "40 GFLOP/s on one core, 50% of what a product of large matrices" in report()


def test_copies_that_were_left_out_are_told() -> None:
    assert "100, each content once; 3 copies or links of others left out" in report(copies=3)


def test_a_busy_machine_is_told() -> None:
    busy = Format("wav", COSTS, replace(RUN, others_cores=1.5))
    assert "other programs used 1.5 cores" in report(formats=[busy])
    assert "other programs used" not in report()


def test_settings_that_are_fine_are_told_with_the_spread() -> None:
    told = report(advice=Advice(Trial({}, [95.0, 100.0, 105.0]), [Trial({"threads": 1}, [90.0])]))
    assert "fine: no others were measurably faster; 100.0 clips a second, 3 runs within 10%" in told


def test_without_time_for_other_settings_nothing_is_said_of_them() -> None:
    told = report(advice=Advice(Trial({}, [100.0]), [], untried=5))
    assert "nothing can be said for lack of time: raise --seconds" in told


def test_better_settings_are_told_as_lines_for_the_file() -> None:
    better = Trial({"threads": 1, "device": "cpu"}, [120.0, 121.0, 122.0])
    present = Trial({}, [99.0, 100.0, 101.0])
    told = report(advice=Advice(present, [better], better))
    assert "21% more clips a second (100.0 to 121.0, 3 runs within 2%" in told
    assert [line.strip() for line in told.splitlines()[-3:]] == [
        "[engine]",
        "threads = 1",
        'device = "cpu"',
    ]


def test_json_holds_what_was_measured_and_what_follows() -> None:
    shown = json.loads(json.dumps(as_object(benchmark())))
    wav, ogg = shown["formats"]
    assert (wav["limit_clips_per_second"], wav["run"]["share_of_limit"]) == (200.0, 0.5)
    assert ogg["run"] is None
    assert shown["settings"]["better"] is None


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    write_plot(tmp_path / "stages.png", benchmark().formats, 2, "a test")
    assert (tmp_path / "stages.png").read_bytes().startswith(b"\x89PNG")
