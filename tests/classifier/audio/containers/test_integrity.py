from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_bytes import (
    FMT,
    FORMATS,
    ID3,
    NOTES,
    PIPED,
    SILENCE,
    aiff,
    chunk,
    cut,
    real_file,
    rf64,
    riff,
    w64,
    write,
)

from classifier.audio.containers import mp3
from classifier.audio.containers import ogg as ogg_module
from classifier.audio.containers.chunk_integrity import examine_chunks
from classifier.audio.containers.formats import container_of
from classifier.audio.containers.ogg import checksum
from classifier.audio.decode import DecodedAudio, Segment, decode
from classifier.errors import DecodingError

Samples = np.ndarray
Make = Callable[..., Samples]
Write = Callable[..., Path]

HALVES = {"clip_samples": 4000, "hop_samples": 4000}


def decode_file(path: Path, max_clips: int = 10**6, **more) -> DecodedAudio:
    return decode(Segment(os.fsencode(path), 8000, max_clips=max_clips, **HALVES | more))


def leftover(path: Path, **more) -> DecodedAudio:
    return decode_file(path, accepts_damaged=True, **more)


def kind(path: Path) -> str:
    try:
        return decode_file(path).warning or "whole"
    except DecodingError as error:
        return error.kind


# Whole files


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
@pytest.mark.parametrize("seconds", [0.001, 0.777, 3.0])
def test_files_of_a_real_writer_are_whole(
    tmp_path: Path, noise: Make, container: str, subtype: str, seconds: float
) -> None:
    assert kind(real_file(tmp_path / "x", container, subtype, noise(seconds))) == "whole"


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.mp3", "x.ogg"])
def test_a_whole_recording_sounds_the_same_where_damaged_ones_are_accepted(
    audio_file: Write, noise: Make, name: str
) -> None:
    path = audio_file(name, noise(3.0))
    np.testing.assert_array_equal(leftover(path).audio, decode_file(path).audio)


def test_real_recordings_are_whole(esc10: Path) -> None:
    for path in (esc10 / "audio").iterdir():
        with path.open("rb") as file:
            assert container_of(file.fileno()).examine(file.fileno()).damage is None


WHOLE = {
    "notes before": riff(FMT, NOTES, chunk(b"data", SILENCE)),
    "notes behind": riff(FMT, chunk(b"data", SILENCE), NOTES),
    "room kept in the header": riff(chunk(b"JUNK", bytes(500)), FMT, chunk(b"data", SILENCE)),
    "zeros behind": riff(FMT, chunk(b"data", SILENCE)) + bytes(10_000),
    "a tag behind": riff(FMT, chunk(b"data", SILENCE)) + b"TAG" + bytes(125),
    "an odd number of bytes, padded": riff(
        chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)),
        chunk(b"data", bytes(8001)),
        NOTES,
    ),
    "an odd number of bytes, without the pad": riff(
        chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)), chunk(b"data", bytes(8001))
    )[:-1],
    "a wrong size of the whole": riff(FMT, chunk(b"data", SILENCE), size=0),
    "ffmpeg in a pipe": riff(FMT, chunk(b"data", SILENCE, PIPED), size=PIPED),
    "sox in a pipe": riff(FMT, chunk(b"data", SILENCE, 0x7FFFF000), size=0x7FFFF024),
    "oggdec in a pipe": riff(FMT, chunk(b"data", SILENCE, 0x7FFFFFD3), size=0x7FFFFFF7),
    "arecord, killed": riff(FMT, chunk(b"data", SILENCE, 0x80000000), size=0x80000024),
    "big-endian": b"RIFX"
    + struct.pack(">I", 16_036)
    + b"WAVE"
    + chunk(b"fmt ", struct.pack(">HHIIHH", 1, 1, 8000, 16_000, 2, 16), order=">")
    + chunk(b"data", SILENCE, order=">"),
    "a tag before": ID3 + riff(FMT, chunk(b"data", SILENCE)),
    "rf64": rf64(16_000, SILENCE),
    "w64": w64(16_024, SILENCE),
    "w64 in a pipe": w64(2**63 - 1, SILENCE),
    "aiff": aiff(SILENCE, 8000),
    "sox in a pipe to aiff": aiff(SILENCE, 0x7F000000 // 2, 0x7F000008),
    "aiff with notes": aiff(SILENCE, 8000, None, chunk(b"ANNO", b"a note", order=">")),
}


