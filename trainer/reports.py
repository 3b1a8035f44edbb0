"""The report of a training run: numbers for machines, pictures for people."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from storage.home import FILE_MODE, FOLDER_MODE
from trainer.evaluation import Evaluation
from trainer.training import EpochFacts

LABEL_LETTERS = 24  # longer names would squeeze the picture
COUNTED_LABELS = 40  # with more of them the counts in the cells cannot be read


def write_report(
    folder: Path,
    metrics: Mapping[str, Any],
    history: Sequence[EpochFacts],
    evaluation: Evaluation | None,
    title: str,
) -> None:
    """Writes metrics.json, history.csv, curves.png and, where something was judged, confusion.png.

    `title` says what the evaluation was made on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    judged = None if evaluation is None else asdict(evaluation)
    text = json.dumps({**metrics, "evaluation": judged}, indent=2, ensure_ascii=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    write_history(folder / "history.csv", history)
    save_figure(draw_curves(history), folder / "curves.png")
    if evaluation is not None:
        save_figure(draw_confusion(evaluation, title), folder / "confusion.png")
    for file in folder.iterdir():
        file.chmod(FILE_MODE)


def write_history(path: Path, history: Sequence[EpochFacts]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(EpochFacts)])
        writer.writeheader()
        writer.writerows(asdict(facts) for facts in history)


def draw_curves(history: Sequence[EpochFacts]) -> Figure:
    """Loss and, where something validates, accuracy over epochs."""
    epochs = [facts.epoch for facts in history]
    validated = history[0].val_loss is not None
    figure = Figure(figsize=(9 if validated else 5, 3.5), layout="constrained")
    axes = figure.subplots(1, 2 if validated else 1, squeeze=False)[0]
    _curve(axes[0], epochs, [facts.train_loss for facts in history], "training")
    axes[0].set(title="Loss", xlabel="epoch", ylabel="cross entropy (nats)")
    if validated:
        _curve(axes[0], epochs, [facts.val_loss for facts in history], "validation")
        _curve(axes[1], epochs, [facts.val_accuracy for facts in history], "validation", "C1")
        axes[1].set(title="Accuracy", xlabel="epoch", ylabel="recordings right", ylim=(0, 1.02))
    for each in axes:
        each.xaxis.set_major_locator(MaxNLocator(integer=True))
        each.grid(alpha=0.3)
        each.legend(frameon=False)
    return figure


def draw_confusion(evaluation: Evaluation, title: str) -> Figure:
    """Counts in the cells, colour by share of the row: the diagonal is recall."""
    counts = np.array(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    n_labels = len(counts)
    side = min(16.0, 3.4 + 0.36 * n_labels)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true label's recordings")
    names = [_shortened(label) for label in evaluation.labels]
    axes.set_xticks(range(n_labels), names, rotation=90)
    axes.set_yticks(range(n_labels), names)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_parse_math(False)  # a label may hold a dollar sign
    axes.set(xlabel="answer", ylabel="truth")
    axes.set_title(f"{title}\n{evaluation.accuracy:.1%} of {evaluation.n_recordings} right")
    if n_labels <= COUNTED_LABELS:
        _write_counts(axes, counts, shares)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        # A label in a script the font lacks shows as boxes; that is no news for a log.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]


def _curve(
    axes: Axes,
    epochs: Sequence[int],
    values: Sequence[float | None],
    name: str,
    colour: str | None = None,
) -> None:
    numbers = np.array(values, dtype=float)
    axes.plot(epochs, numbers, marker="o", markersize=3, label=name, color=colour)


def _write_counts(axes: Axes, counts: np.ndarray[Any, Any], shares: np.ndarray[Any, Any]) -> None:
    for row, column in np.argwhere(counts > 0):
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if shares[row, column] > 0.5 else "black",
        )


def _shortened(label: str) -> str:
    """Both ends stay, since long names often differ in one of them only."""
    half = LABEL_LETTERS // 2
    return label if len(label) <= LABEL_LETTERS else f"{label[:half]}…{label[1 - half :]}"
