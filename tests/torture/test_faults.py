"""Faults that need a real process or some time; README.md here has the list of all forty."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from old_ledger import first_ledger
from oracle import is_healthy, judge, require
from running_house import RunningHouse
from sounds import wav

from classifier.audio.decode import Segment, decode
from classifier.inference.prepare import load_predictor
from storage.database.sqlite import driver
from storage.database.tables import SCHEMA_VERSION

MakeRunning = Callable[..., RunningHouse]
Size = Callable[[str, int], int]

# Root without the right to pass over modes: the daemon then meets them as any user does.
AS_A_USER = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def drop(house: RunningHouse, n_files: int, seconds: float = 0.05) -> None:
    for number in range(n_files):
        (house.home.inbox / f"{number}.wav").write_bytes(wav(number, seconds))


def all_done(house: RunningHouse, n_files: int) -> bool:
    states = house.states()
    return len(states) == n_files and set(states.values()) == {"done"}


def has_begun(house: RunningHouse) -> bool:
    """By the ledger: the status comes once a second, and fifty files may be done by then."""
    return bool(house.states())


# --- 3 and 4: told to stop


@pytest.mark.parametrize("whole_group", [False, True], ids=["alone", "group"])
def test_a_stop_in_the_middle_of_a_batch_fails_nothing(
    whole_group: bool, make_running: MakeRunning
) -> None:
    house = make_running()
    drop(house, 300, seconds=20)
    house.start()
    house.wait_until(lambda: has_begun(house))
    os.killpg(house.daemon.pid, signal.SIGTERM) if whole_group else house.daemon.terminate()
    assert house.daemon.wait(60) == 0, house.last_words()
    assert "failed" not in house.states().values()
    house.start()
    house.wait_until(lambda: all_done(house, 300), 120)
    assert house.stop() == 0
    require(judge(house.home, may_fail={}))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_storm_of_signals_is_one_orderly_stop(how: int, make_running: MakeRunning) -> None:
    house = make_running()
    drop(house, 200, seconds=20)
    house.start()
    house.wait_until(lambda: has_begun(house))
    for number in range(100_000):
        if house.daemon.poll() is not None:
            break
        house.daemon.send_signal(how)
        if number > 1000:  # also while it ends, but let it end
            time.sleep(0.005)
    assert house.daemon.wait(60) == 0, house.last_words()
    assert "Traceback" not in house.last_words(100)
    house.start()
    house.wait_until(lambda: all_done(house, 200))
    assert house.stop() == 0
    require(judge(house.home, may_fail={}))


def test_a_storm_of_reloads_changes_nothing(make_running: MakeRunning) -> None:
    house = make_running()
    drop(house, 200, seconds=20)
    house.start()
    house.wait_until(lambda: has_begun(house))
    for _ in range(1000):
        house.daemon.send_signal(signal.SIGHUP)
    house.wait_until(lambda: all_done(house, 200), 120)
    assert house.stop() == 0
    assert "Traceback" not in house.last_words(100)
    require(judge(house.home, may_fail={}))


# --- 11, 12, 14 and 17: the ledger


def test_a_ledger_locked_for_long_is_waited_for_in_bounded_memory(
    make_running: MakeRunning, size: Size
) -> None:
    seconds = size("LOCK_SECONDS", 20)
    house = make_running()
    house.start()
    drop(house, 20)
    house.wait_until(lambda: all_done(house, 20))
    before = resident_kib(house)
    with closing(driver().connect(house.home.ledger_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(20, 400):
            (house.home.inbox / f"{number}.wav").write_bytes(wav(number, 5))
        house.wait_until(lambda: "locked" in str(house.status().get("faults")))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            fault = str(is_healthy(house.home, house.daemon.pid))
            assert "heartbeat" not in fault, fault
            time.sleep(1)
        grown = resident_kib(house) - before
    house.wait_until(lambda: all_done(house, 400), 120)
    assert grown < 100 * 1024
    assert house.stop() == 0
    require(judge(house.home, may_fail={}))


def resident_kib(house: RunningHouse) -> int:
    rollup = Path(f"/proc/{house.daemon.pid}/smaps_rollup").read_text()
    return int(rollup.partition("Rss:")[2].split()[0])


@pytest.mark.parametrize("how", ["renamed", "deleted", "replaced"])
def test_a_ledger_that_is_taken_away_stops_the_daemon_with_one_line(
    how: str, make_running: MakeRunning
) -> None:
    house = make_running()
    house.start()
    drop(house, 5)
    house.wait_until(lambda: all_done(house, 5))
    ledger = house.home.ledger_file
    aside = ledger.with_name("aside.db")
    if how == "deleted":
        ledger.unlink()
    else:
        ledger.rename(aside)
    if how == "replaced":
        shutil.copyfile(aside, ledger)
    began = time.monotonic()
    (house.home.inbox / "later.wav").write_bytes(wav(99))
    assert house.daemon.wait(20) == 1, house.last_words()
    assert time.monotonic() - began < 10
    message = house.last_words(1).splitlines()[-1]
    assert message.startswith("clfd: ")
    assert "moved, deleted or replaced" in message or "no ledger" in message
    if how == "renamed":
        aside.rename(ledger)
        house.start()
        house.wait_until(lambda: all_done(house, 6))
        assert house.stop() == 0
        require(judge(house.home, may_fail={}))


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_an_upgrade_killed_at_any_write_leaves_the_old_ledger_or_the_new(
    make_running: MakeRunning, tmp_path: Path
) -> None:
    beginning = tmp_path / "first.db"
    first_ledger(beginning)
    house = make_running()
    outcomes = []
    for step in (1, 2, 4, 8, 16, 32, 64):
        for leftover in house.home.root.glob("clfd.db*"):
            leftover.unlink()
        shutil.copyfile(beginning, house.home.ledger_file)
        calls = "pwrite64,fsync,fdatasync,rename,unlink"
        done = subprocess.run(
            [
                *("strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}"),
                *("-e", f"inject={calls}:signal=KILL:when={step}", "-P", house.home.root),
                *(word for end in ("", "-wal", "-shm", "-journal") for word in
                  ("-P", f"{house.home.ledger_file}{end}")),
                *house._command("db", "upgrade"),
            ],
            env=house.environ,
            capture_output=True,
            check=False,
        )  # fmt: skip
        outcomes.append((done.returncode, *version_and_rows(house)))
        again = house.clfd("db", "upgrade")
        assert again.returncode == 0, again.stderr
        assert version_and_rows(house) == (SCHEMA_VERSION, [1, 1, 1, 1])
    print(f"\nafter kills: {outcomes}")
    assert all(rows == [1, 1, 1, 1] for _, _, rows in outcomes)
    assert outcomes[0][0] == -signal.SIGKILL


def version_and_rows(house: RunningHouse) -> tuple[str, list[int]]:
    with closing(driver().connect(house.home.ledger_file)) as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        version = ledger.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        tables = ("inbox", "checkpoint", "recording", "prediction")
        counts = [ledger.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables]
    return version, counts


# --- 23 and 32: permissions


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_an_inbox_that_may_not_be_read_is_a_fault_until_it_may(make_running: MakeRunning) -> None:
    house = make_running(CLFD_INTAKE__SCAN_SECONDS="1")
    drop(house, 1)
    house.home.inbox.chmod(0)
    house.start(prefix=AS_A_USER)
    house.wait_until(lambda: "Permission denied" in str(house.status().get("faults")))
    house.home.inbox.chmod(0o700)
    house.wait_until(lambda: all_done(house, 1) and house.status().get("faults") == [])
    assert house.stop() == 0
    require(judge(house.home, may_fail={}))


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_a_file_that_may_not_be_read_fails_visibly_and_is_read_once_it_may(
    make_running: MakeRunning,
) -> None:
    house = make_running(CLFD_INTAKE__SCAN_SECONDS="1")
    drop(house, 3)
    (house.home.inbox / "1.wav").chmod(0)
    house.start(prefix=AS_A_USER)
    house.wait_until(lambda: sorted(house.states().values()) == ["done", "done", "failed"])
    (house.home.inbox / "1.wav").chmod(0o600)
    house.wait_until(lambda: all_done(house, 3))
    assert house.stop() == 0
    require(judge(house.home, may_fail={}))


# --- 24 and 25: trees and slow writers


def test_a_fast_tree_and_folders_that_move_leave_each_file_one_row(
    make_running: MakeRunning, tmp_path: Path
) -> None:
    house = make_running(CLFD_INTAKE__SCAN_SECONDS="3")
    house.start()
    inbox, numbers = house.home.inbox, itertools.count()
    for at in range(300):
        folder = inbox / f"{at % 10}/{at}/deep"
        folder.mkdir(parents=True)
        for _ in range(3):
            (folder / f"{next(numbers)}.wav").write_bytes(wav(next(numbers)))
    card = tmp_path / "card"
    card.mkdir()
    for number in range(3):
        (card / f"{number}.wav").write_bytes(wav(-number - 1))
    card.rename(inbox / "card")
    (inbox / "3").rename(tmp_path / "out")  # with its watches, which still tell the old path
    for file in list((tmp_path / "out").rglob("*.wav")):
        file.write_bytes(wav(next(numbers)))
    (inbox / "4").rename(inbox / "renamed")
    house.wait_until(lambda: len(judge(house.home).complaints) == 0, 120)
    assert house.stop() == 0
    assert all((inbox / path).exists() for path, state in house.states().items() if state == "done"
               and not path.startswith(("3/", "4/")))  # fmt: skip


def test_a_slow_writer_gets_one_current_row_for_what_it_wrote_in_the_end(
    make_running: MakeRunning,
) -> None:
    house = make_running()
    house.start()
    whole = wav(7, seconds=2)
    path = house.home.inbox / "slow.wav"
    pauses = (0.05, 0.1, 0.05, 1.2, 0.05, 0.1, 1.2, 0.05)  # some longer than the settle time
    for part, pause in enumerate(pauses):
        with path.open("ab") as file:  # opened and closed each time
            file.write(whole[part * len(whole) // 8 : (part + 1) * len(whole) // 8])
        time.sleep(pause)
    house.wait_until(lambda: not judge(house.home).complaints)
    assert house.stop() == 0
    verdict = judge(house.home)
    require(verdict)
    assert verdict.states["done"] == 1


# --- 38: checkpoints replaced all the time


def test_checkpoints_replaced_all_the_time_never_mix(
    make_running: MakeRunning, checkpoint_file: Path, second_checkpoint: Path
) -> None:
    house = make_running()
    house.start()
    stop = threading.Event()

    def publish_for_ever() -> None:
        for number in itertools.count():
            source = (checkpoint_file, second_checkpoint)[number % 2]
            house.publish(source, f"20990101T000000Z-{number % 50:08x}")
            if stop.wait(0.01):
                return

    publisher = threading.Thread(target=publish_for_ever)
    publisher.start()
    try:
        for number in range(200):
            (house.home.inbox / f"{number}.wav").write_bytes(wav(number, 1.3))
            time.sleep(0.02)
        house.wait_until(lambda: all_done(house, 200), 120)
    finally:
        stop.set()
        publisher.join()
    assert house.stop() == 0
    require(judge(house.home, may_fail={}))
    answers = answers_of(house)
    assert len({digest for _, digest, _ in answers}) == 2, "only one checkpoint ever served"
    loaded = [load_predictor(f, torch.device("cpu")) for f in (checkpoint_file, second_checkpoint)]
    predictors = {one.checkpoint.digest: one for one in loaded}
    for path, digest, scores in answers:
        file = os.path.join(os.fsencode(house.home.inbox), path)
        clips = decode(Segment(file, 8000, 4000, 4000, 99)).clips.copy()
        alone = predictors[digest].score(clips).mean(axis=0)
        assert np.allclose(np.frombuffer(scores, "<f4"), alone, atol=1e-3), path


def answers_of(house: RunningHouse) -> list[tuple[bytes, str, bytes]]:
    query = (
        "SELECT r.path, c.digest, p.scores FROM recording r JOIN prediction p"
        " ON p.id = r.prediction_id JOIN checkpoint c ON c.id = p.checkpoint_id"
    )
    with closing(driver().connect(house.home.ledger_file)) as ledger:
        return list(ledger.execute(query))
