"""README and recipes as a reader types them, one page after the other, in one home."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from console_pages import Reader
from hook_receivers import Receiver, running_receiver
from street_card import make_card, make_pump

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "recipes"
# The first makes the home and teaches it; what a page changes is there for those after it.
PAGES = [
    ROOT / "README.md",
    *(RECIPES / f"{name}.md" for name in ("card", "labels-to-onnx", "alert", "weekly-page")),
    *(RECIPES / f"{name}.md" for name in ("thirty-days", "machine")),
]
MAX_LINES = 60

pytestmark = pytest.mark.usefixtures("greenwich")


RATE_HZ = 22_050


def crackles() -> np.ndarray:
    """Five seconds of a fire, near enough for the starter."""
    rng = np.random.default_rng(0)
    sound = 0.003 * rng.standard_normal(5 * RATE_HZ)
    decay = np.exp(-np.arange(120) / 15)
    for at in rng.integers(0, len(sound) - 300, 150):
        sound[at : at + 120] += 0.3 * rng.uniform(0.1, 1) * decay * rng.standard_normal(120)
    return sound


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Reader:
    """Has a recording, a card and a pump, and no home yet."""
    folder = tmp_path_factory.mktemp("reader")
    make_card(folder / "card")
    make_pump(folder / "pump-sounds", folder / "pump-day")
    soundfile.write(folder / "recording.wav", crackles(), RATE_HZ)
    home = {"HOME": str(folder), "XDG_DATA_HOME": "", "CLFD_HOME": "", "COLUMNS": "80"}
    return Reader(folder, {"https://ntfy.sh": receiver.url}, home)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_is_what_a_reader_sees(page: Path, reader: Reader) -> None:
    for each in PAGES[: PAGES.index(page)]:
        reader.differences(each)
    assert reader.differences(page) == []


def test_the_phone_rings_with_what_the_page_shows(reader: Reader, receiver: Receiver) -> None:
    for each in PAGES[: PAGES.index(RECIPES / "alert.md") + 1]:
        reader.differences(each)
    example, alert = (body.decode() for body in receiver.bodies)
    assert example.startswith("test at test")
    assert f"```text\n{alert}\n```" in (RECIPES / "alert.md").read_text(encoding="utf-8")


def test_every_recipe_is_short_and_read() -> None:
    pages = sorted(RECIPES.glob("*.md"))
    assert {*pages} == {*PAGES[1:]}
    lengths = {page.name: len(page.read_text(encoding="utf-8").splitlines()) for page in pages}
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}
