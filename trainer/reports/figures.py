"""The figures of reports, for light and for dark pages."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from classifier.errors import TemporaryFolderError

try:
    from matplotlib import colormaps, rc_context, rcParams
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.image import imsave
    from matplotlib.ticker import MaxNLocator
except OSError as error:
    raise TemporaryFolderError("matplotlib has no folder for what it keeps") from error

from storage.errors import UnknownFormat
from storage.home.atomic_write import write_output
from trainer.reports.compare_report import Difference

if TYPE_CHECKING:  # these load torch, which no picture needs
    from trainer.evaluation.label_curves import LabelCurves
    from trainer.evaluation.metrics import Evaluation
    from trainer.training.loop import EpochFacts

LABEL_LETTERS = 24  # longer names would squeeze the picture
NAMED_LABELS = 200  # of more the names would lie on each other
MAX_CELLS = 1000  # of a side; of more, neighbours are counted together
COUNTED_LABELS = 40  # with more of them the counts in the cells cannot be read
SHOWN_DECIBELS = 80.0  # below the loudest cell of a spectrogram; less is black

# The background is that of the cards in report.html, into which the pictures are set.
_COLOURS = ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color")
_SHARED = {"font.size": 11.0, "axes.spines.top": False, "axes.spines.right": False}
LIGHT = _SHARED | {"figure.facecolor": "#ffffff", "axes.facecolor": "#ffffff"}
LIGHT |= dict.fromkeys(_COLOURS, "#1d2430") | {"grid.color": "#dfe3e9"}
DARK = _SHARED | {"figure.facecolor": "#1b212b", "axes.facecolor": "#1b212b"}
DARK |= dict.fromkeys(_COLOURS, "#e4e8ee") | {"grid.color": "#303947"}

BEFORE, AFTER, PLAIN = "#d9792b", "#3b82c4", "#8a94a3"  # readable on both


def picture(
    draw: Callable[[], Figure], theme: dict[str, Any], picture_format: str = "png"
) -> bytes:
    """The picture as `png` or `svg`, in the colours of LIGHT or DARK."""
    buffer = io.BytesIO()
    with rc_context(theme), warnings.catch_warnings():  # type: ignore[arg-type]
        # A label in a script the font lacks shows as boxes; that is no news for a log.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        draw().savefig(buffer, format=picture_format)
    return buffer.getvalue()


def draw_curves(history: Sequence[EpochFacts]) -> Figure:
    """Loss and, where something validates, accuracy over epochs."""
    epochs = [facts.epoch for facts in history]
    validated = history[0].val_loss is not None
    figure = Figure(figsize=(9 if validated else 5, 3.5), layout="constrained")
    axes = figure.subplots(1, 2 if validated else 1, squeeze=False)[0]
    _curve(axes[0], epochs, [facts.train_loss for facts in history], "training", PLAIN)
    axes[0].set(title="Loss", xlabel="epoch", ylabel="cross entropy (nats)")
    if validated:
        _curve(axes[0], epochs, [facts.val_loss for facts in history], "validation", AFTER)
        _curve(axes[1], epochs, [facts.val_accuracy for facts in history], "validation", AFTER)
        axes[1].set(title="Accuracy", xlabel="epoch", ylabel="recordings right", ylim=(0, 1.02))
    for each in axes:
        each.xaxis.set_major_locator(MaxNLocator(integer=True))
        each.grid()
        each.legend(frameon=False)
    return figure


def draw_label_curves(curves: Sequence[LabelCurves]) -> Figure:
    """Precision over recall, recall over false alarms; a colour for each of the first labels."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for number, curve in reversed(list(enumerate(curves))):
        is_named = number < len(colours)
        colour = colours[number] if is_named else PLAIN
        name = _shortened(curve.label).replace("$", r"\$") if is_named else None
        for axes, points in ((left, curve.precision_recall), (right, curve.roc)):
            line_width = 1.6 if is_named else 0.6
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=line_width, label=name)
    right.plot([0, 1], [0, 1], color=PLAIN, linestyle=":")
    left.set(title="Precision and recall", xlabel="recall", ylabel="precision")
    right.set(title="ROC", xlabel="share of false alarms", ylabel="recall")
    for axes in (left, right):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.grid()
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles[::-1], names[::-1], frameon=False, ncols=5, loc="outside lower center")
    return figure


def draw_confusion(evaluation: Evaluation, title: str) -> Figure:
    """Counts in the cells, colour by share of the row: the diagonal is recall."""
    heading = f"{title}\n{evaluation.accuracy:.1%} of {evaluation.n_recordings} right"
    shares = "share of the true label's recordings"
    counts = evaluation.confusion_matrix()
    return draw_matrix(counts, evaluation.labels, ("answer", "truth"), shares, heading)


