"""Names as they are told and compared."""

from __future__ import annotations

from storage.values.text import caseless, listed


def test_of_thousands_of_names_a_few_are_told_and_how_many_more_there_are() -> None:
    assert listed([str(n) for n in range(3000)], 3) == "0, 1, 2 and 2997 more"
    assert listed(["dog", "rain"]) == "dog, rain"


def test_names_that_differ_in_case_or_in_how_accents_are_written_are_alike() -> None:
    assert caseless("Caf\u00c9.WAV") == caseless("cafe\u0301.wav") != caseless("cafe.wav")
