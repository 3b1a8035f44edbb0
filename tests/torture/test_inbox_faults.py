"""The inbox goes away under a running daemon and comes back, in every way a system has for that."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from oracle import judge, require
from running_house import RunningHouse
from sounds import wav

MakeRunning = Callable[..., RunningHouse]


def mount(*arguments: object) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.decode()}")


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Mounts a file system over the inbox of `home`; called again it mounts another one on top."""
    inbox = tmp_path / "home" / "inbox"

    def put_in() -> None:
        mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", inbox)

    yield put_in
    while subprocess.run(["umount", "--lazy", inbox], capture_output=True).returncode == 0:
        pass


def faults(house: RunningHouse) -> str:
    return str(house.status().get("faults", ""))


def wait_for_fault(house: RunningHouse, words: str) -> None:
    house.wait_until(lambda: words in faults(house))


def wait_for_health(house: RunningHouse) -> None:
    house.wait_until(lambda: faults(house) == "[]")


def drop(house: RunningHouse, name: str, seed: int) -> None:
    (house.home.inbox / name).write_bytes(wav(seed))


def test_an_inbox_that_is_deleted_renamed_or_replaced_is_a_fault_until_it_is_back(
    make_running: MakeRunning, tmp_path: Path
) -> None:
    house = make_running(CLFD_INTAKE__SCAN_SECONDS="600")  # so that supervision alone can notice
    inbox = house.home.inbox
    house.start()
    drop(house, "a.wav", 1)
    house.wait_for_rows(1)
    inbox.rename(tmp_path / "renamed")
    wait_for_fault(house, "cannot be listed")
    inbox.mkdir()
    wait_for_health(house)
    drop(house, "b.wav", 2)
    house.wait_for_rows(2)
    (inbox / "b.wav").unlink()
    inbox.rmdir()
    wait_for_fault(house, "cannot be listed")
    inbox.symlink_to(tmp_path / "renamed")
    wait_for_health(house)
    (tmp_path / "renamed" / "c.wav").write_bytes(wav(3))
    house.wait_for_rows(3)
    assert house.stop() == 0
    require(judge(house.home, tmp_path / "renamed"))


def test_a_card_that_is_pulled_changed_and_put_back_loses_nothing(
    make_running: MakeRunning, card: Callable[[], None]
) -> None:
    house = make_running(CLFD_INTAKE__SCAN_SECONDS="600")
    card()
    house.start()
    drop(house, "a.wav", 1)
    house.wait_for_rows(1)
    subprocess.run(["umount", "--lazy", house.home.inbox], check=True)
    wait_for_fault(house, "used to be mounted there and is not")
    assert house.states() == {"a.wav": "done"}
    card()
    wait_for_health(house)
    drop(house, "b.wav", 2)
    house.wait_for_rows(2)
    card()  # another one over it
    drop(house, "c.wav", 3)
    house.wait_for_rows(3)
    subprocess.run(["umount", "--lazy", house.home.inbox], check=True)
    drop(house, "d.wav", 4)
    house.wait_for_rows(4)
    assert house.stop() == 0
    require(judge(house.home))


def test_an_empty_mount_point_at_the_start_is_a_fault_and_one_run_says_so(
    make_running: MakeRunning, card: Callable[[], None]
) -> None:
    house = make_running()
    card()
    house.start()
    drop(house, "a.wav", 1)
    house.wait_for_rows(1)
    assert house.stop() == 0
    subprocess.run(["umount", "--lazy", house.home.inbox], check=True)
    house.launch("--once")
    assert house.daemon.wait(60) == 1
    assert "used to be mounted there and is not; mount it" in house.last_words()
    assert house.states() == {"a.wav": "done"}


def test_a_read_only_inbox_works(make_running: MakeRunning, tmp_path: Path) -> None:
    house = make_running()
    inbox = house.home.inbox
    drop(house, "a.wav", 1)
    mount("--bind", inbox, inbox)
    mount("-o", "remount,ro,bind", inbox)
    try:
        house.start()
        house.wait_for_rows(1)
        assert house.states() == {"a.wav": "done"}
        assert house.stop() == 0
    finally:
        subprocess.run(["umount", inbox], check=True)


def test_without_inotify_instances_or_watches_scans_find_everything_and_status_says_so(
    make_running: MakeRunning,
) -> None:
    house = make_running(CLFD_INTAKE__SCAN_SECONDS="1")
    for folder in range(40):
        (house.home.inbox / f"{folder}").mkdir()
    limit = Path("/proc/sys/fs/inotify/max_user_watches")
    before = limit.read_text()
    try:
        limit.write_text("20")
    except OSError:
        pytest.skip("needs the right to change a limit of the kernel")
    try:
        house.start()
        house.wait_until(lambda: "max_user_watches" in str(house.status().get("watching")))
        for folder in range(40):
            drop(house, f"{folder}/a.wav", folder)
        house.wait_for_rows(40)
    finally:
        limit.write_text(before)
    assert house.stop() == 0
    require(judge(house.home))