def draw_matrix(
    counts: npt.NDArray[np.int_],
    labels: Sequence[str],
    axis_names: tuple[str, str],
    meaning: str,
    heading: str,
    is_diagonal_plain: bool = False,
) -> Figure:
    """Counts (L, L) of rows and columns, colour by share of the row, which `meaning` names.

    With a plain diagonal the colours are those of the other cells alone.
    """
    n_labels = len(counts)
    if n_labels > MAX_CELLS:
        edges = np.arange(0, n_labels, -(-n_labels // MAX_CELLS))
        counts = np.add.reduceat(np.add.reduceat(counts, edges, axis=0), edges, axis=1)
    shares = np.ma.array(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    if is_diagonal_plain:
        shares[np.diag_indices_from(counts)] = np.ma.masked
    max_share = (shares.filled(0.0).max() or 1.0) if is_diagonal_plain else 1.0
    side = min(16.0, 3.4 + 0.36 * n_labels)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    from_card_to_blue = [rcParams["axes.facecolor"], AFTER]
    scale = LinearSegmentedColormap.from_list("shares", from_card_to_blue)
    colours = scale.with_extremes(bad=rcParams["grid.color"])
    whole = (-0.5, n_labels - 0.5, n_labels - 0.5, -0.5)
    image = axes.imshow(shares, cmap=colours, vmin=0, vmax=max_share, extent=whole)
    figure.colorbar(image, ax=axes, shrink=0.7, label=meaning)
    if n_labels <= NAMED_LABELS:
        names = [_shortened(label) for label in labels]
        axes.set_xticks(range(n_labels), names, rotation=90)
        axes.set_yticks(range(n_labels), names)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_parse_math(False)  # a name may hold a dollar sign
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
    axes.set_title(heading, parse_math=False)
    if n_labels <= COUNTED_LABELS:
        for row, column in np.argwhere(counts > 0):
            number = _brief(counts[row, column])
            alpha = 0.6 if is_diagonal_plain and row == column else 1.0
            axes.text(column, row, number, ha="center", va="center", fontsize=8, alpha=alpha)
    return figure


def draw_reliability(before: Evaluation, after: Evaluation) -> Figure:
    """Share right over confidence, in bins of equally many recordings; the diagonal is honest."""
    figure = Figure(figsize=(5.4, 5.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=PLAIN, linestyle=":", label="as sure as it is right")
    curves = ("before", before, BEFORE, "s"), ("after", after, AFTER, "o")
    for when, evaluation, colour, marker in curves:
        confidence = [each.confidence for each in evaluation.reliability]
        right = [each.accuracy for each in evaluation.reliability]
        axes.plot(confidence, right, color=colour, alpha=0.3)
        label = f"{when} temperature, ECE {evaluation.ece:.3f}"
        axes.plot(confidence, right, marker, color=colour, markersize=6, label=label)
    axes.set(xlabel="confidence", ylabel="share right", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_aspect("equal")
    axes.grid()
    figure.legend(frameon=False, loc="outside lower center")
    return figure


def spectrogram_png(decibels: npt.NDArray[np.float32]) -> bytes:
    """Decibels (M, F) as a bare picture, a dot for each cell, low bands at the bottom."""
    buffer = io.BytesIO()
    loudest = float(decibels.max())
    darkest = max(loudest - SHOWN_DECIBELS, float(decibels.min()))
    imsave(
        buffer,
        decibels,
        vmin=darkest,
        vmax=max(loudest, darkest + 1),
        cmap=colormaps["magma"],
        origin="lower",
        format="png",
    )
    return buffer.getvalue()


def _curve(
    axes: Axes, epochs: Sequence[int], values: Sequence[float | None], name: str, colour: str
) -> None:
    numbers = np.array(values, dtype=float)
    axes.plot(epochs, numbers, marker="o", markersize=3, label=name, color=colour)


def _brief(number: int) -> str:
    """Five characters at most, as wide as a cell of a matrix."""
    if number < 10_000:
        return str(number)
    return f"{number / 1e3:.0f}k" if number < 1_000_000 else f"{number / 1e6:.1f}M"


def _shortened(label: str) -> str:
    """Both ends stay, since long names often differ in one of them only."""
    half = LABEL_LETTERS // 2
    return label if len(label) <= LABEL_LETTERS else f"{label[:half]}…{label[1 - half :]}"


PICTURE_FORMATS = ("png", "svg")


def picture_format_of(file: Path) -> str:
    """By the suffix. Raises UnknownFormat for another one than those of PICTURE_FORMATS."""
    picture_format = file.suffix.lower().removeprefix(".")
    if picture_format not in PICTURE_FORMATS:
        raise UnknownFormat(f"{file}: a picture is a .png or an .svg; name it so")
    return picture_format


def write_picture(file: Path, found: Difference) -> None:
    """Raises StorageError where it cannot be written."""
    write_output(file, picture(lambda: draw_difference(found), LIGHT, picture_format_of(file)))


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
