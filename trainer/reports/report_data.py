"""Everything that a report tells, as plain data: training and evaluation fill it alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from trainer.evaluation.metrics import Evaluation
from trainer.evaluation.probes import Probe
from trainer.evaluation.top_errors import TopError
from trainer.training.loop import EpochFacts


@dataclass(frozen=True)
class ReportData:
    """What was found out about a checkpoint.

    `title` names it, `judged_on` says which recordings `evaluation` is about: none without one.
    `uncalibrated` judges the same answers at temperature 1. `metrics` is the command's `--json`;
    `selection` in it says of each number what was chosen on the recordings it is measured on.
    """

    title: str
    judged_on: str
    metrics: Mapping[str, Any]
    history: Sequence[EpochFacts] = ()
    evaluation: Evaluation | None = None
    uncalibrated: Evaluation | None = None
    probes: Sequence[Probe] = ()
    mistakes: Sequence[TopError] = ()

    def as_json(self) -> dict[str, Any]:
        """The metrics, and what else can be written as JSON."""
        return {
            **self.metrics,
            "probes": [asdict(each) for each in self.probes],
            "evaluation": self.evaluation and asdict(self.evaluation),
            "uncalibrated": self.uncalibrated and asdict(self.uncalibrated),
            "mistakes": [_without_picture(each) for each in self.mistakes],
        }


def _without_picture(mistake: TopError) -> dict[str, Any]:
    names = [field.name for field in fields(mistake) if field.name != "decibels"]
    return {name: getattr(mistake, name) for name in names}