@pytest.mark.parametrize("name", WHOLE)
def test_unusual_but_whole_files_are_decoded_to_their_end(tmp_path: Path, name: str) -> None:
    decoded = decode_file(write(tmp_path / "x", WHOLE[name]))
    assert (decoded.seconds, decoded.warning) == (pytest.approx(1.0, abs=0.001), None)


@pytest.mark.parametrize(
    ("size", "gigabytes"),
    [(0x7FFFF000, 3), (0x80000000, 3), (PIPED, 3), (PIPED, 5), (2**30, 5), (2**32 - 64, 4)],
    ids=["sox", "arecord", "ffmpeg", "long ffmpeg", "ffmpeg to disk", "just below the limit"],
)
def test_a_long_recording_is_decoded_to_its_end(tmp_path: Path, size: int, gigabytes: int) -> None:
    path = write(tmp_path / "x", riff(FMT, chunk(b"data", b"", size), size=2**32 - 1))
    n_bytes = size if gigabytes == 4 else gigabytes * 2**30
    os.truncate(path, path.stat().st_size + n_bytes - 8000)  # a sparse file
    with path.open("ab") as file:
        file.write(b"\0\x40" * 4000)
    last = decode_file(path, max_clips=2, first_clip=n_bytes // 8000 - 1)
    assert last.seconds == pytest.approx(n_bytes / 16_000, abs=0.01)
    assert last.clips.max() == pytest.approx(0.5)


def test_an_extensible_header_is_read_as_well(tmp_path: Path, noise: Make) -> None:
    path = real_file(tmp_path / "x.wav", "WAVEX", "PCM_24", np.stack([noise()] * 4, 1))
    assert kind(path) == "whole"
    assert kind(cut(path, 1)) == "truncated"


def test_a_recording_without_samples_but_with_notes_is_empty_not_unfinished(tmp_path: Path) -> None:
    assert kind(write(tmp_path / "x", riff(FMT, chunk(b"data", b""), NOTES))) == "no_audio"
    empty = aiff(b"", 0, None, chunk(b"ANNO", b"a note", order=">"))
    assert kind(write(tmp_path / "y", empty)) == "no_audio"


# Files that were cut

CUTS = [1, 7, 300, 2000]


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
@pytest.mark.parametrize("n_bytes", CUTS)
def test_a_cut_is_seen_to_the_byte(
    tmp_path: Path, noise: Make, container: str, subtype: str, n_bytes: int
) -> None:
    path = cut(real_file(tmp_path / "x", container, subtype, noise(3.0)), n_bytes)
    assert kind(path) in ("truncated", "damaged")


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_what_is_left_of_a_cut_recording_is_decoded_where_that_is_accepted(
    tmp_path: Path, noise: Make, container: str, subtype: str
) -> None:
    whole = noise(12.0)
    path = real_file(tmp_path / "x", container, subtype, whole)
    clips = decode_file(path).clips
    decoded = leftover(cut(path, int(path.stat().st_size * 0.4)))
    assert decoded.warning is not None
    assert decoded.total_clips == len(decoded.clips)
    assert 4.0 < decoded.seconds < 9.0
    n_full = int(decoded.seconds / 0.5) - 1
    np.testing.assert_allclose(decoded.clips[:n_full], clips[:n_full], atol=1e-4)


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_the_segments_of_a_cut_recording_agree_on_its_end(
    tmp_path: Path, noise: Make, container: str, subtype: str
) -> None:
    path = real_file(tmp_path / "x", container, subtype, noise(12.0))
    whole = leftover(cut(path, int(path.stat().st_size * 0.4)))
    parts = [leftover(path, max_clips=5, first_clip=first) for first in range(0, 24, 5)]
    # A decoder of FLAC gives up somewhere in the last frame, depending on where it began.
    assert min(part.seconds for part in parts) == pytest.approx(whole.seconds, abs=0.15)
    n_full = int(whole.seconds / 0.5) - 1
    decoded = np.concatenate([part.clips for part in parts])[:n_full]
    np.testing.assert_allclose(decoded, whole.clips[:n_full], atol=1e-4)
    assert any(part.warning for part in parts)


def test_the_reason_tells_how_much_is_missing(tmp_path: Path) -> None:
    path = cut(write(tmp_path / "x", riff(FMT, chunk(b"data", SILENCE))), 6000)
    with pytest.raises(DecodingError, match="promises 16,000 bytes of samples, 10,000 are there"):
        decode_file(path)


def test_only_its_first_segment_refuses_a_cut_recording(tmp_path: Path, noise: Make) -> None:
    path = cut(real_file(tmp_path / "x", "WAV", "PCM_16", noise(3.0)), 2)
    assert decode_file(path, max_clips=1, first_clip=1).clips.shape == (1, 4000)


@pytest.mark.parametrize(
    "name", ["rf64", "w64", "aiff", "big-endian", "notes before", "a tag before"]
)
def test_every_container_of_chunks_shows_a_cut(tmp_path: Path, name: str) -> None:
    assert kind(cut(write(tmp_path / "x", WHOLE[name]), 1)) == "truncated"


def test_an_aiff_with_fewer_samples_than_its_header_counts_is_cut(tmp_path: Path) -> None:
    assert kind(write(tmp_path / "x", aiff(SILENCE, 9000))) == "truncated"


def test_an_mp3_without_a_promise_shows_a_cut_in_its_last_frame(
    tmp_path: Path, noise: Make
) -> None:
    content = real_file(tmp_path / "x", "MP3", "MPEG_LAYER_III", noise(3.0)).read_bytes()
    plain = content[content.index(content[:2], 2) :]  # without its first frame, which promises
    assert kind(write(tmp_path / "plain", plain)) == "whole"
    assert kind(write(tmp_path / "cut", plain[:-1])) == "truncated"
    assert kind(write(tmp_path / "tagged", plain + b"TAG" + bytes(125))) == "whole"
    assert kind(write(tmp_path / "pictured", ID3 + plain[:-1])) == "truncated"


def plain_mp3(path: Path, samples: Samples, rate_hz: int = 8000, mode: str = "VARIABLE") -> bytes:
    """Without the first frame, which promises a length; of varying bit rate where it may vary."""
    with soundfile.SoundFile(
        path, "w", rate_hz, 1, "MPEG_LAYER_III", format="MP3", bitrate_mode=mode
    ) as file:
        file.write(samples)
    content = path.read_bytes()
    return content[content.index(content[:2], 2) :]


def apev2(n_bytes: int) -> bytes:
    ends = [struct.pack("<8s4I8x", b"APETAGEX", 2000, n_bytes + 32, 1, f << 28) for f in (10, 8)]
    return ends[0] + np.random.RandomState(0).bytes(n_bytes) + ends[1]


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 44_100])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_without_a_promise_is_decoded_to_its_end_whatever_its_rate_and_tags(
    tmp_path: Path, noise: Make, mode: str, rate_hz: int
) -> None:
    silence = np.zeros(10 * rate_hz, np.float32)
    samples = np.concatenate([silence, noise(10.0, rate_hz)])  # cheap first, so that guesses fail
    plain = plain_mp3(tmp_path / "x.mp3", samples, rate_hz, mode)
    picture = b"ID3\4\0\0\0\x06\0\0" + bytes(6 << 14)
    for content in (plain, picture + plain, plain + apev2(100_000) + b"TAG" + bytes(125)):
        decoded = decode_file(write(tmp_path / "y.mp3", content))
        assert decoded.seconds == pytest.approx(20.1, abs=0.2)
        assert np.abs(decoded.clips[-2]).max() > 0.1
        assert decoded.warning is None


