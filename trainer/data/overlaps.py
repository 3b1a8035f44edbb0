"""Examples that hold the same audio under any name: copies, overlapping parts, contradictions.

A *content* identifies a file: the SHA-256 of a file, or its path before it was read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

from storage.labels.overlap import Part, same_sounds
from trainer.data.examples import Example, LabelProblem


def contradictions(examples: Sequence[Example], contents: Sequence[Hashable]) -> list[LabelProblem]:
    """A problem for each example whose audio has another label in another example.

    In a multi task only none contradicts a label. Two parts of one content are the same audio where
    they share half of the shorter one or more.
    """
    against: dict[int, int] = {}
    for parts in _parts(examples, contents):
        for part, same in same_sounds(sorted(parts)).items():
            first_of = {examples[at].claim: at for other in same for at in reversed(parts[other])}
            for at in parts[part]:
                others = [to for claim, to in first_of.items() if claim != examples[at].claim]
                if others:
                    against[at] = min(others)
    problems = []
    for at, other_at in sorted(against.items()):
        example, other = examples[at], examples[other_at]
        line = (
            f"{example.spot('label')}: {example.label!r}, but {other.name} is {other.label!r} "
            "and holds the same sound"
        )
        problems.append(LabelProblem((at,), line))
    return problems


def with_shared_labels(
    examples: Sequence[Example], contents: Sequence[Hashable]
) -> tuple[Example, ...]:
    """Examples of a multi task, each with the labels of all that hold the same sound."""
    found = list(examples)
    for parts in _parts(examples, contents):
        for part, same in same_sounds(sorted(parts)).items():
            labels = {label for each in same for at in parts[each] for label in examples[at].labels}
            for at in parts[part]:
                found[at] = examples[at].with_labels(labels)
    return tuple(found)


def merged_groups(examples: Sequence[Example], contents: Sequence[Hashable]) -> list[str]:
    """The group of each example; groups that share any audio are one.

    A copy under another name would otherwise train and validate. Where nobody named a group, all
    parts of one content are one group.
    """
    groups = related_groups([example.group for example in examples], _runs(examples, contents))
    named = [
        (content, at if example.grouped else None)
        for at, (example, content) in enumerate(zip(examples, contents, strict=True))
    ]
    return related_groups(groups, named)


def _parts(
    examples: Sequence[Example], contents: Sequence[Hashable]
) -> Iterator[dict[Part, list[int]]]:
    """Of each content its parts, and which examples are that part."""
    found: dict[Hashable, dict[Part, list[int]]] = defaultdict(lambda: defaultdict(list))
    for at, (example, content) in enumerate(zip(examples, contents, strict=True)):
        found[content][example.start_seconds, example.end_seconds].append(at)
    yield from found.values()


def _runs(examples: Sequence[Example], contents: Sequence[Hashable]) -> list[int]:
    """A number for each example; those whose parts overlap, also through others, have the same."""
    run_of = [0] * len(examples)
    run = 0
    for parts in _parts(examples, contents):
        end_of_run = -1.0
        for start, end in sorted(parts):
            if start >= end_of_run:
                run += 1
            end_of_run = max(end_of_run, end)
            for at in parts[start, end]:
                run_of[at] = run
    return run_of


def related_groups(groups: Sequence[str], contents: Sequence[Hashable]) -> list[str]:
    """Groups that share a content become one, named after the first of them in the alphabet."""
    leader = {group: group for group in groups}

    def find(group: str) -> str:
        while leader[group] != group:
            leader[group] = leader[leader[group]]  # path halving
            group = leader[group]
        return group

    first: dict[Hashable, str] = {}
    for group, content in zip(groups, contents, strict=True):
        one, other = find(first.setdefault(content, group)), find(group)
        leader[max(one, other)] = min(one, other)
    return [find(group) for group in groups]
