"""A file that somebody still writes is not taken, however long it rests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from house import House, HouseMaker
from moves import files_below

from daemon.archive.mover import COPY_REST_SECONDS, REST_SECONDS
from daemon.errors import DaemonError
from daemon.intake.open_files import OpenFiles
from daemon.intake.stability import MAX_OPEN_SECONDS

AudioFile = Callable[..., Path]


@pytest.fixture
def of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that belong to somebody else: the kernel does not tell of them."""
    monkeypatch.setattr(OpenFiles, "_lease_tells", lambda *_: None)


def write(house: House, source: Path) -> tuple[Path, bytes]:
    """Somebody writes a file into the inbox, and keeps it open."""
    path = house.drop(source, "a.wav")
    house.watcher.ring(house.inbox, b"a.wav")
    house.watcher.writes.written((house.inbox, b"a.wav"))
    return path.parent, b"a.wav"


@pytest.mark.usefixtures("of_others")
def test_a_file_that_is_open_for_writing_is_taken_when_it_is_closed(
    house: House, audio_file: AudioFile
) -> None:
    write(house, audio_file())
    house.live(MAX_OPEN_SECONDS / 2)
    assert house.rows() == []
    assert house.statuses[-1]["open_for_writing"] == ["a.wav"]
    house.watcher.ring(house.inbox, b"a.wav", was_closed=True)
    house.service.tick(house.now)
    assert house.rows() == [("a.wav", "done")]
    house.live()
    assert house.statuses[-1]["open_for_writing"] == []


@pytest.mark.usefixtures("of_others")
def test_after_a_bound_it_is_taken_in_spite_of_its_writer(
    house: House, audio_file: AudioFile, caplog: pytest.LogCaptureFixture
) -> None:
    write(house, audio_file())
    house.live(MAX_OPEN_SECONDS + 10)
    assert house.rows() == [("a.wav", "done")]
    assert "a.wav is taken though it is open for writing" in caplog.text


@pytest.mark.usefixtures("of_others")
def test_a_recording_of_an_hour_that_is_flushed_each_half_minute_is_one_row_scored_once(
    house: House, audio_file: AudioFile
) -> None:
    house.live()
    whole = audio_file().read_bytes()
    inbox, path = write(house, audio_file())
    half_minutes = range(120)
    for number in half_minutes:
        (inbox / "a.wav").write_bytes(whole[: len(whole) * (number + 1) // len(half_minutes)])
        house.watcher.writes.written((inbox, path))
        house.live(30, step_seconds=10)
    assert house.rows() == []
    house.watcher.ring(inbox, path, was_closed=True)
    house.live()
    assert house.rows() == [("a.wav", "done")]
    assert len(house.pool.submitted) == 1


def test_the_kernel_tells_of_a_file_that_was_begun_before_the_daemon(
    house: House, audio_file: AudioFile
) -> None:
    with house.drop(audio_file(), "a.wav").open("ab"):
        house.live(MAX_OPEN_SECONDS / 2)
        assert house.rows() == []
    house.live(10)
    assert house.rows() == [("a.wav", "done")]


@pytest.mark.usefixtures("of_others")
def test_where_nothing_tells_it_settles(house: House, audio_file: AudioFile) -> None:
    house.drop(audio_file(), "a.wav")
    house.live(10)
    assert house.rows() == [("a.wav", "done")]


def test_status_tells_which_witness_there_is(house: House) -> None:
    house.live()
    assert house.statuses[-1]["witness"] == {str(house.inbox): "events"}


# --- one run


def test_one_run_names_the_file_it_waits_for_and_ends_when_it_rests(
    house: House, audio_file: AudioFile, caplog: pytest.LogCaptureFixture
) -> None:
    house.drop(audio_file(), "calm.wav")
    grow(house, lambda: house.now > 1100)
    house.run_once()
    assert house.rows() == [("calm.wav", "done"), ("grow.wav", "failed")]
    [line] = [line for line in caplog.messages if "waiting for" in line]
    assert line == "waiting for grow.wav, which is still changing"


def test_one_run_whose_patience_ends_names_what_it_leaves(
    house: House, audio_file: AudioFile
) -> None:
    house.drop(audio_file(), "calm.wav")
    grow(house, lambda: False)
    with pytest.raises(DaemonError, match=r"any longer: grow\.wav is still changing; run"):
        house.run_once(patience_seconds=20)
    assert house.rows() == [("calm.wav", "done")]
    assert house.now < 1060


def test_one_run_tells_a_file_that_is_open_from_one_that_changes(
    house: House, audio_file: AudioFile
) -> None:
    with (
        house.drop(audio_file(), "a.wav").open("ab"),
        pytest.raises(DaemonError, match=r"a\.wav is open for writing"),
    ):
        house.run_once(patience_seconds=20)


def test_of_many_files_that_one_run_waits_for_the_first_are_named(
    house: House, audio_file: AudioFile, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        ExitStack() as recorders,
        pytest.raises(DaemonError, match=r"1\.wav is open for writing; .*; and 2 more files; run"),
    ):
        for number in range(1, 8):
            recorders.enter_context(house.drop(audio_file(), f"{number}.wav").open("ab"))
        house.run_once(patience_seconds=20)
    [line] = [line for line in caplog.messages if "waiting for" in line]
    assert line.count("which is open for writing") == 5


def grow(house: House, is_over: Callable[[], bool]) -> None:
    """`grow.wav` is written to before each look at the inbox."""
    look = house.intake.look

    def write_and_look(now: float) -> None:
        if not is_over():
            with (house.inbox / "grow.wav").open("ab") as file:
                file.write(b"more")
        look(now)

    house.intake.look = write_and_look  # type: ignore[method-assign]


# --- and the archive


@pytest.mark.usefixtures("of_others")
def test_where_nothing_tells_a_file_is_archived_after_a_longer_rest(
    archiving: House, audio_file: AudioFile
) -> None:
    archiving.drop(audio_file(), "a.wav")
    archiving.live(20)
    assert archiving.rows() == [("a.wav", "done")]
    assert files_below(archiving.inbox) == ["a.wav"]
    assert archiving.archive.awaited(archiving.now, 10) == {"a.wav": "may still be written to"}
    assert not archiving.archive.fault
    assert not archiving.service.is_done
    archiving.mover.clock = lambda: (archiving.inbox / "a.wav").stat().st_ctime + REST_SECONDS
    archiving.live(20)
    assert files_below(archiving.inbox) == []
    assert archiving.service.is_done


@pytest.mark.usefixtures("of_others")
def test_what_is_written_before_a_file_is_archived_is_scored_with_the_rest(
    make_house: HouseMaker, elsewhere: Path, audio_file: AudioFile
) -> None:
    (elsewhere / "archive").mkdir()
    house = make_house(**{"intake.archive_dir": str(elsewhere / "archive")})
    whole = audio_file().read_bytes()
    path = house.inbox / "a.wav"
    path.write_bytes(whole[:9000])
    house.live(20)
    path.write_bytes(whole)
    house.live(20)
    house.mover.clock = lambda: path.stat().st_ctime + REST_SECONDS
    house.live(20)
    assert files_below(house.inbox) == ["a.wav"]  # a copy waits longer than a rename
    house.mover.clock = lambda: path.stat().st_ctime + COPY_REST_SECONDS
    house.live(20)
    assert (elsewhere / "archive" / "inbox" / "a.wav").read_bytes() == whole
    assert files_below(house.inbox) == []