def test_the_segments_of_an_mp3_without_a_promise_join(tmp_path: Path, noise: Make) -> None:
    path = write(tmp_path / "y.mp3", plain_mp3(tmp_path / "x.mp3", noise(12.0)))
    whole = decode_file(path)
    parts = [decode_file(path, max_clips=5, first_clip=first).clips for first in range(0, 25, 5)]
    np.testing.assert_allclose(np.concatenate(parts), whole.clips, atol=1e-4)


def test_an_mp3_with_a_tag_in_its_middle_is_decoded_to_its_end(tmp_path: Path, noise: Make) -> None:
    plain = plain_mp3(tmp_path / "x.mp3", noise(3.0))
    joined = write(tmp_path / "y.mp3", plain + b"TAG" + bytes(125) + ID3 + plain)
    assert decode_file(joined).seconds == pytest.approx(6.2, abs=0.2)


@pytest.mark.parametrize("between", [b"", b"TAG" + bytes(125) + ID3])
def test_an_mp3_behind_another_is_not_passed_over(
    tmp_path: Path, noise: Make, between: bytes
) -> None:
    content = real_file(tmp_path / "x", "MP3", "MPEG_LAYER_III", noise(3.0)).read_bytes()
    path = write(tmp_path / "chain", content + between + content)
    with pytest.raises(DecodingError, match="several MP3 streams") as caught:
        decode_file(path)
    assert caught.value.kind == "unsupported"
    assert "several MP3 streams" in (leftover(path).warning or "")


