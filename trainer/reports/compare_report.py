"""`clfd compare`: where two checkpoints disagree, by label."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import TextIO

from storage.errors import StorageError
from storage.export.text_formats import write_csv, write_table
from storage.queries.disagreements import Answering, Dispute, Pair
from storage.queries.filters import Filters

_ROWS = 20  # of disagreements in a table for people
_DECIMALS = 6


@dataclass(frozen=True)
class Difference:
    """The answers of two checkpoints to the recordings that both have scored; at least one.

    `disputes` are the recordings listed; None where nobody asked for them.
    """

    a: Answering
    b: Answering
    pairs: tuple[Pair, ...]
    disputes: tuple[Dispute, ...] | None

    @property
    def n_shared(self) -> int:
        return sum(pair.count for pair in self.pairs)

    @property
    def n_agreed(self) -> int:
        return sum(pair.count for pair in self.pairs if pair.is_agreement)

    @property
    def a_confidence(self) -> float:
        return sum(pair.count * pair.a_confidence for pair in self.pairs) / self.n_shared

    @property
    def b_confidence(self) -> float:
        return sum(pair.count * pair.b_confidence for pair in self.pairs) / self.n_shared

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
        return {
            "a": self.a.name,
            "b": self.b.name,
            "recordings": self.n_shared,
            "agreed": self.n_agreed,
            "labels": [label.as_object() for label in self.by_label()],
            "disagreements": [_record(pair) for pair in self.disagreements],
            "listed": [_record(dispute) for dispute in self.disputes or ()],
            "a_confidence": round(self.a_confidence, _DECIMALS),
            "b_confidence": round(self.b_confidence, _DECIMALS),
            "confidence_difference": round(self.b_confidence - self.a_confidence, _DECIMALS),
        }


@dataclass(frozen=True)
class LabelCount:
    """How many recordings A and B gave a label to, and to how many both did."""

    label: str
    a: int
    b: int
    both: int

    @property
    def agreement(self) -> float | None:
        """The share of A's in which B agrees; None where A never gave it."""
        return self.both / self.a if self.a else None

    def as_object(self) -> dict[str, object]:
        share = self.agreement
        return asdict(self) | {"agreement": None if share is None else round(share, _DECIMALS)}


def require_two(a: Answering, b: Answering) -> None:
    """Raises StorageError where both are the same."""
    if a == b:
        raise StorageError(f"both are {a.name}; name two checkpoints")


def require_shared(a: Answering, b: Answering, found: Sequence[Pair], filters: Filters) -> None:
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
        _write_csv(stream, found)
    else:
        _write_tables(stream, found)


def _write_csv(stream: TextIO, found: Difference) -> None:
    is_listing = found.disputes is not None
    columns = [field.name for field in fields(Dispute if is_listing else Pair)]
    rows: Sequence[Pair | Dispute] = found.pairs if found.disputes is None else found.disputes
    write_csv(stream, columns, map(_record, rows))


def _write_tables(stream: TextIO, found: Difference) -> None:
    """For people: the shares, the labels, the commonest disagreements, recordings if asked."""
    stream.write("\n".join(_summary(found)) + "\n\n")
    rows = [_cells(row.label, row.a, row.b, row.both, _share(row)) for row in found.by_label()]
    write_table(stream, ("label", "by A", "by B", "by both", "B agrees"), rows)
    if found.disagreements:
        stream.write("\n")
        _write_pairs(stream, found.disagreements)
    if found.disputes:
        stream.write("\n")
        header = ("path", "A says", "A's confidence", "B says", "B's confidence")
        write_table(stream, header, [_cells(*astuple(each)) for each in found.disputes])


def _summary(found: Difference) -> list[str]:
    share, more = found.n_agreed / found.n_shared, found.b_confidence - found.a_confidence
    return [
        f"A  {found.a.name}",
        f"B  {found.b.name}",
        f"agree in {found.n_agreed} of {found.n_shared} recordings ({share:.1%})",
        f"mean confidence {found.a_confidence:.2f} and {found.b_confidence:.2f} ({more:+.3f})",
    ]


def _write_pairs(stream: TextIO, disagreements: Sequence[Pair]) -> None:
    rows = [_cells(*astuple(pair)) for pair in disagreements[:_ROWS]]
    left = len(disagreements) - len(rows)
    foot = f"and {left} rarer pairs (--format csv tells all)" if left else ""
    header = ("A says", "B says", "recordings", "A's confidence", "B's confidence")
    write_table(stream, header, rows, foot)


def _share(row: LabelCount) -> str:
    return "" if row.agreement is None else f"{row.agreement:.1%}"


def _cells(*values: str | int | float) -> tuple[str, ...]:
    return tuple(f"{value:.2f}" if isinstance(value, float) else str(value) for value in values)


def _record(row: Pair | Dispute) -> dict[str, object]:
    return {
        name: round(value, _DECIMALS) if isinstance(value, float) else value
        for name, value in asdict(row).items()
    }
