"""`clfd compare`: where two checkpoints disagree, by label."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import TextIO

from storage.errors import StorageError
from storage.export.text_formats import write_csv, write_table
from storage.queries.disagreements import ComparedCheckpoint, Disagreement, Pair
from storage.queries.filters import Filters

_ROWS = 20  # of disagreements in a table for people
_DECIMALS = 6


@dataclass(frozen=True)
class Difference:
    """The answers of two checkpoints to the recordings that both have scored; at least one.

    `disputes` are the recordings listed; None where nobody asked for them.
    """

    a: ComparedCheckpoint
    b: ComparedCheckpoint
    pairs: tuple[Pair, ...]
    disputes: tuple[Disagreement, ...] | None

    @property
    def n_shared(self) -> int:
        return sum(pair.count for pair in self.pairs)

    @property
    def n_agreed(self) -> int:
        return sum(pair.count for pair in self.pairs if pair.is_agreement)

    @property
    def confidences(self) -> tuple[float, float]:
        """The mean ones of A and of B."""
        a = sum(pair.count * pair.a_confidence for pair in self.pairs) / self.n_shared
        return a, sum(pair.count * pair.b_confidence for pair in self.pairs) / self.n_shared

    @property
    def disagreements(self) -> list[Pair]:
        return [pair for pair in self.pairs if not pair.is_agreement]

    def by_label(self) -> list[LabelCount]:
        """Each label that either gave, the commonest first."""
        of_a, of_b, of_both = Counter[str](), Counter[str](), Counter[str]()
        for pair in self.pairs:
            of_a[pair.a] += pair.count
            of_b[pair.b] += pair.count
            of_both[pair.a] += pair.count if pair.is_agreement else 0
        labels = sorted(of_a | of_b, key=lambda label: (-(of_a[label] + of_b[label]), label))
        return [LabelCount(label, of_a[label], of_b[label], of_both[label]) for label in labels]

    def as_object(self) -> dict[str, object]:
        of_a, of_b = self.confidences
        return {
            "a": self.a.name,
            "b": self.b.name,
            "recordings": self.n_shared,
            "agreed": self.n_agreed,
            "labels": [label.as_object() for label in self.by_label()],
            "disagreements": [_record(pair) for pair in self.disagreements],
            "listed": [_record(dispute) for dispute in self.disputes or ()],
            "a_confidence": round(of_a, _DECIMALS),
            "b_confidence": round(of_b, _DECIMALS),
            "confidence_difference": round(of_b - of_a, _DECIMALS),
        }


@dataclass(frozen=True)
class LabelCount:
    """How many recordings A and B gave a label to, and to how many both did."""

    label: str
    a: int
    b: int
    both: int

    def as_object(self) -> dict[str, object]:
        """With the share of A's in which B agrees; None where A never gave it."""
        return asdict(self) | {
            "agreement": round(self.both / self.a, _DECIMALS) if self.a else None
        }


def require_shared(
    a: ComparedCheckpoint, b: ComparedCheckpoint, found: Sequence[Pair], filters: Filters
) -> None:
    """Raises StorageError where there is nothing to compare."""
    if found:
        return
    is_filtered = filters != Filters(filters.status)
    raise StorageError(
        f"no recording{' that fits' * is_filtered} was scored by both {a.name} and {b.name};"
        f" {'ask for more of them, or ' * is_filtered}activate the one that has scored fewer, and"
        " run `clfd rescore --stale` under it"
    )


def write_difference(stream: TextIO, found: Difference, output_format: str) -> None:
    """As a table, JSON, or CSV: of the recordings listed, else of all pairs of answers."""
    if output_format == "json":
        stream.write(f"{json.dumps(found.as_object(), ensure_ascii=False)}\n")
    elif output_format == "csv":
        kind, rows = (
            (Pair, found.pairs) if found.disputes is None else (Disagreement, found.disputes)
        )
        write_csv(stream, [field.name for field in fields(kind)], map(_record, rows))
    else:
        _write_tables(stream, found)


def _write_tables(stream: TextIO, found: Difference) -> None:
    """For people: the shares, the labels, the commonest disagreements, recordings if asked."""
    stream.write("\n".join(_summary(found)) + "\n\n")
    rows = [
        _cells(row.label, row.a, row.b, row.both, f"{row.both / row.a:.1%}" if row.a else "")
        for row in found.by_label()
    ]
    write_table(stream, ("label", "by A", "by B", "by both", "B agrees"), rows)
    if found.disagreements:
        stream.write("\n")
        rows = [_cells(*astuple(pair)) for pair in found.disagreements[:_ROWS]]
        left = len(found.disagreements) - len(rows)
        foot = f"and {left} rarer pairs (--format csv tells all)" if left else ""
        header = ("A says", "B says", "recordings", "A's confidence", "B's confidence")
        write_table(stream, header, rows, foot)
    if found.disputes:
        stream.write("\n")
        header = ("path", "A says", "A's confidence", "B says", "B's confidence")
        write_table(stream, header, [_cells(*astuple(each)) for each in found.disputes])


def _summary(found: Difference) -> list[str]:
    share, (of_a, of_b) = found.n_agreed / found.n_shared, found.confidences
    return [
        f"A  {found.a.name}",
        f"B  {found.b.name}",
        f"agree in {found.n_agreed} of {found.n_shared} recordings ({share:.1%})",
        f"mean confidence {of_a:.2f} and {of_b:.2f} ({of_b - of_a:+.3f})",
    ]


def _cells(*values: str | int | float) -> tuple[str, ...]:
    return tuple(f"{value:.2f}" if isinstance(value, float) else str(value) for value in values)


def _record(row: Pair | Disagreement) -> dict[str, object]:
    return {
        name: round(value, _DECIMALS) if isinstance(value, float) else value
        for name, value in asdict(row).items()
    }
