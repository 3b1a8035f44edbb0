"""Shards part the list, parts are whole or not there, and who comes later goes on behind them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from bulk_work import BulkWork, rows_in

from daemon.bulk.score import Parts, Progress, Shard, count_unanswered, duration_text, unanswered
from storage.bulk.parquet_parts import OUTPUT
from storage.bulk.work_folder import LOCK_NAME, WorkFolder, locked
from storage.errors import AlreadyRunning

NOBODY = np.empty(0, np.int64)


@pytest.fixture
def listed(bulk: BulkWork) -> BulkWork:
    """With ten files."""
    bulk.put(*(f"{number}.wav" for number in range(10)))
    bulk.list()
    return bulk


def test_every_file_is_in_one_shard(listed: BulkWork) -> None:
    shards = [Shard(number, 3) for number in (1, 2, 3)]
    found = [[file.path for file in unanswered(listed.work, each, NOBODY)] for each in shards]
    assert [len(files) for files in found] == [4, 3, 3]
    assert sorted(itertools.chain(*found)) == [row["path"] for row in _by_path(listed)]


def test_what_has_a_row_is_not_scored_again_in_any_shard(listed: BulkWork) -> None:
    rows = list(listed.rows().values())
    listed.write(rows[:6])
    answered = np.sort([row["id"] for row in rows[:6]])
    assert count_unanswered(listed.work, Shard(1, 1), answered) == 4
    assert sum(count_unanswered(listed.work, Shard(n, 4), answered) for n in (1, 2, 3, 4)) == 4
    assert len(listed.rows()) == 4


def test_a_row_is_read_as_it_was_written(listed: BulkWork) -> None:
    rows = listed.rows()
    listed.write(rows.values())
    for read in rows_in(listed.work.output_parts()):
        written = rows[read["path_text"]]
        assert read["scores"] == list(written["scores"])
        assert {**read, "scores": None} == {**written, "scores": None}


def test_a_part_is_due_after_a_tenth_of_the_time_or_two_minutes(tmp_path: Path) -> None:
    now, row = 0.0, dict.fromkeys(OUTPUT.names) | {"id": 1}
    moments = []
    with Parts(tmp_path, lambda: now) as parts:
        for now in range(1, 2001):
            n_before = parts.n_parts
            parts.add(row)
            if parts.n_parts > n_before:
                moments.append(now)
    assert moments[:3] == [6, 12, 18]
    gaps = np.diff(moments)
    assert max(gaps) == 121
    assert all(
        gap <= max(6, 0.1 * moment + 1) for gap, moment in zip(gaps, moments[1:], strict=True)
    )


def test_what_a_killed_process_left_half_written_is_no_part(listed: BulkWork) -> None:
    listed.write(list(listed.rows().values())[:5])
    folder = listed.work.output / "shard-00001-of-00001"
    (folder / ".part-00001.parquet.99999.new").write_bytes(b"half a par")
    assert len(listed.work.output_parts()) == 1
    with listed.work.output_folder(folder.name, "shard-*-of-00001"):
        assert sorted(file.name for file in folder.iterdir()) == [LOCK_NAME, "part-00000.parquet"]


def test_a_new_part_never_takes_the_name_of_another(listed: BulkWork) -> None:
    rows = list(listed.rows().values())
    listed.write(rows[:2])
    listed.write(rows[2:4])
    listed.work.output_parts()[0].unlink()
    listed.write(rows[4:5])
    assert [part.name for part in listed.work.output_parts()] == [
        "part-00001.parquet",
        "part-00002.parquet",
    ]


def test_a_shard_that_another_process_scores_is_refused(listed: BulkWork) -> None:
    with held(listed.work, "shard-00001-of-00001"):
        result = listed.typed("score")
    assert result.exit_code == 78
    assert "shard-00001-of-00001 of" in result.stderr
    assert "is being scored already" in result.stderr


def test_other_shards_of_the_same_number_run_beside_and_those_of_another_do_not(
    listed: BulkWork,
) -> None:
    with held(listed.work, "shard-00002-of-00008"):
        with listed.work.output_folder("shard-00003-of-00008", "shard-*-of-00008"):
            pass
        with (
            pytest.raises(AlreadyRunning, match="shard-00002-of-00008 of"),
            listed.work.output_folder("shard-00001-of-00002", "shard-*-of-00002"),
        ):
            pass


@pytest.mark.parametrize("words", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"])
def test_what_is_no_shard_is_refused(listed: BulkWork, words: str) -> None:
    result = listed.typed("score", "--shard", words)
    assert result.exit_code == 2
    assert "is no shard; write 1/8" in result.stderr


def test_progress_tells_rate_and_time_left() -> None:
    now, shown = 0.0, list[str]()
    progress = Progress(1000, shown.append, 10.0, lambda: now)
    for n_done in range(1, 301):
        now = n_done / 10
        progress.advance(1, 0)
    assert shown == [
        "100 of 1,000 files (10.0 %), 10.0 files/s, 90 s left; 0 failed",
        "200 of 1,000 files (20.0 %), 10.0 files/s, 80 s left; 0 failed",
        "300 of 1,000 files (30.0 %), 10.0 files/s, 70 s left; 0 failed",
    ]
    assert progress.summary() == "300 files in 30 s, 10.0 files/s, 0 failed"


def test_a_long_time_is_told_in_days() -> None:
    texts = [duration_text(seconds) for seconds in (3, 99, 600, 10_000, 200_000)]
    assert texts == ["3 s", "99 s", "10 min", "2 h 47 min", "2 days 7 h"]


def held(work: WorkFolder, name: str):  # type: ignore[no-untyped-def]
    (work.output / name).mkdir(parents=True, exist_ok=True)
    return locked(work.output / name / LOCK_NAME, "it is held already")


def _by_path(bulk: BulkWork) -> list[dict[str, object]]:
    return sorted(bulk.listed(), key=lambda row: str(row["path"]))
