"""The report a person finds after training or evaluating."""

from __future__ import annotations

import csv
import json
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from storage.home.paths import FILE_MODE, FOLDER_MODE
from trainer.errors import TrainerError
from trainer.evaluation.metrics import Evaluation, evaluate
from trainer.evaluation.probes import Probe
from trainer.evaluation.top_errors import TopError
from trainer.reports import training_report
from trainer.reports.figures import LIGHT, draw_confusion, draw_curves, draw_reliability, picture
from trainer.reports.html import ReportData, accuracy_interval, commonest_confusions, render_page
from trainer.reports.training_report import json_text, write_report
from trainer.training.loop import EpochFacts

HISTORY = [EpochFacts(n, 1 / n, 1.2 / n, 1 - 0.5 / n, 2.5) for n in range(1, 21)]
UNVALIDATED = [replace(facts, val_loss=None, val_accuracy=None) for facts in HISTORY]
PROBES = (Probe("digital silence", "label_0", 0.9), Probe("mains hum, 50 Hz", None, None))
HOSTILE = '<script>alert("1")</script> & 犬$x_{'


def evaluation(n_labels: int, name: str = "label", per_label: int = 20) -> Evaluation:
    random = np.random.RandomState(0)
    truth = np.repeat(np.arange(n_labels), per_label)
    scores = np.eye(n_labels)[truth] + random.rand(len(truth), n_labels)
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    return evaluate(scores, truth, tuple(f"{name}_{n}" for n in range(n_labels)))


def top_error(file: str = "a.wav", row: int | None = 7) -> TopError:
    decibels = -80 * np.random.RandomState(0).rand(16, 30).astype(np.float32)
    return TopError(file, row, 5.0, "label_0", "label_1", 0.75, decibels)


