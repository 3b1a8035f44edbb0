from __future__ import annotations

import os
from pathlib import Path

import pytest

from classifier.audio.containers.formats import check_header, container_of
from classifier.errors import DecodingError

MPEG_FRAME = b"\xff\xfb\x90\x64" + bytes(400)


def kind_of(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        container_of(fd)
    except DecodingError as error:
        return error.kind
    finally:
        os.close(fd)
    return "audio"


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"RIFX\0\0\0\x24WAVEfmt ",
        b"RF64\xff\xff\xff\xffWAVEds64",
        b"riff\x2e\x91\xcf\x11",
        b"FORM\0\0\0\x24AIFFCOMM",
        b"FORM\0\0\0\x24AIFCFVER",
        b"fLaC\0\0\0\x22",
        b"OggS\0\x02",
        b"ID3\x04\0\0\0\0\0\0",
        MPEG_FRAME,
        bytes(200) + MPEG_FRAME,
    ],
    ids=[
        "wav",
        "wav-big-endian",
        "rf64",
        "w64",
        "aiff",
        "aifc",
        "flac",
        "ogg",
        "id3",
        "mpeg",
        "padded-mpeg",
    ],
)
def test_audio_is_known_by_its_first_bytes(tmp_path: Path, content: bytes) -> None:
    assert kind_of(tmp_path / "no_suffix", content) == "audio"


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF\x24\0\0\0AVI LIST",
        b"RIFF\x24\0\0\0WEBPVP8 ",
        b"FORM\0\0\0\x248SVXVHDR",
        b"caff\0\x01",
        b".snd\0\0\0\x18",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        b"\xff\xd8\xff\xe0JFIF",
        b"\xff\xfe<\0h\0t\0",
        b"RIFF",
        b"\xff",
        bytes(5000),
    ],
    ids=[
        "avi",
        "webp",
        "8svx",
        "caf",
        "au",
        "png",
        "zip",
        "jpeg",
        "utf16",
        "four-bytes",
        "one-byte",
        "zeros",
    ],
)
def test_anything_else_reaches_no_decoder(tmp_path: Path, content: bytes) -> None:
    assert kind_of(tmp_path / "named.wav", content) == "not_audio"


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    assert kind_of(tmp_path / "empty.wav", b"") == "empty"


@pytest.mark.parametrize("encoding", ["MS_ADPCM", "IMA_ADPCM", "GSM610", "G721_32", "ALAC_16"])
def test_encodings_with_a_history_of_holes_are_refused(encoding: str) -> None:
    with pytest.raises(DecodingError, match="convert it to PCM WAV or FLAC"):
        check_header("WAV", encoding, 44_100, 1)


@pytest.mark.parametrize(
    ("rate_hz", "channels"), [(0, 1), (999, 1), (768_001, 1), (8000, 0), (8000, 65), (8000, 1024)]
)
def test_a_header_is_bounded_before_anything_is_allocated(rate_hz: int, channels: int) -> None:
    with pytest.raises(DecodingError, match="the header says") as caught:
        check_header("WAV", "PCM_16", rate_hz, channels)
    assert caught.value.kind == "implausible"


@pytest.mark.parametrize(("rate_hz", "channels"), [(1000, 1), (768_000, 64)])
def test_unusual_but_possible_headers_pass(rate_hz: int, channels: int) -> None:
    check_header("WAV", "PCM_16", rate_hz, channels)
