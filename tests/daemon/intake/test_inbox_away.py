"""An inbox that is missing, or a card that was pulled: nothing is taken for done or failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from house import House, HouseMaker

from storage.home.mounts import Mount

CARD, DISK = Mount(Path("/mnt/card"), "vfat"), Mount(Path("/"), "ext4")


def test_a_missing_inbox_is_shown_and_never_read_as_done(house: House) -> None:
    house.inbox.rmdir()
    house.live()
    assert "cannot be listed" in json.dumps(house.statuses[-1]["faults"])


def faults(house: House) -> str:
    return str(house.statuses[-1]["faults"])


def test_an_empty_folder_where_a_card_was_mounted_is_a_fault_also_after_a_restart(
    make_house: HouseMaker, audio_file: Callable[..., Path]
) -> None:
    house = make_house()
    house.mount = CARD
    house.drop(audio_file(), "a.wav")
    house.live()
    house.inbox.joinpath("a.wav").unlink()  # the card is gone, and all that is on it
    house.mount = DISK
    house.live()
    assert "/mnt/card used to be mounted there and is not" in faults(house)
    restarted = make_house()
    restarted.mount = DISK
    restarted.live()
    assert "/mnt/card used to be mounted" in faults(restarted)
    assert restarted.rows() == [("a.wav", "done")]
    restarted.mount = CARD
    restarted.live()
    assert faults(restarted) == "[]"


def test_files_that_went_with_their_card_do_not_fail_one_by_one_and_are_read_when_it_is_back(
    house: House, audio_file: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    house.mount = CARD
    house.live()
    path = house.drop(audio_file(), "a.wav")
    house.ledger.admit([house.look_at(b"a.wav")])
    aside = path.rename(house.home.root / "a.wav")
    house.mount = DISK
    house.live()
    assert house.rows() == []
    assert "used to be mounted there" in faults(house)
    assert not [line for line in caplog.messages if "failed" in line]
    aside.rename(path)
    house.mount = CARD
    house.live()
    assert house.rows() == [("a.wav", "done")]


def test_files_in_a_folder_that_is_no_mount_any_more_are_taken_and_settle_the_matter(
    house: House, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    house.mount = CARD
    house.drop(audio_file(), "a.wav").unlink()
    house.live()
    house.mount = DISK
    house.drop(audio_file("b.wav", noise()), "b.wav")
    house.live()
    assert house.rows() == [("b.wav", "done")]
    assert faults(house) == "[]"


def test_an_inbox_that_was_emptied_by_hand_is_no_fault(house: House) -> None:
    house.mount = CARD
    house.live()
    assert faults(house) == "[]"


def test_a_folder_that_was_away_while_it_was_to_be_read_is_read_when_it_is_back(
    house: House, audio_file: Callable[..., Path]
) -> None:
    path = house.drop(audio_file(), "card/a.wav")
    house.ledger.admit([house.look_at(b"card/a.wav")])
    away = path.parent.rename(house.home.root / "away")
    house.live()
    assert house.rows() == [("card/a.wav", "failed")]
    away.rename(path.parent)
    house.live(80)
    assert house.rows() == [("card/a.wav", "done")]
