"""The report of a training or an evaluation as one HTML page, without network and script."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from storage.review.wilson import wilson_interval
from storage.values.distribution import installed_version
from trainer.evaluation.label_curves import LabelCurves
from trainer.evaluation.metrics import Evaluation
from trainer.evaluation.probes import Probe
from trainer.evaluation.top_errors import TopError
from trainer.training.loop import EpochFacts

TEMPLATE = "report.html"
MAX_CONFUSIONS = 10
TABLED_LABELS = 25  # of more the matrix is a picture
LISTED_LABELS = 500  # of more the matrix is too large for a JSON file
SURE_OF_NOTHING = 0.8
PLAIN = (str, int, float, type(None))  # metrics that one cell of a table can show


@dataclass(frozen=True)
class ReportData:
    """What a report shows about a checkpoint.

    `title` names it, `assessed_on` says which recordings `evaluation` is about: none without one.
    `uncalibrated` is of the same answers at temperature 1. `metrics` is the command's `--json`;
    `selection` in it says of each number what was chosen on the recordings it is measured on.
    """

    title: str
    assessed_on: str
    metrics: Mapping[str, Any]
    unit: str = "recordings"  # or selections, of which a recording may have many
    history: Sequence[EpochFacts] = ()
    evaluation: Evaluation | None = None
    uncalibrated: Evaluation | None = None
    curves: Sequence[LabelCurves] = ()
    probes: Sequence[Probe] = ()
    top_errors: Sequence[TopError] = ()

    def as_json(self) -> dict[str, Any]:
        """The metrics, and what else can be written as JSON."""
        return {
            **self.metrics,
            "probes": [asdict(each) for each in self.probes],
            "evaluation": self.evaluation and evaluation_as_json(self.evaluation),
            "uncalibrated": self.uncalibrated and evaluation_as_json(self.uncalibrated),
            "mistakes": [
                {name: value for name, value in vars(each).items() if name != "decibels"}
                for each in self.top_errors
            ],
        }


def evaluation_as_json(evaluation: Evaluation) -> dict[str, Any]:
    """With the confusion matrix as rows, where it is small; `confusion_counts` is there always.

    A multi task confuses nothing.
    """
    is_small = len(evaluation.labels) <= LISTED_LABELS and evaluation.task == "single"
    return {
        **asdict(evaluation),
        "confusion": evaluation.confusion_matrix().tolist() if is_small else None,
        "confusion_counts": evaluation.confusion,
    }


def render_page(report_data: ReportData, pictures: Mapping[str, bytes]) -> str:
    """The page. `pictures` are PNGs by name, those for dark pages with `-dark` behind it.

    Labels and file names are untrusted text: the template escapes all values.
    """
    evaluation = report_data.evaluation
    template = templates().get_template(TEMPLATE)
    return template.render(
        report_data=report_data,
        metrics=report_data.metrics,
        evaluation=evaluation,
        pictures={name: base64.b64encode(data).decode() for name, data in pictures.items()},
        weakest_first=evaluation and sorted(evaluation.per_label, key=lambda label: label.f1),
        confusions=evaluation and commonest_confusions(evaluation),
        matrix=evaluation
        and evaluation.task == "single"
        and len(evaluation.labels) <= TABLED_LABELS
        and matrix_rows(evaluation),
        interval=evaluation and accuracy_interval(evaluation),
        plain=[pair for pair in report_data.metrics.items() if isinstance(pair[1], PLAIN)],
        sure_of_nothing=SURE_OF_NOTHING,
        version=installed_version(),
    )


def accuracy_interval(evaluation: Evaluation) -> tuple[float, float]:
    """Where the accuracy on more recordings like these lies, in 95 cases of 100 (Wilson, 1927)."""
    right = round(evaluation.accuracy * evaluation.n_recordings)
    low, high = wilson_interval(right, evaluation.n_recordings)
    return max(low, 0.0), min(high, 1.0)


def commonest_confusions(evaluation: Evaluation) -> list[tuple[str, str, int, int]]:
    """Truth, answer, how often, and of how many; the commonest first."""
    apart = [cell for cell in evaluation.confusion if cell[0] != cell[1]]
    return [
        (
            evaluation.labels[truth],
            evaluation.labels[answer],
            number,
            evaluation.per_label[truth].support,
        )
        for truth, answer, number in sorted(apart, key=lambda cell: -cell[2])[:MAX_CONFUSIONS]
    ]


def matrix_rows(evaluation: Evaluation) -> list[tuple[str, list[tuple[int, float, bool]]]]:
    """Label, and for each answer: how often, its share of the row, and whether it is right."""
    rows = zip(evaluation.labels, evaluation.confusion_matrix().tolist(), strict=True)
    return [
        (label, [(n, n / max(1, sum(row)), at == column) for column, n in enumerate(row)])
        for at, (label, row) in enumerate(rows)
    ]


def templates() -> Environment:
    """The templates beside this module; they escape all values."""
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
