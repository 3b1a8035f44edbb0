from __future__ import annotations

import os
from pathlib import Path

import pytest

from classifier.audio.containers.formats import check_header, container_of, readable_formats
from classifier.errors import DecodingError

MPEG_FRAME = b"\xff\xfb\x90\x64" + bytes(400)


def refusal(path: Path, content: bytes) -> DecodingError | None:
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        container_of(fd, os.fsencode(path))
    except DecodingError as error:
        return error
    finally:
        os.close(fd)
    return None


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"RIFX\0\0\0\x24WAVEfmt ",
        b"RF64\xff\xff\xff\xffWAVEds64",
        b"BW64\xff\xff\xff\xffWAVEds64",
        b"riff\x2e\x91\xcf\x11",
        b"FORM\0\0\0\x24AIFFCOMM",
        b"FORM\0\0\0\x24AIFCFVER",
        b"fLaC\0\0\0\x22",
        b"OggS\0\x02",
        b"ID3\x04\0\0\0\0\0\0",
        MPEG_FRAME,
        bytes(200) + MPEG_FRAME,
        b"\0\0\0\x20ftypM4A ",
        b"\x1aE\xdf\xa3\x9f",
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        b"caff\0\x01",
        b".snd\0\0\0\x18",
        b"#!AMR\n",
        b"wvpk",
        b"TTA1",
        b"MAC \x96\x0f",
        b"\x0b\x77\0\0\x1c\x40",
        b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9) + b"\xff\xf1",
    ],
    ids=[
        "wav",
        "wav-big-endian",
        "rf64",
        "bw64",
        "w64",
        "aiff",
        "aifc",
        "flac",
        "ogg",
        "id3",
        "mpeg",
        "padded-mpeg",
        "m4a",
        "webm",
        "wma",
        "caf",
        "au",
        "amr",
        "wavpack",
        "tta",
        "ape",
        "ac3",
        "adts",
    ],
)
def test_audio_is_known_by_its_first_bytes(tmp_path: Path, content: bytes) -> None:
    assert refusal(tmp_path / "no_suffix", content) is None


OTHERS = {
    "avi": (b"RIFF\x24\0\0\0AVI LIST", "unsupported", "ffmpeg -i FILE FILE.flac"),
    "8svx": (b"FORM\0\0\0\x248SVXVHDR", "unsupported", "ffmpeg -i FILE FILE.flac"),
    "real": (b".RMF\0\0\0\x12", "unsupported", "RealMedia"),
    "wac": (b"WAac\1\0\0\0", "unsupported", "Kaleidoscope"),
    "zero crossings": (b"\x1a\x01\0\x84" + bytes(300), "unsupported", "Anabat Insight"),
    "webp": (b"RIFF\x24\0\0\0WEBPVP8 ", "not_audio", "a WebP picture"),
    "png": (b"\x89PNG\r\n\x1a\n", "not_audio", "a PNG picture"),
    "jpeg": (b"\xff\xd8\xff\xe0JFIF", "not_audio", "a JPEG picture"),
    "zip": (b"PK\x03\x04", "not_audio", "unpack it"),
    "tar": (bytes(257) + b"ustar\x0000", "not_audio", "unpack it"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "not_audio", "lfs pull"),
    "AppleDouble": (b"\0\5\x16\7\0\2\0\0" + bytes(300), "not_audio", "AppleDouble"),
    "midi": (b"MThd\0\0\0\6", "not_audio", "no sound"),
    "a page": (b"\xef\xbb\xbf\n<!DOCTYPE html><title>404</title>", "not_audio", "fetch it again"),
    "utf16": (b"\xff\xfe<\0h\0t\0", "not_audio", "check what wrote it"),
    "four bytes": (b"RIFF", "not_audio", "check what wrote it"),
    "one byte": (b"\xff", "not_audio", "check what wrote it"),
    "zeros": (bytes(5000), "no_audio", "battery"),
}


@pytest.mark.parametrize(("content", "kind", "advice"), OTHERS.values(), ids=OTHERS)
def test_anything_else_is_called_what_it_is_before_any_decoder(
    tmp_path: Path, content: bytes, kind: str, advice: str
) -> None:
    error = refusal(tmp_path / "named.wav", content)
    assert error is not None
    assert (error.kind, advice in str(error)) == (kind, True), str(error)
    assert "remove it" not in str(error)


@pytest.mark.parametrize(
    ("suffix", "program"),
    [
        (".wac", "Kaleidoscope"),
        (".W4V", "Kaleidoscope"),
        (".zc", "Anabat Insight"),
        (".sud", "SoundTrap Host"),
    ],
)
def test_recordings_that_only_their_makers_decode_name_the_program(
    tmp_path: Path, suffix: str, program: str
) -> None:
    for content in (bytes(range(1, 200)), b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x99\x99" + bytes(14)):
        error = refusal(tmp_path / f"night{suffix}", content)
        assert error is not None
        assert (error.kind, program in str(error)) == ("unsupported", True)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    error = refusal(tmp_path / "empty.wav", b"")
    assert error is not None
    assert error.kind == "empty"


@pytest.mark.parametrize("encoding", ["MS_ADPCM", "IMA_ADPCM", "GSM610", "G721_32", "ALAC_16"])
def test_encodings_with_a_history_of_holes_do_not_reach_libsndfile(encoding: str) -> None:
    with pytest.raises(DecodingError, match="convert it to FLAC"):
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


def test_the_formats_for_people_are_all_of_the_table() -> None:
    told = readable_formats()
    for name in ("WAV", "AIFF", "FLAC", "Opus", "MP3", "M4A", "WebM", "WMA", "AMR", "WavPack"):
        assert name in told
