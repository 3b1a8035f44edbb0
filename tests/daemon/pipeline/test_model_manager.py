"""Which checkpoint the daemon serves: the new one, the old one, or the previous one."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from house import House, HouseMaker

from classifier.errors import DeviceBusyError
from classifier.inference.predictor import Predictor
from daemon.errors import NothingToServe
from daemon.pipeline.model_manager import BUSY_SECONDS, ModelManager
from storage.errors import RowRefused
from storage.home.trial_file import TrialFile, this_boot

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


@pytest.mark.parametrize("error", [RecursionError("deep"), OverflowError("wide"), KeyError("x")])
def test_whatever_a_candidate_raises_is_its_own_refusal(
    house: House, checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    served = house.model.served.name
    monkeypatch.setattr(house.model, "_load", raising(error))
    house.publish(checkpoint_file, NEW)
    wait_for_candidate(house)
    house.live(1)
    assert house.model.served.name == served
    assert f"checkpoint {NEW} cannot be served: " in str(house.model.refusal)
    assert house.statuses[-1]["faults"] == [house.model.refusal]


@pytest.mark.parametrize("error", [RowRefused("no text"), ValueError("too deep")])
def test_a_checkpoint_that_the_ledger_does_not_take_is_refused(
    house: House, checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    served = house.model.served.name
    monkeypatch.setattr(house.ledger, "register_checkpoint", raising(error))
    house.publish(checkpoint_file, NEW)
    wait_for_candidate(house)
    house.live(1)
    assert (house.model.served.name, str(error) in str(house.model.refusal)) == (served, True)


def test_a_device_without_memory_is_asked_again_and_no_verdict_is_written(
    house: House, checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = house.model.served.name
    with monkeypatch.context() as full:
        full.setattr("classifier.inference.prepare.Predictor", lambda *_: torch.empty(2**60))
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
        full.setattr("classifier.inference.prepare.Predictor", lambda *_: torch.empty(2**60))
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
    monkeypatch.setattr("classifier.inference.prepare.Predictor", lambda *_: torch.empty(2**60))
    with pytest.raises(DeviceBusyError, match="too little memory; free some there") as busy:
        house.model.start()
    assert busy.value.exit_code == 1  # systemd gives up at 78


def test_at_start_the_previous_one_serves_while_the_active_one_waits_for_memory(
    make_house: HouseMaker, checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house()
    served = house.model.served.name
    house.publish(checkpoint_file, NEW)
    with monkeypatch.context() as full:
        full.setattr(ModelManager, "_prepare", busy_for(NEW, ModelManager._prepare))
        restarted = make_house()
    assert restarted.model.served.name == served
    assert "too little memory; trying again" in str(restarted.model.refusal)
    wait_for_candidate(restarted)
    assert (restarted.model.served.name, restarted.model.refusal) == (NEW, None)


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


# Killed by a candidate


def test_a_note_tells_what_is_tried_until_it_is_warm(
    house: House, checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, load = [], house.model._load

    def load_and_note(path: Path) -> Predictor:
        noted.append(json.loads(house.home.trial_file.read_text()))
        return load(path)

    monkeypatch.setattr(house.model, "_load", load_and_note)
    house.publish(checkpoint_file, NEW)
    wait_for_candidate(house)
    assert noted == [{NEW: {"tries": 1, "boot": this_boot()}}]
    assert (house.model.served.name, house.home.trial_file.exists()) == (NEW, False)


def test_after_a_kill_the_previous_one_serves_and_the_culprit_is_named(
    make_house: HouseMaker, checkpoint_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house()
    served = house.model.served.name
    leave_note(house, house.publish(checkpoint_file, NEW))
    for _ in range(2):  # the second start knows it still
        restarted = make_house()
        restarted.live(BUSY_SECONDS + 3)
        assert restarted.model.served.name == served
    complaint = f"checkpoint {NEW} is not tried again: the daemon was killed while it prepared it"
    assert complaint in caplog.text
    assert complaint in str(restarted.statuses[-1]["checkpoint_refused"])
    assert complaint in str(restarted.statuses[-1]["faults"])
    assert house.ask("SELECT verdict FROM checkpoint ORDER BY id DESC LIMIT 1") == [("refused",)]


def test_whoever_activates_it_again_has_it_tried(
    make_house: HouseMaker, checkpoint_file: Path
) -> None:
    house = make_house()
    leave_note(house, house.publish(checkpoint_file, NEW))
    restarted = make_house()
    restarted.service.request_reload()
    restarted.live(3)
    assert restarted.model.served.name != NEW
    TrialFile(house.home.trial_file).forget(NEW)  # as `clfd checkpoints activate` does
    wait_for_candidate(restarted)
    assert (restarted.model.served.name, restarted.model.refusal) == (NEW, None)


def test_a_power_cut_does_not_speak_against_a_checkpoint(
    make_house: HouseMaker, checkpoint_file: Path
) -> None:
    house = make_house()
    leave_note(house, house.publish(checkpoint_file, NEW), boot="another")
    restarted = make_house()
    assert (restarted.model.served.name, restarted.model.refusal) == (NEW, None)
    assert not house.home.trial_file.exists()


def test_where_nothing_else_can_be_served_it_is_tried_again(
    make_house: HouseMaker, caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house()
    leave_note(house, house.model.served.name)
    restarted = make_house()
    assert restarted.model.served.name == house.model.served.name
    assert restarted.model.refusal is None
    assert "killed the daemon; nothing else can be served" in caplog.text


# The folder goes


@pytest.mark.parametrize("problem", ["is not there", "is no link", "no checkpoint is active"])
def test_what_happened_to_the_links_is_told_within_a_second(house: House, problem: str) -> None:
    folder, aside = house.home.checkpoints, house.home.root / "aside"
    house.live(1)
    if problem == "is not there":
        folder.rename(aside)
    else:
        (folder / "active").rename(aside)
    if problem == "is no link":
        (folder / "active").mkdir()
    house.live(2)
    assert problem in str(house.statuses[-1]["faults"])
    if problem == "is no link":
        (folder / "active").rmdir()
    aside.rename(folder if problem == "is not there" else folder / "active")
    house.live(2)
    assert house.statuses[-1]["faults"] == []


def leave_note(house: House, name: str, boot: str | None = None) -> None:
    """What a daemon leaves that was killed while it tried this checkpoint."""
    note = {name: {"tries": 1, "boot": this_boot() if boot is None else boot}}
    house.home.trial_file.write_text(json.dumps(note))


def raising(error: Exception) -> Callable[..., Any]:
    def raise_(*_: object) -> None:
        raise error

    return raise_


def busy_for(name: str, prepare: Callable[..., Any]) -> Callable[..., Any]:
    def refuse(manager: ModelManager, path: Path, **how: bool) -> Any:
        if path.stem == name:
            raise DeviceBusyError("too little memory")
        return prepare(manager, path, **how)

    return refuse


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
