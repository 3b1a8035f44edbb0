"""A recording in a browser: seen, heard, slowed down and labelled, by keys alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from page_browser import opened, served, wait_until
from page_recordings import made_home, record

pytestmark = pytest.mark.browser

POSITION = """async () => (await import("/static/sound/player.js")).player.position()"""
SHADES = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""
SPECTRUM = """async () => {
  const [digest] = document.querySelector("canvas").dataset.painted.split(" ");
  const { spectrumOf } = await import("/static/sound/spectrum.js");
  const { rate, start, end, band, bins, loudest } = await spectrumOf(digest, 0, 5, 100, 1024);
  return { rate, start, end, hz: (band / bins) * (rate / 2), loudest };
}"""


@pytest.fixture(scope="module")
def site(
    chromium: Any,
    tmp_path_factory: pytest.TempPathFactory,
    tone: Callable[..., np.ndarray],
    noise: Callable[..., np.ndarray],
) -> Iterator[Any]:
    home = made_home(tmp_path_factory.mktemp("sound") / "home")
    sound = tone(hz=2000, seconds=12) * np.linspace(0, 1, 12 * 8000) + noise(seconds=12)
    record(home, "a.wav", sound)
    with served(home) as link:
        page = opened(chromium, link)
        page.root = link.split("/in")[0]
        yield page
        page.context.close()
        assert not page.faults


@pytest.fixture
def page(site: Any) -> Any:
    """The recording, with its picture."""
    site.goto(f"{site.root}/recording/1")
    site.locator("canvas[data-painted]").wait_for()
    return site


def heard_at(page: Any) -> float:
    position: float | None = page.evaluate(POSITION)
    return -1.0 if position is None else position


def test_a_recording_is_seen_and_heard_by_keys(page: Any) -> None:
    canvas = page.locator("canvas[data-painted]")
    assert canvas.evaluate(SHADES) > 50
    assert "2 kHz" in canvas.get_attribute("aria-label")

    page.keyboard.press(" ")
    wait_until(lambda: heard_at(page) > 0.2)
    page.locator(".playhead:visible").wait_for()
    page.keyboard.press(" ")
    wait_until(lambda: heard_at(page) == -1)


def test_time_expansion_plays_more_slowly(page: Any) -> None:
    page.keyboard.press("t")
    page.keyboard.press("t")
    page.get_by_text("1/10 speed").wait_for()

    page.keyboard.press(" ")
    wait_until(lambda: heard_at(page) > 0.02)
    place = """async () => {
      const { player } = await import("/static/sound/player.js");
      const [begin, from] = [performance.now(), player.position()];
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return (player.position() - from) / (performance.now() - begin) * 1000;
    }"""
    assert page.evaluate(place) == pytest.approx(0.1, abs=0.04)


def test_a_spectrum_tells_of_what_was_received(page: Any) -> None:
    found = page.evaluate(SPECTRUM)

    assert (found["rate"], found["start"], found["end"]) == (8000, 0, 5)
    assert found["hz"] == pytest.approx(2000, abs=8)
    # Half scale, fading in: 5 of 12 seconds of it.
    assert found["loudest"] == pytest.approx(20 * np.log10(0.5 * 5 / 12), abs=1)


def test_the_view_is_in_its_address(page: Any) -> None:
    for key in ("+", "ArrowRight", "[", "h", "n", "b", "o"):
        page.keyboard.press(key)

    for part in ("span=5", "high=2000", "hp=200", "gain=10", "contrast=50", "loop=1"):
        assert part in page.url
    page.reload()
    page.get_by_text("over 200 Hz").wait_for()


def test_a_dragged_part_is_labelled(page: Any) -> None:
    canvas = page.locator("canvas[data-painted]")
    box = canvas.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.2 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], y, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Drop the part").wait_for()

    page.keyboard.press("l")
    page.keyboard.type("owl")
    page.keyboard.press("Enter")

    page.get_by_role("heading", name="Labelled by people").wait_for()
    assert "owl" in page.locator(".people").inner_text()
