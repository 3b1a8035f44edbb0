"""`clfd compare`: where two checkpoints disagree, told by class, and as a picture."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from storage.disagreements import Answering, Dispute, Pair
from storage.errors import StorageError
from storage.rendering import write_table
from storage.whole_file import write_whole
from trainer.figures import LIGHT, draw_matrix

_ROWS = 20  # of disagreements in a table for people


@dataclass(frozen=True)
class Difference:
    """What two checkpoints say of the recordings that both have scored."""

    a: Answering
    b: Answering
    pairs: tuple[Pair, ...]
    disputes: tuple[Dispute, ...]

    @property
    def n_shared(self) -> int:
        return sum(pair.count for pair in self.pairs)

    @property
    def n_agreed(self) -> int:
        return sum(pair.count for pair in self.pairs if pair.a == pair.b)

    def by_label(self) -> list[dict[str, object]]:
        """Each label: how many A and B gave it to, and both."""
        of_a, of_b, of_both = Counter[str](), Counter[str](), Counter[str]()
        for pair in self.pairs:
            of_a[pair.a] += pair.count
            of_b[pair.b] += pair.count
            of_both[pair.a] += pair.count if pair.a == pair.b else 0
        labels = sorted(of_a | of_b, key=lambda label: (-(of_a[label] + of_b[label]), label))
        return [
            {"label": label, "a": of_a[label], "b": of_b[label], "both": of_both[label]}
            for label in labels
        ]

    def as_object(self) -> dict[str, object]:
        return {
            "a": self.a.name,
            "b": self.b.name,
            "recordings": self.n_shared,
            "agreed": self.n_agreed,
            "labels": self.by_label(),
            "disagreements": [asdict(pair) for pair in self.pairs if pair.a != pair.b],
            "listed": [asdict(dispute) for dispute in self.disputes],
        }


def write_difference(stream: TextIO, found: Difference) -> None:
    """For people: the share, the labels, the commonest disagreements, and recordings if asked."""
    share = found.n_agreed / found.n_shared
    stream.write(f"A  {found.a.name}\nB  {found.b.name}\n")
    stream.write(f"agree in {found.n_agreed} of {found.n_shared} recordings ({share:.1%})\n\n")
    rows = [[str(value) for value in row.values()] for row in found.by_label()]
    write_table(stream, ("label", "by A", "by B", "by both"), rows)
    disagreements = [pair for pair in found.pairs if pair.a != pair.b]
    if disagreements:
        stream.write("\n")
        cells = [
            (
                pair.a,
                pair.b,
                str(pair.count),
                f"{pair.a_confidence:.2f}",
                f"{pair.b_confidence:.2f}",
            )
            for pair in disagreements[:_ROWS]
        ]
        left = len(disagreements) - len(cells)
        foot = f"and {left} rarer pairs (--json tells all)" if left else ""
        header = ("A says", "B says", "recordings", "A's confidence", "B's confidence")
        write_table(stream, header, cells, foot)
    if found.disputes:
        stream.write("\n")
        cells = [
            (each.path, each.a, each.b, f"{each.a_confidence:.2f}", f"{each.b_confidence:.2f}")
            for each in found.disputes
        ]
        header = ("path", "A says", "B says", "A's confidence", "B's confidence")
        write_table(stream, header, cells)


def draw_difference(found: Difference) -> Figure:
    """Counts in the cells, colour by share of A's label; what lies off the diagonal is dispute."""
    labels = sorted({label for pair in found.pairs for label in (pair.a, pair.b)})
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    for pair in found.pairs:
        counts[labels.index(pair.a), labels.index(pair.b)] = pair.count
    share = found.n_agreed / found.n_shared
    heading = f"{share:.1%} of {found.n_shared} recordings have the same answer"
    axes = (f"answer of {found.b.name}", f"answer of {found.a.name}")
    return draw_matrix(counts, labels, axes, "share of the answers of A", heading)


def write_picture(file: Path, found: Difference) -> None:
    """A PNG or, by its suffix, an SVG. Raises StorageError where it cannot be written."""
    shape = file.suffix.lower().removeprefix(".")
    if shape not in ("png", "svg"):
        raise StorageError(f"{file}: a picture is a .png or an .svg; name it so")
    buffer = io.BytesIO()
    with rc_context(LIGHT):  # type: ignore[arg-type]
        draw_difference(found).savefig(buffer, format=shape)
    write_whole(file, buffer.getvalue())


def require_shared(a: Answering, b: Answering, found: Sequence[Pair]) -> None:
    """Raises StorageError where there is nothing to compare."""
    if a.id == b.id:
        raise StorageError(f"both are {a.name}; name two checkpoints")
    if not found:
        raise StorageError(
            f"no recording was scored by both {a.name} and {b.name}; activate the one that is"
            " missing and `clfd rescore --stale`"
        )