@pytest.mark.parametrize("junk", [b"\xff", b"\xff\xfb\x90\0", b"\xff\xfb\x90\0\0"])
def test_junk_that_looks_like_frames_of_mp3_costs_few_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, junk: bytes
) -> None:
    tried: list[int] = []
    count_run = mp3._count_run
    monkeypatch.setattr(mp3, "_count_run", lambda fd, at: tried.append(at) or count_run(fd, at))
    path = write(tmp_path / "x", b"\xff\xfb\x90\0" + junk * 200_000)
    with path.open("rb") as file:
        container_of(file.fileno()).examine(file.fileno())
    assert len(tried) <= mp3.MAX_FALSE_SYNCS + 1


def test_a_flac_without_a_length_shows_a_cut_inside_a_frame(tmp_path: Path, noise: Make) -> None:
    content = bytearray(real_file(tmp_path / "x", "FLAC", "PCM_16", noise(3.0)).read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    assert kind(write(tmp_path / "piped", content)) == "whole"
    assert kind(write(tmp_path / "cut", content[:-1000])) == "damaged"


def test_a_flac_that_promises_days_costs_neither_memory_nor_time(
    tmp_path: Path, noise: Make
) -> None:
    content = bytearray(real_file(tmp_path / "x", "FLAC", "PCM_16", noise(3.0)).read_bytes())
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4
    path = write(tmp_path / "boast", content)
    with pytest.raises(DecodingError) as caught:
        decode_file(path, max_clips=60, max_seconds=48 * 3600)
    assert caught.value.kind == "too_long"
    with pytest.raises(DecodingError) as caught:
        decode_file(path, max_clips=60)
    assert caught.value.kind in ("damaged", "truncated")


# Recorders that were stopped

UNFINISHED = {
    "wav": riff(FMT, chunk(b"data", b"\1\2" * 8000, 0), size=0),
    "wav with a size of the whole": riff(FMT, chunk(b"data", b"\1\2" * 8000, 0), size=36),
    "silent wav": riff(FMT, chunk(b"data", SILENCE, 0)),
    "rf64": rf64(0, b"\1\2" * 8000),
    "w64": w64(24, b"\1\2" * 8000),
    "aiff": aiff(b"\1\2" * 8000, 0, 0),
    "aiff without a count": aiff(b"\1\2" * 8000, 0),
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_samples_behind_a_length_of_zero_were_left_by_a_recorder_that_was_stopped(
    tmp_path: Path, name: str
) -> None:
    path = write(tmp_path / "x", UNFINISHED[name])
    with pytest.raises(DecodingError, match=r'intake.damaged = "warn"') as caught:
        decode_file(path)
    assert caught.value.kind == "unfinished"


@pytest.mark.parametrize("name", UNFINISHED)
def test_they_are_decoded_where_damage_is_accepted(tmp_path: Path, name: str) -> None:
    decoded = leftover(write(tmp_path / "x", UNFINISHED[name]))
    assert decoded.seconds == pytest.approx(1.0)
    assert decoded.warning is not None
    second = leftover(tmp_path / "x", max_clips=1, first_clip=1)
    np.testing.assert_array_equal(second.clips, decoded.clips[1:])


# Pages of Ogg


def pages(content: bytes) -> list[bytes]:
    return [b"OggS" + page for page in content.split(b"OggS")[1:]]


@pytest.fixture(params=["VORBIS", "OPUS"])
def ogg(request: pytest.FixtureRequest, tmp_path: Path, noise: Make) -> list[bytes]:
    """Pages of a recording of 12 seconds, six or more."""
    path = real_file(tmp_path / "whole.ogg", "OGG", request.param, noise(12.0))
    found = pages(path.read_bytes())
    assert len(found) >= 6
    return found


def test_pages_have_the_checksum_of_the_standard(ogg: list[bytes]) -> None:
    assert [checksum(page) for page in ogg] == [int.from_bytes(p[22:26], "little") for p in ogg]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda pages: pages[:-1], "last page is missing"),
        (lambda pages: [*pages[:-1], pages[-1][:-1]], "in the middle of a page"),
        (lambda pages: [*pages[:3], *pages[4:]], "pages are missing before byte"),
        (lambda pages: [*pages[:3], pages[3][:90] + b"?" + pages[3][91:], *pages[4:]], "altered"),
        (lambda pages: [*pages[:3], b"?" + pages[3][1:], *pages[4:]], "a hole at byte"),
        (lambda pages: [*pages[:3], pages[3][:-9], *pages[4:]], "altered"),
    ],
    ids=["no end", "cut end", "a page lost", "a byte altered", "a hole", "a page cut"],
)
def test_damage_to_pages_is_seen(
    tmp_path: Path, ogg: list[bytes], damage: Callable[[list[bytes]], list[bytes]], reason: str
) -> None:
    path = write(tmp_path / "x", b"".join(damage(ogg)))
    with pytest.raises(DecodingError, match=reason):
        decode_file(path)
    assert reason in (leftover(path).warning or "")


