"""The real processes: killed half way they go on, and a file that kills them costs only itself."""

from __future__ import annotations

import signal
from collections import Counter

import psutil
import pytest
from bulk_work import ENDING_SECONDS, Begin, BulkWork, rows_in, wait_for
from sounds import wav

N_FILES = 300


@pytest.mark.cluster
def test_a_run_that_is_killed_leaves_nothing_out_and_scores_nothing_twice(
    bulk: BulkWork, begin: Begin
) -> None:
    names = [f"{number % 7}/{number}.wav" for number in range(N_FILES)]
    bulk.put(*names, "poison.wav")
    bulk.put("text.wav", content=b"this is no sound")
    bulk.put("half.wav", content=wav(1, 0.5)[:3000])
    bulk.list()
    run = begin()
    wait_for(lambda: len(bulk.work.output_parts()) >= 1)
    children = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    assert psutil.wait_procs(children, 20)[1] == []
    n_before = len(rows_in(bulk.work.output_parts()))
    run = begin()
    said = run.communicate(timeout=ENDING_SECONDS)[1]
    assert run.returncode == 0
    assert f"{N_FILES + 3 - n_before} files in" in said
    assert bulk.typed("check").exit_code == 0
    rows = rows_in(bulk.work.output_parts())
    failed = {row["path_text"]: row["error_class"] for row in rows if row["state"] == "failed"}
    assert failed == {
        "poison.wav": "worker_died",
        "text.wav": "not_audio",
        "half.wav": "truncated",
    }


def test_shards_in_two_processes_are_the_whole_list(bulk: BulkWork, begin: Begin) -> None:
    bulk.put(*(f"{number}.wav" for number in range(31)))
    bulk.list()
    runs = [begin("--shard", f"{number}/2") for number in (1, 2)]
    assert [run.wait(ENDING_SECONDS) for run in runs] == [0, 0]
    assert bulk.typed("check").exit_code == 0
    counts = Counter(part.parent.name for part in bulk.work.output_parts())
    assert set(counts) == {"shard-00001-of-00002", "shard-00002-of-00002"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_writes_what_is_finished_and_the_same_command_goes_on(
    bulk: BulkWork, begin: Begin, number: int
) -> None:
    bulk.put(*(f"{number}.wav" for number in range(2000)))
    bulk.list()
    run = begin()
    wait_for(lambda: bool(bulk.work.output_parts()))
    run.send_signal(number)
    said = run.communicate(timeout=ENDING_SECONDS)[1]
    n_rows = len(rows_in(bulk.work.output_parts()))
    assert run.returncode == 130
    assert f"stopped; {2000 - n_rows:,} files are left, and the same command goes on" in said
    assert "Traceback" not in said
