"""Rows that cannot be used together with others, each named with its row and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.data.examples import Example, LabelSet
from trainer.data.label_checks import ValidatedExamples, validate_examples, validate_labels
from trainer.data.splits import SplitChoice
from trainer.errors import LabelsError


def row(
    number: int,
    label: str,
    group: str = "",
    fold: int | None = None,
    split: str | None = None,
    columns: dict[str, str] | None = None,
) -> Example:
    path = Path(f"{number}.wav")
    return Example(
        path,
        label,
        fold=fold,
        group=group or path.name,
        split=split,
        row=number,
        grouped=bool(group),
        columns=columns or {},
    )


def validated(
    examples: list[Example], choice: SplitChoice | None = None, **others: bool
) -> ValidatedExamples:
    """With files that all differ."""
    return validate_examples(examples, range(len(examples)), choice or SplitChoice(), **others)


def outcome(found: ValidatedExamples) -> tuple[tuple[int, ...], tuple[str, ...]]:
    return found.kept, found.problems


def test_valid_rows_are_kept() -> None:
    rows = [row(2, "x"), row(3, "x"), row(4, "y"), row(5, "y")]
    assert outcome(validated(rows)) == ((0, 1, 2, 3), ())


def test_a_group_on_both_sides_loses_its_training_rows() -> None:
    rows = [row(2, "x", "g", split="train"), row(3, "x", split="train")]
    rows += [row(4, "x", "g", split="val"), row(5, "x", "g", split="train")]
    assert outcome(validated(rows)) == (
        (1, 2),
        (
            "row 2, column split: train, but row 4, of the same group 'g', is val",
            "row 5, column split: train, but row 4, of the same group 'g', is val",
        ),
    )


def test_a_copy_on_the_other_side_is_named_by_the_column_of_the_file() -> None:
    columns = {"split": "Split"}
    rows = [row(2, "x", split="val"), row(3, "x", split="train", columns=columns)]
    rows += [row(4, "x", split="train")]
    assert outcome(validate_examples(rows, "sst", SplitChoice())) == (
        (0, 2),
        ("row 3, column Split: train, but row 2, whose group holds the same sound, is val",),
    )


def test_the_fold_that_validates_keeps_its_rows() -> None:
    rows = [row(2, "x", "g", 1), row(3, "x", "g", 2), row(4, "x", "h", 1), row(5, "x", "i", 2)]
    found = validated(rows, SplitChoice(fold=1))
    assert found.kept == (0, 2, 3)
    assert found.problems == (
        "row 3, column fold: in fold 2, but row 2, of the same group 'g', is in fold 1",
    )


def test_with_folds_a_group_stays_where_most_of_it_is() -> None:
    rows = [row(2, "x", "g", 1), row(3, "x", "g", 2), row(4, "x", "g", 2), row(5, "x", "g")]
    rows += [row(6, "x", "h", 1), row(7, "x", "i", 2)]
    found = validated(rows, cross_validate=True)
    assert found.kept == (1, 2, 4, 5)
    assert found.problems == (
        "row 2, column fold: in fold 1, but row 3, of the same group 'g', is in fold 2",
        "row 5, column fold: without a fold, but row 3, of the same group 'g', is in fold 2",
    )


def test_a_label_with_one_file_cannot_be_held_out() -> None:
    rows = [row(2, "x"), row(3, "x"), row(4, "rare")]
    assert outcome(validated(rows)) == (
        (0, 1),
        (
            "row 4, column label: 'rare' has one file only, so that none can validate; "
            "add another, or train without validation by --val-fraction 0",
        ),
    )
    assert validated(rows, SplitChoice(val_fraction=0)).problems == ()


def test_copies_do_not_make_a_label_less_rare() -> None:
    rows = [row(2, "x"), row(3, "x"), row(4, "y"), row(5, "y")]
    found = validate_examples(rows, "stuu", SplitChoice(), cross_validate=True)
    assert found.kept == (0, 1)
    assert "'y' has 2 files of one group only" in found.problems[0]


def test_a_label_that_only_validates_has_nothing_to_train_on() -> None:
    rows = [row(2, "x", fold=1), row(3, "x", fold=2), row(4, "y", fold=2), row(5, "y", fold=2)]
    problem = (
        "row 4, column label: 'y' has nothing left to train on: all of it validates (in fold 2)"
    )
    assert outcome(validated(rows, cross_validate=True)) == ((0, 1), (problem,))
    assert validated(rows, SplitChoice(fold=1)).problems == ()


def test_each_check_sees_what_the_one_before_has_left() -> None:
    rows = [row(2, "x"), row(3, "y"), row(4, "x"), row(5, "y"), row(6, "y")]
    found = validate_examples(rows, "sstuv", SplitChoice())
    assert found.groups == ("5.wav", "6.wav")
    assert found.kept == (3, 4)  # row 4 is the only x that nothing contradicts
    assert len(found.problems) == 3


def test_what_does_not_fit_joins_what_was_skipped_already() -> None:
    rows = [row(2, "x"), row(3, "x"), row(4, "y"), row(5, "y"), row(6, "rare")]
    labels = validate_labels(LabelSet(Path("a.csv"), "", tuple(rows), ("row 7",)), SplitChoice())
    assert (len(labels.examples), len(labels.skipped), labels.skipped[0]) == (4, 2, "row 7")


def test_what_is_left_must_be_two_labels() -> None:
    rows = (row(2, "x"), row(3, "x"), row(4, "rare"))
    with pytest.raises(LabelsError, match="it has only the label 'x'"):
        validate_labels(LabelSet(Path("a.csv"), "", rows), SplitChoice())
