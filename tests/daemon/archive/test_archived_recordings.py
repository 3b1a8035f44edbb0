"""Recordings that lie in the archive are heard again where they lie."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from house import House
from moves import places

AudioFile = Callable[..., Path]
Noise = Callable[..., np.ndarray]


def rescore(house: House) -> None:
    with house.ledger.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE recording SET requeued = 'rescore'")


def archived_and_rescored(
    house: House, source: Path, checkpoint_file: Path, meanwhile: Callable[[Path], object]
) -> None:
    house.drop(source, "a.wav")
    house.live()
    house.publish(checkpoint_file, "20990101T000000Z-00000002")
    meanwhile(house.home.root / "archive" / "inbox" / "a.wav")
    house.model.step(house.now)
    rescore(house)
    for _ in range(50):  # the new checkpoint is prepared in a thread
        threading.Event().wait(0.05)
        house.live(1)
        if house.model.served.name.startswith("2099"):
            break
    house.live(40)


@pytest.mark.parametrize("meanwhile", [Path.exists, Path.touch], ids=["as it was", "touched"])
def test_an_archived_file_is_heard_again_where_it_lies(
    archiving: House,
    audio_file: AudioFile,
    checkpoint_file: Path,
    meanwhile: Callable[[Path], object],
) -> None:
    archived_and_rescored(archiving, audio_file(), checkpoint_file, meanwhile)
    assert archiving.pool.submitted[-1].path.endswith(b"/archive/inbox/a.wav")
    assert archiving.ask("SELECT warning, requeued, claimed_by FROM recording") == [
        (None, None, None)
    ]
    [(_, _, place)] = places(archiving)
    assert place is not None


@pytest.mark.parametrize(
    ("meanwhile", "why"),
    [(Path.unlink, "gone"), (lambda path: path.write_bytes(b""), "rescoring failed")],
    ids=["deleted", "overwritten"],
)
def test_a_rescore_of_what_left_the_archive_keeps_the_answer_and_says_so(
    archiving: House,
    audio_file: AudioFile,
    checkpoint_file: Path,
    meanwhile: Callable[[Path], object],
    why: str,
) -> None:
    archived_and_rescored(archiving, audio_file(), checkpoint_file, meanwhile)
    [(state, warning, requeued)] = archiving.ask("SELECT state, warning, requeued FROM recording")
    assert (state, requeued) == ("done", None)
    assert why in str(warning)


def test_other_sound_in_an_archived_file_is_no_answer_of_the_recording(
    archiving: House, audio_file: AudioFile, checkpoint_file: Path, noise: Noise
) -> None:
    other = audio_file("other.wav", noise())
    archived_and_rescored(
        archiving, audio_file(), checkpoint_file, lambda place: shutil.copyfile(other, place)
    )
    [(state, warning, requeued)] = archiving.ask("SELECT state, warning, requeued FROM recording")
    assert (state, requeued) == ("done", None)
    assert "is not what was archived" in str(warning)
    assert archiving.ledger.has_work() is False


def test_what_is_on_its_way_is_not_read(archiving: House, audio_file: AudioFile) -> None:
    archiving.archive_thread.idle = True
    archiving.drop(audio_file(), "a.wav")
    archiving.live()
    rescore(archiving)
    asked = len(archiving.pool.submitted)
    archiving.live(5)
    assert len(archiving.pool.submitted) == asked
    archiving.archive_thread.idle = False
    archiving.archive_thread.work()
    archiving.live(5)
    assert archiving.pool.submitted[-1].path.endswith(b"/archive/inbox/a.wav")
