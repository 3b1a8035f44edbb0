"""The examples for programs in docs/page.md, as somebody types them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from page_browser import served

from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from storage.ledger.ledger import Ledger

PAGE = Path(__file__).parents[2] / "docs" / "page.md"
NAME = "20260131T120000Z-00000001"


def example(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


@dataclass(frozen=True)
class Place:
    """A folder in which one types, beside a page on a port of its own."""

    folder: Path
    port: str

    def types(self, command: list[str], text: str) -> str:
        done = subprocess.run(
            [*command, text.replace(":8474", f":{self.port}")],
            cwd=self.folder,
            env={"PATH": f"{self.folder}:/usr/bin:/bin", "CLFD_HOME": str(self.folder / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def place(
    home: Home,
    ledger: Ledger,
    checkpoint_file: Path,
    audio_file: Callable[..., Path],
    tmp_path: Path,
) -> Iterator[Place]:
    folder = CheckpointFolder(home.checkpoints)
    shutil.copyfile(checkpoint_file, folder.path(NAME))
    folder.activate(NAME)
    audio_file("recording.wav")
    source = Path(__file__).parents[2]
    script = f'#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} -m clfd "$@"\n'
    (tmp_path / "clfd").write_text(script)
    (tmp_path / "clfd").chmod(0o755)
    with served(home) as link:
        yield Place(tmp_path, link.split("/in")[0].rpartition(":")[2])


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_a_program_asks_as_the_page_about_it_says(place: Place) -> None:
    printed = place.types(["/bin/sh", "-ec"], example("sh"))
    assert '"label":"dog"' in printed
    assert '"path":"recording.wav","status":"done"' in printed
    listed = place.types([sys.executable, "-c"], example("python")).splitlines()
    assert len(listed) == 6
    assert any(line.startswith("c.wav siren 0.6") for line in listed)
