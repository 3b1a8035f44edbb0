"""What a daemon that cannot start ends with: a code that says who has to act, and one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from running_house import RunningHouse

from storage.ledger.ledger import open_ledger
from storage.settings.loading import load_settings

PAGE_BYTES = 4096


@pytest.fixture
def house(tmp_path: Path, checkpoint_file: Path) -> RunningHouse:
    return RunningHouse(tmp_path / "home", checkpoint_file)


def refusal(house: RunningHouse, *words: str) -> str:
    result = house.typed("run", *words)
    assert result.exit_code == 78
    return last_line(result.stderr)


def last_line(stderr: str) -> str:
    """The only one that is no log line."""
    *log, last = stderr.splitlines()
    assert "Traceback" not in stderr
    assert not any(line.startswith("clfd: ") for line in log)
    assert last.startswith("clfd: ")
    return last


def test_a_settings_file_that_is_none(house: RunningHouse) -> None:
    house.home.settings_file.write_text("[engine")
    assert "clfd.toml is not valid TOML" in refusal(house)


def test_one_folder_as_two_inboxes(house: RunningHouse, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(house.home.inbox)
    house.home.settings_file.write_text(f'inbox = ["inbox", "{tmp_path}/link"]')
    assert f"{house.home.inbox} and {tmp_path}/link overlap" in refusal(house, "--once")


def test_no_checkpoint_to_serve(house: RunningHouse) -> None:
    (house.home.checkpoints / "active").unlink()
    run = house.clfd("run")
    assert run.returncode == 78
    assert "make one with `clfd train LABELS.csv`" in last_line(run.stderr)


def test_a_folder_that_is_no_home_is_left_as_it_is(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "clfd", "--home", str(tmp_path), "run", "--once"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 78
    assert last_line(run.stderr).startswith(
        f"clfd: {tmp_path} is no home of clfd; `clfd init` makes one"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="here the device is there")
def test_a_device_that_is_not_there(house: RunningHouse) -> None:
    assert "choose 'auto' or one of" in refusal(house, "--device", "cuda")


def test_a_ledger_that_is_none(house: RunningHouse) -> None:
    house.home.ledger_file.write_bytes(b"junk" * 1000)
    assert "put a backup in its place" in refusal(house)


def test_a_ledger_with_damaged_pages(house: RunningHouse) -> None:
    open_ledger(load_settings(house.home, environ={}).database, "daemon").close()
    with house.home.ledger_file.open("r+b") as file:
        file.seek(2 * PAGE_BYTES)
        file.write(b"junk" * PAGE_BYTES)
    line = refusal(house)
    assert f"the ledger {house.home.ledger_file} is damaged" in line
    assert "put a backup in its place" in line


def test_in_the_journal_the_line_has_the_priority_of_an_error(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as journal:
        found = os.fstat(journal.fileno())
        variables = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}", "CLFD_ENGINE__DEVISE": "x"}
        command = [sys.executable, "-m", "clfd", "--home", str(tmp_path), "run"]
        done = subprocess.run(command, env={**os.environ, **variables}, stderr=journal)
        journal.seek(0)
        assert (done.returncode, journal.read()[:9]) == (78, "<3>clfd: ")
