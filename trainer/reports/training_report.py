"""The folder of a report: JSON and CSV files, figures and an HTML page."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from storage.home.atomic_write import aside_path, remove_leftovers
from storage.home.paths import FILE_MODE, give_to_group
from trainer.errors import TrainerError
from trainer.evaluation.metrics import LabelQuality
from trainer.reports.figures import (
    DARK,
    LIGHT,
    draw_confusion,
    draw_curves,
    draw_label_curves,
    draw_reliability,
    picture,
    spectrogram_png,
)
from trainer.reports.html import ReportData, render_page
from trainer.training.loop import EpochFacts


def write_report(folder: Path, report_data: ReportData) -> None:
    """Writes to a temporary folder and renames it: there is a whole report, or none.

    Raises TrainerError where something lies in the folder already, or it cannot be written.
    """
    check_folder(folder)
    aside = aside_path(folder)
    try:
        remove_leftovers(folder.parent, folder.name)
        shutil.rmtree(aside, ignore_errors=True)  # of an earlier process with this number
        aside.mkdir(parents=True)
        _fill(aside, report_data)
        for file in aside.iterdir():
            file.chmod(FILE_MODE)
        give_to_group(aside)
        aside.rename(folder)
    except OSError as error:
        raise TrainerError(
            f"cannot write the report {folder}: {error.strerror}; "
            "check the folder and the space on its disk"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_folder(folder: Path) -> Path:
    """The existing folder in which the report will lie.

    Raises TrainerError where no report can be written, or would have to replace something.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise TrainerError(f"{folder} is there already; name a folder that is new, or empty")
    parent_folder = next(parent for parent in folder.absolute().parents if parent.exists())
    if not os.access(parent_folder, os.W_OK | os.X_OK):
        raise TrainerError(
            f"no permission to write to {parent_folder}; name another folder with -o"
        )
    return parent_folder


def _fill(folder: Path, report_data: ReportData) -> None:
    text = json_text(report_data.as_json())
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    if report_data.history:
        _write_csv(folder / "history.csv", report_data.history)
    if report_data.evaluation is not None:
        _write_csv(folder / "per_label.csv", report_data.evaluation.per_label)
    pictures = draw_pictures(report_data)
    for name, data in pictures.items():
        if not name.endswith("-dark"):
            (folder / f"{name}.png").write_bytes(data)
    (folder / "report.html").write_text(render_page(report_data, pictures), encoding="utf-8")


def json_text(value: Any, indent: str = "\n") -> str:
    """Indented, but what holds no list and no object is one line: rows of a matrix, labels."""
    within = f"{indent}  "
    if isinstance(value, dict) and _holds_more(value.values()):
        named = ((json.dumps(name, ensure_ascii=False), part) for name, part in value.items())
        lines = [f"{within}{name}: {json_text(part, within)}" for name, part in named]
        return "{" + ",".join(lines) + indent + "}"
    if isinstance(value, list | tuple) and _holds_more(value):
        lines = [within + json_text(part, within) for part in value]
        return "[" + ",".join(lines) + indent + "]"
    return json.dumps(value, ensure_ascii=False)


def _holds_more(parts: Iterable[Any]) -> bool:
    return any(isinstance(part, dict | list | tuple) for part in parts)


def draw_pictures(report_data: ReportData) -> dict[str, bytes]:
    """PNGs by name; those for dark pages end with `-dark`."""
    evaluation, uncalibrated = report_data.evaluation, report_data.uncalibrated
    drawings: dict[str, Any] = {}
    if report_data.history:
        drawings["curves"] = lambda: draw_curves(report_data.history)
    if report_data.curves:
        drawings["label_curves"] = lambda: draw_label_curves(report_data.curves)
    if evaluation is not None and evaluation.task == "single":
        drawings["confusion"] = lambda: draw_confusion(evaluation, report_data.assessed_on)
    if evaluation is not None and uncalibrated is not None:
        drawings["reliability"] = lambda: draw_reliability(uncalibrated, evaluation)
    pictures = {}
    for name, draw in drawings.items():
        pictures[name] = picture(draw, LIGHT)
        pictures[f"{name}-dark"] = picture(draw, DARK)
    for number, error in enumerate(report_data.top_errors, start=1):
        pictures[f"mistake_{number:02d}"] = spectrogram_png(error.decibels)
    return pictures


def _write_csv(path: Path, rows: Sequence[EpochFacts | LabelQuality]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(rows[0])])
        writer.writeheader()
        writer.writerows(map(asdict, rows))
