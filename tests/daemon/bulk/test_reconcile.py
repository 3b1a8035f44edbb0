"""`clfd bulk check` exits with 0 when each file has its one row, else it says what is wrong."""

from __future__ import annotations

import json

import pytest
from bulk_work import BulkWork, rows_in


@pytest.fixture
def scored(bulk: BulkWork) -> BulkWork:
    """Four files, of which one is no sound, with their rows."""
    bulk.put("a.wav", "b.wav", "c.wav")
    bulk.put("text.wav", content=b"this is no sound")
    bulk.list()
    bulk.write(bulk.rows().values())
    return bulk


def test_failures_are_counted_by_kind_and_are_no_reason_to_fail(scored: BulkWork) -> None:
    result = scored.typed("check")
    assert result.exit_code == 0
    assert result.stdout == "4 files listed, 4 rows: 3 done, 1 failed (not_audio 1)\n"


def test_missing_rows_are_counted_and_one_is_named(bulk: BulkWork) -> None:
    bulk.put("a.wav", "b.wav", "c.wav")
    bulk.list()
    rows = bulk.rows()
    bulk.write([rows["a.wav"], rows["c.wav"]])
    result = bulk.typed("check")
    assert result.exit_code == 1
    assert "1 file has no row" not in result.stdout
    assert f": 1 file has no row, {bulk.archive}/b.wav among them; run `clfd bulk" in result.stderr


def test_a_list_of_which_nothing_is_scored_yet_is_not_complete(bulk: BulkWork) -> None:
    bulk.put("a.wav", "b.wav")
    bulk.list()
    result = bulk.typed("check", "--json")
    assert (result.exit_code, "2 files have no row" in result.stderr) == (1, True)
    found = json.loads(result.stdout)
    assert (found["files"], found["rows"], found["missing"], found["complete"]) == (2, 0, 2, False)


def test_rows_that_are_there_twice_are_told_with_their_parts(scored: BulkWork) -> None:
    rows = [row for row in rows_in(scored.work.output_parts()) if row["path_text"] == "b.wav"]
    scored.write(rows, "shard-00001-of-00002")
    result = scored.typed("check")
    assert result.exit_code == 1
    assert "1 file has more than one row" in result.stderr
    assert "out/shard-00001-of-00002/part-00000.parquet" in result.stderr


def test_rows_of_no_listed_file_or_another_checkpoint_are_told(scored: BulkWork) -> None:
    (row,) = (row for row in rows_in(scored.work.output_parts()) if row["path_text"] == "b.wav")
    scored.write([row | {"id": 7, "checkpoint_digest": "0" * 64}], "shard-00001-of-00002")
    result = scored.typed("check", "--json")
    assert (result.exit_code, "1 rows are of no file of the list" in result.stderr) == (1, True)
    found = json.loads(result.stdout)
    assert (found["unknown"], found["other_checkpoint"]) == (1, 1)


def test_a_list_that_lost_a_part_is_noticed(scored: BulkWork) -> None:
    scored.work.manifest_parts()[0].unlink()
    assert "its list should have 4 files and has 0" in scored.typed("check").stderr


def test_a_part_that_is_damaged_is_named(scored: BulkWork) -> None:
    (part,) = scored.work.output_parts()
    part.write_bytes(part.read_bytes()[:-20])
    result = scored.typed("check")
    assert result.exit_code == 1
    assert f"{part} cannot be read" in result.stderr
