"""What libsndfile does not read: phones, browsers, Windows, and the older recorders."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from encoded_sound import KINDS, Kind, encoded, film, flac_of_variable_blocks

from classifier.audio.containers.declared_size import ASF_FILE, BROADCAST
from classifier.audio.decode import DecodedAudio, Segment, decode
from classifier.audio.ffmpeg_reader import FfmpegReader
from classifier.errors import DecodingError

Samples = np.ndarray
Tone = Callable[..., Samples]
RATE_HZ = 8000
M4A, FIRST, WEBM, WMA, WV, TTA = (
    next(kind for kind in KINDS if kind.suffix == suffix)
    for suffix in ("m4a", "first.m4a", "webm", "wma", "wv", "tta")
)

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.suffix)


def decode_file(path: Path, first_clip: int = 0, max_clips: int = 1000, **more) -> DecodedAudio:
    """Half-second clips of `path`, one after the other."""
    size = more.pop("rate_hz", RATE_HZ) // 2
    return decode(Segment(os.fsencode(path), 2 * size, size, size, max_clips, first_clip, **more))


def refusal(path: Path, **more) -> DecodingError:
    with pytest.raises(DecodingError) as caught:
        decode_file(path, **more)
    return caught.value


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def chirp(seconds: float, rate_hz: int) -> Samples:
    """From 200 Hz to 2 kHz, so that every moment sounds different."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.3 * np.sin(2 * np.pi * (200 * time + 900 / seconds * time**2))).astype(np.float32)


def loudest_hz(samples: Samples, rate_hz: int = RATE_HZ) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate_hz / len(samples))


@pytest.fixture
def sound(tmp_path: Path) -> Callable[..., Path]:
    """`sound(kind, samples)`: a file of this kind, by default of a chirp of 6 s."""

    def make(kind: Kind, samples: Samples | None = None, name: str = "") -> Path:
        samples = chirp(6.0, kind.rate_hz) if samples is None else samples
        return write(tmp_path / (name or f"sound.{kind.suffix}"), encoded(kind, samples))

    return make


# What is decoded


@every_kind
def test_a_tone_keeps_its_pitch_its_length_and_its_level(
    sound: Callable[..., Path], tone: Tone, kind: Kind
) -> None:
    found = decode_file(sound(kind, 0.5 * tone(440.0, 5.0, kind.rate_hz)))
    assert found.sample_rate_hz == kind.rate_hz
    assert found.seconds == pytest.approx(5.0, rel=0.02)
    assert loudest_hz(found.clips[4]) == pytest.approx(440.0, abs=3)
    expected = 0.5 * np.sqrt(np.mean(tone(440.0, 5.0, kind.rate_hz) ** 2))
    assert found.level.rms_dbfs == pytest.approx(20 * np.log10(expected), abs=3)


@every_kind
def test_segments_in_any_order_equal_the_whole(sound: Callable[..., Path], kind: Kind) -> None:
    path = sound(kind)
    whole = decode_file(path, rate_hz=22_050).clips
    for first in (0, 3, 6, 9, 3, 9, 6):
        part = decode_file(path, first, 3, rate_hz=22_050).clips
        np.testing.assert_allclose(part, whole[first : first + 3], atol=1e-3)


