"""Whole groups, every label on both sides, the same on every machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.examples import Example
from trainer.data.overlaps import related_groups
from trainer.data.splits import SplitChoice, cross_validation, split_examples, validation_groups
from trainer.errors import SplitError

MEMBERS = st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 12)), min_size=1, max_size=60)


def example(label: str, group: str, fold: int | None = None, split: str | None = None) -> Example:
    path = Path(f"{group}.wav")
    return Example(path, label, fold=fold, group=group, split=split, grouped=True)


def plain(n_groups: int, label: str) -> list[Example]:
    return [example(label, f"{label}{number}") for number in range(n_groups)]


def groups_of(examples: list[Example]) -> list[str]:
    return [example.group for example in examples]


@given(MEMBERS, st.integers(0, 5), st.sampled_from([0.1, 0.2, 0.5, 0.9]))
@settings(deadline=None)  # a busy machine is no fault
def test_every_label_keeps_a_group_to_train_on(
    members: list[tuple[str, int]], seed: int, fraction: float
) -> None:
    labels, groups = [label for label, _ in members], [str(group) for _, group in members]
    chosen = validation_groups(labels, groups, fraction, seed)
    trained = {label for label, group in zip(labels, groups, strict=True) if group not in chosen}
    assert trained == set(labels)


@given(MEMBERS, st.integers(0, 5))
@settings(deadline=None)  # a busy machine is no fault
def test_a_label_with_two_groups_of_its_own_is_validated(
    members: list[tuple[str, int]], seed: int
) -> None:
    labels = [label for label, _ in members]
    groups = [f"{label}{group}" for label, group in members]  # no group holds two labels
    chosen = validation_groups(labels, groups, 0.2, seed)
    for label in set(labels):
        of_label = {group for group in groups if group.startswith(label)}
        assert bool(of_label & chosen) == (len(of_label) > 1)


def test_a_fifth_of_the_groups_of_each_label_validates() -> None:
    examples = plain(10, "x") + plain(50, "y")
    split = split_examples(examples, groups_of(examples), SplitChoice())
    labels = [examples[at].label for at in split.validation]
    assert (labels.count("x"), labels.count("y")) == (2, 10)


def test_groups_stay_whole() -> None:
    examples = [example("x", f"g{n % 5}") for n in range(40)] + plain(5, "y")
    split = split_examples(examples, groups_of(examples), SplitChoice())
    sides = [{examples[at].group for at in side} for side in (split.train, split.validation)]
    assert not sides[0] & sides[1]


def test_a_group_with_most_of_a_label_is_not_taken_from_training() -> None:
    labels, groups = ["x"] * 30, ["big"] * 20 + [str(n) for n in range(10)]
    assert all("big" not in validation_groups(labels, groups, 0.2, seed) for seed in range(20))


def test_a_new_group_displaces_at_most_one_other() -> None:
    labels, groups = ["x"] * 30, [str(n) for n in range(30)]
    before = validation_groups(labels, groups, 0.2, seed=0)
    for new in ("a", "b", "c", "d", "e"):
        after = validation_groups([*labels, "x"], [*groups, new], 0.2, seed=0)
        assert len((before ^ after) - {new}) <= 1


def test_the_order_of_files_changes_nothing_and_the_seed_does() -> None:
    labels, groups = ["x"] * 30, [str(n) for n in range(30)]
    chosen = validation_groups(labels, groups, 0.2, seed=0)
    assert chosen == validation_groups(labels, groups[::-1], 0.2, seed=0)
    assert chosen != validation_groups(labels, groups, 0.2, seed=1)


def test_fraction_zero_trains_on_everything() -> None:
    examples = plain(3, "x")
    split = split_examples(examples, groups_of(examples), SplitChoice(val_fraction=0.0))
    assert (split.train, split.validation) == ((0, 1, 2), ())


def test_the_split_column_decides() -> None:
    examples = [example("x", str(n), split="val" if n == 1 else "train") for n in range(3)]
    assert split_examples(examples, groups_of(examples), SplitChoice()).validation == (1,)


def test_a_split_column_in_which_nothing_validates_is_refused() -> None:
    examples = [example("x", str(n), split="train") for n in range(3)]
    with pytest.raises(SplitError, match="no row has val in its column split"):
        split_examples(examples, groups_of(examples), SplitChoice())


def test_a_fold_validates() -> None:
    examples = [example("x", str(n), fold=n % 2 + 1) for n in range(4)]
    split = split_examples(examples, groups_of(examples), SplitChoice(fold=2))
    assert split.validation == (1, 3)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([example("x", "a"), example("y", "b")], "the labels have no fold column"),
        ([example("x", "a", 1), example("y", "b", 3)], "choose one of: 1, 3"),
        ([example("x", "a", 1), example("y", "b", 2)], "'y' has nothing left to train on"),
        ([example("x", "a", 1), example("x", "a", 2)], "of the same group 'a', is in fold"),
    ],
)
def test_a_fold_that_proves_nothing_is_refused(examples: list[Example], message: str) -> None:
    with pytest.raises(SplitError, match=message):
        split_examples(examples, groups_of(examples), SplitChoice(fold=2))


@pytest.mark.parametrize("choice", [SplitChoice(), SplitChoice(fold=2)])
def test_a_column_that_divides_copies_of_one_sound_is_refused(choice: SplitChoice) -> None:
    examples = [example("x", name, 1, "train") for name in "ab"] + [example("x", "c", 2, "val")]
    groups = related_groups(groups_of(examples), ["s1", "s2", "s1"])
    with pytest.raises(SplitError, match=r"c\.wav, whose group holds the same sound, is"):
        split_examples(examples, groups, choice)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([example("x", "a", 1), example("y", "b", 2)], "'x' has nothing left to train on"),
        ([example("x", "a", 1), example("x", "a", 2)], "of the same group 'a', is in fold"),
    ],
)
def test_cross_validation_refuses_folds_that_prove_nothing(
    examples: list[Example], message: str
) -> None:
    with pytest.raises(SplitError, match=message):
        cross_validation(examples, groups_of(examples), seed=0)


def test_hash_folds_validate_every_file_once() -> None:
    examples = plain(12, "x") + plain(7, "y")
    folds = cross_validation(examples, groups_of(examples), seed=0)
    validated = sorted(at for split in folds.values() for at in split.validation)
    assert (sorted(folds), validated) == ([1, 2, 3, 4, 5], list(range(19)))


def test_hash_folds_never_divide_a_group_and_always_train_on_an_only_one() -> None:
    examples = [example("x", f"g{n % 6}") for n in range(30)] + plain(1, "y")
    for split in cross_validation(examples, groups_of(examples), seed=0).values():
        trained = {examples[at].group for at in split.train}
        assert not trained & {examples[at].group for at in split.validation}
        assert "y0" in trained


@given(MEMBERS, st.integers(0, 5))
@settings(deadline=None)  # a busy machine is no fault
def test_hash_folds_leave_every_label_something_to_train_on(
    members: list[tuple[str, int]], seed: int
) -> None:
    examples = [example(label, str(group)) for label, group in members]
    try:
        folds = cross_validation(examples, groups_of(examples), seed)
    except SplitError:
        return  # too few groups for two folds
    for split in folds.values():
        assert {examples[at].label for at in split.train} == {label for label, _ in members}


def test_folds_come_from_the_column_where_there_is_one() -> None:
    examples = [example("x", str(n), fold=n % 3) for n in range(6)]
    folds = cross_validation(examples, groups_of(examples), seed=0)
    assert {fold: split.validation for fold, split in folds.items()} == {
        0: (0, 3),
        1: (1, 4),
        2: (2, 5),
    }


def test_copies_of_one_sound_become_one_group() -> None:
    contents = ["s1", "s2", "s2", "s3", "s1"]
    assert related_groups(["a", "b", "c", "d", "b"], contents) == ["a", "a", "a", "d", "a"]


def several(labels: str, group: str) -> Example:
    return example(";".join(labels), group).with_labels(labels)


def test_every_label_of_several_and_none_is_on_both_sides() -> None:
    kinds = ["ab", "bc", "a", "", "abc"]
    examples = [several(kinds[n % 5], f"g{n}") for n in range(100)]
    split = split_examples(examples, groups_of(examples), SplitChoice())
    for side in (split.train, split.validation):
        assert {label for at in side for label in examples[at].strata} == {"a", "b", "c", "none"}
    assert 15 <= len(split.validation) <= 25


def test_folds_of_several_labels_grow_alike() -> None:
    examples = [several("ab" if n % 2 else "b", f"g{n}") for n in range(100)]
    folds = cross_validation(examples, groups_of(examples), seed=0)
    assert [len(split.validation) for split in folds.values()] == [20] * 5
