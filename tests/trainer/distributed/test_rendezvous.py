"""How the processes of one start find each other in a store that outlives it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import pytest
from torch.distributed import HashStore

from trainer.distributed.rendezvous import Attempt, LostTouch, ended, join_attempt, open_attempt
from trainer.errors import TrainerError

T = TypeVar("T")
AT_ONCE = timedelta(0)


def side_by_side(*works: Callable[[], T]) -> list[T]:
    with ThreadPoolExecutor(len(works)) as pool:
        return [each.result(60) for each in [pool.submit(work) for work in works]]


def start(store: HashStore) -> list[Attempt]:
    """Three processes."""
    return side_by_side(
        lambda: open_attempt(store, 3),
        lambda: join_attempt(store, 1),
        lambda: join_attempt(store, 2),
    )


def test_processes_of_one_start_are_in_one_session() -> None:
    attempts = start(HashStore())
    assert len({attempt.name for attempt in attempts}) == 1
    assert not attempts[0].is_restart


def test_those_of_the_next_start_are_in_another() -> None:
    store = HashStore()
    before, after = start(store), start(store)
    assert {attempt.name for attempt in before}.isdisjoint({attempt.name for attempt in after})
    assert after[0].is_restart


def test_ranks_that_do_not_start_are_named() -> None:
    with pytest.raises(TrainerError, match="of 3 processes these did not start: rank 1, 2; start"):
        open_attempt(HashStore(), 3, AT_ONCE)
    with pytest.raises(TrainerError, match=r"rank 2 found no main process \(rank 0\)"):
        join_attempt(HashStore(), 2, AT_ONCE)


def test_who_waits_for_the_main_process_gets_what_it_tells() -> None:
    main, first, _ = start(HashStore())
    main.keys.set("data", "there")
    assert first.wait_for("data") == "there"


def test_nobody_waits_for_a_main_process_that_ended_or_was_started_again() -> None:
    store = HashStore()
    main, first, _ = start(store)
    main.keys.set(ended(0), "no space")
    with pytest.raises(LostTouch):
        first.wait_for("data")
    main, _, third = start(store)
    store.set("clfd/attempt", "the next one")
    with pytest.raises(LostTouch):
        third.wait_for("data")
