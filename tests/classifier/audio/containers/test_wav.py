"""Uncompressed WAV files: what is read without a decoder is what the decoder would have given."""

from __future__ import annotations

import errno
import os
import struct
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.audio import readers
from classifier.audio.containers import wav
from classifier.audio.decode import DecodedAudio, Segment, decode
from classifier.audio.regular_file import SHORT_BYTES, FileBytes
from classifier.errors import DecodingError, FileChanged

Write = Callable[..., Path]
Noise = Callable[..., np.ndarray]

SUBTYPES = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
QUARTERS = Segment(b"", 22_050, clip_samples=5_512, hop_samples=5_512, max_clips=10**6)


@pytest.fixture
def by_decoder(monkeypatch: pytest.MonkeyPatch) -> Callable[[Segment], DecodedAudio]:
    """`by_decoder(segment)`: as libsndfile reads it."""

    def decoded(segment: Segment) -> DecodedAudio:
        with monkeypatch.context() as patch:
            patch.setattr(readers, "plain_wave", lambda _: None)
            return decode(segment)

    return decoded


def is_plain(path: Path) -> bool:
    with path.open("rb") as file:
        return wav.plain_wave(FileBytes(file.fileno(), path.stat().st_size)) is not None


def assert_same(found: DecodedAudio, expected: DecodedAudio) -> None:
    assert found.audio.tobytes() == expected.audio.tobytes()
    assert replace(found, audio=expected.audio) == expected
    levels = [(one.rms_dbfs, one.peak_dbfs, one.clipped) for one in (found.level, expected.level)]
    assert levels[0] == pytest.approx(levels[1], abs=0.011)


def loud(seconds: float, channels: int, seed: int = 0) -> np.ndarray:
    """Up to full scale and beyond, so that every bit of a sample counts."""
    frames = round(seconds * 44_100)
    return np.random.default_rng(seed).uniform(-1.1, 1.1, (frames, channels))


@pytest.mark.parametrize("channels", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", SUBTYPES)
def test_samples_are_those_of_the_decoder_bit_for_bit(
    tmp_path: Path, by_decoder, container: str, subtype: str, channels: int
) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, loud(0.7, channels), 44_100, subtype, format=container)
    assert is_plain(path)
    segment = replace(QUARTERS, path=os.fsencode(path))
    assert_same(decode(segment), by_decoder(segment))


@pytest.mark.parametrize("n_frames", [1, 2, 3, 4410, 4411])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24"])
def test_an_odd_number_of_bytes_is_padded_or_not(
    tmp_path: Path, by_decoder, subtype: str, n_frames: int
) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, loud(0.2, 1)[:n_frames], 44_100, subtype)
    segment = replace(QUARTERS, path=os.fsencode(path))
    assert_same(decode(segment), by_decoder(segment))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("first_clip", [0, 3, 7, 100])
def test_a_segment_of_a_long_recording_is_that_of_the_decoder(
    tmp_path: Path, by_decoder, monkeypatch: pytest.MonkeyPatch, subtype: str, first_clip: int
) -> None:
    monkeypatch.setattr("classifier.audio.regular_file.SHORT_BYTES", 1000)
    monkeypatch.setattr(wav, "BLOCK_SAMPLES", 10_000)
    path = tmp_path / "long.wav"
    soundfile.write(path, loud(3.0, 2), 44_100, subtype)
    for start_seconds in (0.0, 0.3):
        segment = replace(
            QUARTERS,
            path=os.fsencode(path),
            first_clip=first_clip,
            max_clips=3,
            start_seconds=start_seconds,
        )
        assert_same(decode(segment), by_decoder(segment))


def test_real_recordings_sound_the_same(esc10: Path, tmp_path: Path, by_decoder) -> None:
    for source in sorted((esc10 / "audio").iterdir())[::80]:
        samples, rate_hz = soundfile.read(source, dtype="int16")
        path = tmp_path / f"{source.stem}.wav"
        soundfile.write(path, samples, rate_hz)
        segment = replace(QUARTERS, path=os.fsencode(path))
        assert_same(decode(segment), by_decoder(segment))


# What a header may say


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    size = len(content) if size is None else size
    return name + struct.pack("<I", size) + content + bytes(len(content) % 2)


