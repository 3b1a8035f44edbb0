"""Curves of one label: what a lower threshold gains, and what it costs.

Axes: R recordings, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve, roc_curve

from trainer.evaluation.assessment import Assessment

MAX_POINTS = 200  # of a curve; more cannot be seen
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class LabelCurves:
    """Points (recall, precision), and (share of false alarms, recall), of one label."""

    label: str
    precision_recall: Points
    roc: Points


def label_curves(assessment: Assessment, labels: Sequence[str]) -> tuple[LabelCurves, ...]:
    """Of the labels that some of the recordings bear and others do not."""
    scores, truth = assessment.scores, assessment.predictions.truth
    bears = truth if truth.ndim == 2 else truth[:, None] == np.arange(len(labels))
    curves = []
    for at, label in enumerate(labels):
        is_label = bears[:, at]
        if is_label.any() and not is_label.all() and np.isfinite(scores[:, at]).all():
            precision, recall, _ = precision_recall_curve(is_label, scores[:, at])
            false_alarms, found, _ = roc_curve(is_label, scores[:, at])
            points = _points(recall, precision), _points(false_alarms, found)
            curves.append(LabelCurves(label, *points))
    return tuple(curves)


def _points(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Points:
    chosen = np.unique(np.linspace(0, len(x) - 1, MAX_POINTS).round().astype(int))
    return tuple(zip(x[chosen].tolist(), y[chosen].tolist(), strict=True))
