"""What recorders are known to write wrong around sound that is whole (docs/audio.md)."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_bytes import FMT, ID3, NOTES, PIPED, aiff, chunk, real_file, rf64, riff, w64, write

from classifier.audio.decode import DecodedAudio, Segment, decode
from classifier.errors import DecodingError

Make = Callable[..., np.ndarray]

SOUND = (8000 * np.sin(np.arange(8000) / 7)).astype("<i2").tobytes()  # a second
BIG_ENDIAN = np.frombuffer(SOUND, "<i2").astype(">i2").tobytes()
DATA = chunk(b"data", SOUND)
AU = struct.pack(">4sIIIII", b".snd", 24, len(SOUND), 3, 8000, 1) + BIG_ENDIAN
CAF = b"".join(
    (
        b"caff\0\1\0\0desc" + struct.pack(">qd4sIIIII", 32, 8000, b"lpcm", 0, 2, 1, 1, 16),
        b"data" + struct.pack(">qI", 4 + len(SOUND), 0) + BIG_ENDIAN,
    )
)
GARBAGE = np.random.RandomState(0).bytes(49_100)


def heard(path: Path, content: bytes, **more: bool) -> DecodedAudio:
    write(path, content)
    return decode(Segment(os.fsencode(path), 8000, 4000, 4000, 100, **more))


def refused(path: Path, content: bytes) -> DecodingError:
    with pytest.raises(DecodingError) as caught:
        heard(path, content)
    return caught.value


def assert_all_is_heard(found: DecodedAudio) -> None:
    expected = np.frombuffer(SOUND, "<i2") / np.float32(2**15)
    np.testing.assert_array_equal(found.audio, expected)


# Sizes

WRONG_SIZES = {
    "the whole file, in both sizes": riff(FMT, chunk(b"data", SOUND, 16_044), size=16_080),
    "the whole file": riff(FMT, chunk(b"data", SOUND, 16_044)),
    "all but the first eight bytes": riff(FMT, chunk(b"data", SOUND, 16_036)),
    "the whole file, behind room": riff(
        chunk(b"JUNK", bytes(400)), FMT, chunk(b"data", SOUND, 16_452)
    ),
    "twice": riff(FMT, chunk(b"data", SOUND, 32_000)),
    "twice in RF64": rf64(32_000, SOUND),
    "a chunk's head": riff(FMT, chunk(b"data", SOUND, 16_008)),
    "the format": riff(FMT, chunk(b"data", SOUND, 16_016)),
    "all before it but the head of the file and its own": riff(FMT, chunk(b"data", SOUND, 16_028)),
    "the whole file in AIFF": aiff(BIG_ENDIAN, 8000, 16_054),
    "twice the frames in AIFF": aiff(BIG_ENDIAN, 16_000),
}


@pytest.mark.parametrize("name", WRONG_SIZES)
def test_a_size_that_is_off_by_the_header_or_doubled_costs_a_warning_only(
    tmp_path: Path, name: str
) -> None:
    found = heard(tmp_path / "x", WRONG_SIZES[name])
    assert_all_is_heard(found)
    assert "nothing is missing" in str(found.warning)


@pytest.mark.parametrize("size", [2, 36, 44, 512])
@pytest.mark.parametrize("silence", [0, 3000])
def test_a_size_left_over_from_the_start_of_the_recording_is_unfinished(
    tmp_path: Path, size: int, silence: int
) -> None:
    content = riff(FMT, chunk(b"data", bytes(silence) + SOUND, size), size=size + 36)
    assert refused(tmp_path / "x", content).kind == "unfinished"
    found = heard(tmp_path / "x", content, accepts_damaged=True)
    assert found.seconds == pytest.approx((silence + 16_000) / 16_000)


@pytest.mark.parametrize("behind", [NOTES, bytes(20_000), NOTES + bytes(20_000)])
def test_a_short_recording_with_notes_or_room_behind_it_is_whole(
    tmp_path: Path, behind: bytes
) -> None:
    found = heard(tmp_path / "x", riff(FMT, chunk(b"data", SOUND[:44])) + behind)
    assert (found.seconds, found.warning) == (22 / 8000, None)


def test_sound_behind_the_size_in_the_header_is_named(tmp_path: Path) -> None:
    found = heard(tmp_path / "x", riff(FMT, chunk(b"data", SOUND, 10_000)))
    assert (found.seconds, found.warning) == (
        0.625,
        "6,000 bytes behind the sound are neither notes nor padding; they are not heard",
    )


def flac_of_twice_its_length(path: Path, samples: np.ndarray) -> bytes:
    content = bytearray(real_file(path, "FLAC", "PCM_16", samples).read_bytes())
    content[22:26] = struct.pack(">I", 2 * len(samples))
    content[26:42] = bytes(16)  # its digest, not set
    return bytes(content)


def test_a_flac_that_promises_twice_its_samples_is_heard_with_a_warning(
    tmp_path: Path, noise: Make
) -> None:
    samples = noise(3.3)
    found = heard(tmp_path / "x", flac_of_twice_its_length(tmp_path / "y", samples))
    assert found.seconds == 3.3
    assert "just twice what its frames hold" in str(found.warning)
    expected = np.rint(samples * 2**15) / 2**15
    np.testing.assert_allclose(found.audio[: len(samples)], expected, atol=2**-15)


def test_a_flac_of_twice_its_length_that_was_cut_is_cut(tmp_path: Path, noise: Make) -> None:
    content = flac_of_twice_its_length(tmp_path / "y", noise(3.3))
    assert refused(tmp_path / "x", content[:-100]).kind in ("truncated", "damaged")


def test_a_flac_of_two_frames_whose_sizes_nobody_wrote_is_heard_to_its_end(
    tmp_path: Path, noise: Make
) -> None:
    content = bytearray(real_file(tmp_path / "y", "FLAC", "PCM_16", noise(1.024)).read_bytes())
    content[12:18] = bytes(6)
    found = heard(tmp_path / "x", bytes(content))
    assert (found.seconds, found.warning) == (1.024, None)


@pytest.mark.parametrize("tag", [b"", ID3])
@pytest.mark.parametrize("content", [rf64(16_000, SOUND), riff(FMT, DATA)])
def test_bw64_is_read_as_what_it_is_but_for_its_name(
    tmp_path: Path, content: bytes, tag: bytes
) -> None:
    found = heard(tmp_path / "x", tag + b"BW64" + content[4:])
    assert_all_is_heard(found)
    assert found.warning is None
    assert refused(tmp_path / "x", tag + b"BW64" + content[4:-100]).kind == "truncated"


# Notes

UNPADDED = b"IART" + struct.pack("<I", 3) + b"abcICMT" + struct.pack("<I", 4) + "ÄÖ".encode()
ODD_NOTES = {
    "leftovers of the card before the sound": riff(FMT, chunk(b"LIST", GARBAGE), DATA),
    "leftovers behind it": riff(FMT, DATA, chunk(b"LIST", GARBAGE)),
    "entries without a pad byte": riff(FMT, DATA, chunk(b"LIST", b"INFO" + UNPADDED)),
    "a chunk without a pad byte": riff(FMT, chunk(b"LIST", b"INFO" + UNPADDED)[:-1], DATA),
    "a note longer than its list": riff(
        FMT, chunk(b"LIST", b"INFO" + chunk(b"ICMT", b"a", 999)), DATA
    ),
    "labels longer than their list": riff(
        FMT, chunk(b"LIST", b"adtl" + chunk(b"labl", b"a", 999)), DATA
    ),
    "a list of no known kind": riff(FMT, chunk(b"LIST", b"exif" + GARBAGE[:99]), DATA),
    "more notes than anyone reads": riff(FMT, chunk(b"LIST", b"INFO" + bytes(2**21)), DATA),
    "a peak of the wrong size": riff(FMT, chunk(b"PEAK", bytes(7)), DATA),
    "a name that is no text": riff(FMT, chunk(b"\1\2\3\4", bytes(70)), DATA),
    "a gap of zeros before the sound": riff(FMT, bytes(470), DATA),
    "the format twice": riff(FMT, FMT, DATA),
    "junk that looks like a chunk": riff(FMT, DATA) + b"RIFX" + b"\xff" * 99,
    "a chunk cut short behind the sound": riff(FMT, DATA, chunk(b"LIST", b"INFOICMT", 5000)),
}


@pytest.mark.parametrize("name", ODD_NOTES)
def test_notes_are_no_reason_to_refuse_sound(tmp_path: Path, name: str) -> None:
    found = heard(tmp_path / "x", ODD_NOTES[name])
    assert_all_is_heard(found)
    assert found.warning is None


# Two recordings in one file

TWO = {
    "WAV": riff(FMT, DATA) * 2,
    "WAV with notes between": riff(FMT, DATA, NOTES) + riff(FMT, DATA),
    "WAV with two lots of samples": riff(FMT, DATA, DATA),
    "RF64": rf64(16_000, SOUND) * 2,
    "W64": w64(16_024, SOUND) * 2,
    "AIFF": aiff(BIG_ENDIAN, 8000) * 2,
    "AU": AU * 2,
    "CAF": CAF * 2,
}


@pytest.mark.parametrize("name", TWO)
def test_of_two_recordings_in_one_file_none_is_passed_over(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path / "x", TWO[name]).kind == "unsupported"
    found = heard(tmp_path / "x", TWO[name], accepts_damaged=True)
    assert_all_is_heard(found)
    assert "one behind the other, of which only the first would be heard" in str(found.warning)


def test_of_two_flac_files_in_one_none_is_passed_over(tmp_path: Path, noise: Make) -> None:
    first = real_file(tmp_path / "y", "FLAC", "PCM_16", noise(1.5)).read_bytes()
    assert "several FLAC files" in str(refused(tmp_path / "x", first * 2))
    found = heard(tmp_path / "x", first * 2, accepts_damaged=True)
    assert (found.seconds, "several FLAC files" in str(found.warning)) == (1.5, True)


def test_a_second_file_behind_a_length_that_nobody_knew_is_seen_in_flac(
    tmp_path: Path, noise: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.audio.containers.flac.WINDOW_BYTES", 1000)
    first = bytearray(real_file(tmp_path / "y", "FLAC", "PCM_16", noise(1.5)).read_bytes())
    first[22:26] = bytes(4)
    assert refused(tmp_path / "x", bytes(first) * 2).kind == "unsupported"


# Junk before the first frame of MP3


@pytest.fixture
def mp3(tmp_path: Path, noise: Make) -> bytes:
    return real_file(tmp_path / "y", "MP3", "MPEG_LAYER_III", noise(3.0)).read_bytes()


@pytest.mark.parametrize("n_zeros", [1, 3000, 10_000, 200_000])
def test_zeros_before_the_first_frame_of_mp3_are_passed_over(
    tmp_path: Path, mp3: bytes, n_zeros: int
) -> None:
    found = heard(tmp_path / "x", bytes(n_zeros) + mp3)
    assert (found.seconds, found.warning) == (heard(tmp_path / "z", mp3).seconds, None)


@pytest.mark.parametrize("n_bytes", [1, 700, 30_000])
@pytest.mark.parametrize("tag", [b"", b"ID3\4\0\0\0\0\0\x10" + bytes(16)])
def test_an_mp3_that_begins_with_junk_is_heard_with_a_warning(
    tmp_path: Path, mp3: bytes, tag: bytes, n_bytes: int
) -> None:
    found = heard(tmp_path / "x", tag + b"U" * n_bytes + mp3)
    assert found.seconds == heard(tmp_path / "z", mp3).seconds
    assert found.warning == f"the first {n_bytes:,} bytes are no frame of MP3; passed over"


def test_an_mp3_that_begins_within_a_frame_is_heard(tmp_path: Path, noise: Make) -> None:
    path = tmp_path / "y.mp3"
    soundfile.write(path, noise(3.0), 8000, format="MP3")
    frames = path.read_bytes()[1000:]
    found = heard(tmp_path / "x", frames)
    assert 1.5 < found.seconds < 3.1
    assert "no frame of MP3" in str(found.warning)


def test_random_bytes_are_still_no_mp3(tmp_path: Path) -> None:
    assert refused(tmp_path / "x", np.random.RandomState(1).bytes(10**6)).kind == "not_audio"


def test_a_length_in_a_pipe_needs_no_warning(tmp_path: Path) -> None:
    found = heard(tmp_path / "x", riff(FMT, chunk(b"data", SOUND, PIPED), size=PIPED))
    assert_all_is_heard(found)
    assert found.warning is None
