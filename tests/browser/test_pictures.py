"""How the views look: on a desktop and a phone, light and dark, for people and for axe.

With PICTURES=FOLDER the pictures are kept there; `label-desktop-light.png` is that of the README.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_browser import opened, served
from running_house import RunningHouse

from classifier.model.starter import starter_file

pytestmark = pytest.mark.browser

VIEWS = ("live", "results", "recording/5", "label", "label?as=grid", "verify", "checkpoints")
VIEWS += ("activity", "help")
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
REAL = Path(os.environ.get("ESC10_DIR", "/nowhere"))
N_FILES = 40


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, noise: Callable[..., np.ndarray]
) -> Iterator[RunningHouse]:
    """Real recordings where they are, else noises; answered by the starter."""
    import soundfile

    with starter_file() as file:
        assert file is not None
        house = RunningHouse(tmp_path_factory.mktemp("pictures") / "home", file)
    pond = house.home.inbox / "pond"
    pond.mkdir()
    real = sorted(REAL.rglob("*.ogg"))[:: max(1, len(list(REAL.rglob("*.ogg"))) // N_FILES)]
    for file in real[:N_FILES]:
        shutil.copy(file, pond)
    for number in range(N_FILES if not real else 0):
        soundfile.write(pond / f"{number:02d}.wav", noise(5.0, 16_000, seed=number), 16_000)
    house.start()
    house.wait_until(lambda: len(house.states()) >= N_FILES, 120)
    house.wait_until(lambda: set(house.states().values()) == {"done"}, 120)
    yield house
    house.stop()


@pytest.fixture(scope="module")
def link(house: RunningHouse) -> Iterator[Callable[[], str]]:
    """A new one each time it is called."""
    with served(house.home) as first:
        place = first.partition("#")[0]
        yield lambda: place + "#" + house.clfd("web", "--link").stdout.strip().partition("#")[2]


def show(page: Any, link: str, view: str) -> None:
    page.goto(f"{link.partition('/in#')[0]}/{view}")
    page.locator("main").wait_for()
    page.wait_for_load_state("networkidle")
    if view in ("recording/5", "label", "verify"):
        page.locator("canvas[data-painted]").first.wait_for()


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_every_view_fits_its_window(
    chromium: Any, link: Callable[[], str], size: str, colours: str
) -> None:
    window = DESKTOP if size == "desktop" else PHONE
    address = link()
    page = opened(chromium, address, viewport=window, color_scheme=colours)
    for view in VIEWS:
        show(page, address, view)
        if folder := os.environ.get("PICTURES"):
            name = view.replace("?as=", "-").replace("/5", "")
            page.screenshot(path=Path(folder) / f"{name}-{size}-{colours}.png")
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{view} is {wide} pixels wider than a {size}"
    assert not page.faults
    page.context.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing_serious(chromium: Any, link: Callable[[], str], colours: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    address = link()
    page = opened(chromium, address, viewport=DESKTOP, color_scheme=colours)
    serious = []
    for view in VIEWS:
        show(page, address, view)
        found = Axe().run(page).response
        serious += [
            f"{view}: {one['id']}: {one['nodes'][0]['html'][:120]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]
    assert serious == []
    page.context.close()
