"""A folder of the inbox that becomes a link, at any moment, leads clfd to no file outside."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from house import House, HouseMaker
from sqlalchemy import select
from swapped_folders import put_link_in_place_of

from classifier.audio.containers.promised_end import are_complete
from daemon.intake.scanner import Inbox, inboxes_of
from storage.home.safe_open import opener_in
from storage.maintenance.file_presence import PLACE_COLUMNS, FilePresence
from storage.maintenance.files_without_row import audio_files

AudioFile = Callable[..., Path]


@pytest.fixture
def card(house: House, audio_file: AudioFile) -> Path:
    """A folder in the inbox with a whole file, `a.wav`."""
    return house.drop(audio_file(), "card/a.wav").parent


def test_a_listing_does_not_enter_it(house: House, card: Path) -> None:
    scan = inboxes_of(house.settings)[0].scan()
    scan.take(1)  # has found the folder, and not looked into it
    put_link_in_place_of(card)
    assert scan.take(100) == []
    assert scan.faults == []


def test_a_look_does_not_pass_it(house: House, card: Path) -> None:
    (inbox,) = inboxes_of(house.settings)
    assert inbox.look_at(b"card/a.wav")
    put_link_in_place_of(card)
    assert inbox.look_at(b"card/a.wav") is None
    assert inbox.look_again(b"card/a.wav") is None


def test_a_file_that_settles_is_forgotten(make_house: HouseMaker, audio_file: AudioFile) -> None:
    house = make_house(**{"intake.archive_dir": "archive"})
    folder = house.drop(audio_file(), "card/a.wav").parent
    house.live(2)
    assert house.intake.waiting == 1
    away = put_link_in_place_of(folder)
    house.live()
    assert (house.rows(), house.intake.waiting) == ([], 0)
    assert (away / "a.wav").exists()


def test_the_end_of_a_closed_file_is_not_looked_at(house: House, card: Path) -> None:
    arrival = house.look_at(b"card/a.wav")
    closed = [(opener_in(house.inbox), arrival.path, arrival.fingerprint)]
    assert are_complete(closed) == [True]
    put_link_in_place_of(card)
    assert are_complete(closed) == [False]


def test_a_recording_that_waits_for_its_decoding_has_vanished(house: House, card: Path) -> None:
    house.live(0)
    house.ledger.admit([house.look_at(b"card/a.wav")])
    put_link_in_place_of(card)
    house.live()
    assert house.rows() == [("card/a.wav", "failed")]
    assert house.ask("SELECT error_class FROM recording") == [("vanished",)]


def test_its_files_are_missing_for_the_care_of_the_ledger(house: House, card: Path) -> None:
    house.live()
    with house.ledger.database.transaction() as connection:
        rows = connection.execute(select(*PLACE_COLUMNS)).all()
    assert FilePresence(house.ledger.database).look(rows)[1] == set()
    assert list(audio_files(house.inbox, house.settings)) == [b"card/a.wav"]
    put_link_in_place_of(card)
    assert FilePresence(house.ledger.database).look(rows)[1] == {rows[0].id}
    assert list(audio_files(house.inbox, house.settings)) == []


def test_an_inbox_that_is_a_link_itself_is_followed(
    make_house: HouseMaker, audio_file: AudioFile, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    house = make_house(inbox=str(tmp_path / "link"), **{"intake.archive_dir": "archive"})
    house.drop(audio_file(), "card/a.wav")
    house.live()
    assert house.rows() == [("card/a.wav", "done")]
    assert list((tmp_path / "disk" / "card").iterdir()) == []


def test_a_listing_keeps_no_handle_open(tmp_path: Path) -> None:
    for name in ("a", "a/b", "c"):
        (tmp_path / name).mkdir()
    before = os.listdir("/proc/self/fd")
    scan = Inbox(tmp_path, frozenset({b".wav"})).scan()
    scan.take(2)
    scan.close()
    Inbox(tmp_path, frozenset({b".wav"})).scan().take(100)
    assert os.listdir("/proc/self/fd") == before