@pytest.mark.parametrize("kind", [M4A, WEBM, WV], ids=lambda kind: kind.suffix)
def test_a_worker_that_begins_in_the_middle_finds_the_place(
    sound: Callable[..., Path], kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sound(kind)
    whole = decode_file(path).clips
    monkeypatch.setattr("classifier.audio.readers._files", {})
    np.testing.assert_allclose(decode_file(path, 8, 3).clips, whole[8:11], atol=1e-3)


def test_of_stretches_whose_channels_cancel_the_first_alone_is_decoded_twice(
    sound: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = chirp(6.0, 48_000)
    left = np.where(np.arange(len(samples)) < 4.5 * 48_000, -samples, samples)
    path = sound(WEBM, np.stack([left, samples], 1))
    took, mono = [], FfmpegReader.mono
    monkeypatch.setattr(FfmpegReader, "mono", lambda *of: took.append(of[1]) or mono(*of))
    levels = [decode_file(path, first, 2).level for first in range(0, 12, 2)]
    assert ["cancel" in str(level.warning) for level in levels] == [True] * 4 + [False] * 2
    assert len(took) == 6 + 2  # again the first, and the fifth, from which on they do not


def test_channels_are_mixed_to_their_mean(sound: Callable[..., Path], tone: Tone) -> None:
    left, right = tone(440.0, 2.0, 44_100), tone(1000.0, 2.0, 44_100)
    found = decode_file(sound(WV, 0.4 * np.stack([left, right], 1)), rate_hz=44_100)
    assert found.channels == 2
    expected = 0.2 * (left + right)
    np.testing.assert_allclose(found.clips.ravel()[: len(expected)], expected, atol=1e-3)


def test_the_content_decides_and_not_the_name(sound: Callable[..., Path]) -> None:
    assert decode_file(sound(M4A, name="call.mp3")).warning is None
    assert decode_file(sound(WEBM, name="upload.wav")).warning is None


def test_of_a_film_the_first_sound_track_is_heard(tmp_path: Path, tone: Tone) -> None:
    path = write(tmp_path / "walk.mp4", film(tone(440.0, 1.0, 44_100)))
    assert loudest_hz(decode_file(path).clips[1]) == pytest.approx(440.0, abs=3)


def test_a_film_without_sound_says_so(tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "walk.mp4", film(None))).kind == "no_audio"


def test_a_flac_of_variable_block_size_is_read(tmp_path: Path) -> None:
    samples = chirp(6.0, RATE_HZ)
    content = flac_of_variable_blocks(samples)
    path = write(tmp_path / "variable.flac", content)
    np.testing.assert_allclose(decode_file(path).clips.ravel(), samples, atol=1e-4)
    for first in (6, 3, 9):
        part = decode_file(path, first, 3).clips.ravel()
        np.testing.assert_allclose(part, samples[first * 4000 :][: len(part)], atol=1e-4)
    altered = content[:9000] + bytes([content[9000] ^ 1]) + content[9001:]
    assert "copy it again" in str(refusal(write(path, altered)))


def test_ogg_streams_one_behind_the_other_are_all_heard(
    tmp_path: Path, audio_file: Callable[..., Path], tone: Tone
) -> None:
    parts = [
        audio_file(f"{hz}.ogg", tone(hz, 2.0, 44_100), 44_100, "VORBIS") for hz in (440.0, 880.0)
    ]
    content = b"".join(part.read_bytes() for part in parts)
    found = decode_file(write(tmp_path / "both.ogg", content))
    assert found.seconds == pytest.approx(4.0, rel=0.01)
    assert [round(loudest_hz(clip), -1) for clip in found.clips[[1, 6]]] == [440, 880]
    assert refusal(write(tmp_path / "both.ogg", content[:-100])).kind == "truncated"


def test_ogg_streams_with_one_serial_number_are_all_heard(
    tmp_path: Path, audio_file: Callable[..., Path], tone: Tone
) -> None:
    content = audio_file("a.ogg", tone(440.0, 2.0, 44_100), 44_100, "VORBIS").read_bytes()
    path = write(tmp_path / "twice.ogg", content * 2)
    assert decode_file(path).seconds == pytest.approx(4.0, rel=0.01)
    assert refusal(write(path, content * 2 + content[:-100])).kind == "truncated"


@pytest.mark.parametrize("kind", [M4A, FIRST, WEBM, WMA], ids=lambda kind: kind.suffix)
def test_of_two_recordings_in_one_file_none_is_passed_over(
    sound: Callable[..., Path], kind: Kind
) -> None:
    path = sound(kind)
    write(path, path.read_bytes() * 2)
    error = refusal(path)
    assert (error.kind, "one behind the other" in str(error)) == ("unsupported", True)
    found = decode_file(path, accepts_damaged=True)
    assert found.seconds == pytest.approx(6.0, abs=0.1)
    assert "one behind the other" in str(found.warning)


@pytest.mark.parametrize("kind", [TTA, WV], ids=lambda kind: kind.suffix)
def test_altered_samples_are_seen_by_their_checksum(sound: Callable[..., Path], kind: Kind) -> None:
    path = sound(kind)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    assert refusal(write(path, bytes(content))).kind == "damaged"


def test_a_wma_whose_length_was_not_known_is_heard_to_its_end(sound: Callable[..., Path]) -> None:
    path = sound(WMA)
    content = bytearray(path.read_bytes())
    content[content.index(ASF_FILE) + 88] |= BROADCAST
    found = decode_file(write(path, bytes(content)))
    assert found.seconds == pytest.approx(6.0, abs=0.1)
    assert found.warning is None


def test_ogg_streams_that_differ_are_not_read(
    tmp_path: Path, audio_file: Callable[..., Path], tone: Tone
) -> None:
    first = audio_file("a.ogg", tone(440.0, 2.0, 44_100), 44_100, "VORBIS").read_bytes()
    second = audio_file("b.ogg", tone(440.0, 2.0, 22_050), 22_050, "VORBIS").read_bytes()
    path = write(tmp_path / "both.ogg", first + second)
    error = refusal(path)
    assert (error.kind, "one behind the other" in str(error)) == ("unsupported", True)
    assert "beyond 2.0 s" in (decode_file(path, accepts_damaged=True).warning or "")


# What is not whole, or not read


@pytest.mark.parametrize("kept", [0.9, 0.5, 0.2])
@every_kind
def test_a_file_that_was_cut_short_is_no_whole_one(
    sound: Callable[..., Path], kind: Kind, kept: float
) -> None:
    path = sound(kind)
    os.truncate(path, int(kept * path.stat().st_size))
    if kind.suffix in ("amr", "aac", "ac3", "eac3"):  # frame behind frame: nothing says how many
        return
    error = refusal(path)
    assert error.kind == ("truncated" if kind.promises else "damaged")
    assert "copy it again" in str(error)


def test_a_phone_that_was_stopped_leaves_no_index(sound: Callable[..., Path]) -> None:
    path = sound(M4A)
    content = path.read_bytes()
    end = content.index(b"moov") - 4
    assert "(moov) is missing" in str(refusal(write(path, content[:end])))


def test_of_a_cut_file_the_rest_is_scored_where_that_is_asked_for(
    sound: Callable[..., Path],
) -> None:
    path = sound(FIRST)
    os.truncate(path, path.stat().st_size // 2)
    found = decode_file(path, accepts_damaged=True)
    assert 2.0 < found.seconds < 4.0
    assert "cut short" in (found.warning or "")


def test_a_recording_over_the_length_limit_is_refused(sound: Callable[..., Path]) -> None:
    for kind in (M4A, WMA):
        assert refusal(sound(kind), max_seconds=2.0).kind == "too_long"


def test_aac_in_a_wav_without_the_lengths_of_its_frames_is_not_called_damaged(
    sound: Callable[..., Path],
) -> None:
    error = refusal(sound(Kind("wav", "wav", "aac")))
    assert (error.kind, "AAC in a WAV" in str(error)) == ("unsupported", True)


def test_a_wav_of_an_encoding_that_nobody_knows_is_unsupported(sound: Callable[..., Path]) -> None:
    path = sound(Kind("wav", "wav", "adpcm_ms"))
    content = bytearray(path.read_bytes())
    content[20:22] = b"\x34\x12"
    error = refusal(write(path, bytes(content)))
    assert (error.kind, "0x1234" in str(error)) == ("unsupported", True)


def test_an_encoding_that_is_not_on_the_list_reaches_no_decoder(
    sound: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.audio.ffmpeg_reader.CODECS", ("opus",))
    error = refusal(sound(M4A))
    assert (error.kind, "aac" in str(error)) == ("unsupported", True)


def test_a_playlist_opens_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "list.m4a", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n")
    assert refusal(path).kind == "not_audio"


def test_ffmpeg_is_loaded_only_where_it_is_needed(
    sound: Callable[..., Path], audio_file: Callable[..., Path]
) -> None:
    code = (
        "import os, sys; from classifier.workers.worker import decode_each; "
        "from classifier.audio.decode import Segment, decode; "
        "loaded = [decode(Segment(os.fsencode(path), 8000, 4000, 4000, 2)) and 'av' in sys.modules"
        " for path in sys.argv[1:]]; print(loaded)"
    )
    files = (audio_file("a.wav"), audio_file("a.flac"), audio_file("a.ogg"), sound(M4A))
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True)
    assert done.stdout.strip() == "[False, False, False, True]", done.stderr
