"""Hooks: each answer is sent once, in order, and no recording waits for that."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hook_receivers import FakeTarget
from house import House, HouseMaker, house_settings
from running_house import RunningHouse

from daemon.hooks.dispatcher import MAX_TRIES, POLL_SECONDS, WAITS_SECONDS, Hook, _hook, run_hooks
from daemon.hooks.targets import RefusedByTarget, TargetUnreachable, require_trusted
from storage.database.engine import open_database
from storage.errors import ConfigurationError, LedgerUnavailable
from storage.home.paths import Home
from storage.queries.result import COLUMNS, Result


@pytest.fixture
def target() -> FakeTarget:
    return FakeTarget()


HookMaker = Callable[..., Hook]


@pytest.fixture
def make_hook(house: House, target: FakeTarget) -> Iterator[HookMaker]:
    """`make_hook(**{"hooks.labels": ["dog"]})`: over the ledger of the house."""
    with open_database(house.settings.database, "reader") as database:

        def make(**settings: object) -> Hook:
            wanted = house_settings(house.home, **settings)
            return _hook(house.home, wanted, "command", target, database)

        yield make


@pytest.fixture
def drop(
    house: House, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> Callable[..., None]:
    """`drop("a.wav", "b.wav")`: each other noise, and its answer."""

    def drop(*names: str) -> None:
        for name in names:
            seed = sum(name.encode())
            house.drop(audio_file("x.wav", noise(seed=seed)), name)
            house.live()

    return drop


def work_off(hook: Hook) -> float:
    """Steps until there is something to wait for."""
    while not (wait := hook.step()):
        pass
    return wait


def test_each_answer_is_sent_once_and_in_order(
    make_hook: HookMaker, target: FakeTarget, drop: Callable[..., None]
) -> None:
    hook = make_hook()
    drop("b.wav", "a.wav", "c.wav")
    assert work_off(hook) == POLL_SECONDS
    work_off(hook)
    assert target.paths == ["b.wav", "a.wav", "c.wav"]
    assert hook.status() == {"told": 3, "given_up": 0, "held_back": 0, "failing": False}


def test_a_result_has_the_keys_of_results_in_json(
    make_hook: HookMaker, target: FakeTarget, drop: Callable[..., None]
) -> None:
    hook = make_hook()
    drop("a.wav")
    work_off(hook)
    [result] = target.received
    assert list(result) == ["id", *COLUMNS, "scores"]
    assert result["label"] in ("bell", "dog", "rain")
    assert sum(result["scores"].values()) == pytest.approx(1, abs=1e-4)  # type: ignore[attr-defined]


def test_a_new_hook_does_not_get_what_was_before_it(
    make_hook: HookMaker, target: FakeTarget, drop: Callable[..., None]
) -> None:
    drop("old.wav")
    hook = make_hook()
    drop("new.wav")
    work_off(hook)
    assert target.paths == ["new.wav"]


def test_failed_recordings_are_no_answers(
    house: House, make_hook: HookMaker, target: FakeTarget, drop: Callable[..., None]
) -> None:
    hook = make_hook()
    (house.inbox / "bad.wav").write_bytes(b"bad")
    drop("a.wav")
    work_off(hook)
    assert target.paths == ["a.wav"]


def test_filters_leave_answers_out(
    house: House, make_hook: HookMaker, target: FakeTarget, drop: Callable[..., None]
) -> None:
    drop("a.wav")
    [(label, confidence)] = house.ask("SELECT label, confidence FROM recording")
    hooks = {
        "same": make_hook(**{"hooks.labels": [label], "hooks.min_confidence": confidence}),
        "other": make_hook(**{"hooks.labels": ["siren"]}),
        "surer": make_hook(**{"hooks.min_confidence": float(str(confidence)) + 1e-3}),
    }
    (house.inbox / "b.wav").write_bytes((house.inbox / "a.wav").read_bytes())
    house.live()
    sent = {}
    for name, hook in hooks.items():
        target.received.clear()
        work_off(hook)
        sent[name] = target.paths
    assert sent == {"same": ["b.wav"], "other": [], "surer": []}


def test_a_target_out_of_reach_is_waited_for_and_then_gets_everything(
    make_hook: HookMaker,
    target: FakeTarget,
    drop: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook = make_hook()
    drop("a.wav", "b.wav")
    target.errors = [TargetUnreachable("connection refused") for _ in range(20)]
    waits = [hook.step() for _ in range(20)]
    assert waits == [*WAITS_SECONDS, *[WAITS_SECONDS[-1]] * 16]
    assert hook.fault == "hook command: connection refused"
    work_off(hook)
    assert target.paths == ["a.wav", "b.wav"]
    assert hook.fault is None
    assert sum("connection refused" in line for line in caplog.messages) == 1


def test_an_answer_that_is_refused_again_and_again_does_not_keep_the_others_waiting(
    make_hook: HookMaker,
    target: FakeTarget,
    drop: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook = make_hook()
    drop("a.wav", "b.wav")
    target.errors = [RefusedByTarget("exit status 3") for _ in range(MAX_TRIES)]
    for _ in range(MAX_TRIES):
        hook.step()
    work_off(hook)
    assert target.paths == ["b.wav"]
    assert hook.status() == {"told": 1, "given_up": 1, "held_back": 0, "failing": False}
    assert "hook command was not told of a.wav: exit status 3" in caplog.messages


def test_after_a_restart_it_goes_on_where_it_was(
    make_hook: HookMaker, target: FakeTarget, drop: Callable[..., None]
) -> None:
    before = make_hook()
    drop("a.wav", "b.wav")
    before.step()
    before.save()
    drop("c.wav")
    work_off(make_hook())
    assert target.paths == ["a.wav", "b.wav", "c.wav"]


def test_what_the_version_before_had_not_sent_is_sent_first(
    house: House, make_hook: HookMaker, target: FakeTarget, drop: Callable[..., None]
) -> None:
    drop("a.wav", "b.wav", "c.wav")
    house.ask("UPDATE recording SET answer_number = NULL RETURNING id")
    [(moment, id)] = house.ask("SELECT answered_at, id FROM recording WHERE path_text = 'a.wav'")
    kept = {"moment": moment, "recording": id}
    house.home.hook_file("command").write_text(json.dumps(kept))
    drop("d.wav")
    before = make_hook()
    before.step()
    before.save()
    work_off(make_hook())
    assert target.paths == ["b.wav", "c.wav", "d.wav"]


def test_a_clock_that_was_wrong_for_a_minute_neither_delays_nor_repeats_an_answer(
    house: House,
    make_hook: HookMaker,
    target: FakeTarget,
    drop: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hook = make_hook()
    with monkeypatch.context() as wrong:
        wrong.setattr(house.ledger, "_clock", lambda: "2036-01-01T00:00:00.000Z")
        drop("future.wav")
    work_off(hook)
    drop("now.wav")
    work_off(hook)
    work_off(make_hook())
    assert target.paths == ["future.wav", "now.wav"]


def test_after_a_kill_an_answer_may_be_sent_twice_but_none_is_left_out(
    make_hook: HookMaker, target: FakeTarget, drop: Callable[..., None]
) -> None:
    before = make_hook()
    drop("a.wav", "b.wav")
    before.step()
    before.step()  # and was killed before it kept its place
    work_off(make_hook())
    assert set(target.paths) == {"a.wav", "b.wav"}
    assert target.paths[-1] == "b.wav"


def test_a_ledger_that_cannot_be_read_is_logged_once_and_passes(
    make_hook: HookMaker,
    target: FakeTarget,
    drop: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> list[Result]:
        raise LedgerUnavailable("database is locked")

    hook = make_hook()
    drop("a.wav")
    with monkeypatch.context() as locked:
        locked.setattr(hook, "read", refuse)
        for _ in range(3):
            hook.step()
        assert hook.fault == "hook command: database is locked"
    work_off(hook)
    assert (target.paths, hook.fault) == (["a.wav"], None)
    assert sum("database is locked" in line for line in caplog.messages) == 1


def test_a_fault_of_ours_does_not_end_the_hook(
    make_hook: HookMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> list[Result]:
        raise KeyError("surprise")

    hook = make_hook()
    monkeypatch.setattr(hook, "read", stumble)
    assert hook.step() > 0
    assert hook.fault == "hook command: unexpected KeyError: 'surprise'"


def name_command(tmp_path: Path, command: str, mode: int = 0o640) -> Home:
    """In the settings file of the home that the houses here have."""
    home = Home(tmp_path / "home")
    home.create()
    home.settings_file.write_text(f"[hooks]\ncommand = {command}\n")
    home.settings_file.chmod(mode)
    home.root.chmod(0o2750)
    return home


@pytest.mark.parametrize("mode", [0o660, 0o664, 0o602])
def test_a_command_that_others_may_have_named_is_not_run(tmp_path: Path, mode: int) -> None:
    home = name_command(tmp_path, '["true"]', mode)
    with pytest.raises(ConfigurationError, match="others may write"):
        require_trusted(home, ("true",), environ={})


def test_a_settings_file_of_notepad_names_a_command(tmp_path: Path) -> None:
    home = name_command(tmp_path, '["true"]')
    home.settings_file.write_bytes(b"\xef\xbb\xbf" + home.settings_file.read_bytes())
    require_trusted(home, ("true",), environ={})


def test_a_command_in_a_folder_where_others_may_replace_files_is_not_run(tmp_path: Path) -> None:
    home = name_command(tmp_path, '["true"]')
    home.root.chmod(0o2770)
    with pytest.raises(ConfigurationError, match="or its folder"):
        require_trusted(home, ("true",), environ={})


def test_a_settings_file_that_is_a_link_names_no_command(tmp_path: Path) -> None:
    home = name_command(tmp_path, '["true"]')
    home.settings_file.rename(tmp_path / "elsewhere.toml")
    home.settings_file.symlink_to(tmp_path / "elsewhere.toml")
    with pytest.raises(ConfigurationError, match="cannot be read again"):
        require_trusted(home, ("true",), environ={})


def test_a_command_in_a_file_of_somebody_else_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = name_command(tmp_path, '["true"]')
    owner = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    if owner == 0:
        os.chown(home.settings_file, 1000, -1)
    with pytest.raises(ConfigurationError, match="others may write"):
        require_trusted(home, ("true",), environ={})


def test_a_command_that_was_exchanged_after_it_was_read_is_not_run(tmp_path: Path) -> None:
    home = name_command(tmp_path, '["true"]')
    require_trusted(home, ("true",), environ={})
    with pytest.raises(ConfigurationError):
        require_trusted(home, ("false",), environ={})


def test_a_command_of_the_daemons_own_variables_is_trusted(tmp_path: Path) -> None:
    home = name_command(tmp_path, '["true"]', 0o660)
    require_trusted(home, ("false",), environ={"CLFD_HOOKS__COMMAND": "false"})


def test_a_hook_that_hangs_holds_up_neither_a_recording_nor_the_end(
    make_house: HouseMaker,
    audio_file: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("daemon.hooks.dispatcher.CLOSE_SECONDS", 0.5)
    monkeypatch.setattr("daemon.hooks.dispatcher.POLL_SECONDS", 0.01)
    name_command(tmp_path, '["sleep", "1000"]')
    house = make_house()
    began = time.monotonic()
    with run_hooks(house.home, house.settings) as hooks:
        house.drop(audio_file(), "a.wav")
        house.live()
        assert house.rows() == [("a.wav", "done")]
        assert set(hooks.status()["hooks"]) == {"command"}
    assert time.monotonic() - began < 60


def test_a_real_daemon_tells_a_command_of_all_it_did_before_it_ends(
    tmp_path: Path,
    checkpoint_file: Path,
    audio_file: Callable[..., Path],
    noise: Callable[..., np.ndarray],
) -> None:
    received = tmp_path / "received"
    program = f"import sys; open({str(received)!r}, 'a').write(sys.stdin.read() + chr(10))"
    command = json.dumps([sys.executable, "-c", program])
    house = RunningHouse(tmp_path / "home", checkpoint_file)
    name_command(tmp_path, command)
    for number in range(5):
        source = audio_file(f"{number}.wav", noise(seed=number))
        source.rename(house.home.inbox / source.name)
    run = house.clfd("run", "--once")
    assert run.returncode == 0, run.stderr
    results = [json.loads(line) for line in received.read_text().splitlines()]
    assert sorted(result["path"] for result in results) == [f"{n}.wav" for n in range(5)]
