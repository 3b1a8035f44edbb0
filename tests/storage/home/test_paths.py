"""The home, and who is at home."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storage.errors import AlreadyRunning, ConfigurationError, StorageError
from storage.home.daemon_lock import DaemonLock, holder, read_status, write_status
from storage.home.paths import Home, resolve_home, unused_path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def test_the_option_beats_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLFD_HOME", str(tmp_path / "variable"))
    assert resolve_home(tmp_path / "option").root == tmp_path / "option"
    assert resolve_home(None).root == tmp_path / "variable"


def test_a_home_without_option_or_variable_is_the_users_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLFD_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert resolve_home(None).root == tmp_path / "clfd"


def test_the_folder_where_one_stands_can_be_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_home(Path(".")).root == tmp_path


def test_a_home_of_an_unknown_user_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="names a user who is not known"):
        resolve_home(Path("~no-such-user/clfd"))


def test_a_home_whose_name_is_no_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"caf\\udce9 has a name that is no UTF-8"):
        resolve_home(tmp_path / "caf\udce9")


def test_a_user_without_any_home_is_told_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "CLFD_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    with pytest.raises(ConfigurationError, match="no home: set CLFD_HOME, or name a folder"):
        resolve_home(None)


def test_a_home_belongs_to_its_group(home: Home) -> None:
    assert stat.S_IMODE(home.inbox.stat().st_mode) == 0o2770


def test_a_service_that_may_not_set_the_group_bit_makes_folders_that_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "home"
    root.mkdir()
    root.chmod(0o2770)  # as systemd's StateDirectoryMode= has it
    before = os.umask(0o007)
    monkeypatch.setattr(Path, "chmod", lambda *_: pytest.fail("RestrictSUIDSGID= forbids it"))
    try:
        Home(root).create()
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "inbox").stat().st_mode) == 0o2770


def test_making_a_home_twice_changes_nothing(home: Home) -> None:
    home.inbox.chmod(0o700)
    home.create()
    assert stat.S_IMODE(home.inbox.stat().st_mode) == 0o700


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot make the folder .*file/home"):
        Home(tmp_path / "file" / "home").create()


def test_a_second_daemon_is_refused_and_told_who_is_first(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.home.daemon_lock._TRIES", 1)
    with (
        DaemonLock.acquire(home),
        pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}") as refusal,
    ):
        DaemonLock.acquire(home)
    assert refusal.value.exit_code == 78


def test_the_holder_is_known_while_it_holds(home: Home) -> None:
    assert holder(home) is None
    with DaemonLock.acquire(home):
        found = holder(home)
        assert found is not None
        assert found.pid == os.getpid()
    assert holder(home) is None


def test_a_killed_daemon_leaves_no_lock(home: Home) -> None:
    program = (
        "import os, sys; from pathlib import Path; from storage.home.paths import Home;"
        "from storage.home.daemon_lock import DaemonLock;"
        "lock = DaemonLock.acquire(Home(Path(sys.argv[1]))); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, home.root], check=False)
    assert home.lock_file.read_text() != ""
    assert holder(home) is None


def test_a_full_disk_at_the_lock_is_told_in_one_line(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("storage.home.daemon_lock.os.pwrite", refuse)
    with pytest.raises(StorageError, match=r"daemon.lock: No space left"):
        DaemonLock.acquire(home)
    assert holder(home) is None


def test_a_status_is_read_as_it_was_written(home: Home) -> None:
    write_status(home, {"pid": 1})
    assert read_status(home) == {"pid": 1}
    assert stat.S_IMODE(home.status_file.stat().st_mode) == 0o660


def test_a_broken_status_file_is_no_status(home: Home) -> None:
    home.status_file.write_text("{")
    assert read_status(home) is None


def test_a_path_that_is_in_use_gets_a_number(tmp_path: Path) -> None:
    path = tmp_path / "period.html"
    assert unused_path(path) == path
    path.touch()
    path.with_name("period-2.html").touch()
    assert unused_path(path) == tmp_path / "period-3.html"
