"""`clfd bulk list` writes down what an inbox would take, once each, or says why it cannot."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from bulk_work import BulkWork
from swapped_folders import rights_of_an_ordinary_user

from daemon.bulk import manifest
from daemon.errors import DaemonError
from storage.bulk.parquet_parts import count_rows
from storage.errors import StorageError
from storage.home.safe_open import file_digest


def test_names_count_as_in_an_inbox(bulk: BulkWork) -> None:
    bulk.put("a.wav", "deep/er/b.FLAC")
    bulk.put("old/c.wav", "d.wav.part", ".e.wav", "@eaDir/f.wav", "notes.txt")
    (bulk.archive / "link.wav").symlink_to(bulk.archive / "a.wav")
    bulk.list(intake__ignore=["old/*"])
    assert bulk.paths() == ["a.wav", "deep/er/b.FLAC"]
    assert bulk.notes[0] == "2 files ignored: .part 1, .txt 1"


def test_a_name_of_odd_bytes_is_listed_as_it_is(bulk: BulkWork) -> None:
    name = os.fsdecode(b"\xff odd.wav")
    bulk.put(name)
    bulk.list()
    assert bulk.listed()[0]["path"] == b"\xff odd.wav"


def test_the_job_holds_the_checkpoint_and_what_decides_answers(bulk: BulkWork) -> None:
    bulk.put("a.wav")
    bulk.list(engine__clip_pooling="max", engine__decode_workers=7)
    job = bulk.work.read_job()
    assert job.checkpoint_digest == file_digest(bulk.work.checkpoint)
    assert (job.labels, job.roots, job.n_files) == (
        ("bell", "dog", "rain"),
        (str(bulk.archive),),
        1,
    )
    assert job.engine["clip_pooling"] == "max"
    assert "decode_workers" not in job.engine


def test_another_machine_that_mounts_the_archive_gives_files_the_same_ids(
    bulk: BulkWork, tmp_path: Path
) -> None:
    bulk.put("a.wav", "b.wav")
    bulk.list()
    before = {row["path"]: row["id"] for row in bulk.listed()}
    copy = tmp_path / "copy"
    shutil.copytree(bulk.archive, copy)  # other inodes and change times, the same times of writing
    shutil.rmtree(bulk.archive)
    copy.rename(bulk.archive)
    shutil.rmtree(bulk.work.root)
    bulk.list()
    assert {row["path"]: row["id"] for row in bulk.listed()} == before


def test_a_long_list_has_several_parts(bulk: BulkWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "PART_FILES", 4)
    monkeypatch.setattr(manifest, "STEP_NAMES", 2)
    names = [f"{number}.wav" for number in range(10)]
    bulk.put(*names)
    bulk.list()
    assert bulk.paths() == names
    assert [count_rows([part]) for part in bulk.work.manifest_parts()] == [4, 4, 2]


def test_a_folder_that_cannot_be_listed_is_refused(bulk: BulkWork) -> None:
    bulk.put("a.wav", "closed/b.wav")
    (bulk.archive / "closed").chmod(0)
    with rights_of_an_ordinary_user(), pytest.raises(DaemonError, match=r"closed cannot be listed"):
        bulk.list()
    assert not bulk.work.job_file.exists()
    (bulk.archive / "closed").chmod(0o755)


def test_folders_that_overlap_are_refused(bulk: BulkWork) -> None:
    bulk.put("yard/a.wav")
    with pytest.raises(DaemonError, match="hold the same files"):
        bulk.list(bulk.archive, bulk.archive / "yard")


def test_a_folder_without_recordings_is_refused(bulk: BulkWork) -> None:
    bulk.put("notes.txt")
    with pytest.raises(DaemonError, match=r"no audio files are there \(1 file ignored: \.txt\)"):
        bulk.list()


def test_files_with_one_id_are_refused_by_name(
    bulk: BulkWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "file_id", lambda *_: 7)
    bulk.put("a.wav", "b.wav")
    with pytest.raises(DaemonError, match=r"the same id by chance: [ab]\.wav, [ab]\.wav"):
        bulk.list()


def test_a_list_that_was_killed_is_begun_anew(
    bulk: BulkWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "PART_FILES", 1)
    bulk.put("a.wav", "b.wav", "c.wav")
    bulk.list()
    bulk.work.job_file.unlink()
    (bulk.archive / "c.wav").unlink()
    bulk.list()
    assert bulk.paths() == ["a.wav", "b.wav"]


def test_a_work_folder_is_listed_once(bulk: BulkWork) -> None:
    bulk.put("a.wav")
    bulk.list()
    with pytest.raises(DaemonError, match="has its list already"):
        bulk.list()


def test_a_folder_that_was_never_listed_is_no_work_folder(bulk: BulkWork) -> None:
    bulk.work.root.mkdir()
    for words in (["score"], ["check"], ["import"]):
        result = bulk.typed(*words)
        assert (result.exit_code, "is no work folder" in result.stderr) == (1, True)


def test_a_checkpoint_that_was_exchanged_is_refused(
    bulk: BulkWork, second_checkpoint: Path
) -> None:
    bulk.put("a.wav")
    bulk.list()
    bulk.work.checkpoint.write_bytes(second_checkpoint.read_bytes())
    with pytest.raises(StorageError, match="is not the checkpoint that this job began with"):
        bulk.work.require_checkpoint(bulk.work.read_job())
