"""A home that is ready for what a training publishes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from storage.home.paths import Home
from trainer.promotion.publish import check_home


def test_a_training_clears_what_killed_ones_left(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    with subprocess.Popen(["true"]) as gone:
        pass
    left = [folder / f".a.{gone.pid}.new" for folder in (home.checkpoints, home.reports)]
    for path in left:
        path.mkdir()
        os.utime(path, (0, 0))
    check_home(home)
    assert not any(path.exists() for path in left)