def test_junk_behind_the_last_page_is_no_damage(tmp_path: Path, ogg: list[bytes]) -> None:
    content = b"".join(ogg)
    for junk in (bytes(5000), b"TAG" + bytes(125), b"OggS", b"OggS" * 1000):
        assert kind(write(tmp_path / "x", content + junk)) == "whole"


def test_a_page_behind_megabytes_of_junk_is_found(tmp_path: Path, ogg: list[bytes]) -> None:
    junk = (b"Ogg" * 349_526)[: 2**20 - 2]
    path = write(tmp_path / "x", b"".join([*ogg[:3], junk, *ogg[3:]]))
    with pytest.raises(DecodingError, match="a hole"):
        decode_file(path)


def test_a_million_heads_without_a_page_cost_no_time(
    tmp_path: Path, ogg: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    monkeypatch.setattr(ogg_module, "checksum", lambda page: tried.append(len(page)) or 1)
    fake = b"OggS" + bytes(22) + b"\xff" + b"\xff" * 255
    path = write(tmp_path / "x", b"?" + fake * 5000 + bytes(70_000))
    with path.open("rb") as file:
        ogg_module.examine_ogg(file.fileno())
    assert len(tried) <= ogg_module.MAX_FALSE_SYNCS


# Traps


def spinning_wav() -> bytes:
    """libsndfile 1.2.2 reads the size of its note as signed, and goes back by it for ever."""
    notes = b"INFOIXYZ" + struct.pack("<I", 0xFFFFFFF8)
    return riff(FMT, chunk(b"LIST", notes), chunk(b"data", bytes(72)))


def test_a_note_that_sends_the_decoder_in_circles_never_reaches_it(tmp_path: Path) -> None:
    path = write(tmp_path / "x", spinning_wav())
    assert path.stat().st_size == 136
    assert decode_file(path).seconds == 36 / 8000


def test_a_header_of_a_million_chunks_is_given_up_early(tmp_path: Path) -> None:
    path = write(tmp_path / "x", riff(*[chunk(b"JUNK", b"")] * 10**6))
    with path.open("rb") as file, pytest.raises(DecodingError, match="more than 1000 chunks"):
        examine_chunks(file.fileno())


@pytest.mark.parametrize("size", [0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1])
@pytest.mark.parametrize("head", [b"RIFF", b"RIFX", b"RF64", b"FORM", b"riff"])
def test_chunks_of_any_size_come_to_an_end(tmp_path: Path, head: bytes, size: int) -> None:
    form = b"AIFF" if head == b"FORM" else b"WAVE"
    bodies = [chunk(name, bytes(40), size) for name in (b"ds64", b"COMM", b"SSND", b"data")]
    path = write(tmp_path / "x", head + bytes(4) + form + b"".join(bodies))
    with path.open("rb") as file, suppress(DecodingError):
        container_of(file.fileno()).examine(file.fileno())
