"""A guess from names: which files come from one recording or recorder."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from trainer.data.labels import read_labels
from trainer.data.source_guess import SharedSources, shared_sources


def guess(names: list[str], labels: list[str] | None = None) -> SharedSources | None:
    """From these files; without labels x and y take turns."""
    labels = labels or ["xy"[at % 2] for at in range(len(names))]
    return shared_sources([Path(name) for name in names], labels)


@pytest.mark.parametrize(
    ("name", "relative", "stranger", "source"),
    [
        ("1-977-A.ogg", "1-977-B.ogg", "5-1093-A-12.wav", "977"),
        ("100032-3-0-0.wav", "100032-3-0-1.wav", "1008-5-2-0.wav", "100032"),
        ("a/0a7c2a8d_nohash_0.wav", "b/0a7c2a8d_nohash_1.wav", "ff00ff00_nohash_0.wav", "0a7c2a8d"),
        ("XC1234 song.mp3", "XC1234_2.wav", "XC99999.wav", "XC1234"),
        ("SMM0123_20240501_053000.wav", "SMM0123_20240502T053000.WAV", "A1_20240501_053000.wav",
         "SMM0123"),
        ("north/20240501_053000T.WAV", "north/20240502_053000.WAV", "south/20240501_053000.WAV",
         "north"),
        ("A1_20240501_053000_0.wav", "A1_20240501_053000_3.wav", "A1_20240502_053000_0.wav",
         "A1_20240501_053000"),
        ("0.93_A1_20240501_053000_0.0_3.0.wav", "0.81_A1_20240501_053000_3.0_6.0.wav",
         "0.7_A1_20240502_053000_0.0_3.0.wav", "A1_20240501_053000"),
    ],
)  # fmt: skip
def test_names_of_collections_and_recorders_tell_their_source(
    name: str, relative: str, stranger: str, source: str
) -> None:
    found = guess([name, relative, stranger])
    assert found is not None
    assert found.sources[:2] == (source, source)
    assert found.sources[2] not in (source, None)


def test_slices_tell_their_take() -> None:
    found = guess([f"take{take}_{piece:02}.wav" for take in range(4) for piece in range(3)])
    assert found == SharedSources("recording", tuple(f"take{n // 3}" for n in range(12)))


def test_slices_by_start_and_end_tell_their_recording() -> None:
    found = guess([f"walk{n}_{at}-{at + 3}s.wav" for n in range(4) for at in range(0, 9, 3)])
    assert found == SharedSources("recording", tuple(f"walk{n // 3}" for n in range(12)))


def test_the_label_in_a_name_is_no_source() -> None:
    takes = [(word, who) for word in ("one", "two") for who in ("ann", "bob", "eve")] * 2
    found = guess(
        [f"{word}_{who}_{n}.wav" for n, (word, who) in enumerate(takes)], [w for w, _ in takes]
    )
    assert found is not None
    assert set(found.sources) == {"ann", "bob", "eve"}


@pytest.mark.parametrize(
    "names",
    [
        [f"{n}.wav" for n in range(20)],
        [f"{'xy'[n % 2]}_{n:03}.wav" for n in range(20)],
        [f"{'xy'[n % 2]}/rec ({n}).wav" for n in range(20)],
        [f"{'xy'[n % 2]}/20240501_{n + 10}0000T.WAV" for n in range(10)],
        [f"{place}_{n:02}.wav" for place in ("indoor", "outdoor") for n in range(10)],
        [f"2024-0{month}-{day}.wav" for month in range(1, 9) for day in range(10, 20)],
        [f"550e8400-e29b-41d4-a716-4466554400{n}.wav" for n in range(10, 30)],
        [f"XC{n}.mp3" for n in range(10_000, 10_020)],
    ],
)
def test_names_that_only_number_files_tell_nothing(names: list[str]) -> None:
    assert guess(names) is None


def test_names_that_number_the_kinds_of_a_label_tell_nothing() -> None:
    kinds = {"puppy": "dog", "hound": "dog", "cat": "cat", "rain": "rain"}
    names = [(f"{kind}_{n}.wav", label) for kind, label in kinds.items() for n in range(9)]
    assert guess([name for name, _ in names], [label for _, label in names]) is None


def test_the_guess_for_esc10_is_its_group_column(esc10: Path) -> None:
    examples = read_labels(esc10 / "labels.csv", ()).examples
    found = shared_sources([e.path for e in examples], [e.label for e in examples])
    assert found is not None
    pairs = list(combinations(range(len(examples)), 2))
    guessed = {(a, b) for a, b in pairs if found.sources[a] == found.sources[b]}
    assert guessed == {(a, b) for a, b in pairs if examples[a].group == examples[b].group}
