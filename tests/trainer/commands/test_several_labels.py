"""`clfd train --task`: low and high tones, both at once, and noise, which is neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import soundfile
from click.testing import CliRunner, Result

from classifier.inference.device import choose_device
from classifier.inference.predictor import Predictor
from classifier.model.checkpoint import Canary, Checkpoint, read_checkpoint
from storage.commands.context import Invocation
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from trainer.checkpoints.export import to_onnx
from trainer.commands.evaluate import evaluate
from trainer.commands.train import train

RATE_HZ = 8000
SMALL = (
    *("--width", "4", "--mels", "16", "--clip-seconds", "0.25", "--sample-rate", str(RATE_HZ)),
    *("--epochs", "12", "--batch-size", "8", "--lr", "0.01", "--device", "cpu"),
)
SINGLE_ROWS = slice(0, 2)  # of each four: low, high, both, neither


@pytest.fixture(scope="module", autouse=True)
def no_pictures() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.reports.training_report.picture", lambda *_: b"")
        yield


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 sounds in two folds, by turns low, high, both (in one cell, or in two rows) and noise."""
    folder = tmp_path_factory.mktemp("sounds")
    time = np.arange(RATE_HZ // 4) / RATE_HZ
    for number in range(32):
        low = np.sin(6.28 * (300 + 10 * number) * time)
        high = np.sin(6.28 * (1500 + 40 * number) * time)
        noise = np.random.RandomState(number).randn(len(time))
        sound = (low, high, low + high, noise)[number % 4] + 0.05 * noise
        soundfile.write(folder / f"{number}.wav", sound / 8, RATE_HZ)
    return folder


def table(sounds: Path, name: str, wanted: slice = slice(None), none: str = "none") -> Path:
    lines = ["path,label,fold"]
    for number in range(32):
        both = ["low;high"] if number % 8 == 2 else ["high", "low"]
        if number % 4 in range(4)[wanted]:
            cells = (["low"], ["high"], both, [none])[number % 4]
            lines += [f"{number}.wav,{cell},{number // 4 % 2 + 1}" for cell in cells]
    path = sounds / f"{name}.csv"
    path.write_text("\n".join(lines))
    return path


def run(home: Home, labels: Path, *options: str) -> Result:
    invocation = Invocation(home_option=home.root)
    return CliRunner().invoke(train, [str(labels), *SMALL, *options], obj=invocation)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home") / "home")


@pytest.fixture(scope="module")
def trained(sounds: Path, home: Home) -> Result:
    labels = table(sounds, "labels")
    result = run(home, labels, "--cross-validate", "--json")
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def outcome(trained: Result) -> dict[str, Any]:
    return json.loads(trained.stdout)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def checkpoint(home: Home, outcome: dict[str, Any]) -> Checkpoint:
    return read_checkpoint(CheckpointFolder(home.checkpoints).path(outcome["checkpoint"]))


def test_it_says_which_task_was_chosen_and_why(trained: Result) -> None:
    assert "task multi, since row 4 has several labels ('low;high')" in trained.stderr


def test_tones_that_sound_together_are_both_found(outcome: dict[str, Any]) -> None:
    assert (outcome["task"], outcome["labels"]) == ("multi", ["high", "low"])
    assert outcome["mean_macro_ap"] > 0.95
    assert [each["support"] for each in outcome["per_label"]] == [16, 16]


def test_none_is_no_label_and_its_recordings_train(
    trained: Result, outcome: dict[str, Any]
) -> None:
    assert outcome["train_files"] == 32
    assert "none" not in outcome["labels"]
    assert "2 labels: high, low, and 8 recordings of none" in trained.stderr


def test_the_checkpoint_says_its_task_and_its_thresholds(checkpoint: Checkpoint) -> None:
    about = checkpoint.description
    assert about.task == "multi"
    assert len(about.temperatures) == 2
    assert {each.rests_on for each in about.thresholds.values()} == {"out of fold"}
    assert {each.n_examples for each in about.thresholds.values()} == {16}


def test_served_scores_are_of_each_label_by_itself(checkpoint: Checkpoint, sounds: Path) -> None:
    predictor = Predictor(checkpoint, choose_device("cpu"))
    clips = [soundfile.read(sounds / f"{number}.wav", dtype="float32")[0] for number in range(3)]
    low, high, both = predictor.score(np.stack(clips))
    assert low.argmax() == 1 and high.argmax() == 0
    assert (both > 0.5).all()


def test_onnx_gives_the_same_scores(checkpoint: Checkpoint) -> None:
    clips = Canary.clips(1, checkpoint.audio_format.clip_samples).numpy()
    session = onnxruntime.InferenceSession(to_onnx(checkpoint))
    (scores,) = session.run(None, {"clips": clips})
    expected = Predictor(checkpoint, choose_device("cpu"), "float32").score(clips)
    assert np.abs(scores - expected).max() < 1e-4


def test_an_evaluation_counts_each_label_of_a_recording(
    home: Home, sounds: Path, checkpoint: Checkpoint
) -> None:
    words = [str(table(sounds, "evaluated")), "--include-trained", "--json"]
    result = CliRunner().invoke(evaluate, words, obj=Invocation(home_option=home.root))
    outcome = json.loads(result.stdout)
    assert (outcome["task"], outcome["recordings"]) == ("multi", 32)
    assert outcome["val_macro_ap"] > 0.95
    assert outcome["val_macro_auc"] > 0.95


def test_a_table_of_one_label_each_is_single_and_none_a_label_of_it(
    sounds: Path, tmp_path: Path
) -> None:
    rows = [f"{n}.wav,{'none' if n % 4 else 'low'}" for n in range(32) if n % 4 in (0, 3)]
    path = sounds / "one-each.csv"
    path.write_text("\n".join(["path,label", *rows]))
    result = run(Home(tmp_path / "home"), path, "--epochs", "1", "--json")
    assert "task single, since no part of a file bears several labels" in result.stderr
    outcome = json.loads(result.stdout)
    assert (outcome["task"], outcome["labels"]) == ("single", ["low", "none"])


def test_two_labels_of_one_part_are_a_contradiction_where_one_is_asked_for(
    sounds: Path, tmp_path: Path
) -> None:
    path = sounds / "twice.csv"
    path.write_text("path,label\n0.wav,low\n0.wav,high\n1.wav,high\n4.wav,low\n")
    result = run(Home(tmp_path / "home"), path, "--task", "single")
    assert result.exit_code == 1
    assert "row 2, column label: 'low', but row 3 is 'high'" in str(result.exception)


def test_what_goes_on_with_a_network_of_several_labels_learns_several(
    home: Home, sounds: Path, checkpoint: Checkpoint
) -> None:
    result = run(home, table(sounds, "plain", SINGLE_ROWS), "--from", checkpoint.name, "--json")
    assert f"task multi, since {checkpoint.name} is" in result.stderr
    assert json.loads(result.stdout)["task"] == "multi"


def test_another_task_begins_with_a_new_last_layer_and_says_so(
    home: Home, sounds: Path, checkpoint: Checkpoint
) -> None:
    options = ("--from", checkpoint.name, "--task", "single", "--promote", "never", "--json")
    result = run(home, table(sounds, "plain", SINGLE_ROWS), *options)
    assert (
        f"note: {checkpoint.name} has the task multi, and this is single: its last layer is learned"
        " anew, with the labels given here only" in result.stderr
    )
    assert json.loads(result.stdout)["task"] == "single"


def test_a_run_of_another_task_is_not_resumed(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    home, labels = Home(tmp_path / "home"), table(sounds, "plain", SINGLE_ROWS)
    monkeypatch.setattr("trainer.training.resume.SAVE_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr("trainer.train.assess_and_publish", stop)
        run(home, labels, "--task", "single", "--epochs", "1")
    result = run(home, labels, "--task", "multi", "--epochs", "1", "--resume")
    assert "nothing to resume for these labels and options: a new run" in result.stderr


def test_too_few_examples_promise_no_threshold_and_it_is_said(sounds: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    options = ("--precision", "0.9", "--fold", "1", "--epochs", "1")
    result = run(home, table(sounds, "labels"), *options)
    assert (
        "note: too few held-out examples say enough for a precision of 0.9, and so there is no "
        "threshold of high, low" in result.stderr
    )


def test_a_row_of_nothing_may_be_called_otherwise(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLFD_TRAINING__NEGATIVE_LABELS", "wind")
    labels = table(sounds, "wind", none="Wind")
    result = run(Home(tmp_path / "home"), labels, "--epochs", "1", "--json")
    assert json.loads(result.stdout)["labels"] == ["high", "low"]


def test_none_is_nothing_whatever_else_the_settings_call_so(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLFD_TRAINING__NEGATIVE_LABELS", "wind")
    result = run(Home(tmp_path / "home"), table(sounds, "labels"), "--epochs", "1", "--json")
    assert json.loads(result.stdout)["labels"] == ["high", "low"]


def test_in_a_single_task_a_word_of_the_settings_is_said_to_be_a_label(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLFD_TRAINING__NEGATIVE_LABELS", "wind")
    rows = [f"{n}.wav,{'Wind' if n % 4 else 'low'}" for n in range(32) if n % 4 in (0, 3)]
    path = sounds / "single-wind.csv"
    path.write_text("\n".join(["path,label", *rows]))
    result = run(Home(tmp_path / "home"), path, "--epochs", "1")
    assert "note: label 'Wind' is of training.negative_labels, but" in result.stderr
