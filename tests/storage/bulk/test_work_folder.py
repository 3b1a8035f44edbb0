"""What processes that score a work folder have in common, and how they keep out of each other."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from storage.bulk.work_folder import LOCK_NAME, Job, WorkFolder, locked
from storage.errors import AlreadyRunning, StorageError

JOB = Job(
    roots=("/mnt/archive", "s3://bucket/birds"),
    n_files=3,
    checkpoint="20260101T000000Z-00000001",
    checkpoint_digest="0" * 64,
    labels=("bell", "dög"),
    clip_seconds=0.5,
    facts={"task": "single"},
    engine={"clip_pooling": "mean"},
    accepts_damaged=False,
    listed_at="2026-01-01T00:00:00.000Z",
    clfd_version=None,
)


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    WorkFolder(tmp_path).write_job(JOB)
    assert WorkFolder(tmp_path).read_job() == JOB


def test_a_job_of_a_later_version_is_refused(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path)
    work.write_job(JOB)
    work.job_file.write_text(json.dumps(json.loads(work.job_file.read_text()) | {"format": 2}))
    with pytest.raises(StorageError, match="has format 2, and this clfd knows 1"):
        work.read_job()


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 1, "more": 2}', "\xff"])
def test_a_damaged_job_is_refused(tmp_path: Path, text: str) -> None:
    work = WorkFolder(tmp_path)
    work.job_file.write_text(text, encoding="latin-1")
    with pytest.raises(StorageError, match=r"job\.json (is damaged|has format None)"):
        work.read_job()


def test_what_is_being_written_is_no_part_of_the_output(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "shard-00001-of-00001"
    folder.mkdir(parents=True)
    for name in ("part-00000.parquet", ".part-00001.parquet", ".part-00001.parquet.7.new"):
        (folder / name).touch()
    assert WorkFolder(tmp_path).output_parts() == [folder / "part-00000.parquet"]


def test_a_folder_of_the_output_is_free_again_when_it_is_left(tmp_path: Path) -> None:
    for _ in range(2):
        with WorkFolder(tmp_path).output_folder("shard-00001-of-00001", "shard-*-of-00001"):
            pass


def test_shards_that_begin_at_once_do_not_take_each_other_for_older_ones(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path)
    with work.output_folder("shard-00001-of-00008", "shard-*-of-00008") as folder:
        pass  # it ended long ago
    another_one_looks = locked(folder / LOCK_NAME, "is being scored", fcntl.LOCK_SH)
    with another_one_looks, work.output_folder("shard-00001-of-00016", "shard-*-of-00016"):
        pass


def test_nothing_goes_beside_what_names_nobody(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path)
    with (
        work.output_folder("ray", beside=""),
        pytest.raises(AlreadyRunning, match="ray of"),
        work.output_folder("shard-00001-of-00001", "shard-*-of-00001"),
    ):
        pass
