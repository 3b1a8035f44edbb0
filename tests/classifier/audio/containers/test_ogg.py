"""Pages of Ogg whose numbers say less than they hold, while the sound is whole."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from audio_bytes import write

from classifier.audio.containers.ogg import checksum, examine_ogg
from classifier.audio.decode import DecodedAudio, Segment, decode

HALF_SECOND = 12_000  # samples at the rate of the files, which is Opus's own for this content
GRANULES_LOST = 648  # at each joint: what `ffmpeg -f concat -c copy` leaves out


def decode_file(path: Path, **more) -> DecodedAudio:
    size = HALF_SECOND
    return decode(Segment(os.fsencode(path), 24_000, size, size, max_clips=100, **more))


def with_granule(page: bytes, change: int) -> bytes:
    granule = struct.unpack_from("<q", page, 6)[0] + change
    page = page[:6] + struct.pack("<q", granule) + page[14:]
    return page[:22] + struct.pack("<I", checksum(page)) + page[26:]


@pytest.fixture
def whole(tmp_path: Path, noise: Callable[..., object]) -> Path:
    path = tmp_path / "whole.opus"
    soundfile.write(path, noise(9.0, 24_000), 24_000, format="OGG", subtype="OPUS")
    return path


@pytest.fixture
def joined(tmp_path: Path, whole: Path) -> Path:
    """Of its pages those from the fifth on count too little, as behind a joint."""
    pages = [b"OggS" + page for page in whole.read_bytes().split(b"OggS")[1:]]
    later = [with_granule(page, -GRANULES_LOST) for page in pages[5:]]
    return write(tmp_path / "joined.opus", b"".join([*pages[:5], *later]))


def test_opus_as_it_is_written_has_no_oddity(whole: Path) -> None:
    assert decode_file(whole).warning is None


def test_joined_opus_recordings_are_scored_as_a_whole_with_a_warning(
    joined: Path, whole: Path
) -> None:
    with pytest.raises(soundfile.SoundFileError, match="malformed"):
        soundfile.read(joined)
    found = decode_file(joined)
    assert found.warning == (
        "its pages count 14 ms less than they hold, as where recordings were joined;"
        " all of it is scored"
    )
    assert found.seconds == pytest.approx(9.0, abs=0.03)
    assert found.clips[-1].std() == pytest.approx(decode_file(whole).clips[-1].std(), rel=0.05)


def test_a_damage_of_joined_opus_recordings_is_told_rather_than_the_joint(joined: Path) -> None:
    with joined.open("rb") as file:
        os.truncate(joined, joined.stat().st_size - 100)
        found = examine_ogg(file.fileno())
    assert found.oddity is None
    assert found.damage is not None and found.damage.kind == "truncated"
