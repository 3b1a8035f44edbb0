"""What a file is by its first bytes and its name, where clfd reads it not: one table.

`formats.py` knows what is read. Here stand the reasons for the rest, each with what to do.
"""

from __future__ import annotations

import os

from classifier.errors import DecodingError

CONVERT = "convert it to FLAC, as with: ffmpeg -i FILE FILE.flac"
WINDOW_BYTES, MAX_WINDOWS = 2**20, 64  # read at once, and how many of zeros are enough

# By suffix: only the programs of their makers decode these, and not all can be told by content.
MAKERS = {
    b".wac": "a WAC recording of Wildlife Acoustics; make it a WAV with Kaleidoscope",
    b".w4v": "a W4V recording of Wildlife Acoustics; make it a WAV with Kaleidoscope",
    b".zc": "a zero-crossing file of Titley Scientific; make it a WAV with Anabat Insight",
    b".sud": "a SUD recording of a SoundTrap; make it a WAV with SoundTrap Host",
}
_ANABAT = (b"\x1a\x01\0\x81", b"\x1a\x01\0\x82", b"\x1a\x01\0\x83", b"\x1a\x01\0\x84")

_OTHER_SOUND = (  # at a byte, these bytes
    (0, b"ADIF", "AAC without a length (ADIF)"),
    (0, b".RMF", "RealMedia"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"Creative Voice File", "Creative Voice (VOC)"),
    (0, b"DSD ", "DSD (DSF)"),
    (0, b"FRM8", "DSD (DSDIFF)"),
    (0, b"FLV\1", "Flash video"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"NIST_1A", "NIST SPHERE"),
    (0, b"OFR ", "OptimFROG"),
    (0, b"TTA2", "TTA 2"),
    (0, b"ajkg", "Shorten"),
    (0, b"tBaK", "TAK"),
    (0, b"\0\0\1\xba", "MPEG video"),
    (0, b"\x64\xa3\1\0", "IRCAM"),
    (0, b"\x7f\xfe\x80\1", "DTS"),
    (8, b"8SVX", "8SVX"),
    (8, b"AVI ", "AVI video"),
    (8, b"QLCM", "QCP"),
)
_NO_SOUND = (
    (0, b"PK\3\4", "a ZIP archive; unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it"),
    (0, b"Rar!", "a RAR archive; unpack it"),
    (0, b"\x1f\x8b", "compressed with gzip; unpack it"),
    (0, b"BZh", "compressed with bzip2; unpack it"),
    (0, b"\xfd7zXZ", "compressed with xz; unpack it"),
    (257, b"ustar", "a tar archive; unpack it"),
    (0, b"\0\5\x16\7", "macOS's notes about one (AppleDouble); take it out of the inbox"),
    (0, b"version https://git-lfs", "the pointer to one; fetch it with git lfs pull"),
    (0, b"%PDF", "a PDF; take it out of the inbox"),
    (0, b"\x89PNG", "a PNG picture; take it out of the inbox"),
    (0, b"\xff\xd8\xff", "a JPEG picture; take it out of the inbox"),
    (0, b"GIF8", "a GIF picture; take it out of the inbox"),
    (0, b"MThd", "MIDI, which holds notes and no sound; take it out of the inbox"),
    (0, b"SQLite format 3", "an SQLite database; take it out of the inbox"),
    (8, b"WEBP", "a WebP picture; take it out of the inbox"),
)
_PAGES = (b"<!doctype html", b"<html", b"<?xml")

WAV_ENCODINGS = {  # of those that FFmpeg reads, and a few that nothing here does
    0x0002: "MS ADPCM",
    0x0011: "IMA ADPCM",
    0x0031: "GSM 6.10",
    0x0045: "G.726",
    0x0050: "MPEG layer II",
    0x0055: "MP3",
    0x00FF: "AAC",
    0x0160: "WMA 1",
    0x0161: "WMA 2",
    0x1600: "AAC",
    0x1602: "AAC",
    0x2000: "AC-3",
}


def refusal(fd: int, start: bytes, path: bytes) -> DecodingError:
    """Why a file that begins with `start` is not read."""
    makers = _of_a_maker(start, path)
    if makers is not None:
        return DecodingError("unsupported", f"{makers}, since no library reads it")
    for at, magic, name in _OTHER_SOUND:
        if start.startswith(magic, at):
            return DecodingError("unsupported", f"{name}, which clfd does not read; {CONVERT}")
    for at, magic, name in _NO_SOUND:
        if start.startswith(magic, at):
            return DecodingError("not_audio", f"not an audio file but {name}")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:14].lower().startswith(_PAGES):
        return DecodingError(
            "not_audio", "not an audio file but a web page: a download went wrong; fetch it again"
        )
    if _is_zero(fd):
        return DecodingError(
            "no_audio",
            "holds nothing but zeros, as a recorder leaves it whose battery or card gave out; "
            "look at the recorder",
        )
    return DecodingError(
        "not_audio",
        "not an audio file that clfd knows: it begins like none of them; check what wrote it, "
        "or, if a player plays it, convert it: ffmpeg -i FILE FILE.flac",
    )


def unsupported_encoding(tag: int, path: bytes) -> DecodingError:
    """Of a WAV file whose format has this tag."""
    makers = _of_a_maker(b"", path)
    if makers is not None:
        return DecodingError("unsupported", f"{makers}, since no library reads it")
    return DecodingError(
        "unsupported", f"WAV with an encoding (0x{tag:04X}) that is not read; {CONVERT}"
    )


def _of_a_maker(start: bytes, path: bytes) -> str | None:
    if start.startswith(b"WAac"):
        return MAKERS[b".wac"]
    if start.startswith(_ANABAT):
        return MAKERS[b".zc"]
    return MAKERS.get(os.path.splitext(path.lower())[1])


def _is_zero(fd: int) -> bool:
    """Whether nothing else was written; of much that was, the beginning tells."""
    offset = 0
    for _ in range(MAX_WINDOWS):
        try:
            offset = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError:  # only a hole follows, or nothing
            return True
        window = os.pread(fd, WINDOW_BYTES, offset)
        if window.strip(b"\0"):
            return False
        offset += len(window)
    return True
