"""Recorders that write for longer than a file has to rest, beside a burst of whole files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from running_house import RunningHouse
from sounds import wav

N_RECORDERS, N_DROPPED, N_FLUSHES = 6, 1000, 12
PAUSE_SECONDS = 1.0  # several times what a file has to rest


def record(path: Path, content: bytes) -> None:
    """Writes a file in pieces and keeps it open all the while."""
    step = len(content) // N_FLUSHES + 1
    with path.open("wb", buffering=0) as file:
        for begin in range(0, len(content), step):
            file.write(content[begin : begin + step])
            time.sleep(PAUSE_SECONDS)


def test_what_recorders_write_for_long_is_one_row_each_and_archived_whole(
    running: RunningHouse,
    elsewhere: Path,
    audio_file: Callable[..., Path],
    noise: Callable[..., np.ndarray],
) -> None:
    running.stop()
    archive = elsewhere / "archive"
    archive.mkdir()
    running.environ["CLFD_INTAKE__ARCHIVE_DIR"] = str(archive)
    running.start()
    inbox = running.home.inbox
    sounds = [audio_file(samples=noise(10, seed=n)).read_bytes() for n in range(N_RECORDERS)]
    recorders = [
        threading.Thread(target=record, args=(inbox / f"live {number}.wav", sound))
        for number, sound in enumerate(sounds)
    ]
    for recorder in recorders:
        recorder.start()
    for number in range(N_DROPPED):
        (inbox / f"{number}.wav").write_bytes(wav(number))
    for recorder in recorders:
        recorder.join()
    running.wait_for_rows(N_RECORDERS + N_DROPPED)
    running.wait_until(lambda: not [*inbox.iterdir()])
    assert set(running.states().values()) == {"done"}
    moved = [(archive / "inbox" / f"live {n}.wav").read_bytes() for n in range(N_RECORDERS)]
    assert moved == sounds
    assert len([*(archive / "inbox").iterdir()]) == N_RECORDERS + N_DROPPED
