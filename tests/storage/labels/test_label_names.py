"""What may be the name of a label, however it is given."""

from __future__ import annotations

import pytest

from storage.labels.label_names import MAX_LABEL_CHARACTERS, read_label, read_name


def test_what_looks_the_same_is_the_same_label() -> None:
    assert read_label("cafe\u0301  nero") == read_label("caf\u00e9\u00a0nero") == "café nero"


@pytest.mark.parametrize("label", ["dog\0", "dog\ncat", "\u200bdog", "dog\u202e", "\ud800"])
def test_a_label_holds_nothing_that_is_not_seen(label: str) -> None:
    with pytest.raises(ValueError, match="a line break or a control character"):
        read_label(label)


@pytest.mark.parametrize("label", ["", " ", "\u00a0", "\u200d"])
def test_a_blank_is_no_label(label: str) -> None:
    with pytest.raises(ValueError, match="it is empty"):
        read_label(label)


def test_a_label_has_a_longest_length_and_the_reason_stays_short() -> None:
    assert read_label("x" * MAX_LABEL_CHARACTERS)
    with pytest.raises(ValueError, match="has 10000000 characters; a label has 200") as refusal:
        read_label("x" * 10**7)
    assert len(str(refusal.value)) < 200


def test_a_group_may_be_a_path_and_so_longer() -> None:
    assert read_name("folder/" * 100) == "folder/" * 100
