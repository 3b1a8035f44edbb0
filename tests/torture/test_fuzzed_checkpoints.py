"""Mutated checkpoints: reading and describing refuse in one line, and the daemon outlives them all.

`TORTURE_CHECKPOINTS` says how many (100,000), `TORTURE_SEED` which ones; the seed is printed, and a
finding names seed and number, which `checkpoint_mutations.mutation` makes into the same bytes.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoint_mutations import mutation, problems, rich_checkpoint
from house import House

SEED = int(os.environ.get("TORTURE_SEED", "0")) or random.randrange(1, 10**6)
ACTIVATED = 100  # every one of so many is given to a daemon too


@pytest.fixture
def count(size: Callable[[str, int], int]) -> int:
    return size("CHECKPOINTS", 100_000)


@pytest.fixture
def base(checkpoint_file: Path, tmp_path: Path) -> bytes:
    return rich_checkpoint(checkpoint_file, tmp_path / "base").read_bytes()


@pytest.mark.torture
def test_no_checkpoint_breaks_its_reader(base: bytes, count: int, tmp_path: Path) -> None:
    file, found, began = tmp_path / "20260203T030405Z-00000002.safetensors", [], time.monotonic()
    print(f"\n{count:,} mutations, seed {SEED}")
    for number in range(count):
        words, data = mutation(base, SEED, number)
        file.write_bytes(data)
        found += [f"number {number} ({words}): {problem}" for problem in problems(file)]
    print(f"{time.monotonic() - began:.0f} s", *found, sep="\n")
    assert found == []


@pytest.mark.torture
def test_no_checkpoint_ends_the_daemon(house: House, base: bytes, count: int) -> None:
    n_served = 0
    print(f"\n{count // ACTIVATED:,} activated, seed {SEED}")
    for number in range(0, count, ACTIVATED):
        name = f"20260203T030405Z-{number:08x}"
        house.checkpoints.put(name, mutation(base, SEED, number)[1])
        house.checkpoints.activate(name, [str(house.model.wanted)] if house.model.refusal else [])
        house.live(1)
        if house.model._candidate is not None:
            house.model._candidate[1].exception(timeout=60)
        house.live(1)
        is_served = house.model.served.name == name
        assert is_served == (house.model.refusal is None), f"number {number}"
        n_served += is_served
        for old in house.checkpoints.names():
            if old not in (house.checkpoints.active(), house.checkpoints.previous()):
                house.checkpoints.remove(old)
    assert 0 < n_served < count // ACTIVATED
    assert not house.home.trial_file.exists()
