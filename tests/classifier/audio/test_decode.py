from __future__ import annotations

import errno
import hashlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from classifier.audio.decode import DecodedAudio, Segment, count_clips, decode
from classifier.audio.regular_file import FileBytes, fingerprint
from classifier.errors import DecodingError, FileChanged

Samples = np.ndarray
Make = Callable[..., Samples]
Write = Callable[..., Path]
EVERYTHING = 10**6


def decode_file(
    path: Path, rate_hz: int = 8000, max_clips: int = EVERYTHING, **more
) -> DecodedAudio:
    """Half-second clips of `path`, one after the other."""
    size = rate_hz // 2
    more = {"clip_samples": size, "hop_samples": size, **more}
    return decode(Segment(os.fsencode(path), rate_hz, max_clips=max_clips, **more))


def decode_in_segments(path: Path, rate_hz: int, clips_each: int, **more) -> Samples:
    found: list[Samples] = []
    while True:
        first_clip = len(found) * clips_each
        segment = decode_file(path, rate_hz, clips_each, first_clip=first_clip, **more)
        found.append(segment.clips)
        if segment.total_clips is not None and first_clip + clips_each >= segment.total_clips:
            return np.concatenate(found)


def wav(data: bytes, rate_hz: int = 8000, channels: int = 1, encoding: tuple = (1, 16)) -> bytes:
    """A WAV file written by hand, with whatever its header is to say."""
    tag, bits = encoding
    frame_bytes = channels * bits // 8
    fields = (tag, channels, rate_hz, rate_hz * frame_bytes % 2**32, frame_bytes, bits)
    chunks = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, *fields)
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def nameless_length(flac: Path) -> Path:
    """Takes the number of samples out of a FLAC header, as an encoder in a pipe leaves it."""
    content = bytearray(flac.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    flac.write_bytes(content)
    return flac


def refusal(path: Path, **more) -> DecodingError:
    with pytest.raises(DecodingError) as caught:
        decode_file(path, **more)
    return caught.value


# What is decoded


def test_a_recording_is_cut_into_clips_that_hold_its_samples(
    audio_file: Write, noise: Make
) -> None:
    samples = noise(2.0)
    clips = decode_file(audio_file("noise.wav", samples, subtype="FLOAT")).clips
    np.testing.assert_array_equal(clips, samples.reshape(4, 4000))


def test_a_short_recording_is_padded_with_silence(audio_file: Write, tone: Make) -> None:
    samples = tone(seconds=0.3)
    (clip,) = decode_file(audio_file("short.wav", samples, subtype="FLOAT")).clips
    np.testing.assert_array_equal(clip[:2400], samples)
    assert not clip[2400:].any()


def test_channels_are_mixed_to_their_mean(audio_file: Write, tone: Make, noise: Make) -> None:
    left, right = tone(), noise()
    clips = decode_file(audio_file("two.wav", np.stack([left, right], 1), subtype="FLOAT")).clips
    np.testing.assert_allclose(clips.ravel(), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_width_sounds_alike(audio_file: Write, tone: Make, subtype: str) -> None:
    clips = decode_file(audio_file(f"{subtype}.wav", tone(), subtype=subtype)).clips
    np.testing.assert_allclose(clips.ravel(), tone(), atol=1 / 64)


def test_eight_channels_at_96_khz_become_the_same_clips(audio_file: Write, tone: Make) -> None:
    surround = np.tile(tone(440.0, 1.0, 96_000)[:, None], (1, 8))
    found = decode_file(audio_file("surround.wav", surround, 96_000, "PCM_24"))
    assert (found.channels, found.sample_rate_hz, found.seconds) == (8, 96_000, 1.0)
    np.testing.assert_allclose(found.clips[0][400:-400], tone()[400:3600], atol=1e-3)


def test_a_wav_of_one_sample_is_a_recording(audio_file: Write) -> None:
    found = decode_file(audio_file("click.wav", np.array([0.5], np.float32), subtype="FLOAT"))
    assert found.clips.shape == (1, 4000)
    assert found.clips[0, 0] == 0.5


def test_start_and_end_bound_what_is_decoded(audio_file: Write, noise: Make) -> None:
    samples = noise(3.0)
    path = audio_file("noise.wav", samples, subtype="FLOAT")
    clips = decode_file(path, start_seconds=0.75, end_seconds=1.75).clips
    np.testing.assert_array_equal(clips.ravel(), samples[6000:14_000])


def test_many_selections_of_one_file_hash_it_once(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, hashed = audio_file(), []
    digest = FileBytes.digest
    monkeypatch.setattr(FileBytes, "digest", lambda file: hashed.append(file) or digest(file))
    first, second = decode_file(path, end_seconds=0.2), decode_file(path, start_seconds=0.2)
    assert first.digest == second.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(hashed) == 1
    path.write_bytes(path.read_bytes() + b"more")
    assert decode_file(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_recording_tells_its_digest_length_and_fingerprint(audio_file: Write) -> None:
    path = audio_file()
    found = decode_file(path)
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.fingerprint == fingerprint(path.stat())
    assert (found.seconds, found.total_clips) == (1.0, 2)


@pytest.mark.parametrize(
    ("n_samples", "n_clips"), [(1, 1), (100, 1), (109, 1), (110, 2), (200, 2), (210, 3), (1000, 10)]
)
def test_an_encoders_padding_is_no_clip_but_a_tail_is(n_samples: int, n_clips: int) -> None:
    assert count_clips(n_samples, clip_samples=100, hop_samples=100) == n_clips


# Segments of a long recording

LONG_FILES = [
    *(("wav", "PCM_16", rate_hz) for rate_hz in (8000, 11_025, 44_100, 96_000)),
    *(("flac", "PCM_16", rate_hz) for rate_hz in (16_000, 44_100, 48_000)),
    *(("ogg", "VORBIS", rate_hz) for rate_hz in (22_050, 44_100, 48_000)),
    *(("ogg", "OPUS", rate_hz) for rate_hz in (16_000, 48_000)),
    *(("mp3", "MPEG_LAYER_III", rate_hz) for rate_hz in (11_025, 22_050, 44_100, 48_000)),
]


@pytest.mark.parametrize(("suffix", "subtype", "rate_hz"), LONG_FILES)
def test_segments_of_a_long_recording_equal_the_whole(
    audio_file: Write, noise: Make, suffix: str, subtype: str, rate_hz: int
) -> None:
    stereo = np.stack([noise(5.0, rate_hz), noise(5.0, rate_hz, seed=1)], 1)
    path = audio_file(f"long.{suffix}", stereo, rate_hz, subtype)
    whole = decode_file(path, 22_050).clips
    np.testing.assert_allclose(decode_in_segments(path, 22_050, clips_each=3), whole, atol=1e-4)


def test_overlapping_segments_equal_the_whole(audio_file: Write, noise: Make) -> None:
    path = audio_file("long.flac", noise(5.0, 44_100), 44_100)
    whole = decode_file(path, 22_050, hop_samples=5000).clips
    parts = decode_in_segments(path, 22_050, clips_each=4, hop_samples=5000)
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_segments_of_real_recordings_equal_the_whole(esc10: Path, audio_file: Write) -> None:
    for path in sorted((esc10 / "audio").iterdir())[::80]:
        # As FLAC: in some Ogg files libvorbis seeks up to 16 ms beside the place asked for.
        flac = audio_file(f"{path.stem}.flac", *soundfile.read(path, dtype="float32"))
        parts = decode_in_segments(flac, 22_050, clips_each=3)
        np.testing.assert_allclose(parts, decode_file(flac, 22_050).clips, atol=1e-4)


# FLAC whose header names no length


def test_a_flac_without_a_length_is_decoded_to_its_end(audio_file: Write, noise: Make) -> None:
    path = audio_file("piped.flac", noise(2.5))
    whole = decode_file(path).clips
    found = decode_file(nameless_length(path))
    np.testing.assert_array_equal(found.clips, whole)
    assert (found.seconds, found.total_clips) == (2.5, 5)


@pytest.mark.parametrize("clips_each", [1, 2, 5, 7])
def test_a_flac_without_a_length_streams_in_stretches(
    audio_file: Write, noise: Make, clips_each: int
) -> None:
    path = audio_file("piped.flac", noise(2.5))
    whole = decode_file(path).clips
    found = decode_in_segments(nameless_length(path), 8000, clips_each)
    np.testing.assert_array_equal(found, whole)


def test_start_and_end_bound_a_flac_without_a_length(audio_file: Write, noise: Make) -> None:
    path = nameless_length(audio_file("piped.flac", noise(2.5)))
    assert decode_file(path, start_seconds=0.5, end_seconds=1.5).clips.shape == (2, 4000)


@pytest.mark.parametrize("is_named", [True, False])
def test_a_recording_over_the_length_limit_is_refused(
    audio_file: Write, noise: Make, is_named: bool
) -> None:
    path = audio_file("long.flac", noise(2.5))
    error = refusal(path if is_named else nameless_length(path), max_seconds=2.0)
    assert error.kind == "too_long"
    assert "engine.max_hours" in str(error)


# Bad files, each with its kind and a reason to act on

SILENCE = bytes(16_000)
NAN = np.array([0.1, np.nan, 0.1], np.float32).tobytes()
INFINITY = np.array([0.1, np.inf, 0.1], np.float32).tobytes()
ABSURD = np.full(8, 3e38, np.float32).tobytes()
FLOAT = (3, 32)

BAD_CONTENTS = {
    "empty": (b"", "empty", "copy it again"),
    "random bytes": (np.random.RandomState(0).bytes(5000), "not_audio", "check what wrote it"),
    "text named mp3": (b"these are not sounds\n" * 200, "not_audio", "check what wrote it"),
    "an ID3 tag and no audio": (b"ID3\4" + bytes(4000), "damaged", "copy it again"),
    "a riff and no more": (wav(b"")[:20], "damaged", "copy it again"),
    "rate 1 Hz": (wav(SILENCE, rate_hz=1), "implausible", "1 Hz"),
    "rate 2 GHz": (wav(SILENCE, rate_hz=2**31 - 1), "implausible", "2147483647 Hz"),
    "rate 0": (wav(SILENCE, rate_hz=0), "implausible", "export the file again"),
    "no channel": (wav(SILENCE, channels=0), "implausible", "export the file again"),
    "samples of 64 bits": (wav(SILENCE, encoding=(1, 64)), "unsupported", "convert it"),
    "float samples of 16 bits": (wav(SILENCE, encoding=(3, 16)), "unsupported", "convert it"),
    "1024 channels": (wav(bytes(20_480), channels=1024), "implausible", "1024 channels"),
    "header only": (wav(b""), "no_audio", "check what recorded it"),
    "NaN samples": (wav(NAN, encoding=FLOAT), "not_finite", "export it again"),
    "infinite samples": (wav(INFINITY, encoding=FLOAT), "not_finite", "export it again"),
    "absurd samples": (wav(ABSURD, channels=2, encoding=FLOAT), "not_finite", "export it again"),
}


@pytest.mark.parametrize(("content", "kind", "advice"), BAD_CONTENTS.values(), ids=BAD_CONTENTS)
def test_a_bad_file_gets_its_kind_digest_and_advice(
    tmp_path: Path, content: bytes, kind: str, advice: str
) -> None:
    path = tmp_path / "bad.mp3"
    path.write_bytes(content)
    error = refusal(path)
    assert (error.kind, error.transient) == (kind, False)
    assert error.digest == hashlib.sha256(content).hexdigest()
    assert advice in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("name", "kept", "kind"),
    [
        ("cut.flac", 0.9, "damaged"),
        ("cut.flac", 0.5, "damaged"),
        ("cut.mp3", 0.8, "truncated"),
        ("cut.mp3", 0.5, "truncated"),
        ("cut.mp3", 0.02, "truncated"),
        ("cut.ogg", 0.02, "truncated"),
    ],
)
def test_a_file_that_was_cut_short_says_so(
    audio_file: Write, noise: Make, name: str, kept: float, kind: str
) -> None:
    path = audio_file(name, noise(3.0))
    os.truncate(path, int(kept * path.stat().st_size))
    error = refusal(path)
    assert error.kind == kind
    assert "copy it again" in str(error)
    assert "does not exist" not in str(error)


def test_a_cut_mp3_says_how_much_is_missing(audio_file: Write, noise: Make) -> None:
    path = audio_file("cut.mp3", noise(3.0))
    os.truncate(path, path.stat().st_size // 2)
    assert "promises 7,056 bytes, 3,528 are there" in str(refusal(path))


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.with_name("there.wav").write_bytes(wav(SILENCE))
    path.symlink_to("there.wav")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))


@pytest.mark.parametrize("make", [fifo, link, link_to_itself, unix_socket, Path.mkdir])
def test_only_regular_files_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    path = Path("trap.wav")
    make(path)
    error = refusal(path)
    assert (error.kind, error.transient) == ("not_a_file", False)


def test_a_file_that_is_gone_is_called_vanished(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone.wav").kind == "vanished"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_asks_for_its_mode(audio_file: Write) -> None:
    path = audio_file()
    path.chmod(0)
    assert refusal(path).kind == "unreadable"


def test_a_name_that_is_no_unicode_is_no_obstacle(audio_file: Write, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff\xfe\n.wav"
    os.rename(audio_file(), odd)
    assert decode(Segment(odd, 8000, 4000, 4000, 2)).total_clips == 2


# A file that moves while it is read


def test_a_file_with_another_fingerprint_is_not_decoded(audio_file: Write) -> None:
    with pytest.raises(FileChanged):
        decode_file(audio_file(), fingerprint="1:2:3:4:5")


def test_what_came_out_of_a_changing_file_means_nothing(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = audio_file("tone.flac")
    read = soundfile.SoundFile.read

    def read_while_it_grows(*arguments, **named):
        with path.open("ab") as file:
            file.write(bytes(100))
        return read(*arguments, **named)

    monkeypatch.setattr(soundfile.SoundFile, "read", read_while_it_grows)
    with pytest.raises(FileChanged):
        decode_file(path)


def test_a_file_that_changes_into_nonsense_is_changed_not_bad(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = audio_file("tone.flac")

    def fails_as_it_shrinks(*_, **__):
        os.truncate(path, 10)
        raise soundfile.LibsndfileError(1)

    monkeypatch.setattr(soundfile.SoundFile, "read", fails_as_it_shrinks)
    with pytest.raises(FileChanged):
        decode_file(path)


def test_clips_that_overlap_share_their_samples(audio_file: Callable[..., Path]) -> None:
    path = audio_file()
    decoded = decode(Segment(str(path).encode(), 8000, 4000, 40, max_clips=200))
    assert decoded.clips.shape == (101, 4000)
    assert decoded.audio.size == 8000


@pytest.mark.parametrize("first_clip", [0, 1])
def test_a_disk_that_fails_behind_the_digest_is_no_fault_of_ours(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch, first_clip: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = audio_file("tone.flac")
    monkeypatch.setattr("classifier.audio.decode._decode_clips", fail)
    with pytest.raises(DecodingError, match="Input/output error") as caught:
        decode(Segment(os.fsencode(path), 8000, 4000, 4000, 9, first_clip))
    assert (caught.value.kind, caught.value.transient) == ("io", True)
