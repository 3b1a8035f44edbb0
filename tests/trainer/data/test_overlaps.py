"""What files hold, whatever they are called."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.examples import Example
from trainer.data.overlaps import contradictions, merged_groups, with_shared_labels

CUTS = st.tuples(st.sampled_from("st"), st.integers(0, 9), st.integers(1, 5), st.sampled_from("xy"))


def part(
    name: str, label: str, start: float = 0.0, end: float = math.inf, group: str = "", row: int = 2
) -> Example:
    path = Path(f"{name}.wav")
    return Example(path, label, start, end, None, group or path.name, None, row, bool(group))


def contradicted(*examples: Example, contents: str) -> list[int]:
    return [at for fault in contradictions(examples, contents) for at in fault.positions]


def test_a_copy_with_another_label_is_named_with_the_other_row() -> None:
    examples = [part("a", "x", row=2), part("b", "y", row=3), part("c", "y", row=4)]
    assert [fault.line for fault in contradictions(examples, "sts")] == [
        "row 2, column label: 'x', but row 4 is 'y' and holds the same sound",
        "row 4, column label: 'y', but row 2 is 'x' and holds the same sound",
    ]


def test_every_row_of_a_contradictory_sound_is_named() -> None:
    rows = [part("a", "x"), part("b", "x"), part("c", "y"), part("d", "x"), part("e", "x")]
    assert contradicted(*rows, contents="sssst") == [0, 1, 2, 3]


def test_copies_with_one_label_agree() -> None:
    assert contradicted(part("a", "x"), part("b", "x"), contents="ss") == []


def test_parts_that_share_half_of_the_shorter_one_are_one_sound() -> None:
    long, inside = part("a", "x", 0, 10), part("b", "y", 9.0, 10.5)
    assert contradicted(long, inside, contents="ss") == [0, 1]
    assert contradicted(part("a", "x"), part("b", "y", 4, 5), contents="ss") == [0, 1]


def test_selections_of_neighbouring_sounds_may_touch() -> None:
    assert contradicted(part("a", "x", 0, 2), part("a", "y", 1.9, 4), contents="ss") == []


def test_copies_become_one_group() -> None:
    examples = [part(name, "x") for name in "abcd"]
    assert merged_groups(examples, "stsu") == ["a.wav", "b.wav", "a.wav", "d.wav"]


def test_named_groups_of_one_recording_stay_apart_unless_their_parts_overlap() -> None:
    apart = [part("a", "x", 0, 5, "g"), part("b", "x", 5, 9, "h")]
    overlapping = [part("a", "x", 0, 5, "g"), part("b", "x", 4.9, 9, "h")]
    assert merged_groups(apart, "ss") == ["g", "h"]
    assert merged_groups(overlapping, "ss") == ["g", "g"]


def test_where_nobody_named_a_group_all_parts_of_one_content_are_relatives() -> None:
    examples = [part("a", "x", 0, 5), part("b", "x", 5, 9), part("c", "x", 9, 12)]
    assert merged_groups(examples, "sst") == ["a.wav", "a.wav", "c.wav"]


@given(st.lists(CUTS, max_size=12))
@settings(deadline=None)  # a busy machine is no fault
def test_contradictions_and_groups_are_those_of_every_pair(
    cuts: list[tuple[str, int, int, str]],
) -> None:
    examples = [
        part(str(at), label, start, start + length, f"g{at}")
        for at, (_, start, length, label) in enumerate(cuts)
    ]
    contents = [content for content, *_ in cuts]
    groups = merged_groups(examples, contents)
    expected = set()
    for at, one in enumerate(examples):
        for to, other in enumerate(examples):
            ends = min(one.end_seconds, other.end_seconds)
            shared = (ends - max(one.start_seconds, other.start_seconds)) * (
                contents[at] == contents[to]
            )
            lengths = [e.end_seconds - e.start_seconds for e in (one, other)]
            if shared > 0:
                assert groups[at] == groups[to]
            if one.label != other.label and 2 * shared >= min(lengths):
                expected.add(at)
    found = [at for fault in contradictions(examples, contents) for at in fault.positions]
    assert found == sorted(expected)


def test_a_part_gets_the_labels_of_the_same_sound_whatever_its_file_is_called() -> None:
    examples = [
        part("a", "x", 0, 4).with_labels("x"),
        part("copy", "y", 1, 3).with_labels("y"),
        part("a", "z", 3, 9).with_labels("z"),
    ]
    shared = with_shared_labels(examples, "sss")
    assert [example.labels for example in shared] == [("x", "y"), ("x", "y"), ("z",)]
    assert shared[0].label == "x;y"


def test_several_labels_contradict_only_none() -> None:
    rows = [part("a", "x").with_labels("x"), part("b", "y").with_labels("y")]
    assert contradicted(*rows, contents="ss") == []
    assert contradicted(*rows, part("c", "none").with_labels(""), contents="sss") == [0, 1, 2]
