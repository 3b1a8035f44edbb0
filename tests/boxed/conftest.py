"""Everything in this folder is marked `systemd`: `make systemd-test` runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from service_box import ServiceBox
from systemd_box import why_none

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.systemd)


@pytest.fixture(scope="session")
def one_box() -> Iterator[ServiceBox]:
    if reason := why_none():
        pytest.skip(reason)
    with ServiceBox() as box:
        box.make_home()
        yield box


@pytest.fixture
def box(one_box: ServiceBox) -> ServiceBox:
    """Installed, not started."""
    one_box.set_up()
    return one_box


@pytest.fixture
def serving(box: ServiceBox) -> ServiceBox:
    """Installed and started, with the starter."""
    box.start()
    return box


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str, float], None]:
    """`measured("seconds to READY", 2.8)`: is printed, and kept with the outcome."""

    def note(what: str, value: float) -> None:
        print(f"\n{what}: {value:.2f}")
        record_property(what, value)

    return note
