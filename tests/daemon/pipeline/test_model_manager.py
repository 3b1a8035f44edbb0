"""Which checkpoint the daemon serves: the new one, the old one, or the previous one."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from house import House, HouseMaker

from classifier.errors import DeviceBusyError
from daemon.errors import NothingToServe
from daemon.pipeline.model_manager import BUSY_SECONDS

OLD, NEW = "20260102T030405Z-00000001", "20260203T030405Z-00000002"


def test_a_new_checkpoint_takes_over_between_two_files(
    house: House,
    checkpoint_file: Path,
    audio_file: Callable[..., Path],
    noise: Callable[..., np.ndarray],
) -> None:
    house.drop(audio_file("1.wav", noise(seed=1)), "1.wav")
    house.live()
    house.publish(checkpoint_file, NEW)
    wait_for_candidate(house)
    house.drop(audio_file("2.wav", noise(seed=2)), "2.wav")
    house.live()
    assert house.model.served.name == NEW
    assert [state for _, state in house.rows()] == ["done"] * 2


def test_a_bad_checkpoint_never_replaces_a_good_one(house: House, checkpoint_file: Path) -> None:
    served = house.model.served.name
    broken = house.home.checkpoints / f"{NEW}.safetensors"
    broken.write_bytes(checkpoint_file.read_bytes()[:-1])
    house.checkpoints.activate(NEW)
    wait_for_candidate(house)
    house.live(3)
    assert house.model.served.name == served
    assert house.statuses[-1]["checkpoint"] == NEW
    assert house.statuses[-1]["served_checkpoint"] == served
    assert "not a whole safetensors file" in str(house.statuses[-1]["checkpoint_refused"])


def test_a_bad_checkpoint_is_hashed_while_the_daemon_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed_by, file_digest = [], hashlib.file_digest

    def note_thread(file: Any, kind: Any) -> Any:
        hashed_by.append(threading.current_thread())
        return file_digest(file, kind)

    monkeypatch.setattr("hashlib.file_digest", note_thread)
    house.checkpoints.put(NEW, b"no checkpoint")
    house.checkpoints.activate(NEW)
    wait_for_candidate(house)
    house.live(1)
    assert refused_digests(house) == [hashlib.sha256(b"no checkpoint").hexdigest()]
    assert hashed_by and threading.main_thread() not in hashed_by


def test_a_file_larger_than_any_checkpoint_is_refused_and_not_hashed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reader in ("classifier.model.checkpoint", "daemon.pipeline.model_manager"):
        monkeypatch.setattr(f"{reader}.MAX_FILE_BYTES", 100)
    house.checkpoints.put(NEW, bytes(101))
    house.checkpoints.activate(NEW)
    wait_for_candidate(house)
    house.live(1)
    assert "larger than 100 bytes" in str(house.model.refusal)
    assert refused_digests(house) == [f"unread {NEW}.safetensors"]


def test_a_device_without_memory_is_asked_again_and_no_verdict_is_written(
    house: House, checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = house.model.served.name
    with monkeypatch.context() as full:
        full.setattr("daemon.pipeline.scoring_setup.Predictor", lambda *_: torch.empty(2**60))
        house.publish(checkpoint_file, NEW)
        wait_for_candidate(house)
        house.live(3)
    assert house.model.served.name == served
    assert "too little memory; free some there; trying again" in str(house.model.refusal)
    assert house.ask("SELECT count(*) FROM checkpoint WHERE verdict = 'refused'") == [(0,)]
    house.live(BUSY_SECONDS)
    wait_for_candidate(house)
    house.live(3)
    assert (house.model.served.name, house.model.refusal) == (NEW, None)


def test_another_checkpoint_need_not_wait_for_a_busy_device(
    house: House, checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr("daemon.pipeline.scoring_setup.Predictor", lambda *_: torch.empty(2**60))
        house.publish(checkpoint_file, NEW)
        wait_for_candidate(house)
        house.live(1)
    assert house.model.refusal is not None
    house.checkpoints.rollback()
    house.live(1)
    assert (house.model.wanted, house.model.refusal) == (house.model.served.name, None)


def test_a_daemon_that_finds_no_memory_at_start_may_be_started_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.pipeline.scoring_setup.Predictor", lambda *_: torch.empty(2**60))
    with pytest.raises(DeviceBusyError, match="too little memory; free some there") as busy:
        house.model.start()
    assert busy.value.exit_code == 1  # systemd gives up at 78


def test_at_start_a_bad_checkpoint_gives_way_to_the_previous_one(
    make_house: HouseMaker, checkpoint_file: Path
) -> None:
    house = make_house()
    served = house.model.served.name
    (house.home.checkpoints / f"{NEW}.safetensors").write_bytes(b"no checkpoint")
    house.checkpoints.activate(NEW)
    restarted = make_house()
    assert restarted.model.served.name == served
    assert restarted.model.refusal is not None


def test_an_active_link_that_leads_nowhere_is_told_and_the_previous_one_served(
    make_house: HouseMaker, checkpoint_file: Path
) -> None:
    house = make_house()
    served = house.model.served.name
    house.publish(checkpoint_file, NEW)
    house.checkpoints.path(NEW).unlink()
    restarted = make_house()
    restarted.live(3)
    assert restarted.model.served.name == served
    assert f"leads to {NEW}.safetensors, not there" in str(
        restarted.statuses[-1]["checkpoint_refused"]
    )


def test_without_any_checkpoint_the_daemon_names_the_way_to_one(
    house: House, checkpoint_file: Path
) -> None:
    for file in house.home.checkpoints.iterdir():
        file.unlink()
    with pytest.raises(NothingToServe, match=r"clfd train LABELS\.csv") as refusal:
        house.model.start()
    assert refusal.value.exit_code == 78


def refused_digests(house: House) -> list[str]:
    refused = house.ask("SELECT digest FROM checkpoint WHERE verdict = 'refused'")
    return [digest for (digest,) in refused]


def wait_for_candidate(house: House) -> None:
    """Lets the daemon notice the new link, and its thread finish."""
    house.live(1)
    candidate = house.model._candidate
    if candidate is not None:
        candidate[1].exception(timeout=30)
    house.live(1)
