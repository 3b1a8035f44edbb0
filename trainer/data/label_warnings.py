"""Warnings about labelled files: nothing of it is refused, but the accuracy may flatter."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from storage.values.decision import NEGATIVE_LABELS, SEPARATOR, says_nothing, written
from storage.values.text import listed, visible
from trainer.data.examples import Example
from trainer.data.source_guess import shared_sources
from trainer.data.splits import Split

FEW_EXAMPLES = 10
MUCH_RARER = 10  # than the commonest label

_JOINED = re.compile(r"[,|/+&]")  # what people write between labels besides SEPARATOR
_EMPTY = {"nan", "NaN", "<NA>", "NA", "N/A", "None", "NULL"}  # of pandas, R, Python and SQL


def find_warnings(
    examples: Sequence[Example],
    groups: Sequence[str],
    splits: Sequence[Split],
    negative_labels: tuple[str, ...] = (),
) -> list[str]:
    """Lines about similar labels, duplicate audio, and related files on both sides of a split.

    `groups` (R,) are the merged ones of `overlaps.merged_groups`.
    """
    labels = {label for example in examples for label in example.labels}
    return [
        *similar_labels(labels),
        *labels_like_empty_cells(labels),
        *labels_of_nothing(labels, negative_labels),
        *rare_labels(examples),
        *duplicate_audio(examples, groups),
        *related_files_across_split(examples, splits),
    ]


def similar_labels(labels: Iterable[str]) -> list[str]:
    """A line for labels that differ only in case, width, or what stands between words.

    So do numbers of one value, such as 01 and 1.0.
    """
    found = defaultdict(set)
    for label in labels:
        plain = unicodedata.normalize("NFKC", label).casefold()
        is_number = re.fullmatch(r"\d+([.,]\d+)?", plain)
        plain = str(float(plain.replace(",", "."))) if is_number else re.sub(r"[-_ ]+", " ", plain)
        found[plain].add(label)
    return [
        f"labels {' and '.join(map(repr, sorted(alike)))} are learned as {len(alike)}; "
        "write them alike if they mean the same"
        for alike in found.values()
        if len(alike) > 1
    ]


def joined_labels(labels: Iterable[str]) -> list[str]:
    """A line for labels that seem to be several in one cell, and are learned as one."""
    known = set(labels)
    lines = []
    for label in sorted(known):
        parts = [part.strip() for part in _JOINED.split(label)]
        if SEPARATOR in label:
            lines.append(f"label {label!r} is learned as one; --task multi learns several")
        elif len(parts) > 1 and known.issuperset(parts):
            several = written(parts)
            lines.append(f"label {label!r} is learned as one; write {several!r} for both")
    return lines


def labels_like_empty_cells(labels: Iterable[str]) -> list[str]:
    """A line for labels that programs write where there is none."""
    return [
        f"label {label!r} is learned as any other; leave the cell empty if there is none"
        for label in sorted(_EMPTY.intersection(labels))
    ]


def labels_of_nothing(labels: Iterable[str], negative_labels: tuple[str, ...]) -> list[str]:
    """A line for labels of a single task that the settings call nothing, and results do not."""
    return [
        f"label {label!r} is of training.negative_labels, but where a sound has one label results "
        f"tell only {', '.join(NEGATIVE_LABELS)} as nothing; call it none"
        for label in sorted(labels)
        if says_nothing(label, negative_labels) and not says_nothing(label)
    ]


def rare_labels(examples: Sequence[Example]) -> list[str]:
    """A line where labels have few examples, and another label many times as many."""
    numbers = Counter(label for example in examples for label in example.labels)
    (common, most), *_ = numbers.most_common(1)
    rare = [
        f"{label!r} ({n})"
        for label, n in sorted(numbers.items())
        if n < FEW_EXAMPLES and most >= MUCH_RARER * n
    ]
    if not rare:
        return []
    return [
        f"few examples of {listed(rare)} beside {most} of {common!r}: what is said of them rests "
        "on little; add some, or see --balance"
    ]


def duplicate_audio(examples: Sequence[Example], groups: Sequence[str]) -> list[str]:
    """A line where groups were merged, since they hold the same audio."""
    merged: dict[str, list[Example]] = defaultdict(list)
    for example, group in zip(examples, groups, strict=True):
        merged[group].append(example)
    apart = {
        group: members
        for group, members in merged.items()
        if len({member.group for member in members}) > 1
    }
    if not apart:
        return []
    one = next(iter(apart.values()))
    other = next(member for member in one if member.group != one[0].group)
    n_examples = sum(len(members) for members in apart.values())
    return [
        f"{n_examples} recordings hold sound that another one holds as well (such as "
        f"{one[0].name} and {other.name}); they stay on one side of the split"
    ]


def related_files_across_split(examples: Sequence[Example], splits: Sequence[Split]) -> list[str]:
    """A line where files that seem to share a source stand on both sides of a split.

    Groups that a person named are trusted.
    """
    guess = shared_sources(
        [example.path for example in examples], [example.label for example in examples]
    )
    if guess is None:
        return []
    sources = [None if e.grouped else s for e, s in zip(examples, guess.sources, strict=True)]
    relative: dict[int, int] = {}  # a file that validates -> a relative that trains
    for split in splits:
        first_of = {sources[at]: at for at in reversed(split.train)}
        relative |= {
            at: first_of[sources[at]] for at in split.validation if sources[at] in first_of
        }
    apart = {at: other for at, other in relative.items() if sources[at] is not None}
    if not apart:
        return []
    at, other = min(apart.items())
    table = "a column group" if examples[at].row else "a labels file with a column group"
    return [
        f"by their names, {len(apart)} of the files that validate come from a {guess.what} that "
        f"others teach (such as {visible(examples[at].path.name)} and "
        f"{visible(examples[other].path.name)}, both "
        f"{sources[at]!r}): the accuracy flatters; add {table} that says for each file which "
        f"{guess.what} it is from"
    ]
