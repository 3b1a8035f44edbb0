"""One daemon serves a home and a ledger, whatever becomes of the lock file."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import AlreadyRunning, StorageError
from storage.home.daemon_lock import DaemonLock, holder
from storage.home.paths import Home
from storage.home.safe_open import lock_folder


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.home.daemon_lock._TRIES", 1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path / "home")


def make_home(root: Path) -> Home:
    made = Home(root)
    made.create()
    return made


@pytest.fixture
def lock(home: Home) -> Iterator[DaemonLock]:
    with DaemonLock.acquire(home) as held:
        yield held


def test_a_second_daemon_is_refused_also_without_the_lock_file(
    home: Home, lock: DaemonLock
) -> None:
    home.lock_file.unlink()
    with pytest.raises(StorageError, match=r"is locked, .* whose daemon\.lock was deleted"):
        DaemonLock.acquire(home)
    assert not home.lock_file.exists()


def test_a_home_has_one_lock_under_all_its_names(
    home: Home, lock: DaemonLock, tmp_path: Path
) -> None:
    (tmp_path / "other").symlink_to(home.root)
    with pytest.raises(AlreadyRunning):
        DaemonLock.acquire(Home(tmp_path / "other"))


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_daemon_notices_that_its_lock_file_is_gone(
    home: Home, lock: DaemonLock, is_replaced: bool
) -> None:
    lock.require_in_place()
    home.lock_file.unlink()
    if is_replaced:
        home.lock_file.touch()
    with pytest.raises(StorageError, match=r"daemon\.lock was moved, .*; start clfd again"):
        lock.require_in_place()


def test_a_daemon_of_the_version_before_is_still_seen_and_keeps_others_out(home: Home) -> None:
    old = os.open(home.lock_file, os.O_RDWR | os.O_CREAT)
    fcntl.flock(old, fcntl.LOCK_EX)
    os.write(old, b"4711 barn\n")
    assert holder(home) == (4711, "barn")
    with pytest.raises(AlreadyRunning, match="pid 4711 on barn"):
        DaemonLock.acquire(home)
    os.close(old)
    DaemonLock.acquire(home).release()


def test_a_backup_that_locks_the_home_is_told_in_a_line_and_may_be_waited_for(home: Home) -> None:
    backup = lock_folder(home.root)
    with pytest.raises(StorageError, match=r"home is locked, by a backup or another") as refusal:
        DaemonLock.acquire(home)
    assert refusal.value.exit_code == 1  # so that a service manager tries again
    os.close(backup)
    DaemonLock.acquire(home).release()


def test_where_folders_cannot_be_locked_the_file_has_to_do(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def of_files(handle: int, kind: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(9, os.strerror(9))
        flock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", of_files)
    with DaemonLock.acquire(home), pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"):
        DaemonLock.acquire(home)


def test_a_home_that_is_mounted_read_only_says_so(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("storage.home.daemon_lock.open_plain", fail)
    with pytest.raises(StorageError, match="Read-only file system; mount it for writing"):
        DaemonLock.acquire(home)


# --- a ledger that lies elsewhere


@pytest.fixture
def other(tmp_path: Path) -> Home:
    return make_home(tmp_path / "other")


def test_two_homes_do_not_share_a_ledger(home: Home, other: Home, tmp_path: Path) -> None:
    ledger = tmp_path / "clfd.db"
    with (
        DaemonLock.acquire(home, ledger),
        pytest.raises(AlreadyRunning, match=r"daemon of another home .*set `database`"),
    ):
        DaemonLock.acquire(other, ledger)


def test_no_daemon_works_on_the_ledger_in_the_home_of_another(home: Home, other: Home) -> None:
    with DaemonLock.acquire(home, home.ledger_file), pytest.raises(AlreadyRunning):
        DaemonLock.acquire(other, home.ledger_file)
    with DaemonLock.acquire(other, home.ledger_file), pytest.raises(StorageError):
        DaemonLock.acquire(home, home.ledger_file)


def test_two_ledgers_may_lie_in_one_folder(home: Home, other: Home, tmp_path: Path) -> None:
    with DaemonLock.acquire(home, tmp_path / "a.db") as lock:
        DaemonLock.acquire(other, tmp_path / "b.db").release()
        (tmp_path / "a.db.lock").unlink()
        with pytest.raises(StorageError, match=r"a\.db\.lock was moved"):
            lock.require_in_place()


def test_a_ledger_in_the_home_has_no_lock_file_of_its_own(home: Home) -> None:
    with DaemonLock.acquire(home, home.ledger_file):
        assert not home.ledger_file.with_name("clfd.db.lock").exists()
