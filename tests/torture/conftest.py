"""Everything in this folder is marked `torture`: `make torture` runs it, `make test` does not."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_house import RunningHouse

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.torture)


@pytest.fixture
def size() -> Callable[[str, int], int]:
    """`size("KILLS", 40)`: a size that TORTURE_KILLS changes."""
    return lambda name, default: int(os.environ.get(f"TORTURE_{name}", default))


@pytest.fixture
def poison() -> Callable[[RunningHouse], None]:
    """`poison(house)`: files named poison... kill their reader, spinning... hold it."""

    def prepare(house: RunningHouse) -> None:
        paths = (str(HERE / "poison"), house.environ.get("PYTHONPATH", ""))
        house.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))

    return prepare


@pytest.fixture
def chance() -> random.Random:
    """Randomness whose seed is printed; TORTURE_SEED repeats a run."""
    seed = int(os.environ.get("TORTURE_SEED", random.SystemRandom().randrange(2**32)))
    print(f"\nTORTURE_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def make_running(tmp_path: Path, checkpoint_file: Path) -> Iterator[Callable[..., RunningHouse]]:
    """`make_running("name", CLFD_LOG__LEVEL="debug")`: a home whose daemon is yet to start."""
    houses: list[RunningHouse] = []

    def make(name: str = "home", **settings: str) -> RunningHouse:
        quick = {"CLFD_ENGINE__THREADS": "1", "CLFD_INTAKE__SCAN_SECONDS": "5"}
        house = RunningHouse(tmp_path / name, checkpoint_file, quick | settings)
        houses.append(house)
        return house

    yield make
    for house in houses:
        house.close()
