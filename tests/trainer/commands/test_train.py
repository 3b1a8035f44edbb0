"""`clfd train` from the outside: two kinds of tones in, a served checkpoint out."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from classifier.model.checkpoint import Checkpoint, read_checkpoint
from classifier.workers.pool import DecodePool
from storage.commands.context import Invocation
from storage.errors import StorageError
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from storage.queries.figures.period import read_profile
from storage.trainings.training_folder import all_trainings
from trainer.commands.train import train
from trainer.errors import LabelsError, RecipeError, SplitError, TrainerError
from trainer.train import train_labels
from trainer.training.augmentation import Augmentation
from trainer.training.loop import EpochFacts, train_network
from trainer.training.recipe import DEFAULT, REFERENCE, Recipe

RATE_HZ = 8000
SMALL = (
    *("--width", "4", "--mels", "16", "--clip-seconds", "0.25", "--sample-rate", str(RATE_HZ)),
    *("--epochs", "12", "--batch-size", "8", "--lr", "0.01", "--device", "cpu"),
)
CONTRACT = (
    *("checkpoint", "digest", "labels", "epochs", "train_files", "val_files", "val_accuracy"),
    *("val_macro_f1", "val_loss", "ece", "history", "folds", "mean_accuracy", "std_accuracy"),
    *("seconds", "promoted", "promotion_reason"),
)
ADDED = (
    "train_examples",
    "val_examples",
    "remarks",
    "gflop_per_clip",
    "temperature",
    "ece_before",
    "selection",
    "probes",
    *("task", "temperatures", "per_label", "val_macro_ap", "val_macro_auc", "mean_macro_ap"),
)

Train = Callable[..., Result]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """labels.csv with 12 low and 12 high tones in six groups of four and three folds."""
    folder = tmp_path_factory.mktemp("sounds")
    lines = ["path,label,group,fold"]
    for number in range(12):
        for label, hz in (("low", 300 + 25 * number), ("high", 1500 + 100 * number)):
            time = np.arange(RATE_HZ // 4) / RATE_HZ
            noise = 0.01 * np.random.RandomState(hz).randn(len(time))
            soundfile.write(
                folder / f"{label}{number}.wav", np.sin(hz * 6.28 * time) / 2 + noise, RATE_HZ
            )
            lines.append(f"{label}{number}.wav,{label},g{number // 2},{number // 4 + 1}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder / "labels.csv"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool[int]]:
    """One for all tests: starting its processes takes longer than training."""
    with DecodePool[int](workers=1, timeout_seconds=20) as pool:
        yield pool


@pytest.fixture
def run(home: Home, pool: DecodePool[int], monkeypatch: pytest.MonkeyPatch) -> Train:
    """`run(labels, *options)`: `clfd train` with a small network and an empty picture per drawing.

    A pool and drawings of its own has `trained`.
    """
    monkeypatch.setattr("trainer.training.prepare.DecodePool", {int: lambda *_: nullcontext(pool)})
    monkeypatch.setattr("trainer.reports.training_report.picture", lambda *_: b"")

    def call(labels: Path, *options: str) -> Result:
        return invoke(home, labels, *options)

    return call


def invoke(home: Home, labels: Path, *options: str) -> Result:
    invocation = Invocation(home_option=home.root)
    return CliRunner().invoke(train, [str(labels), *SMALL, *options], obj=invocation)


@dataclass
class Trained:
    result: Result
    outcome: dict[str, Any]
    home: Home


@pytest.fixture(scope="module")
def trained(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One run with `--json` that many tests look at."""
    return train_in(tmp_path_factory.mktemp("trained"), sounds)


