"""`clfd evaluate` from the outside: labelled files in, a judgement and a report out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from checkpoint_files import save_checkpoint
from click.testing import CliRunner, Result
from tones import dataset_of

from classifier.inference.device import choose_device
from classifier.inference.predictor import Predictor
from classifier.model.checkpoint import Checkpoint, read_checkpoint
from storage.commands.context import Invocation
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from trainer.commands.evaluate import evaluate
from trainer.console import ProgressConsole
from trainer.data.examples import Example
from trainer.errors import LabelsError, TrainerError
from trainer.evaluate import choose_positions, summary
from trainer.evaluation.prepare import EvaluateRequest, unknown_labels
from trainer.evaluation.train_overlap import TrainOverlap, find_train_overlap

KEYS = {
    *("checkpoint", "digest", "labels", "files", "recordings", "accuracy", "macro_f1", "loss"),
    *("ece", "ece_before", "temperature", "selection", "per_label", "probes", "labels_file"),
    *("labels_digest", "fold", "skipped", "trained_recordings", "trained_included"),
    *("clip_pooling", "device", "seconds", "report", "task", "val_macro_ap", "val_macro_auc"),
}
ODD_ORDER = ("rain", "bell", "dog")  # not the alphabet's, which is a dataset's

Evaluate = Callable[..., Result]


@dataclass(frozen=True)
class EvaluationHome:
    """A home with an active checkpoint, and labels that are what it answers, row for row."""

    home: Home
    labels: Path
    answers: tuple[str, ...]


@pytest.fixture(scope="module")
def prepared_home(
    tmp_path_factory: pytest.TempPathFactory,
    checkpoint_file: Path,
    noise: Callable[..., np.ndarray],
    tone: Callable[..., np.ndarray],
) -> EvaluationHome:
    """The checkpoint was trained on the file of row 2, and validated on that of row 3."""
    folder = tmp_path_factory.mktemp("evaluation")
    sounds = [tone(250 * 2**at, 0.5) for at in range(4)] + [noise(0.5, seed=at) for at in range(4)]
    files = [folder / f"{at}.wav" for at in range(len(sounds))]
    for file, samples in zip(files, sounds, strict=True):
        soundfile.write(file, samples, 8000, subtype="FLOAT")
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    facts = {"recording_digests": digests[:1], "validation_digests": digests[1:2]}
    home = Home(folder / "home")
    home.create()
    checkpoint = publish_in_odd_order(home, checkpoint_file, facts, np.stack(sounds))
    scores = Predictor(checkpoint, choose_device("cpu")).score(np.stack(sounds))
    answers = tuple(ODD_ORDER[at] for at in scores.argmax(axis=1))
    rows = [f"{at}.wav,{answer},{at % 2}" for at, answer in enumerate(answers)]
    (folder / "labels.csv").write_text("\n".join(["path,label,fold", *rows]))
    return EvaluationHome(home, folder / "labels.csv", answers)


def publish_in_odd_order(
    home: Home, file: Path, facts: dict[str, Any], clips: np.ndarray
) -> Checkpoint:
    """The network of this checkpoint, made to answer variously to the clips, under other names."""
    original, now = read_checkpoint(file), datetime(2026, 1, 31, 12, tzinfo=UTC)
    model, network = original.build(), original.description.network
    with torch.inference_mode():
        model.network.head[-1].bias -= model(torch.from_numpy(clips)).mean(0)
    path = save_checkpoint(home.checkpoints, model, ODD_ORDER, network, facts, now)
    CheckpointFolder(home.checkpoints).activate(path.stem)
    return read_checkpoint(path)


@pytest.fixture
def run(prepared_home: EvaluationHome) -> Evaluate:
    """`run(labels, *options)`: `clfd evaluate` with the home."""

    def call(labels: Path, *options: str) -> Result:
        invocation = Invocation(home_option=prepared_home.home.root)
        return CliRunner().invoke(evaluate, [str(labels), "--device=cpu", *options], obj=invocation)

    return call


@pytest.fixture(scope="module")
def evaluation(prepared_home: EvaluationHome) -> Result:
    words = [str(prepared_home.labels), "--device=cpu", "--json"]
    result = CliRunner().invoke(
        evaluate, words, obj=Invocation(home_option=prepared_home.home.root)
    )
    assert result.exit_code == 0, result.exception
    return result


def test_labels_in_another_order_than_the_alphabets_are_not_mixed_up(
    evaluation: Result, prepared_home: EvaluationHome
) -> None:
    assert len(set(prepared_home.answers)) > 1
    outcome = json.loads(evaluation.stdout)
    assert (outcome["accuracy"], outcome["labels"]) == (1.0, list(ODD_ORDER))


def test_clips_that_memory_cannot_hold_are_judged_the_same(
    run: Evaluate,
    prepared_home: EvaluationHome,
    evaluation: Result,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLFD_TRAINING__MEMORY_GIB", "0.00001")
    mapped = run(prepared_home.labels, "--json", "-o", str(tmp_path / "report"))
    assert "do not fit into" in mapped.stderr
    assert json.loads(mapped.stdout)["loss"] == json.loads(evaluation.stdout)["loss"]


def test_json_prints_one_object_with_stable_keys(evaluation: Result) -> None:
    assert set(json.loads(evaluation.stdout)) == KEYS


def test_what_it_was_trained_on_proves_nothing_and_is_left_out(evaluation: Result) -> None:
    outcome = json.loads(evaluation.stdout)
    assert (outcome["trained_recordings"], outcome["recordings"]) == (1, 7)
    assert "was trained on 1 of 8 recordings, or on relatives" in evaluation.stderr


def test_it_says_which_number_flatters(evaluation: Result) -> None:
    selection = json.loads(evaluation.stdout)["selection"]
    assert selection["ece"] == "flatters: the temperature was fitted on 1 of these recordings"
    assert selection["accuracy"].startswith("nothing was chosen")


def test_the_report_is_where_it_says(evaluation: Result, prepared_home: EvaluationHome) -> None:
    [report] = prepared_home.home.reports.glob("20260131T120000Z-*-evaluation-*Z")
    assert f"report: {report}" in evaluation.stderr
    assert {"metrics.json", "report.html"} <= {path.name for path in report.iterdir()}


def test_the_summary_is_short(evaluation: Result) -> None:
    lines = summary(json.loads(evaluation.stdout))
    assert "accuracy           100.0%" in lines


def test_a_label_that_it_does_not_know_is_named_or_left_out(
    run: Evaluate, prepared_home: EvaluationHome, tmp_path: Path
) -> None:
    labels = prepared_home.labels.with_name("more.csv")
    soundfile.write(prepared_home.labels.with_name("howl.wav"), np.linspace(0, 0.5, 4000), 8000)
    labels.write_text(prepared_home.labels.read_text() + "\nhowl.wav,wolf,1")
    refused = run(labels)
    assert isinstance(refused.exception, LabelsError)
    assert "label 'wolf': unknown to 20260131T120000Z-" in str(refused.exception)
    options = ("--skip-bad", "--include-trained", "--json", "-o", str(tmp_path / "report"))
    outcome = json.loads(run(labels, *options).stdout)
    assert (outcome["skipped"], outcome["recordings"]) == (1, 8)
    assert outcome["selection"]["accuracy"].startswith("flatters: the network was trained on 1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fold", "9"), "no example is in fold 9; choose one of: 0, 1"),
        (("--checkpoint", "2031"), "there is no checkpoint"),
        (("-o", "."), "name a folder that is new, or empty"),
    ],
)
def test_a_wrong_choice_is_refused_before_decoding(
    run: Evaluate, prepared_home: EvaluationHome, options: tuple[str, ...], message: str
) -> None:
    result = run(prepared_home.labels, *options)
    assert message in str(result.exception)
    assert result.stdout == ""


def test_a_checkpoint_that_knows_none_of_the_labels_cannot_be_evaluated(
    prepared_home: EvaluationHome,
) -> None:
    checkpoint = read_checkpoint(next(prepared_home.home.checkpoints.glob("*.safetensors")))
    wolves = [Example(Path("a.wav"), "wolf")]
    with pytest.raises(TrainerError, match="knows none of its labels, only rain, bell, dog"):
        unknown_labels(wolves, checkpoint, prepared_home.labels)


def test_relatives_of_what_it_was_trained_on_count_as_trained(
    prepared_home: EvaluationHome,
) -> None:
    checkpoint = read_checkpoint(next(prepared_home.home.checkpoints.glob("*.safetensors")))
    training = {"recording_digests": ["0"], "validation_digests": ["2"]}
    about = checkpoint.description.model_copy(update={"training": training})
    dataset = dataset_of([np.ones(8)] * 3, [0, 1, 2], ["bell", "dog", "rain"])
    overlap = find_train_overlap(
        replace(checkpoint, description=about), dataset, ["yard", "yard", "pond"]
    )
    assert (overlap.trained, overlap.validated) == ({0, 1}, {2})


def test_a_checkpoint_that_does_not_name_its_training_files_is_evaluated_on_everything(
    prepared_home: EvaluationHome, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = read_checkpoint(next(prepared_home.home.checkpoints.glob("*.safetensors")))
    dataset = dataset_of([np.ones(8)] * 2, [0, 1], ["bell", "dog"])
    unknown_overlap = TrainOverlap(trained=None, validated=frozenset())
    request = EvaluateRequest(prepared_home.labels)
    assert choose_positions(request, checkpoint, dataset, unknown_overlap, ProgressConsole()) == [
        0,
        1,
    ]
    assert "does not say what it was trained on" in capsys.readouterr().err


def test_only_recordings_it_was_trained_on_are_an_error(prepared_home: EvaluationHome) -> None:
    checkpoint = read_checkpoint(next(prepared_home.home.checkpoints.glob("*.safetensors")))
    dataset = dataset_of([np.ones(8)] * 2, [0, 1], ["bell", "dog"])
    all_known = TrainOverlap(trained=frozenset({0, 1}), validated=frozenset())
    with pytest.raises(TrainerError, match="trained on all of these recordings"):
        choose_positions(
            EvaluateRequest(prepared_home.labels), checkpoint, dataset, all_known, ProgressConsole()
        )
