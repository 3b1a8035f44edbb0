"""The report a person finds after training."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from trainer.evaluation import Evaluation, evaluate
from trainer.reports import draw_confusion, draw_curves, write_report
from trainer.training import EpochFacts

HISTORY = [EpochFacts(n, 1 / n, 1.2 / n, 1 - 0.5 / n, 2.5) for n in range(1, 21)]


def evaluation(n_labels: int, name: str = "label") -> Evaluation:
    random = np.random.RandomState(0)
    truth = np.repeat(np.arange(n_labels), 20)
    scores = np.eye(n_labels)[truth] + random.rand(len(truth), n_labels)
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    return evaluate(scores, truth, tuple(f"{name}_{n}" for n in range(n_labels)))


def test_a_report_holds_numbers_and_pictures(tmp_path: Path) -> None:
    write_report(tmp_path / "r", {"val_accuracy": 0.5}, HISTORY, evaluation(3), "Validation")
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert metrics["val_accuracy"] == 0.5
    assert metrics["evaluation"]["per_label"][0]["support"] == 20
    names = sorted(path.name for path in (tmp_path / "r").iterdir())
    assert names == ["confusion.png", "curves.png", "history.csv", "metrics.json"]


def test_the_history_has_a_line_for_each_epoch(tmp_path: Path) -> None:
    write_report(tmp_path, {}, HISTORY, None, "")
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (len(rows), rows[1]["epoch"], rows[1]["val_loss"]) == (20, "2", "0.6")


def test_without_a_judgement_there_is_no_confusion(tmp_path: Path) -> None:
    unjudged = [replace(facts, val_loss=None, val_accuracy=None) for facts in HISTORY]
    write_report(tmp_path, {}, unjudged, None, "")
    assert not (tmp_path / "confusion.png").exists()
    assert len(draw_curves(unjudged).axes) == 1


@pytest.mark.parametrize("n_labels", [2, 30, 60])
def test_confusion_grows_with_the_labels_but_stays_a_picture(tmp_path: Path, n_labels: int) -> None:
    write_report(tmp_path, {}, HISTORY, evaluation(n_labels), "Validation recordings")
    height, width, _ = imread(tmp_path / "confusion.png").shape
    assert 300 < height < 2000
    assert 300 < width < 2000


def test_labels_may_hold_any_letter(tmp_path: Path) -> None:
    write_report(tmp_path, {}, HISTORY, evaluation(2, "犬$x_{"), "Validation")
    names = [text.get_text() for text in draw_confusion(evaluation(2, "$_"), "").axes[0].texts]
    assert names
    assert "犬$x_{_0" in (tmp_path / "metrics.json").read_text(encoding="utf-8")