def fmt(tag: int = 1, channels: int = 1, bits: int = 16, frame_bytes: int | None = None) -> bytes:
    frame_bytes = channels * bits // 8 if frame_bytes is None else frame_bytes
    fields = (tag, channels, 8000, 8000 * frame_bytes, frame_bytes, bits)
    return chunk(b"fmt ", struct.pack("<HHIIHH", *fields))


def riff(*chunks: bytes) -> bytes:
    content = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


ENCODINGS = ((1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64))


@settings(max_examples=100, deadline=None)
@given(
    encoding=st.sampled_from(ENCODINGS),
    channels=st.integers(1, 4),
    n_bytes=st.integers(32, 5000),
    first=st.integers(0, 2000),
    wanted=st.integers(0, 2000),
    seed=st.integers(0, 2**16),
)
def test_any_frames_are_those_of_the_decoder(
    tmp_path_factory: pytest.TempPathFactory,
    encoding: tuple[int, int],
    channels: int,
    n_bytes: int,
    first: int,
    wanted: int,
    seed: int,
) -> None:
    tag, bits = encoding
    data = np.random.default_rng(seed).bytes(n_bytes)
    if tag == 3:
        data = loud(0.1, 1, seed).astype(f"<f{bits // 8}").tobytes()[:n_bytes]
    path = tmp_path_factory.getbasetemp() / f"any-{os.getpid()}.wav"
    path.write_bytes(riff(fmt(tag, channels, bits), chunk(b"data", data)))
    with path.open("rb") as file, soundfile.SoundFile(path) as sound:
        found = wav.plain_wave(FileBytes(file.fileno(), path.stat().st_size))
        assert found is not None
        assert found.frames == sound.frames
        sound.seek(min(first, sound.frames))
        expected = sound.read(wanted, "float32", always_2d=True).mean(axis=1)
        assert found.mono(first, wanted).tobytes() == expected.tobytes()


DATA = chunk(b"data", np.arange(4000, dtype="<i2").tobytes())
NOTE = chunk(b"ICMT", b"Recorded at 19:17:30 in a wood")
NOTES = chunk(b"LIST", b"INFO" + NOTE + chunk(b"ISFT", b"1.0"))
USUAL = {
    "plain": riff(fmt(), DATA),
    "notes before": riff(fmt(), NOTES, DATA),
    "notes behind": riff(fmt(), DATA, NOTES),
    "room in the header": riff(chunk(b"JUNK", bytes(500)), fmt(), chunk(b"PAD ", bytes(7)), DATA),
    "fact": riff(fmt(), chunk(b"fact", b"\xa0\x0f\0\0"), DATA),
}
UNUSUAL = {
    "another chunk": riff(fmt(), chunk(b"bext", bytes(700)), DATA),
    "a chunk twice": riff(fmt(), fmt(), DATA),
    "two notes": riff(fmt(), NOTES, NOTES, DATA),
    "notes that end elsewhere": riff(fmt(), chunk(b"LIST", b"INFO" + NOTE[:-2]), DATA),
    "notes on cues": riff(fmt(), chunk(b"LIST", b"adtl" + chunk(b"labl", bytes(8))), DATA),
    "samples before the format": riff(DATA, fmt()),
    "a tag before": b"ID3\4\0\0\0\0\0\x10" + bytes(16) + riff(fmt(), DATA),
    "bytes behind": riff(fmt(), DATA) + bytes(10),
    "fewer bytes than promised": riff(fmt(), DATA)[:-2],
    "an unknown length": riff(fmt(), chunk(b"data", bytes(8000), 0xFFFFFFFF)),
    "no length": riff(fmt(), chunk(b"data", bytes(8000), 0)),
    "no samples": riff(fmt(), chunk(b"data", b"")),
    "half a frame": riff(fmt(channels=8), chunk(b"data", bytes(15))),
    "padded samples": riff(fmt(bits=24, frame_bytes=4), DATA),
    "12 bits": riff(fmt(bits=12, frame_bytes=2), DATA),
    "u-law": riff(fmt(tag=7, bits=8), DATA),
    "no channel": riff(fmt(channels=0), DATA),
    "100 channels": riff(fmt(channels=100), DATA),
}


