"""What is said of a process that is gone."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from torch.distributed import HashStore

from trainer.distributed.lost_processes import (
    DONE,
    STOPPED,
    RollCall,
    Terminated,
    explaining_losses,
    sentence,
)
from trainer.distributed.process_group import ProcessGroup
from trainer.distributed.rendezvous import Attempt
from trainer.errors import ProcessLost, ToldElsewhere, TrainerError

PLACES = {rank: f"process {100 + rank} on host-{rank // 2}" for rank in range(4)}


def group(store: HashStore, rank: int = 0) -> ProcessGroup:
    """A rank of four on two nodes."""
    return ProcessGroup(
        *(rank, 4, rank % 2, rank // 2), Attempt(store, "one"), nodes=(0, 0, 1, 1), places=PLACES
    )


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_lost_rank_is_named_with_what_to_do() -> None:
    assert sentence({1}, {0: STOPPED}, PLACES) == (
        "lost rank 1 (process 101 on host-0) of 4, which was killed or cut off; repeat the command "
        "with --resume, with as many processes, to go on from the last epoch saved"
    )


def test_who_was_done_is_not_lost() -> None:
    found = sentence(set(), {0: STOPPED, 1: DONE, 2: DONE, 3: DONE}, PLACES)
    assert found.startswith("rank 0 (process 100 on host-0) of 4 had to stop; repeat the command")


def test_where_torchrun_starts_them_again_nobody_has_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "2")
    assert "torchrun starts all of them again" in sentence({1}, {}, PLACES)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    assert "repeat the command with --resume" in sentence({1}, {}, PLACES)


def test_the_error_of_another_rank_goes_before_what_it_brought_about() -> None:
    found = sentence({3}, {0: STOPPED, 2: "cuda:0 has too little memory"}, PLACES)
    assert found == "rank 2 (process 102 on host-1) of 4 failed: cuda:0 has too little memory"


def test_who_waits_for_a_rank_that_is_there_answers_the_roll_call() -> None:
    store = HashStore()
    with RollCall(group(store, 1), group(store, 1).attempt.keys):  # type: ignore[union-attr]
        call = RollCall(group(store, 0), group(store).attempt.keys)  # type: ignore[union-attr]
        call.report(STOPPED)
        verdict = call.verdict(seconds=2)
    assert verdict.startswith("lost ranks 2 (process 102 on host-1), 3 (process 103 on host-1) of")


def test_a_broken_connection_becomes_the_verdict_and_is_told_once_a_node() -> None:
    store = HashStore()
    attempt = group(store).attempt
    assert attempt is not None
    attempt.keys.set("verdict", "lost rank 3")
    told = []
    for rank, error in enumerate([RuntimeError("[gloo/pair.cc] closed"), Terminated()]):
        explaining = explaining_losses(group(store, rank))
        with pytest.raises(TrainerError, match="lost rank 3") as raised, explaining:
            raise error
        told.append(raised.type)
    assert told == [ProcessLost, ToldElsewhere]


def test_an_error_of_its_own_stays_and_is_reported() -> None:
    store = HashStore()
    with pytest.raises(TrainerError, match="diverged"), explaining_losses(group(store, 2)):
        raise TrainerError("diverged")
    attempt = group(store).attempt
    assert attempt is not None
    assert attempt.keys.get("ended/2") == b"diverged"
