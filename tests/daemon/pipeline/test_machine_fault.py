"""A condition of the machine fails no recording: it is told, and waited for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from house import House, HouseMaker

from classifier.errors import internal_error, machine_error
from daemon.pipeline.machine_fault import MachineFault
from storage.ledger.outcomes import Claim

Write = Callable[..., Path]
LACK = "files cannot be opened or read: Too many open files"


def claim(recording_id: int) -> Claim:
    return Claim(recording_id, Path("/inbox"), b"a.wav", "", 1, 1, "new")


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def machine(now: list[float]) -> MachineFault:
    return MachineFault(lambda: now[0])


def test_a_recording_waits_without_losing_an_attempt_and_is_answered_later(
    house: House, audio_file: Write
) -> None:
    house.drop(audio_file(), "a.wav")
    house.pool.next_error = machine_error(LACK)
    while house.pool.next_error:
        house.live(1)
    house.live(1)
    assert house.ask("SELECT state, attempts, claimed_by FROM recording") == [("pending", 0, None)]
    assert f"this machine cannot decode: {LACK}" in house.statuses[-1]["faults"]
    house.live(10)
    assert house.ask("SELECT state, attempts FROM recording") == [("done", 1)]
    assert house.statuses[-1]["faults"] == []


def test_nothing_else_is_claimed_meanwhile(house: House, audio_file: Write) -> None:
    house.window.machine.postpone(claim(1), LACK)
    house.drop(audio_file(), "a.wav")
    house.live(4)
    assert (house.rows(), house.pool.submitted) == ([("a.wav", "pending")], [])
    house.live(10)
    assert house.rows() == [("a.wav", "done")]


def test_failures_within_one_wait_count_once_and_waits_grow(
    machine: MachineFault, now: list[float]
) -> None:
    waits = []
    for _ in range(4):
        waits += [machine.postpone(claim(number), LACK).wait_seconds for number in (1, 2)]
        now[0] += waits[-1]
    assert waits == [5, 5, 60, 60, 600, 600, 600, 600]


def test_a_recording_that_meets_it_over_and_over_waits_by_itself(
    machine: MachineFault, now: list[float]
) -> None:
    waits = []
    for _ in range(3):
        waits.append(machine.postpone(claim(1), LACK).wait_seconds)
        now[0] += 5
        assert not machine.is_waiting
        machine.has_passed(2)
    assert waits == [5, 60, 600]
    assert machine.fault is None


def test_a_fault_of_ours_is_tried_again_before_it_fails_its_file(
    house: House, audio_file: Write, caplog: pytest.LogCaptureFixture
) -> None:
    house.drop(audio_file(), "a.wav")
    house.pool.next_error = internal_error(ValueError("surprise"))
    house.live(20)
    assert house.rows() == [("a.wav", "done")]
    assert "a.wav will be tried again in 5 s: unexpected ValueError: surprise" in caplog.text


def test_a_file_that_meets_a_fault_of_ours_each_time_fails_in_the_end(
    make_house: HouseMaker, audio_file: Write
) -> None:
    house = make_house(**{"intake.max_attempts": 1})
    house.drop(audio_file(), "a.wav")
    house.pool.next_error = internal_error(ValueError("surprise"))
    house.live(10)
    assert house.rows() == [("a.wav", "failed")]


def test_what_is_slow_is_named_with_its_size_and_its_time(
    house: House, audio_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.begin_to_decode(audio_file())
    (recording,) = house.window._recordings.values()
    monkeypatch.setattr(house.pool, "slow", lambda: [((recording, 0), 75.0)])
    monkeypatch.setattr(house.pool, "collect", list)
    house.service.try_tick()
    size = recording.claim.size_bytes
    slow = {"path": "a.wav", "seconds": 75.0, "size_bytes": size}
    assert house.statuses[-1]["slow"] == [slow]
    assert house.statuses[-1]["eta_s"] is None
    assert house.statuses[-1]["faults"] == [
        "a.wav (0.0 GB) keeps a decode worker busy for 75 s so far"
    ]
