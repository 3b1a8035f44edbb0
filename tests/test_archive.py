"""The archive: done files leave the inbox after the commit, whole, once, and never over others."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from house import House, HouseMaker
from moves import a_move, digest, files_below, mover_to

from daemon import archive, moving, renaming
from daemon.examination import examine
from storage.archiving import Archived, ArchivePlan, Hindered, Move
from storage.errors import LedgerUnavailable, SettingsError, StorageError
from storage.home import Home
from storage.queries import Filters, results
from storage.settings import load_settings

MORE_FILES_THAN_STEPS = 48

AudioFile = Callable[..., Path]
Noise = Callable[..., np.ndarray]


@pytest.fixture
def archiving(make_house: HouseMaker) -> House:
    return make_house(**{"intake.archive_dir": "archive"})


def places(house: House) -> list[tuple[object, ...]]:
    """(path, state, where it lies in the archive or None), sorted."""
    return sorted(
        (path, state, place if at else None)
        for path, state, place, at in house.ask(
            "SELECT path_text, state, archive_path_text, archived_at FROM recording"
        )
    )


# --- what moves, and when


def test_a_done_file_leaves_the_inbox_for_the_archive(
    archiving: House, audio_file: AudioFile
) -> None:
    archiving.drop(audio_file(), "card 1/a.wav")
    archiving.live()
    place = archiving.home.root / "archive" / "inbox" / "card 1" / "a.wav"
    assert places(archiving) == [("card 1/a.wav", "done", str(place))]
    assert digest(place) == digest(audio_file())
    assert files_below(archiving.inbox) == []


def test_without_the_setting_nothing_leaves_the_inbox(house: House, audio_file: AudioFile) -> None:
    house.drop(audio_file(), "a.wav")
    house.live()
    assert places(house) == [("a.wav", "done", None)]
    assert files_below(house.inbox) == ["a.wav"]


def test_a_failed_file_stays_where_it_is(archiving: House) -> None:
    (archiving.inbox / "bad.wav").write_bytes(os.urandom(1000))
    archiving.live()
    assert places(archiving) == [("bad.wav", "failed", None)]
    assert files_below(archiving.inbox) == ["bad.wav"]


def test_a_copy_that_shares_an_answer_is_archived_too(
    archiving: House, audio_file: AudioFile
) -> None:
    for name in ("a.wav", "b.wav"):
        archiving.drop(audio_file(), name)
    archiving.live()
    assert files_below(archiving.home.root / "archive") == ["inbox/a.wav", "inbox/b.wav"]


def test_the_result_is_stored_before_anything_moves(
    archiving: House, audio_file: AudioFile
) -> None:
    archiving.hands.idle = True
    archiving.drop(audio_file(), "a.wav")
    archiving.live()
    assert places(archiving) == [("a.wav", "done", None)]
    assert [os.path.basename(move.place) for move in archiving.ledger.moves(0, 9)] == [b"a.wav"]
    assert files_below(archiving.inbox) == ["a.wav"]


def test_a_long_copy_does_not_stop_the_classification(
    archiving: House, audio_file: AudioFile, noise: Noise
) -> None:
    archiving.hands.idle = True
    archiving.drop(audio_file("1.wav"), "a.wav")
    archiving.live()
    archiving.drop(audio_file("2.wav", noise()), "b.wav")
    archiving.live()
    assert archiving.rows() == [("a.wav", "done"), ("b.wav", "done")]


def test_nothing_moves_after_the_daemon_has_stopped_for_want_of_its_ledger(
    archiving: House, audio_file: AudioFile
) -> None:
    archiving.hands.idle = True
    archiving.drop(audio_file(), "a.wav")
    archiving.live()
    archiving.ledger.database.path.unlink()
    with pytest.raises(StorageError):
        archiving.service.run()
    archiving.hands.work()
    assert files_below(archiving.inbox) == ["a.wav"]


def test_files_done_before_there_was_an_archive_follow(
    make_house: HouseMaker, audio_file: AudioFile
) -> None:
    before = make_house()
    before.drop(audio_file(), "a.wav")
    before.live()
    before.close()
    after = make_house(**{"intake.archive_dir": "archive"})
    after.live()
    assert files_below(after.home.root / "archive") == ["inbox/a.wav"]
    assert files_below(after.inbox) == []


def test_a_file_touched_before_there_was_an_archive_follows_as_well(
    make_house: HouseMaker, audio_file: AudioFile
) -> None:
    before = make_house()
    path = before.drop(audio_file(), "a.wav")
    before.live()
    before.close()
    path.touch()
    after = make_house(**{"intake.archive_dir": "archive"})
    run_once(after)
    assert files_below(after.home.root / "archive") == ["inbox/a.wav"]


@pytest.mark.parametrize(
    "name", [b"new\nline.wav", b"latin-\xe9.wav", b"-rf.wav", "ü\u202e.wav".encode(), b"x" * 251]
)
def test_odd_names_keep_their_bytes(archiving: House, audio_file: AudioFile, name: bytes) -> None:
    name = name if name.endswith(b".wav") else name + b".wav"
    archiving.drop(audio_file(), name)
    archiving.live()
    [(place, text)] = archiving.ask("SELECT archive_path, archive_path_text FROM recording")
    assert isinstance(place, bytes) and os.path.basename(place) == name
    assert str(text).isprintable() or "\n" in str(text) or "\u202e" in str(text)
    assert digest(place) == digest(audio_file())


def test_inboxes_of_one_name_have_folders_of_their_own(
    make_house: HouseMaker, audio_file: AudioFile, noise: Noise, tmp_path: Path
) -> None:
    roots = [tmp_path / "yard" / "in", tmp_path / "roof" / "in"]
    for number, root in enumerate(roots):
        root.mkdir(parents=True)
        shutil.copyfile(audio_file(f"{number}.wav", noise(seed=number)), root / "a.wav")
    house = make_house(**{"inbox": [str(r) for r in roots], "intake.archive_dir": "archive"})
    house.live()
    assert files_below(house.home.root / "archive") == ["roof/in/a.wav", "yard/in/a.wav"]


def test_folders_in_the_inbox_stay(archiving: House, audio_file: AudioFile) -> None:
    archiving.drop(audio_file(), "card/a.wav")
    archiving.live()
    assert (archiving.inbox / "card").is_dir()


# --- names that are taken, versions that come and go


def test_what_lies_in_the_archive_is_never_overwritten(
    archiving: House, audio_file: AudioFile
) -> None:
    theirs = archiving.home.root / "archive" / "inbox" / "a.wav"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    archiving.drop(audio_file(), "a.wav")
    archiving.live()
    assert places(archiving) == [("a.wav", "done", str(theirs.with_name("a.1.wav")))]
    assert theirs.read_bytes() == b"theirs"


def test_a_new_version_lies_beside_the_old_one_and_each_row_knows_its_own(
    archiving: House, audio_file: AudioFile, noise: Noise
) -> None:
    for number in range(3):
        archiving.drop(audio_file(f"{number}.wav", noise(seed=number)), "a.wav")
        archiving.live()
    folder = archiving.home.root / "archive" / "inbox"
    assert places(archiving) == [
        ("a.wav", "done", str(folder / "a.2.wav")),
        ("a.wav", "superseded", str(folder / "a.1.wav")),
        ("a.wav", "superseded", str(folder / "a.wav")),
    ]
    assert archiving.ask("SELECT count(*) FROM recording WHERE digest IS NULL") == [(0,)]
    for path, known in archiving.ask("SELECT archive_path, digest FROM recording"):
        assert digest(path) == known  # type: ignore[arg-type]


def test_a_file_that_is_dropped_again_is_neither_doubled_nor_answered_again(
    archiving: House, audio_file: AudioFile
) -> None:
    for _ in range(2):
        archiving.drop(audio_file(), "a.wav")
        archiving.live()
    place = archiving.home.root / "archive" / "inbox" / "a.wav"
    assert places(archiving) == [("a.wav", "done", str(place))]
    assert files_below(archiving.home.root / "archive") == ["inbox/a.wav"]
    assert files_below(archiving.inbox) == []
    assert len(archiving.ask("SELECT id FROM prediction")) == 1


def test_what_left_the_inbox_does_not_hide_what_comes_there_later(
    archiving: House, audio_file: AudioFile
) -> None:
    """Whatever its fingerprint: not every file system changes it when a file is renamed."""
    archiving.drop(audio_file(), "a.wav")
    archiving.live()
    assert archiving.ledger.known(archiving.inbox, [b"a.wav"]) == {}


def test_an_old_version_that_comes_back_is_current_again_and_archived_where_it_was(
    archiving: House, audio_file: AudioFile, noise: Noise
) -> None:
    first, second = audio_file("1.wav", noise(seed=1)), audio_file("2.wav", noise(seed=2))
    for source in (first, second, first, second):
        archiving.drop(source, "a.wav")
        archiving.live()
    folder = archiving.home.root / "archive" / "inbox"
    assert places(archiving) == [
        ("a.wav", "done", str(folder / "a.1.wav")),
        ("a.wav", "superseded", str(folder / "a.wav")),
    ]
    assert files_below(folder) == ["a.1.wav", "a.wav"]


def test_a_file_taken_back_from_the_archive_returns_there(
    archiving: House, audio_file: AudioFile
) -> None:
    archiving.drop(audio_file(), "a.wav")
    archiving.live()
    place = archiving.home.root / "archive" / "inbox" / "a.wav"
    place.rename(archiving.inbox / "a.wav")
    archiving.live()
    assert places(archiving) == [("a.wav", "done", str(place))]
    assert files_below(archiving.inbox) == []


def test_equal_sounds_under_two_names_never_share_one_file(
    archiving: House, audio_file: AudioFile, noise: Noise
) -> None:
    """The second version of `a.wav` goes to `a.1.wav`, where its copy of that name wants to go."""
    archiving.drop(audio_file("1.wav", noise(seed=1)), "a.wav")
    archiving.live()
    again = audio_file("2.wav", noise(seed=2))
    for name in ("a.wav", "a.1.wav"):
        archiving.drop(again, name)
    archiving.live()
    lies_at = [place for _, _, place in places(archiving)]
    assert len(set(lies_at)) == 3
    assert len(files_below(archiving.home.root / "archive")) == 3


def test_a_file_that_changed_after_its_answer_is_not_moved_as_what_it_was(
    archiving: House, audio_file: AudioFile, noise: Noise
) -> None:
    archiving.hands.idle = True
    archiving.drop(audio_file("1.wav"), "a.wav")
    archiving.live(10)
    archiving.drop(audio_file("2.wav", noise()), "a.wav")
    archiving.hands.idle = False
    archiving.hands.work()
    archiving.live()
    place = archiving.home.root / "archive" / "inbox" / "a.wav"
    assert places(archiving) == [("a.wav", "done", str(place)), ("a.wav", "superseded", None)]
    assert digest(place) == digest(audio_file("2.wav", noise()))


def test_a_file_deleted_from_the_inbox_is_not_waited_for(
    archiving: House, audio_file: AudioFile
) -> None:
    archiving.hands.idle = True
    archiving.drop(audio_file(), "a.wav")
    archiving.live(10)
    (archiving.inbox / "a.wav").unlink()
    archiving.hands.work()
    archiving.live()
    assert places(archiving) == [("a.wav", "done", None)]
    assert archiving.ledger.count_moves() == 0


def test_another_archive_in_the_settings_takes_what_is_outstanding(
    make_house: HouseMaker, audio_file: AudioFile
) -> None:
    before = make_house(**{"intake.archive_dir": "old"})
    before.hands.idle = True
    before.drop(audio_file(), "a.wav")
    before.live()
    before.close()
    after = make_house(**{"intake.archive_dir": "new"})
    after.live()
    assert files_below(after.home.root / "new") == ["inbox/a.wav"]
    assert not (after.home.root / "old").exists()


# --- read where it lies


def rescore(house: House) -> None:
    with house.ledger.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE recording SET requeued = 'rescore'")


def archived_and_rescored(
    house: House, source: Path, checkpoint_file: Path, meanwhile: Callable[[Path], object]
) -> None:
    house.drop(source, "a.wav")
    house.live()
    house.publish(checkpoint_file, "20990101T000000Z-00000002")
    meanwhile(house.home.root / "archive" / "inbox" / "a.wav")
    house.model.refresh(house.now)
    rescore(house)
    for _ in range(50):  # the new checkpoint is prepared in a thread
        threading.Event().wait(0.05)
        house.live(1)
        if house.model.served.name.startswith("2099"):
            break
    house.live(40)


@pytest.mark.parametrize("meanwhile", [Path.exists, Path.touch], ids=["as it was", "touched"])
def test_an_archived_file_is_heard_again_where_it_lies(
    archiving: House,
    audio_file: AudioFile,
    checkpoint_file: Path,
    meanwhile: Callable[[Path], object],
) -> None:
    archived_and_rescored(archiving, audio_file(), checkpoint_file, meanwhile)
    assert archiving.pool.submitted[-1].path.endswith(b"/archive/inbox/a.wav")
    assert archiving.ask("SELECT warning, requeued, claimed_by FROM recording") == [
        (None, None, None)
    ]
    [(_, _, place)] = places(archiving)
    assert place is not None


@pytest.mark.parametrize(
    ("meanwhile", "why"),
    [(Path.unlink, "gone"), (lambda path: path.write_bytes(b""), "rescoring failed")],
    ids=["deleted", "overwritten"],
)
def test_a_rescore_of_what_left_the_archive_keeps_the_answer_and_says_so(
    archiving: House,
    audio_file: AudioFile,
    checkpoint_file: Path,
    meanwhile: Callable[[Path], object],
    why: str,
) -> None:
    archived_and_rescored(archiving, audio_file(), checkpoint_file, meanwhile)
    [(state, warning, requeued)] = archiving.ask("SELECT state, warning, requeued FROM recording")
    assert (state, requeued) == ("done", None)
    assert why in str(warning)


def test_other_sound_in_an_archived_file_is_no_answer_of_the_recording(
    archiving: House, audio_file: AudioFile, checkpoint_file: Path, noise: Noise
) -> None:
    other = audio_file("other.wav", noise())
    archived_and_rescored(
        archiving, audio_file(), checkpoint_file, lambda place: shutil.copyfile(other, place)
    )
    [(state, warning, requeued)] = archiving.ask("SELECT state, warning, requeued FROM recording")
    assert (state, requeued) == ("done", None)
    assert "is not what was archived" in str(warning)
    assert archiving.ledger.has_work() is False


def test_what_is_on_its_way_is_not_read(archiving: House, audio_file: AudioFile) -> None:
    archiving.hands.idle = True
    archiving.drop(audio_file(), "a.wav")
    archiving.live()
    rescore(archiving)
    asked = len(archiving.pool.submitted)
    archiving.live(5)
    assert len(archiving.pool.submitted) == asked
    archiving.hands.idle = False
    archiving.hands.work()
    archiving.live(5)
    assert archiving.pool.submitted[-1].path.endswith(b"/archive/inbox/a.wav")


# --- kills and faults at every step


@pytest.mark.torture
@pytest.mark.parametrize("can_rename", [True, False], ids=["renameat2", "reserve"])
@pytest.mark.parametrize("where", ["same file system", "another file system"])
def test_a_kill_at_any_step_leaves_each_file_in_one_place_which_its_row_names(
    make_house: HouseMaker,
    audio_file: AudioFile,
    noise: Noise,
    where: str,
    can_rename: bool,
    request: pytest.FixtureRequest,
) -> None:
    archive = "archive"
    if where == "another file system":
        archive = str(request.getfixturevalue("elsewhere") / "archive")
        Path(archive).mkdir()
    house = make_house(**{"intake.archive_dir": archive})
    house.hands.idle = True
    for number in range(MORE_FILES_THAN_STEPS):
        source = audio_file("x.wav", noise(seed=number))
        house.drop(source, f"card {number}/a.wav")
    house.live(100)
    moves = house.ledger.moves(0, 1000)
    assert len(moves) == MORE_FILES_THAN_STEPS
    house.close()
    walked = walk(ArchivePlan(Path(house.home.root, archive), (house.inbox,)), moves, can_rename)
    assert [len(steps) for steps in walked[:5]] == [0, 1, 2, 3, 4]
    assert walked[-1][-1] == "end", "more steps than files: raise their number"

    again = make_house(**{"intake.archive_dir": archive})
    again.live(100)
    found = again.ask("SELECT archive_path, digest, state FROM recording WHERE archived_at > ''")
    assert len(found) == MORE_FILES_THAN_STEPS
    assert all(digest(path) == known for path, known, _ in found)  # type: ignore[arg-type]
    assert {state for _, _, state in found} == {"done"}
    assert files_below(again.inbox) == []
    left = files_below(Path(again.home.root, archive))
    reserved = [n for n in left if not Path(again.home.root, archive, n).stat().st_size]
    assert len(left) - len(reserved) == MORE_FILES_THAN_STEPS
    assert not reserved or not can_rename


def walk(plan: ArchivePlan, moves: list[Move], can_rename: bool) -> list[list[str]]:
    """The steps that came before the kill, of each move."""
    script = Path(__file__).with_name("kill_walk.py")
    environ = os.environ | {"PYTHONPATH": str(script.parent.parent)}
    told = subprocess.run(
        [sys.executable, str(script)],
        input=pickle.dumps((plan, moves, can_rename)),
        env=environ,
        stdout=subprocess.PIPE,
        check=True,
    )
    steps: list[list[str]] = json.loads(told.stdout)
    return steps


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("where", ["same file system", "another file system"])
def test_an_error_at_any_step_leaves_the_file_whole_and_the_next_try_ends_it(
    inbox: Path,
    tmp_path: Path,
    where: str,
    error: int,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    from kill_walk import SMALL_BLOCK_BYTES, Walk

    archive = tmp_path / "archive"
    if where == "another file system":
        archive = request.getfixturevalue("elsewhere") / "archive"
    content = os.urandom(3 * SMALL_BLOCK_BYTES)
    done, last_step = 0, 0

    def step(name: str) -> None:
        nonlocal done
        done += 1
        if done == last_step + 1 and name != "close":
            raise OSError(error, os.strerror(error))

    for last_step in range(MORE_FILES_THAN_STEPS):
        source = inbox / f"{last_step}.wav"
        source.write_bytes(content)
        move = a_move(source, archive / str(last_step) / source.name)
        done = 0
        with monkeypatch.context() as patch:
            patch.setattr(moving, "os", Walk(step))
            patch.setattr(renaming, "os", Walk(step))
            renameat2 = Walk(step).watched("renameat2", renaming._renameat2)
            patch.setattr(renaming, "_renameat2", renameat2)
            patch.setattr(moving, "BLOCK_BYTES", SMALL_BLOCK_BYTES)
            mover_to(archive, inbox).carry([move])
        whole = [path for path in (source, Path(os.fsdecode(move.place))) if path.exists()]
        assert whole and all(path.read_bytes() == content for path in whole), last_step
        [result] = mover_to(archive, inbox).carry([move])
        assert isinstance(result, Archived)
        assert not source.exists()
        assert digest(move.place) == move.digest
        assert files_below(archive / str(last_step)) == [source.name]
    assert done < MORE_FILES_THAN_STEPS


def test_what_came_of_a_batch_survives_a_locked_ledger(
    archiving: House, audio_file: AudioFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise LedgerUnavailable("locked")

    archiving.drop(audio_file(), "a.wav")
    with monkeypatch.context() as patch:
        patch.setattr(archiving.ledger, "record_moves", refuse)
        archiving.service._wait_out_trouble = lambda: None  # type: ignore[method-assign]
        for _ in range(60):
            archiving.service.try_tick()
            archiving.now += 0.5
    assert places(archiving) == [("a.wav", "done", None)]
    archiving.live(5)
    [(_, _, place)] = places(archiving)
    assert place is not None


# --- hindrances


def test_an_archive_that_is_missing_is_told_and_waited_for(
    make_house: HouseMaker, audio_file: AudioFile, tmp_path: Path
) -> None:
    archive = tmp_path / "nas" / "archive"
    house = make_house(**{"intake.archive_dir": str(archive)})
    house.drop(audio_file(), "a.wav")
    house.live()
    [fault] = house.statuses[-1]["faults"]  # type: ignore[misc]
    assert "is missing" in fault and "wait in the inbox: 1" in fault
    assert places(house) == [("a.wav", "done", None)]
    archive.mkdir(parents=True)
    house.live(70)
    assert house.statuses[-1]["faults"] == []
    assert files_below(archive) == ["inbox/a.wav"]


def test_a_fault_of_the_archive_is_logged_once(
    make_house: HouseMaker, audio_file: AudioFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house(**{"intake.archive_dir": str(tmp_path / "missing")})
    house.drop(audio_file(), "a.wav")
    house.live(100)
    assert len([r for r in caplog.records if "archive" in r.getMessage()]) == 1


def test_the_empty_folder_beneath_a_missing_mount_gets_no_file(
    make_house: HouseMaker, audio_file: AudioFile, noise: Noise, tmp_path: Path
) -> None:
    archive, away = tmp_path / "archive", tmp_path / "away"
    archive.mkdir()
    house = make_house(**{"intake.archive_dir": str(archive)})
    house.drop(audio_file("1.wav"), "a.wav")
    house.live()
    house.close()
    archive.rename(away)
    archive.mkdir()
    house = make_house(**{"intake.archive_dir": str(archive)})
    house.drop(audio_file("2.wav", noise()), "b.wav")
    house.live()
    assert files_below(archive) == []
    assert "mount what belongs there" in str(house.statuses[-1]["faults"])
    archive.rmdir()
    away.rename(archive)
    house.live(70)
    assert files_below(archive) == ["inbox/a.wav", "inbox/b.wav"]


def test_one_file_that_cannot_be_moved_does_not_keep_the_others_waiting(
    archiving: House, audio_file: AudioFile, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = moving.rename_no_replace

    def refuse_the_first(source: bytes, target: bytes) -> None:
        if source.endswith(b"0.wav"):
            raise PermissionError(errno.EACCES, "Permission denied", source)
        rename(source, target)

    monkeypatch.setattr(archive, "WAITS_SECONDS", (100.0,))
    with monkeypatch.context() as patch:
        patch.setattr(moving, "rename_no_replace", refuse_the_first)
        for number in range(3):
            archiving.drop(audio_file("x.wav", noise(seed=number)), f"{number}.wav")
        archiving.live()
        assert files_below(archiving.inbox) == ["0.wav"]
        assert "0.wav: Permission denied" in str(archiving.statuses[-1]["faults"])
        archiving.drop(audio_file("x.wav", noise(seed=9)), "9.wav")
        archiving.live()  # too short for another try with the first one
        assert files_below(archiving.inbox) == ["0.wav"]
    archiving.live(40)
    assert files_below(archiving.inbox) == []
    assert archiving.statuses[-1]["faults"] == []


def test_hindered_moves_are_tried_ever_more_rarely(
    archiving: House, audio_file: AudioFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def refuse(source: bytes, target: bytes) -> None:
        tries.append(archiving.now)
        raise PermissionError(errno.EACCES, "Permission denied", source)

    monkeypatch.setattr(moving, "rename_no_replace", refuse)
    monkeypatch.setattr(archive, "WAITS_SECONDS", (5.0, 20.0, 40.0))
    archiving.drop(audio_file(), "a.wav")
    archiving.live(140)
    assert np.diff(tries) == pytest.approx([5, 20, 40, 40], abs=3)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_archive_keeps_results_and_files_and_goes_on_when_there_is_space(
    make_house: HouseMaker, audio_file: AudioFile, noise: Noise, tmp_path: Path
) -> None:
    with mounted(tmp_path / "small", "-o", "size=128k") as archive:
        filler = archive / "filler"
        filler.write_bytes(bytes(100_000))
        house = make_house(**{"intake.archive_dir": str(archive)})
        for number in range(3):
            house.drop(audio_file("x.wav", noise(seed=number)), f"{number}.wav")
        house.live()
        assert [state for _, state in house.rows()] == ["done"] * 3
        assert "no space" in str(house.statuses[-1]["faults"])
        assert len(files_below(house.inbox)) + len(files_below(archive / "inbox")) == 3
        filler.unlink()
        house.live(70)
        assert files_below(archive) == ["inbox/0.wav", "inbox/1.wav", "inbox/2.wav"]
        assert house.statuses[-1]["faults"] == []
        house.close()


def test_a_read_only_inbox_is_told_and_keeps_its_files(
    make_house: HouseMaker, audio_file: AudioFile, tmp_path: Path
) -> None:
    with mounted(tmp_path / "recorder") as inbox:
        shutil.copyfile(audio_file(), inbox / "a.wav")
        subprocess.run(["mount", "-o", "remount,ro", str(inbox)], check=True)
        house = make_house(**{"inbox": str(inbox), "intake.archive_dir": "archive"})
        house.live()
        assert places(house) == [("a.wav", "done", None)]
        [fault] = house.statuses[-1]["faults"]  # type: ignore[misc]
        assert "files cannot be taken out of this folder" in fault
        assert files_below(house.home.root / "archive") == []
        house.close()


def test_a_rename_that_is_refused_is_told_with_both_its_names(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: bytes, target: bytes) -> None:
        raise OSError(errno.EACCES, "Permission denied", source, None, target)

    source, archive = inbox / "a.wav", tmp_path / "archive"
    source.write_bytes(b"sound")
    monkeypatch.setattr(moving, "rename_no_replace", refuse)
    [result] = mover_to(archive, inbox).carry([a_move(source, archive / "a.wav")])
    assert isinstance(result, Hindered)
    assert str(source) in result.reason
    assert str(archive / "a.wav") in result.reason


def test_one_run_ends_with_its_files_archived(archiving: House, audio_file: AudioFile) -> None:
    archiving.drop(audio_file(), "a.wav")
    run_once(archiving)
    assert files_below(archiving.inbox) == []
    [(_, _, place)] = places(archiving)
    assert place is not None


def test_one_run_says_which_files_it_could_not_archive_and_ends_well(
    make_house: HouseMaker, audio_file: AudioFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house(**{"intake.archive_dir": str(tmp_path / "missing")})
    house.drop(audio_file(), "a.wav")
    run_once(house)
    assert house.rows() == [("a.wav", "done")]
    assert "the next run tries again" in caplog.text


def run_once(house: House) -> None:
    """`run(once=True)`, with the clock moved on in place of waiting."""

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            house.now += timeout or 0.5
            return True

    house.service._wake = Waiting()
    house.service.run(once=True)


# --- what people are told


def test_the_doctor_tells_how_files_will_be_moved(archiving: House, elsewhere: Path) -> None:
    told = archive_findings(archiving.home, "archive")
    assert ("ok", "is made when the first file goes there") in told
    (archiving.home.root / "archive").mkdir()
    assert ("ok", "files are renamed") in archive_findings(archiving.home, "archive")
    assert ("ok", "files are copied there") in archive_findings(archiving.home, str(elsewhere))


def test_the_doctor_misses_an_archive_outside_the_home(archiving: House, tmp_path: Path) -> None:
    assert ("fault", "is missing") in archive_findings(archiving.home, str(tmp_path / "nas"))


def archive_findings(home: Home, archive: str) -> set[tuple[str, str]]:
    """(level, phrase) of the phrases that this test knows."""
    settings = load_settings(home, {"intake.archive_dir": archive}, environ={})
    phrases = (
        "is made when the first file goes there",
        "files are renamed",
        "files are copied there",
        "is missing",
    )
    found = [finding for finding in examine(home, settings) if finding.subject == "archive"]
    assert len(found) == 1
    return {(found[0].level, phrase) for phrase in phrases if phrase in found[0].text}


def test_results_tell_where_a_file_lies_and_only_once_it_does(
    archiving: House, audio_file: AudioFile
) -> None:
    archiving.hands.idle = True
    archiving.drop(audio_file(), "a.wav")
    archiving.live()
    assert archived_paths(archiving) == [None]
    archiving.hands.work()
    archiving.live(1)
    assert archived_paths(archiving) == [str(archiving.home.root / "archive" / "inbox" / "a.wav")]


def archived_paths(house: House) -> list[str | None]:
    with house.ledger.database.transaction() as connection:
        return [found.archived_path for found in results(connection, Filters())]


# --- settings


@pytest.mark.parametrize(
    "folder", ["inbox", "inbox/done", ".", "..", "checkpoints/done", "reports", "link"]
)
def test_an_archive_that_overlaps_is_refused_by_name(tmp_path: Path, folder: str) -> None:
    home = Home(tmp_path / "home")
    home.create()
    (home.root / "link").symlink_to(home.inbox)
    with pytest.raises(SettingsError, match=r"intake\.archive_dir .*overlap"):
        load_settings(home, {"intake.archive_dir": folder}, environ={})


def test_an_archive_is_relative_to_the_home(tmp_path: Path) -> None:
    settings = load_settings(Home(tmp_path), {"intake.archive_dir": "done"}, environ={})
    assert settings.archive == tmp_path / "done"
