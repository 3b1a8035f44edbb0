"""Files for long benchmarks: of other bytes each, and the same sound."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.distinct import distinct
from classifier.audio.containers.promised_end import are_complete
from classifier.audio.regular_file import fingerprint
from daemon.benchmark.files import SUBTYPES, make_sounds


@pytest.fixture(params=sorted(SUBTYPES))
def made(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    originals = make_sounds(tmp_path, request.param, 2, 0.5)
    return distinct(originals, 7, tmp_path / "made")


def test_there_are_as_many_as_were_asked_for_and_no_two_of_the_same_bytes(
    made: list[Path],
) -> None:
    assert len({file.read_bytes() for file in made}) == 7


def test_they_sound_as_their_originals_do(made: list[Path]) -> None:
    for number, file in enumerate(made):
        decoded, of_original = (soundfile.read(each)[0] for each in (file, made[number % 2]))
        np.testing.assert_array_equal(decoded[:-2], of_original[:-2])


def test_they_are_whole(made: list[Path]) -> None:
    files = [(os.open, bytes(file), fingerprint(file.stat())) for file in made]
    assert all(are_complete(files))


def test_fewer_than_there_are_need_no_variants(
    tmp_path: Path, audio_file: Callable[..., Path]
) -> None:
    originals = [audio_file("a.wav"), audio_file("b.wav")]
    assert distinct(originals, 1, tmp_path / "made") == originals[:1]
