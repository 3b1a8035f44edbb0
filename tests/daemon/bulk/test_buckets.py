"""An archive in S3 is scored as one in a folder is, object by object, and nothing stays behind."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from zlib import crc32

import psutil
import pytest
from bulk_work import ENDING_SECONDS, Begin, BulkWork, rows_in, wait_for
from cut_cable import Cable
from s3_server import ENVIRONMENT, S3Server, moto_environment
from sounds import not_audio, wav

from daemon.bulk import fetches
from storage.bulk.bucket import BucketAway
from storage.errors import StorageError

pytestmark = pytest.mark.s3
N_FILES = 150
_numbers = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    try:
        programs = moto_environment()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"moto cannot be installed: {error}")
    running = S3Server(programs, tmp_path_factory.mktemp("s3") / "log")
    yield running
    running.close()


class Archive:
    """A prefix in a bucket of its own; `root` is its URL."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.bucket = f"archive-{next(_numbers)}"
        server.make_bucket(self.bucket)
        self.root = f"s3://{self.bucket}/yard"

    def put(self, *names: str, content: bytes | None = None) -> None:
        """Sounds, each its own, under these names."""
        for name in names:
            sound = wav(crc32(name.encode()), 0.5) if content is None else content
            self.server.put(f"{self.bucket}/yard/{name}", sound)

    def at(self, port: int) -> str:
        return f"{self.root}?endpoint_override=127.0.0.1:{port}&scheme=http"