@pytest.fixture(scope="module")
def first_fold(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One run on two of three folds that others go on from."""
    return train_in(tmp_path_factory.mktemp("first-fold"), sounds, "--fold", "1")


def train_in(folder: Path, labels: Path, *options: str) -> Trained:
    home = Home(folder / "home")
    result = invoke(home, labels, "--json", *options)
    assert result.exit_code == 0, result.stderr
    return Trained(result, json.loads(result.stdout), home)


@pytest.fixture
def first(first_fold: Trained, home: Home) -> dict[str, Any]:
    """The outcome of `--fold 1`, whose checkpoint is the active one."""
    shutil.copytree(first_fold.home.root, home.root, symlinks=True)
    return first_fold.outcome


def test_how_far_it_was_stands_in_a_folder_of_its_own(trained: Trained) -> None:
    (training,) = all_trainings(trained.home)
    progress = training.progress()
    assert (progress.state, progress.epochs, progress.error) == ("done", 12, None)
    losses = [one.train_loss for one in progress.curve]
    assert losses == [one["train_loss"] for one in trained.outcome["history"]]
    assert progress.outcome is not None
    assert progress.outcome.checkpoint == trained.outcome["checkpoint"]


def test_one_that_cannot_begin_says_why(home: Home, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\nmissing.wav,dog\n")
    assert invoke(home, labels).exit_code
    (training,) = all_trainings(home)
    assert training.progress().state == "failed"
    assert "missing.wav" in str(training.progress().error)


def test_json_prints_the_one_object_of_the_contract(trained: Trained) -> None:
    assert set(trained.outcome) == set(CONTRACT) | set(ADDED)
    assert set(trained.outcome["history"][0]) == {
        *("epoch", "train_loss", "val_loss", "val_accuracy", "seconds", "val_macro_ap")
    }


def test_it_learns_the_labels_of_the_files(trained: Trained) -> None:
    outcome = trained.outcome
    assert (outcome["labels"], outcome["val_accuracy"]) == (["high", "low"], 1.0)
    assert (outcome["train_files"], outcome["val_files"]) == (20, 4)


def test_a_first_checkpoint_is_served(trained: Trained) -> None:
    assert CheckpointFolder(trained.home.checkpoints).active() == trained.outcome["checkpoint"]
    assert trained.outcome["promotion_reason"] == "no checkpoint was active"


def test_the_checkpoint_remembers_how_it_was_made(trained: Trained, sounds: Path) -> None:
    path = CheckpointFolder(trained.home.checkpoints).path(trained.outcome["checkpoint"])
    checkpoint = read_checkpoint(path)
    facts = checkpoint.description.training
    assert checkpoint.digest == trained.outcome["digest"]
    assert facts["val_accuracy"] == trained.outcome["val_accuracy"]
    assert len(facts["recording_digests"]) == trained.outcome["train_files"]
    assert (facts["recipe"]["epochs"], facts["seed"], facts["skipped"]) == (12, 0, 0)
    assert facts["labels_file"] == sounds.name
    assert {"clfd", "torch", "soundfile", "av"} <= facts["versions"].keys()


def test_the_checkpoint_carries_its_answers_to_the_validation_recordings(
    trained: Trained,
) -> None:
    path = CheckpointFolder(trained.home.checkpoints).path(trained.outcome["checkpoint"])
    profile = read_profile(read_checkpoint(path).description.model_dump())
    assert profile is not None
    assert sum(each.share for each in profile.labels.values()) == pytest.approx(1)


def test_the_checkpoint_knows_how_novel_a_sound_is(trained: Trained) -> None:
    path = CheckpointFolder(trained.home.checkpoints).path(trained.outcome["checkpoint"])
    known = read_checkpoint(path).novelty
    assert known is not None and known.facts.rests_on == "validation"
    assert known.facts.n_held_out >= trained.outcome["val_files"]


def test_the_report_is_where_it_says(trained: Trained) -> None:
    report = trained.home.reports / trained.outcome["checkpoint"]
    assert f"report: {report}" in trained.result.stderr
    assert json.loads((report / "metrics.json").read_text())["digest"] == trained.outcome["digest"]


def test_progress_goes_to_stderr_a_line_for_each_epoch(trained: Trained) -> None:
    epochs = [line for line in trained.result.stderr.splitlines() if line.startswith("epoch")]
    assert len(epochs) == 12
    assert "training on 20 recordings, validating on 4" in trained.result.stderr


def test_the_name_goes_to_stdout(run: Train, sounds: Path, home: Home) -> None:
    result = run(sounds, "--epochs", "1", "--promote", "never")
    assert result.stdout.split() == CheckpointFolder(home.checkpoints).names()
    assert CheckpointFolder(home.checkpoints).active() is None


def test_quiet_says_nothing_but_the_name(run: Train, sounds: Path, home: Home) -> None:
    quiet = Invocation(home_option=home.root, verbosity=-1)
    result = CliRunner().invoke(train, [str(sounds), *SMALL, "--epochs", "1"], obj=quiet)
    assert (result.stderr, len(result.stdout.splitlines())) == ("", 1)


def test_folds_are_reported_and_the_checkpoint_learns_from_all(
    run: Train, sounds: Path, home: Home
) -> None:
    outcome = json.loads(run(sounds, "--cross-validate", "--json").stdout)
    assert [fold["fold"] for fold in outcome["folds"]] == [1, 2, 3]
    accuracies = [fold["val_accuracy"] for fold in outcome["folds"]]
    assert outcome["mean_accuracy"] == pytest.approx(np.mean(accuracies))
    assert outcome["std_accuracy"] == pytest.approx(np.std(accuracies))
    assert (outcome["train_files"], outcome["val_files"]) == (24, 0)
    assert outcome["val_accuracy"] is None
    made = CheckpointFolder(home.checkpoints).path(outcome["checkpoint"])
    known = read_checkpoint(made).novelty
    assert known is not None and known.facts.rests_on == "out of fold"


def test_without_validation_everything_trains(run: Train, sounds: Path, home: Home) -> None:
    outcome = json.loads(run(sounds, "--val-fraction", "0", "--epochs", "1", "--json").stdout)
    made = CheckpointFolder(home.checkpoints).path(outcome["checkpoint"])
    assert read_checkpoint(made).novelty is None
    assert (outcome["train_files"], outcome["val_accuracy"], outcome["ece"]) == (24, None, None)


def test_bad_files_stop_it_before_training_and_are_listed(
    run: Train, sounds: Path, home: Home
) -> None:
    spoiled = spoil(sounds)
    result = run(spoiled)
    assert isinstance(result.exception, LabelsError)
    assert "row 26, column path:" in result.stderr
    assert CheckpointFolder(home.checkpoints).names() == []


def test_bad_files_can_be_left_out(run: Train, sounds: Path) -> None:
    result = run(spoil(sounds), "--skip-bad", "--epochs", "1", "--json")
    assert json.loads(result.stdout)["train_files"] == 20
    assert result.stderr.count("left out: ") == 2


def spoil(sounds: Path) -> Path:
    """The same labels, and two files that hold no audio."""
    for name in ("bad1.wav", "bad2.wav"):
        (sounds.parent / name).write_bytes(b"no audio at all")
    spoiled = sounds.with_name("spoiled.csv")
    spoiled.write_text(f"{sounds.read_text()}\nbad1.wav,low,b1,1\nbad2.wav,low,b2,1\n")
    return spoiled


def test_a_folder_may_have_a_name_that_is_not_utf_8(
    run: Train, sounds: Path, tmp_path: Path
) -> None:
    folder = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"gr\xfcn")))
    for label in ("low", "high"):
        (folder / label).mkdir(parents=True)
        shutil.copyfile(sounds.parent / f"{label}0.wav", folder / label / "0.wav")
    result = run(folder, "--epochs", "1", "--val-fraction", "0")
    assert result.exit_code == 0, result.exception
    assert "is a label: high (1 files), low (1 files)" in result.stderr


def test_copies_of_a_recording_do_not_validate_what_they_taught(
    run: Train, sounds: Path, tmp_path: Path
) -> None:
    for number in range(6):
        for label in ("low", "high"):
            copy = (sounds.parent / f"{label}0.wav").read_bytes()
            (tmp_path / label).mkdir(exist_ok=True)
            (tmp_path / label / f"{number}.wav").write_bytes(copy)
    result = run(tmp_path, "--epochs", "1")
    assert isinstance(result.exception, LabelsError)
    assert "of one group only, so that none can validate" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--fold", "9"), SplitError),
        (("--clip-seconds", "0.01"), RecipeError),
    ],
)
def test_a_wrong_choice_is_refused_before_decoding(
    run: Train, sounds: Path, options: tuple[str, ...], error: type[TrainerError]
) -> None:
    result = run(sounds, *options)
    assert isinstance(result.exception, error)
    assert result.stdout == ""


@pytest.mark.parametrize("recipe", [DEFAULT, REFERENCE])
def test_the_help_says_what_the_recipes_are(recipe: Recipe) -> None:
    help_text = " ".join(CliRunner().invoke(train, ["--help"]).stdout.split())
    printed = help_text.partition("--recipe")[2].partition("--epochs")[0]
    default, _, reference = printed.partition("or the reference")
    numbers = {
        f"batch {recipe.batch_size}",
        f"{recipe.epochs} epochs",
        f"{recipe.n_mels} bands",
        f"width {recipe.widths[0]}",
    }
    part = default if recipe is DEFAULT else reference
    assert all(number in part for number in numbers), (numbers, part)
    assert f"{recipe.learning_rate:g}" in part


def test_how_clips_are_varied_can_be_chosen(run: Train, home: Home, sounds: Path) -> None:
    name = run(sounds, "--vary", "shift", "--epochs", "1").stdout.strip()
    assert augmentation_of(home, name) == asdict(Augmentation(shift=1.0))


def test_a_short_training_varies_less_unless_it_is_asked_to(
    trained: Trained, run: Train, home: Home, sounds: Path
) -> None:
    assert "clips are varied less, since 12 epochs are few" in trained.result.stderr
    assert augmentation_of(trained.home, trained.outcome["checkpoint"])["mixing"] < 0.05
    asked = run(sounds, "--vary", "full", "--epochs", "1")
    assert "varied less" not in asked.stderr
    assert augmentation_of(home, asked.stdout.strip()) == asdict(DEFAULT.augmentation)


def augmentation_of(home: Home, name: str) -> dict[str, Any]:
    path = CheckpointFolder(home.checkpoints).path(name)
    augmentation: dict[str, Any] = read_checkpoint(path).description.training["recipe"][
        "augmentation"
    ]
    return augmentation


def test_python_gets_the_object_that_the_command_prints(
    trained: Trained, sounds: Path, tmp_path: Path
) -> None:
    small = {"width": 4, "n_mels": 16, "clip_seconds": 0.25, "sample_rate_hz": RATE_HZ}
    outcome = train_labels(
        sounds, tmp_path, epochs=12, batch_size=8, learning_rate=0.01, device="cpu", **small
    )
    same = ("labels", "epochs", "val_accuracy", "val_loss", "train_files")
    assert {key: outcome[key] for key in same} == {key: trained.outcome[key] for key in same}
    assert outcome.keys() == trained.outcome.keys()


def test_ways_to_split_exclude_each_other(run: Train, sounds: Path) -> None:
    result = run(sounds, "--fold", "1", "--cross-validate")
    assert result.exit_code == 2
    assert "--fold and --cross-validate exclude each other" in result.stderr


def test_a_stopped_training_says_how_it_goes_on_and_ends_the_same(
    run: Train, sounds: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.training.resume.SAVE_SECONDS", 0.0)

    def stop(facts: EpochFacts, n_epochs: int) -> str:
        if facts.epoch == 5:
            raise KeyboardInterrupt
        return ""

    with monkeypatch.context() as stopping:
        stopping.setattr(EpochFacts, "line", stop)
        stopped = run(sounds, "--json")
    assert stopped.exit_code != 0
    assert "--resume goes on from the last epoch it saved" in stopped.stderr
    resumed = run(sounds, "--json", "--resume")
    assert "epoch  5/12" not in resumed.stderr
    assert "epoch  6/12" in resumed.stderr
    outcome = json.loads(resumed.stdout)
    assert [each["val_loss"] for each in outcome["history"]] == [
        each["val_loss"] for each in trained.outcome["history"]
    ]


def test_without_anything_to_resume_it_says_so_and_begins_anew(run: Train, sounds: Path) -> None:
    result = run(sounds, "--epochs", "1", "--resume")
    assert result.exit_code == 0
    assert "nothing to resume for these labels and options" in result.stderr


def test_a_fine_tuned_checkpoint_names_its_parent_and_the_recordings_of_both(
    run: Train, home: Home, sounds: Path, first: dict[str, Any]
) -> None:
    second = json.loads(run(sounds, "--json", "--fold", "2", "--from", "active").stdout)
    checkpoint_folder = CheckpointFolder(home.checkpoints)
    facts = read_checkpoint(checkpoint_folder.path(second["checkpoint"])).description.training
    assert facts["parent"] == {"name": first["checkpoint"], "digest": first["digest"]}
    assert len(facts["recording_digests"]) == 24  # fold 1 taught the second one, the rest the first


def test_what_the_parent_learned_from_measures_nothing(
    run: Train, sounds: Path, first: dict[str, Any]
) -> None:
    other_fold = run(sounds, "--json", "--fold", "2", "--from", "active")
    outcome = json.loads(other_fold.stdout)
    assert (outcome["val_files"], outcome["val_accuracy"], outcome["ece"]) == (0, None, None)
    assert "note: 8 recordings train instead of validating" in other_fold.stderr
    assert "not measured on" in outcome["selection"]["parent"]
    again = run(
        sounds, "--json", "--fold", "1", "--from", "previous", "--epochs", "5", "--lr", "0.001"
    )
    same_fold = json.loads(again.stdout)
    assert same_fold["val_files"] == 8
    assert same_fold["val_accuracy"] > 0.5


def test_a_grandchild_knows_no_more_of_its_ancestors_than_their_child(
    run: Train,
    home: Home,
    sounds: Path,
    first: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forgetful(path: Path) -> Checkpoint:
        parent = read_checkpoint(path)
        facts = {"training": {**parent.description.training, "ancestors_known": False}}
        return replace(parent, description=parent.description.model_copy(update=facts))

    monkeypatch.setattr("trainer.training.prepare.read_checkpoint", forgetful)
    result = run(sounds, "--fold", "1", "--epochs", "2", "--from", "active", "--promote", "never")
    assert "does not say all that it was trained on" in result.stderr
    child = read_checkpoint(CheckpointFolder(home.checkpoints).path(result.stdout.strip()))
    assert child.description.training["ancestors_known"] is False


def test_folds_that_the_parent_learned_from_are_no_folds(
    run: Train, sounds: Path, first: dict[str, Any]
) -> None:
    folds = run(sounds, "--json", "--cross-validate", "--from", "active", "--epochs", "2")
    assert [each["fold"] for each in json.loads(folds.stdout)["folds"]] == [1]
    assert "note: fold 2, 3: nothing in it that" in folds.stderr


def test_a_few_new_recordings_leave_the_temperature_as_it_was(
    run: Train, sounds: Path, first: dict[str, Any]
) -> None:
    second = json.loads(run(sounds, "--json", "--fold", "1", "--from", "active").stdout)
    assert second["val_files"] == 8
    assert second["temperature"] == first["temperature"]
    assert "fewer than 20 recordings" in second["selection"]["temperature"]


def test_a_disk_that_is_full_is_named(
    run: Train, home: Home, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", disk_full)
    result = run(sounds, "--epochs", "2")
    assert isinstance(result.exception, StorageError)
    assert "No space left on device; check the folder and the space" in str(result.exception)
    assert "training goes on, but could not be resumed from here" in result.stderr
    assert list(home.checkpoints.iterdir()) == []


def test_a_report_that_cannot_be_written_fails_no_training(
    run: Train, home: Home, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("trainer.train.write_report", refuse)
    result = run(sounds)
    assert result.exit_code == 0
    assert (
        "was not written ([Errno 28] No space left on device); the checkpoint was" in result.stderr
        and "report: " not in result.stderr
    )
    assert CheckpointFolder(home.checkpoints).active() == result.stdout.strip()


def test_a_folder_that_is_mapped_learns_as_memory_does(
    run: Train, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = json.loads(run(sounds, "--json", "--epochs", "2").stdout)
    monkeypatch.setenv("CLFD_TRAINING__MEMORY_GIB", "0.00001")
    mapped = run(sounds, "--json", "--epochs", "2")
    assert "do not fit" in mapped.stderr
    losses = [json.loads(mapped.stdout)["val_loss"], in_memory["val_loss"]]
    assert losses[0] == losses[1]


def test_a_terminal_that_closes_while_it_trains_takes_nothing_along(
    run: Train, sounds: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang_up(*given: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGHUP)
        return train_network(*given, **named)

    hang_ups: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: hang_ups.append(number))
    monkeypatch.setattr("trainer.train.train_network", hang_up)
    try:
        assert run(sounds).exit_code == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert hang_ups == []
    assert CheckpointFolder(home.checkpoints).active()
