"""Files written into an inbox in small bursts, at a steady pace, by a process of its own.

python stream.py INBOX N_FILES SECONDS ENOUGH

N_FILES in SECONDS; then more at the same pace, until there is a file ENOUGH.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path

from sounds import wav

LENGTHS = (0.3, 0.9, 1.7, 10.0)  # seconds: of one clip, of some, of more than are scored at once
BURST = 4  # come at once, so that more than one is in flight when another checkpoint takes over


def stream(inbox: Path, n_files: int, seconds: float, enough: Path) -> None:
    """Every second file is moved into place, the others are written where they stay."""
    began = time.monotonic()
    for number in itertools.count():
        if number >= n_files and enough.exists():
            return
        due = began + (number - number % BURST) * seconds / n_files
        time.sleep(max(0.0, due - time.monotonic()))
        content = wav(number, LENGTHS[number % len(LENGTHS)])
        folder = inbox / f"card {number // 1000}"
        folder.mkdir(exist_ok=True)
        place = folder / f"{number}.wav"
        written = place if number % 2 else enough.with_name(f"{number}.wav")
        written.write_bytes(content)
        os.replace(written, place)


if __name__ == "__main__":
    stream(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
