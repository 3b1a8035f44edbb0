"""From a recording to a better checkpoint without leaving the page, by a person at a keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from page_browser import opened, served, wait_until
from running_house import RunningHouse

from storage.home.checkpoint_folder import CheckpointFolder

pytestmark = pytest.mark.browser

RATE_HZ = 8000
HERTZ = {"low": 300, "high": 1500}
N_OF_EACH = 8
POSITION = """async () => (await import("/static/sound/player.js")).player.position()"""


def drop(house: RunningHouse, name: str, kind: str, number: int) -> None:
    time = np.arange(2 * RATE_HZ) / RATE_HZ
    noise = np.random.RandomState(number).randn(len(time))
    hertz = HERTZ[kind] * (1 + 0.02 * number)
    aside = house.home.root / name
    soundfile.write(aside, 0.2 * np.sin(6.28 * hertz * time) + 0.02 * noise, RATE_HZ)
    aside.rename(house.home.inbox / name)


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, checkpoint_file: Path
) -> Iterator[RunningHouse]:
    house = RunningHouse(tmp_path_factory.mktemp("walk") / "home", checkpoint_file)
    house.start()
    for number in range(N_OF_EACH):
        for kind in HERTZ:
            drop(house, f"{kind}-{number}.wav", kind, number)
    house.wait_for_rows(2 * N_OF_EACH)
    yield house
    house.stop()


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def label(page: Any, seen: dict[str, str]) -> None:
    """Says of the clip that is shown what its name says."""
    path = page.locator("section.clip a bdi").inner_text()
    kind = path.partition("-")[0]
    at = page.locator("section.clip").get_attribute("data-clip")
    press(page, "/")
    page.keyboard.type(kind)
    press(page, "Enter")
    page.locator(f"section.clip:not([data-clip='{at}'])").or_(
        page.get_by_text("Nothing is left here")
    ).wait_for()
    seen[path] = kind


def labels_of(house: RunningHouse) -> dict[str, str]:
    lines = house.typed("labels", "list", "--format=csv").stdout.splitlines()[1:]
    return {line.split(",")[1]: line.split(",")[4] for line in lines}


def test_from_a_recording_to_a_better_checkpoint(chromium: Any, house: RunningHouse) -> None:
    first = CheckpointFolder(house.home.checkpoints).active()
    with served(house.home) as link:
        page = opened(chromium, link)
        press(page, "g", "a")
        page.locator("section.clip canvas[data-painted]").wait_for()

        press(page, "r")
        wait_until(lambda: (page.evaluate(POSITION) or 0) > 0.1)

        said: dict[str, str] = {}
        label(page, said)
        wait_until(lambda: labels_of(house) == said)
        press(page, "u")
        wait_until(lambda: labels_of(house) == {})
        said.clear()
        while page.locator("section.clip").count():
            label(page, said)
        assert len(said) == 2 * N_OF_EACH
        wait_until(lambda: labels_of(house) == said)

        press(page, "g", "c")
        page.get_by_role("button", name="Train").wait_for()
        press(page, "n")
        dialog = page.locator("dialog")
        dialog.get_by_label("Epochs").fill("4")
        dialog.get_by_label("Activate").select_option("always")
        dialog.get_by_role("button", name="Train").click()
        page.locator(".trainings").get_by_text("running").wait_for()
        wait_until(lambda: CheckpointFolder(house.home.checkpoints).active() != first, 120)
        page.locator(".trainings").get_by_text("is promoted").wait_for()
        better = CheckpointFolder(house.home.checkpoints).active()
        wait_until(lambda: house.status()["served_checkpoint"] == better, 60)

        press(page, "g", "l")
        drop(house, "new.wav", "high", N_OF_EACH)
        row = page.locator("tr[data-id]", has_text="new.wav")
        row.filter(has_text=re.compile("high|low")).wait_for()  # labels of the new checkpoint alone
        assert not page.faults
        page.context.close()


def test_a_page_that_only_shows_changes_nothing(chromium: Any, house: RunningHouse) -> None:
    before = labels_of(house)
    with served(house.home, "--read-only") as link:
        page = opened(chromium, link)
        press(page, "g", "r")
        page.locator("tr[data-id]").first.wait_for()
        press(page, "j", "1", "c")
        press(page, "g", "c")
        page.get_by_role("heading", name="Checkpoints").wait_for()
        assert page.get_by_role("button", name="Train").count() == 0
        answer = page.evaluate("""async () => (await fetch("/api/v1/labels", {method: "POST",
            headers: {"Content-Type": "application/json"}, body: '{"events": []}'})).status""")
        assert answer in (404, 405)
        page.context.close()
    assert labels_of(house) == before