def report_data(**changes: object) -> ReportData:
    validated = evaluation(3)
    metrics = {"val_accuracy": 0.5, "temperature": 1.25, "selection": {"ece": "on other folds"}}
    whole = ReportData(
        title="20260131T120000Z-1a2b3c4d",
        assessed_on="Validation recordings",
        metrics=metrics,
        history=HISTORY,
        evaluation=validated,
        uncalibrated=validated,
        probes=PROBES,
        top_errors=(top_error(),),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports") / "new"
    write_report(folder, report_data())
    return folder


@pytest.fixture
def page() -> Callable[..., str]:
    """`page(**changes)`: the page of these findings, with a single dot for every picture."""

    def render(**changes: object) -> str:
        found = report_data(**changes)
        names = ["curves", "confusion", "reliability"]
        names += [f"mistake_{n:02d}" for n in range(1, 1 + len(found.top_errors))]
        return render_page(found, dict.fromkeys(names, b"png"))

    return render


class Reader(HTMLParser):
    """Collects what a browser would fetch, what it would run, and the texts beside pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.alternatives: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append(tag)
        self.addresses += [known[name] or "" for name in ("src", "srcset", "href") if name in known]
        if tag == "img":
            self.alternatives.append(known.get("alt"))


def test_a_report_holds_numbers_pictures_and_a_page(report: Path) -> None:
    assert sorted(path.name for path in report.iterdir()) == [
        *("confusion.png", "curves.png", "history.csv", "metrics.json", "mistake_01.png"),
        *("per_label.csv", "reliability.png", "report.html"),
    ]


def test_metrics_say_everything_that_the_page_shows(report: Path) -> None:
    metrics = json.loads((report / "metrics.json").read_text())
    assert metrics["val_accuracy"] == 0.5
    assert metrics["evaluation"]["per_label"][0]["support"] == 20
    assert sum(each["n_recordings"] for each in metrics["evaluation"]["reliability"]) == 60
    assert metrics["probes"][0] == {
        "name": "digital silence",
        "label": "label_0",
        "confidence": 0.9,
    }
    assert metrics["mistakes"][0] == {
        "file": "a.wav",
        "row": 7,
        "start_seconds": 5.0,
        "truth": "label_0",
        "answer": "label_1",
        "confidence": 0.75,
    }


def test_tables_for_programs_have_a_line_for_each_epoch_and_label(report: Path) -> None:
    history, labels = (
        list(csv.DictReader((report / name).read_text().splitlines()))
        for name in ("history.csv", "per_label.csv")
    )
    assert (len(history), history[1]["epoch"], history[1]["val_loss"]) == (20, "2", "0.6")
    assert [row["label"] for row in labels] == ["label_0", "label_1", "label_2"]


def test_the_group_may_read_it(report: Path) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in report.iterdir()}
    assert (stat.S_IMODE(report.stat().st_mode), modes) == (FOLDER_MODE, {FILE_MODE})


def test_the_page_fetches_and_runs_nothing(report: Path) -> None:
    reader = Reader((report / "report.html").read_text(encoding="utf-8"))
    assert all(address.startswith("data:image/png;base64,") for address in reader.addresses)
    assert "script" not in reader.tags
    assert len(reader.addresses) == 5  # curves and reliability, for light and dark; a mistake


def test_every_picture_has_a_text_too(report: Path) -> None:
    assert all(Reader((report / "report.html").read_text()).alternatives)


def test_untrusted_text_stays_text(page: Callable[..., str]) -> None:
    text = page(
        title=HOSTILE,
        metrics={"temperature": 1.0, "selection": {HOSTILE: HOSTILE}, HOSTILE: HOSTILE},
        evaluation=evaluation(3, HOSTILE),
        probes=[Probe("silence", HOSTILE, 0.5)],
        top_errors=[replace(top_error(HOSTILE), truth=HOSTILE, answer=HOSTILE)],
    )
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "script" not in Reader(text).tags


def test_the_page_says_what_was_chosen_on_what(page: Callable[..., str]) -> None:
    assert re.search(r"<code>ece</code></th><td>on other folds</td>", page())


def test_the_page_shows_the_probes(page: Callable[..., str]) -> None:
    text = page()
    assert re.search(r"digital silence</th>\s*<td><bdi>label_0</bdi></td>\s*.*90\.0 %", text)
    assert "no number" in text


def test_an_error_can_be_found_from_the_page(page: Callable[..., str]) -> None:
    assert "row 7: <bdi>a.wav</bdi>" in page()
    assert "row " not in page(top_errors=[top_error(row=None)]).partition("with 75.0 %")[2]


def test_the_page_admits_that_nothing_was_measured(page: Callable[..., str]) -> None:
    text = page(evaluation=None, uncalibrated=None, top_errors=(), history=UNVALIDATED)
    assert "nothing was measured" in text
    assert "accuracy</span>" not in text


def test_without_epochs_there_are_no_curves(tmp_path: Path) -> None:
    write_report(tmp_path, report_data(history=(), top_errors=()))
    names = {path.name for path in tmp_path.iterdir()}
    assert not {"curves.png", "history.csv"} & names
    assert "How it learned" not in (tmp_path / "report.html").read_text()


def test_without_an_evaluation_there_is_no_confusion(tmp_path: Path) -> None:
    unvalidated = report_data(
        history=UNVALIDATED, evaluation=None, uncalibrated=None, top_errors=()
    )
    write_report(tmp_path, unvalidated)
    assert not (tmp_path / "confusion.png").exists()
    assert len(draw_curves(UNVALIDATED).axes) == 1


def test_there_is_a_whole_report_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training_report, "render_page", full_disk)
    with pytest.raises(TrainerError, match="No space left on device; check"):
        write_report(
            tmp_path / "report", report_data(history=(), evaluation=None, uncalibrated=None)
        )
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not touch")
    with pytest.raises(TrainerError, match="name a folder that is new, or empty"):
        write_report(tmp_path, report_data())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_numbers_of_a_thousand_labels_take_little_space(tmp_path: Path) -> None:
    many = evaluation(1000, per_label=1)
    (tmp_path / "metrics.json").write_text(json_text(report_data(evaluation=many).as_json()))
    assert (tmp_path / "metrics.json").stat().st_size < 1_000_000
    written = json.loads((tmp_path / "metrics.json").read_text())["evaluation"]
    assert written["confusion"] is None
    assert sum(n for _, _, n in written["confusion_counts"]) == 1000


def test_the_confusion_matrix_has_a_line_for_each_row() -> None:
    text = json_text(report_data(evaluation=evaluation(3)).as_json())
    written = json.loads(text)["evaluation"]
    assert text.count(json.dumps(written["confusion"][0])) >= 1
    assert [[sum(row) for row in written["confusion"]]] == [[20, 20, 20]]
    assert len(text.splitlines()) < 200


@pytest.mark.parametrize("n_labels", [2, 30, 60, 300])
def test_confusion_grows_with_the_labels_but_stays_a_picture(tmp_path: Path, n_labels: int) -> None:
    drawn = picture(lambda: draw_confusion(evaluation(n_labels), "Validation recordings"), LIGHT)
    (tmp_path / "confusion.png").write_bytes(drawn)
    height, width, _ = imread(tmp_path / "confusion.png").shape
    assert 300 < height < 2000
    assert 300 < width < 2000


def test_pictures_may_show_any_letter() -> None:
    assert picture(lambda: draw_confusion(evaluation(2, "犬$x_{"), "$_"), LIGHT).startswith(
        b"\x89PNG"
    )


def test_reliability_is_drawn_before_and_after() -> None:
    before, after = evaluation(3), evaluation(3, per_label=2)
    points = [len(line.get_xdata()) for line in draw_reliability(before, after).axes[0].lines]
    assert points == [2, 15, 15, 6, 6]  # the diagonal; a line and markers for each


def test_confusions_are_listed_with_the_commonest_first() -> None:
    scores = np.eye(3, dtype=np.float32)[[1, 1, 2, 1, 2]]
    validated = evaluate(scores, np.array([0, 0, 0, 1, 2]), ("a", "b", "c"))
    assert commonest_confusions(validated) == [("a", "b", 2, 3), ("a", "c", 1, 3)]


def test_few_recordings_leave_the_accuracy_wide_open() -> None:
    few, many = evaluation(2, per_label=4), evaluation(2, per_label=400)
    (few_low, few_high), (low, high) = accuracy_interval(few), accuracy_interval(many)
    assert few_low < few.accuracy <= few_high
    assert high - low < 0.1 < few_high - few_low


def test_the_page_says_why_the_accuracy_may_flatter(page: Callable[..., str]) -> None:
    remark = "2 of the files that validate come from a site that others teach"
    metrics = report_data().metrics
    assert remark in page(metrics={**metrics, "remarks": [remark]})
    assert "Before you trust" not in page(metrics={**metrics, "remarks": []})


def test_parts_of_recordings_are_counted_as_selections(page: Callable[..., str]) -> None:
    assert " selections, 3 labels" in page(unit="selections")