def outcome(segment: Segment, decode_with: Callable[[Segment], DecodedAudio]) -> tuple[object, ...]:
    try:
        found = decode_with(segment)
    except DecodingError as error:
        return error.kind, str(error), error.digest
    return found.audio.tobytes(), found.seconds, found.total_clips, found.channels, found.warning


@pytest.mark.parametrize("content", USUAL.values(), ids=USUAL)
def test_a_usual_header_is_understood(tmp_path: Path, by_decoder, content: bytes) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    assert is_plain(path)
    segment = replace(QUARTERS, path=os.fsencode(path))
    assert_same(decode(segment), by_decoder(segment))


@pytest.mark.parametrize("start_seconds", [0.9, 1.0, 5.0])
def test_a_selection_at_or_behind_the_end_has_the_decoders_verdict(
    audio_file: Write, by_decoder, start_seconds: float
) -> None:
    segment = replace(QUARTERS, path=os.fsencode(audio_file()), start_seconds=start_seconds)
    assert outcome(segment, decode) == outcome(segment, by_decoder)


@pytest.mark.parametrize("accepts_damaged", [False, True])
@pytest.mark.parametrize("content", UNUSUAL.values(), ids=UNUSUAL)
def test_an_unusual_header_is_left_to_the_decoder(
    tmp_path: Path, by_decoder, content: bytes, accepts_damaged: bool
) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    assert not is_plain(path)
    segment = replace(QUARTERS, path=os.fsencode(path), accepts_damaged=accepts_damaged)
    assert outcome(segment, decode) == outcome(segment, by_decoder)


@settings(max_examples=300, deadline=None)
@given(
    base=st.sampled_from([*USUAL.values(), riff(fmt(3, 2, 32), DATA), riff(fmt(1, 1, 24), DATA)]),
    changes=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=3),
    cut=st.sampled_from([0, 0, 0, 1, 2, 100]),
)
def test_no_change_to_a_header_makes_another_verdict_than_the_decoders(
    tmp_path_factory: pytest.TempPathFactory,
    base: bytes,
    changes: list[tuple[int, int]],
    cut: int,
) -> None:
    content = bytearray(base)
    for place, byte in changes:
        content[place % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / f"changed-{os.getpid()}.wav"
    path.write_bytes(content[: len(content) - cut])
    segment = replace(QUARTERS, path=os.fsencode(path), sample_rate_hz=8000)
    found = outcome(segment, decode)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "plain_wave", lambda _: None)
        assert outcome(segment, decode) == found


def test_the_standard_librarys_writer_is_understood(tmp_path: Path, by_decoder) -> None:
    path = tmp_path / "x.wav"
    with wave.open(os.fspath(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(np.arange(8000, dtype="<i2").tobytes())
    assert is_plain(path)
    segment = replace(QUARTERS, path=os.fsencode(path))
    assert_same(decode(segment), by_decoder(segment))


# A file that moves, and a disk that fails


@pytest.mark.parametrize("is_short", [True, False])
def test_a_wav_that_changes_while_it_is_read_means_nothing(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch, is_short: bool
) -> None:
    path, read = audio_file(), os.pread

    def read_while_it_shrinks(*arguments: int) -> bytes:
        os.truncate(path, path.stat().st_size - 2)
        return read(*arguments)

    monkeypatch.setattr("classifier.audio.regular_file.SHORT_BYTES", SHORT_BYTES if is_short else 1)
    monkeypatch.setattr(os, "pread", read_while_it_shrinks)
    with pytest.raises(FileChanged):
        decode(Segment(os.fsencode(path), 8000, 4000, 4000, 9))


@pytest.mark.parametrize("fails", [True, False])
def test_a_disk_that_fails_under_a_wav_is_no_fault_of_ours(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    path, read = audio_file(), os.pread

    def fails_behind_the_header(fd: int, n_bytes: int, offset: int) -> bytes:
        if n_bytes < 1000:
            return read(fd, n_bytes, offset)
        if fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(fd, n_bytes // 2, offset)

    monkeypatch.setattr(os, "pread", fails_behind_the_header)
    with pytest.raises(DecodingError, match="Input/output error") as caught:
        decode(Segment(os.fsencode(path), 8000, 4000, 4000, 9, first_clip=1))
    assert (caught.value.kind, caught.value.transient) == ("io", True)
