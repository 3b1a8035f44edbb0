"""`clfd bench` as a user types it, on a handful of small files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from click.testing import CliRunner, Result

from classifier.workers.process import temporary_folder
from clfd import cli
from storage.commands.context import Invocation
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from storage.home.temp_home import temporary_home

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, checkpoint_file: Path) -> Home:
    """A home with an active checkpoint, and nothing else."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.create()
    checkpoint_folder = CheckpointFolder(home.checkpoints)
    checkpoint_folder.put("20260131T120000Z-1a2b3c4d", checkpoint_file.read_bytes())
    checkpoint_folder.activate("20260131T120000Z-1a2b3c4d")
    return home


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory, noise: Callable[..., np.ndarray]) -> Path:
    """Six recordings of two clips each, and a link to one of them."""
    folder = tmp_path_factory.mktemp("sounds")
    for seed in range(6):
        soundfile.write(folder / f"{seed}.wav", noise(1.0, seed=seed), 8000)
    os.link(folder / "0.wav", folder / "link.wav")
    return folder


@pytest.fixture(scope="module")
def measured(home: Home, sounds: Path, short_stages: None) -> Result:
    """With a variable that would have the daemon write into a ledger that is not the bench's."""
    elsewhere = {"CLFD_HOME": str(home.root), "CLFD_DATABASE": f"sqlite:///{home.root}/mine.db"}
    words = ["bench", str(sounds), "--seconds", "1", "--json", "--plot", "stages.png"]
    return CliRunner().invoke(cli, words, env=elsewhere)


def test_a_whole_daemon_is_measured_on_distinct_files(measured: Result) -> None:
    assert measured.exit_code == 0, measured.stderr
    printed = json.loads(measured.stdout)
    run = printed["run"]
    assert (printed["copies"], run["files"], run["clips"], run["failed"]) == (1, 6, 12, 0)
    assert run["audio_seconds"] == pytest.approx(6.0)
    assert run["peak_bytes"] > 100e6
    assert printed["stages"]["checkpoint"] == "20260131T120000Z-1a2b3c4d"


def test_every_part_of_the_start_takes_time(measured: Result) -> None:
    run = json.loads(measured.stdout)["run"]
    assert run["start_seconds"] > 0.1
    assert run["first_answer_seconds"] > 0


def test_an_option_of_before_is_accepted_with_a_warning(measured: Result) -> None:
    assert measured.stderr.startswith("clfd: --plot does nothing: ")
    assert not (ROOT / "stages.png").exists()


def test_the_home_stays_as_it_was(home: Home, sounds: Path, measured: Result) -> None:
    assert list(home.inbox.iterdir()) == []
    assert not home.ledger_file.exists()
    assert not (home.root / "mine.db").exists()
    assert len(list(sounds.iterdir())) == 7


def test_a_bench_that_is_terminated_leaves_nothing_behind(
    home: Home, sounds: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "clfd", "--home", str(home.root), "bench", str(sounds)],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    tick, daemons, workers = threading.Event(), list[int](), list[int]()
    while not workers and process.poll() is None:
        tick.wait(0.05)
        daemons = [pid for pid in children_of(process.pid) if b"--once" in command_of(pid)]
        workers = [pid for daemon in daemons for pid in children_of(daemon)]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert [pid for pid in daemons if b"--once" in command_of(pid)] == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_bench_left_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    last_pid = int(Path("/proc/sys/kernel/pid_max").read_text())  # which no process has
    left = tmp_path / f"clfd-bench-{last_pid}-x" / "inbox"
    left.mkdir(parents=True)
    with temporary_home(temporary_folder("clfd-bench")) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def children_of(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_files_that_are_no_audio_are_an_error_in_one_line(home: Home, tmp_path: Path) -> None:
    (tmp_path / "page.wav").write_text("<html>404</html>")
    words = ["--home", str(home.root), "bench", str(tmp_path), "--seconds", "1"]
    done = CliRunner().invoke(cli, words, obj=Invocation())
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "clfd: none of the files can be decoded; try `clfd classify` on one of them\n"
    )
