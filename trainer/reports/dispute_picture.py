"""The picture of `clfd compare`: answers of A by answers of B."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from storage.errors import UnknownShape
from storage.home.atomic_write import write_whole
from trainer.reports.compare_report import Difference
from trainer.reports.figures import COUNTED_LABELS, LIGHT, draw_matrix, picture

SHAPES = ("png", "svg")


def shape_of(file: Path) -> str:
    """By its suffix. Raises UnknownShape for another one than those of SHAPES."""
    shape = file.suffix.lower().removeprefix(".")
    if shape not in SHAPES:
        raise UnknownShape(f"{file}: a picture is a .png or an .svg; name it so")
    return shape


def write_picture(file: Path, found: Difference) -> None:
    """Raises StorageError where it cannot be written."""
    write_whole(file, picture(lambda: draw_difference(found), LIGHT, shape_of(file)))


def draw_difference(found: Difference) -> Figure:
    """Counts in the cells, colour by share of A's label; agreement, the diagonal, stands back."""
    labels, counts = disputed_matrix(found)
    share = found.n_agreed / found.n_shared
    heading = f"{share:.1%} of {found.n_shared} recordings have the same answer"
    axes = (f"answer of B, {found.b.name}", f"answer of A, {found.a.name}")
    meaning = "share of the answers of A"
    return draw_matrix(counts, labels, axes, meaning, heading, is_diagonal_plain=True)


def disputed_matrix(found: Difference) -> tuple[list[str], npt.NDArray[np.int_]]:
    """Labels in order, and how many recordings A gave the row's and B the column's (L, L).

    Of many labels the most disputed stand for themselves, the others together in the last place.
    """
    labels = {label for pair in found.pairs for label in (pair.a, pair.b)}
    shown = sorted(labels)
    if len(labels) > COUNTED_LABELS:
        disputed = Counter[str]()
        for pair in found.disagreements:
            disputed += Counter({pair.a: pair.count, pair.b: pair.count})
        ranked = sorted(labels, key=lambda label: (-disputed[label], label))
        kept = sorted(ranked[: COUNTED_LABELS - 1])
        shown = [*kept, f"{len(labels) - len(kept)} others"]
    place = {label: at for at, label in enumerate(shown)}
    counts = np.zeros((len(shown), len(shown)), dtype=int)
    for pair in found.pairs:
        counts[place.get(pair.a, -1), place.get(pair.b, -1)] += pair.count
    return shown, counts
