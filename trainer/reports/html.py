"""The report as one page that opens anywhere: no network, no script, pictures and all inside."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from scipy.stats import binomtest

from storage.values.distribution import installed_version
from trainer.evaluation.metrics import Evaluation
from trainer.reports.report_data import ReportData

TEMPLATE = "report.html"
MOST_CONFUSIONS = 10
TABLED_LABELS = 25  # of more the matrix is a picture
SURE_OF_NOTHING = 0.8


def render_page(findings: ReportData, pictures: Mapping[str, bytes]) -> str:
    """The page. `pictures` are PNGs by name, those for dark pages with `-dark` behind it.

    Labels and file names are strangers' words: the template escapes whatever it is given.
    """
    judged = findings.evaluation
    template = templates().get_template(TEMPLATE)
    return template.render(
        findings=findings,
        metrics=findings.metrics,
        judged=judged,
        pictures={name: base64.b64encode(data).decode() for name, data in pictures.items()},
        weakest_first=judged and sorted(judged.per_label, key=lambda label: label.f1),
        confusions=judged and commonest_confusions(judged),
        matrix=judged and len(judged.labels) <= TABLED_LABELS and matrix_rows(judged),
        interval=judged and accuracy_interval(judged),
        plain=[pair for pair in findings.metrics.items() if _is_plain(pair[1])],
        sure_of_nothing=SURE_OF_NOTHING,
        version=installed_version(),
    )


def accuracy_interval(judged: Evaluation) -> tuple[float, float]:
    """Where the accuracy on more recordings like these lies, in 95 cases of 100 (Wilson, 1927)."""
    right = round(judged.accuracy * judged.n_recordings)
    low, high = binomtest(right, judged.n_recordings).proportion_ci(0.95, "wilson")
    return float(low), float(high)


def commonest_confusions(judged: Evaluation) -> list[tuple[str, str, int, int]]:
    """Truth, answer, how often, and of how many; the commonest first."""
    counts = np.array(judged.confusion)
    np.fill_diagonal(counts, 0)
    pairs = sorted(np.argwhere(counts > 0).tolist(), key=lambda at: -counts[tuple(at)])
    return [
        (
            judged.labels[truth],
            judged.labels[answer],
            int(counts[truth, answer]),
            judged.per_label[truth].support,
        )
        for truth, answer in pairs[:MOST_CONFUSIONS]
    ]


def matrix_rows(judged: Evaluation) -> list[tuple[str, list[tuple[int, float, bool]]]]:
    """Label, and for each answer: how often, its share of the row, and whether it is right."""
    return [
        (label, [(n, n / max(1, sum(row)), at == column) for column, n in enumerate(row)])
        for at, (label, row) in enumerate(zip(judged.labels, judged.confusion, strict=True))
    ]


def templates() -> Environment:
    """Those beside this module; whatever they are given they escape."""
    templates = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["percent"] = lambda share: f"{share:.1%}".replace("%", " %")
    templates.filters["number"] = _number
    return templates


def _number(value: Any) -> str:
    """As a person writes it; a dash for what was not measured."""
    if value is None:
        return "–"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4g}"
    return str(value)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)
