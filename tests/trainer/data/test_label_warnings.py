"""What is worth a look before an accuracy is believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trainer.data.examples import Example
from trainer.data.label_warnings import (
    duplicate_audio,
    find_warnings,
    joined_labels,
    labels_like_empty_cells,
    rare_labels,
    related_files_across_split,
    similar_labels,
)
from trainer.data.labels import read_labels
from trainer.data.overlaps import merged_groups
from trainer.data.splits import Split, SplitChoice, cross_validation, split_examples


def examples_of(*names: str, group: str = "") -> list[Example]:
    return [
        Example(Path(name), "xy"[at % 2], group=group or name, row=at + 2, grouped=bool(group))
        for at, name in enumerate(names)
    ]


def test_numbers_of_one_value_are_similar() -> None:
    [line] = similar_labels(["01", "1", "1.0", "2", "10"])
    assert line.startswith("labels '01' and '1' and '1.0' are learned as 3")


def test_labels_that_differ_in_case_or_hyphens_are_named() -> None:
    [line] = similar_labels(["Dog bark", "dog_bark", "cat", "cat", "Dog bark"])
    assert line == (
        "labels 'Dog bark' and 'dog_bark' are learned as 2; write them alike if they mean the same"
    )


@pytest.mark.parametrize(
    ("label", "line"),
    [
        ("dog|cat", "label 'dog|cat' is learned as one; write 'cat;dog' for both"),
        ("dog;cat", "label 'dog;cat' is learned as one; --task multi learns several"),
    ],
)
def test_labels_joined_in_one_cell_are_named(label: str, line: str) -> None:
    assert joined_labels(["dog", "cat", label]) == [line]


def test_a_name_with_a_sign_in_it_is_one_label() -> None:
    assert joined_labels(["dog", "cat", "rock & roll", "dog, far"]) == []


def test_a_label_that_stands_for_an_empty_cell_is_named() -> None:
    [line] = labels_like_empty_cells(["nan", "none", "dog", "nan"])
    assert line == "label 'nan' is learned as any other; leave the cell empty if there is none"


def test_copies_are_reported_with_an_example() -> None:
    examples = examples_of("a.wav", "b.wav", "c.wav", "d.wav")
    [line] = duplicate_audio(examples, merged_groups(examples, "stst"))
    assert line == (
        "4 recordings hold sound that another one holds as well (such as row 2 and row 4); "
        "they stay on one side of the split"
    )


def test_copies_of_one_group_need_no_warning() -> None:
    assert duplicate_audio(examples_of("a.wav", "b.wav", group="g"), ["g", "g"]) == []


def test_relatives_on_both_sides_are_reported_with_an_example_and_a_remedy() -> None:
    names = ["1-100-A.wav", "1-100-B.wav", "1-200-A.wav", "1-200-B.wav"]
    split = Split(train=(0, 2, 3), validation=(1,), description="")
    [line] = related_files_across_split(examples_of(*names), [split])
    assert line == (
        "by their names, 1 of the files that validate come from a recording that others teach "
        "(such as 1-100-B.wav and 1-100-A.wav, both '100'): the accuracy flatters; add a column "
        "group that says for each file which recording it is from"
    )


def test_relatives_on_one_side_need_no_warning() -> None:
    names = ["1-100-A.wav", "1-100-B.wav", "1-200-A.wav", "1-200-B.wav"]
    assert related_files_across_split(examples_of(*names), [Split((0, 1), (2, 3), "")]) == []


def test_groups_that_a_person_named_are_trusted() -> None:
    names = ["1-100-A.wav", "1-100-B.wav", "1-200-A.wav", "1-200-B.wav"]
    examples = examples_of(*names, group="g")
    assert related_files_across_split(examples, [Split((0, 2, 3), (1,), "")]) == []


def test_esc10_is_warned_about_only_without_its_group_column(esc10: Path) -> None:
    examples = read_labels(esc10 / "labels.csv", ()).examples
    ungrouped = [replace(e, group=e.path.name, grouped=False) for e in examples]
    groups = [example.group for example in ungrouped]
    by_hash = split_examples(ungrouped, groups, SplitChoice())
    official = list(cross_validation(ungrouped, groups, seed=0).values())
    assert find_warnings(examples, groups, [by_hash]) == []
    assert find_warnings(ungrouped, groups, official) == []  # the folds keep recordings together
    [line] = find_warnings(ungrouped, groups, [by_hash])
    assert "come from a recording that others teach" in line


def test_a_label_with_few_examples_beside_many_is_named() -> None:
    examples = [Example(Path(f"{at}.wav"), "rain") for at in range(300)]
    examples += [Example(Path(f"owl{at}.wav"), "owl") for at in range(3)]
    [line] = rare_labels(examples)
    assert line.startswith("few examples of 'owl' (3) beside 300 of 'rain'")
    assert rare_labels(examples[-3:]) == rare_labels(examples[280:]) == []
