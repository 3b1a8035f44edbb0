"""Files of which not even the size is known are told, and what can be reached is taken."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from house import House, HouseMaker
from swapped_folders import rights_of_an_ordinary_user

from daemon.errors import DaemonError
from daemon.intake.preview import preview
from daemon.intake.scanner import MAX_NAMED, Inbox

AudioFile = Callable[..., Path]
PATH_MAX = 4096


@pytest.fixture
def far_file(inbox: Path) -> Iterator[Callable[[Path], bytes]]:
    """Puts a copy of a file where its path has more bytes than the kernel takes at once."""

    def put(source: Path) -> bytes:
        folders: list[str] = []
        here = os.open(inbox, os.O_RDONLY)
        while len(os.fsencode(inbox)) + 201 * len(folders) < PATH_MAX:
            folders.append("d" * 200)
            os.mkdir(folders[-1], dir_fd=here)
            below = os.open(folders[-1], os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        file = os.open("a.wav", os.O_CREAT | os.O_WRONLY, dir_fd=here)
        os.write(file, source.read_bytes())
        os.close(file)
        os.close(here)
        return os.fsencode("/".join([*folders, "a.wav"]))

    yield put
    subprocess.run(["rm", "-rf", inbox], check=True)  # pytest's own cleaning would not get there


def test_a_file_deeper_than_the_longest_path_is_answered(
    make_house: HouseMaker, audio_file: AudioFile, inbox: Path, far_file: Callable[[Path], bytes]
) -> None:
    house = make_house(inbox=str(inbox))
    path = far_file(audio_file())
    house.run_once()
    assert house.ask("SELECT path, state FROM recording") == [(path, "done")]
    # The kernel cannot watch the last one, and no limit is to blame for that.
    assert house.watcher.n_folders == len(path.split(b"/")) - 1


def test_a_file_whose_place_in_the_archive_nobody_could_open_stays_and_is_told(
    make_house: HouseMaker, audio_file: AudioFile, inbox: Path, far_file: Callable[[Path], bytes]
) -> None:
    house = make_house(inbox=str(inbox), **{"intake.archive_dir": "archive"})
    path = far_file(audio_file())
    house.live()
    assert house.ask("SELECT path, archived_at FROM recording") == [(path, None)]
    [fault] = house.statuses[-1]["faults"]  # type: ignore[misc]
    assert "File name too long" in fault
    assert Inbox(inbox, frozenset({b".wav"})).look_at(path)


@pytest.fixture
def card(inbox: Path, audio_file: AudioFile) -> Iterator[Path]:
    """A folder whose names can be read, and nothing else of it."""
    folder = inbox / "card"
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        (folder / name).write_bytes(audio_file().read_bytes())
    folder.chmod(0o644)
    with rights_of_an_ordinary_user():
        yield folder
    folder.chmod(0o755)


def test_they_are_counted_and_one_is_named(inbox: Path, card: Path) -> None:
    scan = Inbox(inbox, frozenset({b".wav"})).scan()
    assert scan.take(100) == []
    assert (scan.n_unseen, scan.ignored, scan.n_names) == (2, 0, 3)
    [fault] = scan.faults
    assert fault.startswith(f"inbox {inbox}: files not seen: 2; card/")
    assert fault.endswith(".wav cannot be looked at: Permission denied")


def test_they_are_a_fault_in_status_and_of_one_run(
    make_house: HouseMaker, inbox: Path, card: Path
) -> None:
    house = make_house(inbox=str(inbox))
    with pytest.raises(DaemonError, match=r"not everything could be read: .*files not seen: 2"):
        house.run_once()
    assert "files not seen: 2" in str(house.statuses[-1]["faults"])


def test_the_preview_says_why(house: House, card: Path) -> None:
    settings = house.settings.model_copy(update={"inbox": (card.parent,)})
    found = {(file.action, file.path[:5], file.why) for file in preview(settings)}
    assert found == {("ignore", "card/", "cannot be looked at: Permission denied")}


def test_many_folders_that_cannot_be_listed_are_counted(inbox: Path) -> None:
    for number in range(MAX_NAMED + 3):
        (inbox / str(number)).mkdir(mode=0o000)
    with rights_of_an_ordinary_user():
        scan = Inbox(inbox, frozenset({b".wav"})).scan()
        scan.take(100)
    assert len(scan.faults) == MAX_NAMED + 1
    assert scan.faults[-1] == f"3 more folders of inbox {inbox} are left out like these"