@pytest.fixture
def archive(server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Archive]:
    """Temporary files lie in a folder of the test, and what is left there fails it."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield Archive(server)
    assert copies(folder) == []


def copies(folder: Path) -> list[Path]:
    return [*folder.glob("clfd-objects-*")]


def scored(bulk: BulkWork) -> dict[str, dict[str, object]]:
    """The rows of the output, by path."""
    return {row["path_text"]: row for row in rows_in(bulk.work.output_parts())}


def test_names_count_as_in_an_inbox(bulk: BulkWork, archive: Archive) -> None:
    archive.put("a.wav", "deep/er/b.FLAC", "ü %20+?.wav")
    archive.put("old/c.wav", "d.wav.part", ".e.wav", "@eaDir/f.wav", "notes.txt", content=b"x")
    bulk.list(archive.root, intake__ignore=["old/*"])
    assert bulk.paths() == ["a.wav", "deep/er/b.FLAC", "ü %20+?.wav"]
    assert {row["root"] for row in bulk.listed()} == {archive.root}
    assert bulk.notes[0] == "2 files ignored: .part 1, .txt 1"


def test_answers_are_those_of_the_same_files_in_a_folder(
    bulk: BulkWork, archive: Archive, tmp_path: Path, checkpoint_file: Path
) -> None:
    names = [f"{number % 3}/{number}.wav" for number in range(20)]
    for number, name in enumerate(names):
        bulk.put(name, content=wav(number, 2.0))
        archive.put(name, content=wav(number, 2.0))
    bulk.list()
    (tmp_path / "s3").mkdir()
    other = BulkWork(tmp_path / "s3", checkpoint_file)
    other.list(archive.root)
    rows, others = bulk.rows(), other.rows()
    own = ("id", "root", "fingerprint", "answered_at", "scores")
    assert sorted(others) == sorted(names)
    for name in names:
        assert rows[name]["scores"].tolist() == others[name]["scores"].tolist()
        assert {key: value for key, value in rows[name].items() if key not in own} == {
            key: value for key, value in others[name].items() if key not in own
        }


def test_an_object_without_an_answer_has_its_reason(
    bulk: BulkWork, archive: Archive, begin: Begin
) -> None:
    archive.put("good.wav", "gone.wav", "changed.wav", "closed.wav")
    archive.put("bad.wav", content=not_audio(1))
    bulk.list(archive.root)
    archive.server.delete(f"{archive.bucket}/yard/gone.wav")
    archive.put("changed.wav", content=wav(1, 0.7))
    archive.server.refuse_reading(f"{archive.bucket}/yard/closed.wav")
    assert begin().wait(ENDING_SECONDS) == 0
    rows = scored(bulk)
    kinds = {path: row["error_class"] for path, row in rows.items() if row["state"] == "failed"}
    assert kinds == {
        "gone.wav": "vanished",
        "changed.wav": "changed",
        "closed.wav": "unreadable",
        "bad.wav": "not_audio",
    }
    assert rows["bad.wav"]["digest"] == hashlib.sha256(not_audio(1)).hexdigest()
    result = bulk.typed("check")
    assert result.exit_code == 0
    assert result.stdout.startswith("5 files listed, 5 rows: 1 done, 4 failed (")


def test_a_run_that_is_killed_goes_on_and_leaves_no_copies(
    bulk: BulkWork, archive: Archive, begin: Begin, tmp_path: Path
) -> None:
    archive.put(*(f"{number % 7}/{number}.wav" for number in range(N_FILES)))
    bulk.list(archive.root)
    run = begin()
    wait_for(lambda: bool(bulk.work.output_parts()))
    children = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.wait()
    assert psutil.wait_procs(children, 20)[1] == []
    assert len(copies(tmp_path / "temporary")) == 1
    n_before = len(scored(bulk))
    assert n_before < N_FILES
    run = begin()
    said = run.communicate(timeout=ENDING_SECONDS)[1]
    assert f"{N_FILES - n_before} files in" in said
    assert bulk.typed("check").exit_code == 0


def test_a_bucket_that_is_out_of_reach_ends_the_run_and_no_object_pays(
    bulk: BulkWork, archive: Archive, begin: Begin
) -> None:
    archive.put(*(f"{number}.wav" for number in range(N_FILES)))
    cable = Cable(archive.server.port)
    bulk.list(archive.at(cable.port))
    run = begin()
    wait_for(lambda: bool(bulk.work.output_parts()))
    with cable.pulled():
        said = run.communicate(timeout=ENDING_SECONDS)[1]
    assert run.returncode == 1
    assert f"clfd: {archive.root} cannot be reached and listed (AWS Error NETWORK" in said
    assert {row["state"] for row in scored(bulk).values()} == {"done"}
    assert begin().wait(ENDING_SECONDS) == 0
    assert bulk.typed("check").exit_code == 0
    assert {row["state"] for row in scored(bulk).values()} == {"done"}
    cable.close()


def test_credentials_are_written_nowhere(bulk: BulkWork, archive: Archive, begin: Begin) -> None:
    archive.put("a.wav")
    bulk.list(archive.root)
    said = begin("-v").communicate(timeout=ENDING_SECONDS)[1]
    written = [file.read_bytes() for file in bulk.work.root.rglob("*") if file.is_file()]
    for secret in (ENVIRONMENT["AWS_SECRET_ACCESS_KEY"], ENVIRONMENT["AWS_ACCESS_KEY_ID"]):
        assert secret not in said
        assert all(secret.encode() not in content for content in written)


def test_copies_stay_within_their_room(
    bulk: BulkWork, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.put(*(f"{number}.wav" for number in range(40)))
    size = len(wav(0, 0.5))
    monkeypatch.setattr(fetches, "MAX_COPY_BYTES", 4 * size)
    bulk.list(archive.root)
    most = 0
    scorer = bulk.scorer()
    with scorer.fetches:
        for _ in scorer.rows(bulk.files()):
            there = sum(1 for folder in copies(tmp_path / "temporary") for _ in folder.iterdir())
            most = max(most, there)
    assert 1 <= most <= 5


def test_a_bucket_that_is_gone_or_emptied_is_refused_at_the_start(
    bulk: BulkWork, archive: Archive
) -> None:
    archive.put("a.wav")
    bulk.list(archive.root)
    archive.server.delete(f"{archive.bucket}/yard/a.wav")
    result = bulk.typed("score")
    assert (result.exit_code, "there is nothing below s3://" in result.stderr) == (1, True)
    archive.server.delete(archive.bucket)
    result = bulk.typed("score")
    assert (result.exit_code, "NO_SUCH_BUCKET" in result.stderr) == (1, True)


def test_a_bucket_that_cannot_be_listed_leaves_no_list(bulk: BulkWork, archive: Archive) -> None:
    with pytest.raises(BucketAway, match="cannot be reached and listed"):
        bulk.list("s3://no-such-bucket")
    with pytest.raises(StorageError, match="there is nothing below s3://archive"):
        bulk.list(archive.root)
    assert not bulk.work.job_file.exists()


def test_keys_with_two_slashes_in_a_row_are_refused(bulk: BulkWork, archive: Archive) -> None:
    archive.put("a.wav", "deep//b.wav")
    with pytest.raises(StorageError, match="two slashes in a row"):
        bulk.list(archive.root)
    bulk.list(archive.root, intake__ignore=["deep"])
    assert bulk.paths() == ["a.wav"]
