"""What disks do to a ledger, on real file systems: full, read-only, failing, bit-flipped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from house import HouseMaker
from sqlalchemy import text

from storage.database.engine import open_database
from storage.database.sqlite import SqliteDatabase, driver
from storage.errors import LedgerDamaged, LedgerFailed, LedgerUnavailable

ADD_INBOX = text("INSERT INTO inbox (path, path_text) VALUES (randomblob(3000), '')")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1m,nr_inodes=8", "tmpfs"]
    if subprocess.run(["mount", *options, folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder / 'clfd.db'}"


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)
    return filler


def add_rows_until_refused(database: SqliteDatabase) -> int:
    for count in range(10_000):
        try:
            with database.transaction() as connection:
                connection.execute(ADD_INBOX)
        except LedgerUnavailable:
            return count
    raise AssertionError("a full disk took everything")


def n_rows(database: SqliteDatabase) -> int:
    with database.transaction() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM inbox")) or 0)


def test_a_full_disk_loses_nothing_that_was_committed_and_goes_on_once_there_is_room(
    disk: Path,
) -> None:
    with open_database(url_of(disk), "daemon") as daemon:
        filler = fill(disk)
        committed = add_rows_until_refused(daemon)
        with pytest.raises(LedgerUnavailable, match="full; make room on its disk"):
            n_rows_after_another(daemon)
        filler.unlink()
        assert n_rows(daemon) == committed
        assert n_rows_after_another(daemon) == committed + 1
        assert daemon.problems() == []


def n_rows_after_another(database: SqliteDatabase) -> int:
    with database.transaction() as connection:
        connection.execute(ADD_INBOX)
    return n_rows(database)


def test_a_disk_that_is_full_at_the_start_is_called_full(disk: Path) -> None:
    open_database(url_of(disk), "daemon").close()
    fill(disk)
    with pytest.raises(LedgerUnavailable, match="make room on its disk"):
        open_database(url_of(disk), "daemon")


def test_a_disk_without_inodes_is_called_so(disk: Path) -> None:
    open_database(url_of(disk), "daemon").close()
    number = 0
    with pytest.raises(OSError, match="No space left"):
        for number in range(100):
            (disk / f"{number}").touch()
    assert number
    with pytest.raises(LedgerUnavailable, match="inodes"):
        open_database(url_of(disk), "daemon")


def test_a_disk_that_was_mounted_read_only_is_called_so(disk: Path) -> None:
    open_database(url_of(disk), "daemon").close()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(LedgerUnavailable, match="mounted read-only"):
        open_database(url_of(disk), "daemon")


def test_flipped_bits_are_found_before_anything_is_written(tmp_path: Path) -> None:
    with open_database(url_of(tmp_path), "daemon") as daemon, daemon.transaction() as connection:
        for _ in range(200):
            connection.execute(ADD_INBOX)
    file = tmp_path / "clfd.db"
    content = bytearray(file.read_bytes())
    for page in range(4096 * 30, len(content), 4096):  # their first byte says what they are
        content[page] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(LedgerDamaged, match="put a backup in its place"):
        open_database(url_of(tmp_path), "daemon")
    assert file.read_bytes() == content


def test_the_look_for_damage_ends_in_time_also_on_a_large_ledger(tmp_path: Path) -> None:
    with open_database(url_of(tmp_path), "daemon") as daemon:
        with daemon.transaction() as connection:
            for _ in range(2000):
                connection.execute(ADD_INBOX)
        daemon.require_valid(seconds=0.0)  # interrupted, which is no damage
        assert n_rows(daemon) == 2000


FLUSH_ERROR = """
import sys
from sqlalchemy import text
from storage.database.engine import open_database
from storage.errors import LedgerFailed
ADD_INBOX = "INSERT INTO inbox (path, path_text) VALUES (randomblob(9), '')"
with open_database(sys.argv[1], "daemon") as daemon:
    print("open", flush=True)
    try:
        for _ in range(50):
            with daemon.transaction() as connection:
                connection.execute(text(ADD_INBOX))
            print("row", flush=True)
    except LedgerFailed as error:
        print(error)
"""


def test_a_flush_that_failed_stops_the_daemon_and_no_row_is_promised_for_it(tmp_path: Path) -> None:
    open_database(url_of(tmp_path), "daemon").close()
    strace = ["strace", "-qq", "-f", "-o", "/dev/null", "-e", "trace=fdatasync,fsync"]
    inject = ["-e", "inject=fdatasync,fsync:error=EIO:when=12+"]
    command = [*strace, *inject, sys.executable, "-c", FLUSH_ERROR, url_of(tmp_path)]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("needs strace")
    if "open" not in finished.stdout:
        pytest.skip("strace may not trace here")
    printed = finished.stdout.splitlines()
    assert "gave an error (disk I/O error" in printed[-1]
    with open_database(url_of(tmp_path), "daemon") as daemon:
        assert n_rows(daemon) >= printed.count("row") > 0
        assert daemon.problems() == []


def test_the_daemon_stops_with_one_line_when_the_disk_fails(
    make_house: HouseMaker, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house()
    house.drop(audio_file(), "a.wav")

    def fail(*_: object) -> None:
        raise LedgerFailed("the disk under the ledger gave an error")

    monkeypatch.setattr(house.ledger, "record", fail)
    with pytest.raises(LedgerFailed):
        house.live()
    restarted = make_house()
    restarted.live()
    assert restarted.rows() == [("a.wav", "done")]


def test_a_log_that_a_reader_holds_is_told_and_emptied_when_the_reader_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database.sqlite._WAL_LIMIT_BYTES", 2 * 2**20)
    monkeypatch.setattr("storage.database.sqlite._WAL_WORTH_BYTES", 2**20)
    log = tmp_path / "clfd.db-wal"
    with open_database(url_of(tmp_path), "daemon") as daemon:
        reader = driver().connect(tmp_path / "clfd.db")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM inbox").fetchall()
        while log.stat().st_size < 3 * 2**20:
            with daemon.transaction() as connection:
                for _ in range(100):
                    connection.execute(ADD_INBOX)
        fault = daemon.shorten_log()
        assert fault is not None
        assert "keeps an old view of it open" in fault
        reader.close()
        assert daemon.shorten_log() is None
        assert log.stat().st_size == 0
