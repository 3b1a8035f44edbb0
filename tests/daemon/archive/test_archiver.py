"""The archive: done files leave the inbox after the commit, whole, once, and never over others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from house import House, HouseMaker
from moves import digest, files_below, places

from daemon.setup.doctor import examine
from storage.errors import SettingsError, StorageError
from storage.home.paths import Home
from storage.queries.filters import Filters
from storage.queries.results import results
from storage.settings.loading import load_settings

AudioFile = Callable[..., Path]
Noise = Callable[..., np.ndarray]


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
    archiving.archive_thread.idle = True
    archiving.drop(audio_file(), "a.wav")
    archiving.live()
    assert places(archiving) == [("a.wav", "done", None)]
    assert [os.path.basename(move.place) for move in archiving.ledger.moves.outstanding(0, 9)] == [
        b"a.wav"
    ]
    assert files_below(archiving.inbox) == ["a.wav"]


def test_a_long_copy_does_not_stop_the_classification(
    archiving: House, audio_file: AudioFile, noise: Noise
) -> None:
    archiving.archive_thread.idle = True
    archiving.drop(audio_file("1.wav"), "a.wav")
    archiving.live()
    archiving.drop(audio_file("2.wav", noise()), "b.wav")
    archiving.live()
    assert archiving.rows() == [("a.wav", "done"), ("b.wav", "done")]


def test_nothing_moves_after_the_daemon_has_stopped_for_want_of_its_ledger(
    archiving: House, audio_file: AudioFile
) -> None:
    archiving.archive_thread.idle = True
    archiving.drop(audio_file(), "a.wav")
    archiving.live()
    archiving.ledger.database.path.unlink()
    with pytest.raises(StorageError):
        archiving.service.run()
    archiving.archive_thread.work()
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
    after.run_once()
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
    archiving.archive_thread.idle = True
    archiving.drop(audio_file("1.wav"), "a.wav")
    archiving.live(10)
    archiving.drop(audio_file("2.wav", noise()), "a.wav")
    archiving.archive_thread.idle = False
    archiving.archive_thread.work()
    archiving.live()
    place = archiving.home.root / "archive" / "inbox" / "a.wav"
    assert places(archiving) == [("a.wav", "done", str(place)), ("a.wav", "superseded", None)]
    assert digest(place) == digest(audio_file("2.wav", noise()))


def test_a_file_deleted_from_the_inbox_is_not_waited_for(
    archiving: House, audio_file: AudioFile
) -> None:
    archiving.archive_thread.idle = True
    archiving.drop(audio_file(), "a.wav")
    archiving.live(10)
    (archiving.inbox / "a.wav").unlink()
    archiving.archive_thread.work()
    archiving.live()
    assert places(archiving) == [("a.wav", "done", None)]
    assert archiving.ledger.moves.count() == 0


def test_another_archive_in_the_settings_takes_what_is_outstanding(
    make_house: HouseMaker, audio_file: AudioFile
) -> None:
    before = make_house(**{"intake.archive_dir": "old"})
    before.archive_thread.idle = True
    before.drop(audio_file(), "a.wav")
    before.live()
    before.close()
    after = make_house(**{"intake.archive_dir": "new"})
    after.live()
    assert files_below(after.home.root / "new") == ["inbox/a.wav"]
    assert not (after.home.root / "old").exists()


def test_one_run_ends_with_its_files_archived(archiving: House, audio_file: AudioFile) -> None:
    archiving.drop(audio_file(), "a.wav")
    archiving.run_once()
    assert files_below(archiving.inbox) == []
    [(_, _, place)] = places(archiving)
    assert place is not None


# --- what people are told


def test_the_doctor_tells_how_files_will_be_moved(archiving: House, elsewhere: Path) -> None:
    printed = archive_findings(archiving.home, "archive")
    assert ("ok", "is made when the first file goes there") in printed
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
    archiving.archive_thread.idle = True
    archiving.drop(audio_file(), "a.wav")
    archiving.live()
    assert archived_paths(archiving) == [None]
    archiving.archive_thread.work()
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
