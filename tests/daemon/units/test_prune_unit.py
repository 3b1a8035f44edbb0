"""What `clfd-prune.service` does to the archive, by the very words of the unit file."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[3] / "systemd" / "clfd-prune.service"


def first_command() -> str:
    """As systemd gives it to the shell."""
    joined = re.sub(r"\\\n\s*", " ", UNIT.read_text(encoding="utf-8"))
    found = re.search(r"^ExecStart=/bin/sh -c '(.+)'$", joined, re.M)
    assert found
    return found[1].replace("$$", "$")


def prune(archive: Path, **variables: str) -> str:
    command = ["/bin/sh", "-c", first_command()]
    environment = {"PATH": "/usr/bin:/bin", "ARCHIVE": str(archive), **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """One file that came just now, and the sign of the archive."""
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a.wav").touch()
    (tmp_path / ".clfd-archive").touch()
    return tmp_path


def test_nothing_is_deleted_before_somebody_says_so(archive: Path) -> None:
    assert prune(archive, KEEP_DAYS="0", DELETE="no") == f"{archive}/inbox/a.wav\n"
    assert (archive / "inbox" / "a.wav").exists()


def test_what_is_too_old_is_deleted_but_not_the_sign_of_the_archive(archive: Path) -> None:
    assert prune(archive, KEEP_DAYS="0", DELETE="yes") == f"{archive}/inbox/a.wav\n"
    assert [path.name for path in archive.rglob("*") if path.is_file()] == [".clfd-archive"]


def test_what_came_later_stays(archive: Path) -> None:
    assert prune(archive, KEEP_DAYS="1", DELETE="yes") == ""
    assert (archive / "inbox" / "a.wav").exists()
