"""Settings read again under a running daemon: by SIGHUP, or by `clfd reload`."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from house import House, HouseMaker, house_settings
from running_house import RunningHouse

from daemon.control.reload import APPLIED, KEPT_IDS
from daemon.setup.doctor import examine
from storage.errors import SettingsError
from storage.settings.loading import described_settings

NEW = "20990101T000000Z-00000002"


def reload(house: House, **settings: object) -> dict[str, object]:
    """The status after a reload that reads these settings."""
    house.settings_now = house_settings(house.home, **settings)
    house.service.request_reload()
    house.live(3)
    return house.statuses[-1]


def test_other_suffixes_are_taken_at_once(house: House, audio_file: Callable[..., Path]) -> None:
    house.drop(audio_file(), "a.wav")
    house.drop(audio_file(), "b.sound")
    house.live()
    reload(house, **{"intake.suffixes": [".wav", ".sound"], "intake.settle_seconds": 0})
    assert house.rows() == [("a.wav", "done"), ("b.sound", "done")]


def test_what_is_ignored_now_is_not_taken_any_more(
    house: House, audio_file: Callable[..., Path]
) -> None:
    reload(house, **{"intake.ignore": ["*_test.wav"]})
    house.drop(audio_file(), "a_test.wav")
    house.live()
    assert house.rows() == []
    assert house.statuses[-1]["ignored"] == 1


def test_a_file_that_settles_while_it_becomes_ignored_is_left_alone(
    make_house: HouseMaker, audio_file: Callable[..., Path]
) -> None:
    house = make_house(**{"intake.settle_seconds": 5})
    house.drop(audio_file(), "a_test.wav")
    house.live(1)
    assert house.statuses[-1]["waiting"] == 1
    reload(house, **{"intake.settle_seconds": 5, "intake.ignore": ["*_test.wav"]})
    house.live(20)
    assert house.rows() == []


def test_shorter_times_between_listings_hold_at_once(
    make_house: HouseMaker, audio_file: Callable[..., Path]
) -> None:
    house = make_house(**{"intake.scan_seconds": 86_400})
    house.live(1)
    house.drop(audio_file(), "a.wav")
    reload(house, **{"intake.scan_seconds": 5})
    house.live(10)
    assert house.rows() == [("a.wav", "done")]


def test_without_other_names_a_large_inbox_is_not_listed_anew(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.live(1)
    monkeypatch.setattr(house.intake, "begin_anew", pytest.fail)
    status = reload(house, **{"engine.batch_clips": 3, "intake.settle_seconds": 9})
    assert status["reload"]["applied"] == ["intake.settle_seconds", "engine.batch_clips"]  # type: ignore[index]


def test_batches_have_the_new_size(
    house: House,
    audio_file: Callable[..., Path],
    noise: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    predictor = house.model.served.predictor
    submit = predictor.submit
    monkeypatch.setattr(
        predictor, "submit", lambda clips, _: sizes.append(len(clips)) or submit(clips)
    )
    reload(house, **{"engine.batch_clips": 3})
    house.drop(audio_file("long.wav", noise(seconds=10)), "long.wav")
    house.live()
    assert house.rows() == [("long.wav", "done")]
    assert max(sizes) == 3


def test_what_needs_a_restart_is_named_and_stays(
    house: House, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    status = reload(house, inbox=str(tmp_path / "other"), **{"engine.threads": 3})
    assert status["restart_to_apply"] == ["inbox", "engine.threads"]
    assert [m for m in caplog.messages if "restart" in m] == [
        "restart to apply: inbox, engine.threads"
    ]


def test_what_needs_a_restart_is_told_until_it_is_as_before(house: House) -> None:
    reload(house, **{"engine.threads": 3})
    assert reload(house, **{"engine.threads": 3})["restart_to_apply"] == ["engine.threads"]
    assert reload(house)["restart_to_apply"] == []


def test_what_other_commands_show_results_by_needs_no_restart(house: House) -> None:
    status = reload(house, **{"results.thresholds": ["dog=0.5"], "hooks.labels": ["dog"]})
    assert status["restart_to_apply"] == []
    assert status["reload"]["applied"] == ["results.thresholds", "hooks.labels"]  # type: ignore[index]


def test_where_hooks_send_to_needs_a_restart(house: House) -> None:
    status = reload(house, **{"hooks.url": "http://127.0.0.1/", "hooks.headers": ["A: b"]})
    assert status["restart_to_apply"] == ["hooks.url", "hooks.headers"]


def test_a_label_that_the_checkpoint_does_not_know_is_a_warning_at_the_start_and_a_reload(
    make_house: HouseMaker, caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house(**{"hooks.labels": ["dgo"]})
    house.live(3)
    name = house.model.served.name
    warning = (
        f"hooks.labels names 'dgo', which checkpoint {name} does not know; did you mean 'dog'?"
    )
    assert house.statuses[-1]["warnings"] == [warning]
    assert caplog.messages.count(warning) == 1
    assert reload(house, **{"hooks.labels": ["dog"]})["warnings"] == []
    status = reload(house, **{"results.thresholds": ["rian=0.5"]})
    assert "results.thresholds names 'rian'" in str(status["warnings"])


def test_a_label_that_another_checkpoint_does_not_know_is_a_warning_when_that_is_served(
    make_house: HouseMaker,
    make_checkpoint: Callable[..., Path],
) -> None:
    house = make_house(**{"hooks.labels": ["dog"]})
    house.live(1)
    name = house.publish(make_checkpoint(seed=1, labels=("cat", "rain")), NEW)
    house.live(1)
    prepared(house)
    house.live(2)
    assert f"which checkpoint {name} does not know" in str(house.statuses[-1]["warnings"])


def test_the_doctor_notes_a_label_that_the_active_checkpoint_does_not_know(
    make_house: HouseMaker,
) -> None:
    house = make_house(**{"results.thresholds": ["dgo=0.5"]})
    (note,) = (each for each in examine(house.home, house.settings) if each.subject == "labels")
    assert note.level == "note"
    assert "did you mean 'dog'?" in note.text


def test_settings_of_training_need_no_restart_of_the_daemon(house: House) -> None:
    assert reload(house, **{"training.nice": 3})["restart_to_apply"] == []


def test_a_bad_file_keeps_the_old_settings_and_says_why(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise SettingsError("unknown setting engine.devise")

    with monkeypatch.context() as bad:
        bad.setattr(house.reload, "read", refuse)
        status = reload(house)
    assert "unknown setting engine.devise" in str(status["reload"])
    assert "the settings stay as they were" in str(status["faults"])
    house.drop(audio_file(), "a.wav")
    house.live()
    assert house.rows() == [("a.wav", "done")]
    assert reload(house)["faults"] == []


def test_a_reload_ends_when_the_checkpoint_that_became_active_is_served(
    house: House, second_checkpoint: Path
) -> None:
    house.live(1)
    name = house.publish(second_checkpoint, NEW)
    house.service.request_reload()
    house.service.tick(house.now)
    house.service.tick(house.now)
    assert house.model.is_preparing
    assert house.reload.status()["reload"] is None
    prepared(house)
    status = reload(house)
    assert (status["served_checkpoint"], status["reload"]["error"]) == (name, None)  # type: ignore[index]


def prepared(house: House) -> None:
    assert house.model._candidate is not None
    house.model._candidate[1].exception(timeout=60)


def test_a_reload_looks_again_at_a_checkpoint_that_was_refused(
    house: House, second_checkpoint: Path
) -> None:
    broken = house.home.checkpoints / f"{NEW}.safetensors"
    broken.write_bytes(b"no checkpoint")
    house.checkpoints.activate(NEW)
    house.live(1)
    prepared(house)
    house.live(1)
    assert NEW in str(house.statuses[-1]["checkpoint_refused"])
    shutil.copyfile(second_checkpoint, broken)
    house.service.request_reload()
    house.live(1)
    prepared(house)
    house.live(2)
    assert house.model.served.name == NEW
    assert house.statuses[-1]["reload"]["error"] is None  # type: ignore[index]


def test_the_service_manager_is_told_of_both_ends(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, ...]] = []
    monkeypatch.setattr("daemon.control.reload.notify", lambda *words: sent.append(words))
    reload(house)
    (reloading, stamp), ready = sent
    assert (reloading, ready) == ("RELOADING=1", ("READY=1",))
    assert stamp.removeprefix("MONOTONIC_USEC=").isdecimal()


def test_each_of_several_who_ask_finds_an_answer(house: House) -> None:
    house.live(1)
    for word in ("first", "second"):
        house.home.reload_request(word).touch()
    house.live(3)
    house.home.reload_request("third").touch()
    house.live(3)
    answer = house.statuses[-1]["reload"]
    assert answer["generation"] == 2  # type: ignore[index]
    assert sorted(answer["requests"]) == ["first", "second", "third"]  # type: ignore[index]
    assert not list(house.home.root.glob("reload-*"))


def test_all_who_ask_at_once_are_answered_by_one_reload(house: House) -> None:
    house.live(1)
    words = {f"{number:04}" for number in range(KEPT_IDS + 50)}
    for word in words:
        house.home.reload_request(word).touch()
    house.live(3)
    answer = house.statuses[-1]["reload"]
    assert answer["generation"] == 1  # type: ignore[index]
    assert set(answer["requests"]) == words  # type: ignore[index]


def test_what_was_asked_while_the_daemon_started_is_answered(make_house: HouseMaker) -> None:
    make_house().home.reload_request("early").touch()
    house = make_house()
    house.live(3)
    assert house.statuses[-1]["reload"]["requests"] == ["early"]  # type: ignore[index]


def test_what_can_be_applied_are_settings() -> None:
    assert set(APPLIED) <= {setting.key for setting in described_settings()}


# --- with a real process


@pytest.fixture
def running(tmp_path: Path, checkpoint_file: Path) -> Iterator[RunningHouse]:
    house = RunningHouse(tmp_path / "home", checkpoint_file)
    yield house
    house.close()


def generation(house: RunningHouse) -> object:
    answer = house.status().get("reload")
    return answer.get("generation") if isinstance(answer, dict) else None


def test_hup_without_a_terminal_reloads_and_the_command_says_what_came_of_it(
    running: RunningHouse, checkpoint_file: Path
) -> None:
    assert running.typed("reload").exit_code == 1
    running.start()
    running.daemon.send_signal(signal.SIGHUP)
    running.wait_until(lambda: generation(running) == 1)

    running.home.settings_file.write_text(
        "[engine]\nbatch_clips = 5\nthreads = 1\n[hooks]\nlabels = ['dgo']\n"
    )
    running.publish(checkpoint_file, NEW)
    done = running.typed("reload")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"reloaded, serving {NEW}; changed: engine.batch_clips, hooks.labels",
        "restart to apply: engine.threads",
        f"warning: hooks.labels names 'dgo', which checkpoint {NEW} does not know; did you mean"
        " 'dog'?",
    ]

    running.home.settings_file.write_text("[engine]\nbatch_clip = 5\n")
    done = running.typed("reload")
    assert done.exit_code == 1
    assert "did you mean engine.batch_clips?" in done.stderr
    assert running.stop() == 0


def test_a_terminal_that_closes_stops_the_daemon_in_order(running: RunningHouse) -> None:
    ours, theirs = os.openpty()
    # A session's leader gets the first terminal that it opens as its own.
    program = (
        "import os, sys; os.open(sys.argv[1], os.O_RDWR); os.execvp(sys.argv[2], sys.argv[2:])"
    )
    running.start(prefix=[sys.executable, "-c", program, os.ttyname(theirs)])
    os.close(theirs)
    os.close(ours)
    assert running.daemon.wait(60) == 0
    assert "stopped: " in running.last_words()


def test_nohup_keeps_a_daemon_going(running: RunningHouse) -> None:
    running.start(prefix=["nohup"])
    running.daemon.send_signal(signal.SIGHUP)
    assert running.typed("reload").exit_code == 0
    assert generation(running) == 1  # the command's, and none of the signal's
    assert running.stop() == 0
