"""Files that once sent the decoder round in circles, or passed for whole, found by mutation.

Each is given as what `mutations.mutation` needs to make it again, or in bytes where it is short.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import pytest
from mutations import bases, ffmpeg_bases, mutation

from classifier.audio.decode import DecodedAudio, Segment, decode
from classifier.errors import DecodingError
from classifier.workers.pool import DecodePool

FMT = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16_000, 2, 16)
BACK = struct.pack("<I", 0xFFFFFFF8)
DATA = b"data" + struct.pack("<I", 72) + bytes(72)


def riff(*parts: bytes) -> bytes:
    content = b"WAVE" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(content)) + content


FOUND = {
    "a note of negative size": riff(FMT, b"LIST" + struct.pack("<I", 12), b"INFOIXYZ", BACK, DATA),
    "a tag before such notes": b"ID3\4\0\0\0\0\1\0"
    + bytes(128)
    + riff(FMT, b"LIST" + struct.pack("<I", 12), b"INFOIXYZ", BACK, DATA),
    "notes in RF64": b"RF64\xff\xff\xff\xffWAVE"
    + (b"INFO" + struct.pack("<I", 28) + b"x\0\0\0" + bytes(4) + b"bext" + BACK + bytes(12))
    + FMT
    + DATA,
}


def refusal(path: Path, content: bytes) -> DecodingError:
    path.write_bytes(content)
    segment = Segment(os.fsencode(path), 8000, 4000, 4000, 60, accepts_damaged=False)
    with pytest.raises(DecodingError) as caught:
        decode(segment)
    return caught.value


@pytest.mark.parametrize("name", FOUND)
def test_a_header_that_once_never_ended_is_passed_over(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(FOUND[name])
    assert decode(Segment(os.fsencode(path), 8000, 4000, 4000, 60)).seconds == 36 / 8000


@pytest.mark.parametrize(
    "notes",
    [
        b"LIST" + struct.pack("<I", 2**29) + b"Opus" + BACK,
        b"INFO" + b"\xff" * 4 + b"INFOOpus" + BACK,
    ],
)
def test_notes_that_swallow_the_samples_leave_none(tmp_path: Path, notes: bytes) -> None:
    assert refusal(tmp_path / "x", riff(notes, FMT, DATA)).kind == "damaged"


def test_a_chain_that_was_cut_in_its_second_beginning_is_no_whole_file(tmp_path: Path) -> None:
    chain = bases()["chain"]
    for kept in (chain.hidden.stop, chain.hidden.stop + 20):
        assert refusal(tmp_path / "x", chain.content[:kept]).kind == "truncated"


def test_a_mutation_is_the_same_at_every_time() -> None:
    made = [mutation("wav", 1, number) for number in range(50)]
    assert made == [mutation("wav", 1, number) for number in range(50)]
    assert len({hashlib.sha256(content).digest() for _, content in made}) > 45


@pytest.mark.parametrize(("name", "seed", "number"), [("eac3", 149032, 162), ("aac", 11, 87407)])
def test_a_number_of_channels_that_once_ended_the_worker_is_refused(
    tmp_path: Path, name: str, seed: int, number: int
) -> None:
    """PyAV's queue of frames wrote beyond its memory where they came with other channels."""
    assert refusal(tmp_path / "x", mutation(name, seed, number)[1]).kind == "unsupported"


def test_a_note_of_gigabytes_reaches_no_decoder(tmp_path: Path) -> None:
    error = refusal(tmp_path / "x", mutation("mp3.wav", 23, 81327)[1])
    assert "a chunk of its header claims 4,294,967,280 bytes" in str(error)


@pytest.mark.parametrize("name", ["m4a", "webm", "wma"])
def test_mutated_files_are_each_answered_and_end_no_worker_for_good(
    tmp_path: Path, name: str
) -> None:
    """A short one; `make torture` has a hundred thousand."""
    with DecodePool[int](1, timeout_seconds=5.0) as pool:
        for number in range(100):
            path = tmp_path / f"{number}"
            path.write_bytes(mutation(name, 3, number)[1])
            pool.submit(number, Segment(os.fsencode(path), 8000, 4000, 4000, 60))
        answers = dict(pool.wait() for _ in range(100))
        whole = tmp_path / "whole"
        whole.write_bytes(ffmpeg_bases()[name].content)
        pool.submit(-1, Segment(os.fsencode(whole), 8000, 4000, 4000, 60))
        assert isinstance(pool.wait()[1], DecodedAudio)
    kinds = {getattr(answer, "kind", "decoded") for answer in answers.values()}
    assert len(kinds) > 2
    assert not kinds & {"internal", "timeout", "worker_died"}
