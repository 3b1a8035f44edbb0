from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.intake.scanner import Inbox
from storage.home.inbox_rules import IgnoreList

SUFFIXES = frozenset({b".wav"})


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path, SUFFIXES)


def put(inbox: Inbox, *names: str) -> None:
    for name in names:
        path = inbox.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(inbox: Inbox) -> list[bytes]:
    scan, paths = inbox.scan(), []
    while not scan.is_over:
        paths += [arrival.path for arrival in scan.take(100)]
    return sorted(paths)


def test_files_in_folders_of_any_depth_are_found(inbox: Inbox) -> None:
    put(inbox, "a.wav", "card/b.WAV", "card/2026/01/c.wav")
    assert found(inbox) == [b"a.wav", b"card/2026/01/c.wav", b"card/b.WAV"]


def test_a_name_that_is_no_text_is_found(inbox: Inbox) -> None:
    name = os.fsencode(inbox.root) + b"/\xff\xfe\n\xf0\x9f\x90\xb8.wav"
    os.close(os.open(name, os.O_CREAT))
    assert found(inbox) == [b"\xff\xfe\n\xf0\x9f\x90\xb8.wav"]


def test_empty_folders_are_listed_some_at_a_time_too(inbox: Inbox) -> None:
    for number in range(10):
        (inbox.root / str(number)).mkdir()
    scan, looks = inbox.scan(), 0
    while not scan.is_over:
        assert scan.take(4) == []
        looks += 1
    assert (looks, scan.folders) == (3, 11)
    assert not list(inbox.scan().entries())


def test_links_are_never_followed(inbox: Inbox, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.wav").write_bytes(b"x")
    (inbox.root / "link.wav").symlink_to(outside / "secret.wav")
    (inbox.root / "folder").symlink_to(outside)
    assert found(inbox) == []


def test_a_pipe_named_like_audio_is_no_arrival(inbox: Inbox) -> None:
    os.mkfifo(inbox.root / "pipe.wav")
    assert found(inbox) == []


def test_system_folders_are_not_entered(inbox: Inbox) -> None:
    put(inbox, "@eaDir/a.wav", ".stversions/b.wav", "__MACOSX/c.wav", "d.wav")
    assert found(inbox) == [b"d.wav"]


def test_what_is_left_out_is_counted(inbox: Inbox) -> None:
    put(inbox, "a.wav", "notes.txt", "b.wav.part", ".hidden.wav")
    scan = inbox.scan()
    scan.take(100)
    assert (scan.ignored, scan.partial) == (2, 1)


@pytest.mark.parametrize(
    "name", [".field.wav.x7Gq2Z", ".syncthing.field.wav.tmp", "~syncthing~field.wav.tmp", "a.PART"]
)
def test_names_that_copying_programs_use_are_waited_for(inbox: Inbox, name: str) -> None:
    put(inbox, name)
    scan = inbox.scan()
    assert scan.take(100) == []
    assert (scan.ignored, scan.partial) == (0, 1)


@pytest.mark.parametrize(
    "glob", ["*_test.wav", "old", "old/*", "card/2026", "/card/*/a.wav", "caf?.wav"]
)
def test_what_is_on_the_list_is_left_out_of_scans_and_looks_and_counted(
    inbox: Inbox, glob: str
) -> None:
    put(inbox, "a_test.wav", "old/a_test.wav", "card/2026/a.wav", "card/b.wav", "café.wav")
    everything = found(inbox)
    listed = Inbox(inbox.root, SUFFIXES, IgnoreList([glob]))
    scan = listed.scan()
    taken = {arrival.path for arrival in scan.take(100)}
    assert taken < set(everything)
    assert scan.ignored
    assert {path for path in everything if listed.look_at(path)} == taken


def test_a_scan_goes_on_where_it_paused(inbox: Inbox) -> None:
    put(inbox, *(f"{i}.wav" for i in range(10)))
    scan = inbox.scan()
    assert [len(scan.take(4)) for _ in range(4)] == [4, 4, 2, 0]


def test_names_that_are_left_out_count_too_so_that_none_are_listed_all_at_once(
    inbox: Inbox,
) -> None:
    put(inbox, *(f"{i}.txt" for i in range(10)), "a.wav")
    scan = inbox.scan()
    found = []
    for step in range(3):
        found += scan.take(4)
        assert scan.n_names == min(11, 4 * (step + 1))
    assert ([arrival.path for arrival in found], scan.is_over) == ([b"a.wav"], True)


def test_a_missing_inbox_is_a_fault_and_not_an_empty_inbox(tmp_path: Path) -> None:
    scan = Inbox(tmp_path / "gone", SUFFIXES).scan()
    assert scan.take(1) == []
    assert scan.fault == f"inbox {tmp_path / 'gone'} cannot be listed: No such file or directory"


def test_a_look_at_a_path_inside_a_system_folder_sees_nothing(inbox: Inbox) -> None:
    put(inbox, "@eaDir/a.wav", "b/a.wav")
    assert inbox.look_at(b"@eaDir/a.wav") is None
    assert inbox.look_at(b"b/a.wav") is not None


def test_a_look_and_a_scan_see_the_same_file(inbox: Inbox) -> None:
    put(inbox, "b/a.wav")
    assert inbox.scan().take(100) == [inbox.look_at(b"b/a.wav")]


@pytest.fixture
def depth(inbox: Inbox) -> Iterator[int]:
    """Levels of folders in the inbox, a file at the bottom: more than a call stack takes."""
    levels = 1200
    here = os.open(inbox.root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("a.wav", os.O_CREAT, dir_fd=here))
    os.close(here)
    yield levels
    # pytest's own cleaning, some runs later, would not get to the bottom of it.
    subprocess.run(["rm", "-rf", inbox.root / "d"], check=True)


def test_a_tree_deeper_than_the_stack_of_python_is_listed(inbox: Inbox, depth: int) -> None:
    assert [len(path) for path in found(inbox)] == [2 * depth + len("a.wav")]
