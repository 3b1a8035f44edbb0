"""Files written at a steady pace into an inbox, by a process that does nothing else.

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

CLIP_LENGTHS = (0.3, 0.9, 1.7)  # seconds: of one clip and of several


def stream(inbox: Path, n_files: int, seconds: float, enough: Path) -> None:
    """Every second file is moved into place, the others are written where they stay."""
    began = time.monotonic()
    for number in itertools.count():
        if number >= n_files and enough.exists():
            return
        time.sleep(max(0.0, began + number * seconds / n_files - time.monotonic()))
        content = wav(number, CLIP_LENGTHS[number % len(CLIP_LENGTHS)])
        folder = inbox / f"card {number // 1000}"
        folder.mkdir(exist_ok=True)
        place = folder / f"{number}.wav"
        written = place if number % 2 else enough.with_name(f"{number}.wav")
        written.write_bytes(content)
        os.replace(written, place)


if __name__ == "__main__":
    stream(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
