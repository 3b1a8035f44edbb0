"""The active checkpoint against a candidate, on recordings that neither was trained on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from checkpoint_files import save_checkpoint
from torch import Tensor, nn

from classifier.model.audio_format import AudioFormat
from classifier.model.checkpoint import Checkpoint, read_checkpoint
from classifier.model.classifier import ClipClassifier, NetworkShape
from classifier.model.log_mel import mel_filter_bank
from classifier.model.resnet9 import widths_from
from classifier.workers.pool import DecodePool
from storage.home.checkpoint_folder import CheckpointFolder
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.examples import Example
from trainer.evaluation.significance import Comparison
from trainer.promotion.compare_active import HeldOut, compare, read_active
from trainer.promotion.rule import Active, Incomparable

ACTIVE_FORMAT = AudioFormat(8000, 0.5, n_fft=256, hop_length=64, n_mels=16, max_hz=4000.0)
CANDIDATE_HEARS = AudioFormat(16_000, 0.25, n_fft=512, hop_length=128, n_mels=24, max_hz=8000.0)
LABELS = ("bell", "dog", "rain")
TRAINED_DIGEST = "0" * 64  # the digest of a file that the active checkpoint was trained on
CPU = torch.device("cpu")

OpenPool = Callable[[], AbstractContextManager[DecodePool[int]]]


@pytest.fixture(scope="module")
def open_pool() -> Iterator[OpenPool]:
    """One pool for all tests, which closing does not close."""
    with DecodePool[int](workers=1, timeout_seconds=20) as pool:
        yield lambda: nullcontext(pool)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, open_pool: OpenPool) -> Dataset:
    """Four tones of each label, WAV and FLAC of two rates, in the candidate's audio format."""
    folder, examples = tmp_path_factory.mktemp("sounds"), []
    for number in range(12):
        suffix, rate_hz = (("wav", 22_050), ("flac", 12_000))[number % 2]
        time = np.arange(rate_hz) / rate_hz
        path = folder / f"{number}.{suffix}"
        hz = 300 * (1 + number % 3) + 20 * number
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * hz * time), rate_hz)
        examples.append(Example(path, LABELS[number % 3], group=f"group{number}"))
    with open_pool() as pool:
        return load_dataset(examples, CANDIDATE_HEARS, pool, CPU)


@pytest.fixture(scope="module")
def active(dataset: Dataset, open_pool: OpenPool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that knows every tone, in an audio format and an order of its own.

    It says that it was trained on another file.
    """
    labels = ("rain", "bell", "dog")
    with open_pool() as pool:
        decoded = load_dataset(dataset.examples, ACTIVE_FORMAT, pool, CPU)
    wanted = torch.tensor([labels.index(example.label) for example in decoded.examples])
    model = trained_model(labels, decoded, wanted[decoded.recording])
    folder = tmp_path_factory.mktemp("active")
    return saved(folder, model, {"recording_digests": [TRAINED_DIGEST]})


def trained_model(labels: Sequence[str], dataset: Dataset, wanted: Tensor) -> ClipClassifier:
    """A network of random convolutions whose last layer is solved for the `wanted` answers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape = NetworkShape(widths_from(8))
        model = ClipClassifier(labels, ACTIVE_FORMAT, shape, mel_filter_bank(ACTIVE_FORMAT)).eval()
    layer = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    inputs: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with torch.inference_mode():
        model(dataset.audio(torch.arange(len(wanted))))
    handle.remove()
    features = torch.cat([inputs[0], torch.ones(len(wanted), 1)], dim=1).double()
    targets = 20 * nn.functional.one_hot(wanted, len(labels)).double()
    solution = torch.linalg.lstsq(features, targets, driver="gelsd").solution.float()
    layer.weight.data, layer.bias.data = solution[:-1].T.contiguous(), solution[-1].contiguous()
    return model


def saved(folder: Path, model: ClipClassifier, training: dict[str, object]) -> Path:
    now, labels = datetime(2026, 1, 2, tzinfo=UTC), ("rain", "bell", "dog")
    return save_checkpoint(folder, model, labels, NetworkShape(widths_from(8)), training, now)


@dataclass
class ComparisonSetup:
    """`compare(held_out)`: the comparison of its answers with those of the active checkpoint."""

    active: Path
    dataset: Dataset
    open_pool: OpenPool

    def compare(
        self, held_out: HeldOut, groups: Sequence[str] | None = None, active: Path | None = None
    ) -> Comparison:
        groups = groups or [example.group for example in self.dataset.examples]
        return compare(active or self.active, held_out, self.dataset, groups, self.open_pool, CPU)

    def with_training(self, folder: Path, training: dict[str, object]) -> Path:
        """The active checkpoint with other training facts."""
        return saved(folder, read_checkpoint(self.active).build(), training)


@pytest.fixture
def comparison_setup(active: Path, dataset: Dataset, open_pool: OpenPool) -> ComparisonSetup:
    return ComparisonSetup(active, dataset, open_pool)


@pytest.fixture
def held_out(dataset: Dataset) -> HeldOut:
    """All recordings, of which the candidate calls the first, a bell, a dog."""
    answers = dataset.truth.numpy().copy()
    answers[0] = 1
    return HeldOut(LABELS, range(12), np.eye(3, dtype=np.float32)[answers])


def test_the_active_checkpoint_answers_in_its_own_format_and_order(
    comparison_setup: ComparisonSetup, held_out: HeldOut
) -> None:
    comparison = comparison_setup.compare(held_out)
    assert comparison.of_active == 1.0
    assert 0.8 < comparison.of_candidate < 1.0
    assert (comparison.n_recordings, comparison.n_groups, comparison.n_labels) == (12, 12, 3)


def test_scores_stay_with_their_recordings_in_any_order(
    comparison_setup: ComparisonSetup, held_out: HeldOut
) -> None:
    turned = replace(held_out, positions=range(11, -1, -1), told_scores=held_out.told_scores[::-1])
    assert comparison_setup.compare(turned) == comparison_setup.compare(held_out)


def test_what_either_was_trained_on_is_left_out(
    comparison_setup: ComparisonSetup, held_out: HeldOut, tmp_path: Path
) -> None:
    digests = comparison_setup.dataset.digests
    active = comparison_setup.with_training(
        tmp_path, {"recording_digests": [digests[0], digests[1]]}
    )
    comparison = comparison_setup.compare(
        replace(held_out, trained_on=frozenset({digests[2]})), active=active
    )
    assert comparison.n_recordings == 9
    assert comparison.of_candidate == 1.0  # its one error was on what the active one was trained on


def test_relatives_of_training_recordings_are_left_out_as_well(
    comparison_setup: ComparisonSetup, held_out: HeldOut
) -> None:
    groups = ["long", "long", "long", *(f"group{n}" for n in range(9))]
    trained_on = frozenset({comparison_setup.dataset.digests[1]})
    assert (
        comparison_setup.compare(replace(held_out, trained_on=trained_on), groups).n_recordings == 9
    )


def test_a_label_that_only_one_knows_is_left_out(
    comparison_setup: ComparisonSetup, held_out: HeldOut
) -> None:
    comparison = comparison_setup.compare(replace(held_out, labels=("bell", "dog", "frog")))
    assert (comparison.n_recordings, comparison.n_labels) == (8, 2)


def test_five_groups_are_the_least(comparison_setup: ComparisonSetup, held_out: HeldOut) -> None:
    few = replace(held_out, positions=range(5), told_scores=held_out.told_scores[:5])
    assert comparison_setup.compare(few).n_recordings == 5
    with pytest.raises(Incomparable, match="whose label both know: 4, and it takes 5"):
        comparison_setup.compare(
            replace(few, positions=range(4), told_scores=held_out.told_scores[:4])
        )


def test_one_long_recording_is_one_group(
    comparison_setup: ComparisonSetup, held_out: HeldOut
) -> None:
    with pytest.raises(Incomparable, match="know: 1, and it takes 5"):
        comparison_setup.compare(held_out, groups=["long"] * 12)


def test_without_validation_nothing_is_comparable(
    comparison_setup: ComparisonSetup, held_out: HeldOut
) -> None:
    with pytest.raises(Incomparable, match="know: 0, and it takes 5"):
        comparison_setup.compare(
            replace(held_out, positions=(), told_scores=held_out.told_scores[:0])
        )


@pytest.mark.parametrize("training", [{}, {"recording_digests": []}, {"recording_digests": 7}])
def test_a_checkpoint_without_training_digests_is_not_compared(
    comparison_setup: ComparisonSetup,
    held_out: HeldOut,
    tmp_path: Path,
    training: dict[str, object],
) -> None:
    active = comparison_setup.with_training(tmp_path, training)
    with pytest.raises(Incomparable, match=f"{active.stem} does not say what it was trained on"):
        comparison_setup.compare(held_out, active=active)


def test_a_refused_checkpoint_is_not_compared(
    comparison_setup: ComparisonSetup, held_out: HeldOut, tmp_path: Path
) -> None:
    broken = tmp_path / "20260102T000000Z-00000000.safetensors"
    broken.write_bytes(b"no weights")
    with pytest.raises(Incomparable, match=r"00000000\.safetensors refused: not a whole"):
        comparison_setup.compare(held_out, active=broken)


def test_too_little_memory_loses_the_comparison_only(
    comparison_setup: ComparisonSetup, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        torch.empty(2**60)

    monkeypatch.setattr("trainer.promotion.compare_active.answer_recordings", exhausted)
    with pytest.raises(Incomparable, match="cpu has too little memory"):
        comparison_setup.compare(held_out)


def test_nothing_is_compared_where_all_files_went(
    comparison_setup: ComparisonSetup, held_out: HeldOut
) -> None:
    gone = Path("/gone")
    examples = tuple(
        replace(each, path=gone / each.path.name) for each in comparison_setup.dataset.examples
    )
    comparison_setup.dataset = replace(comparison_setup.dataset, examples=examples)
    with pytest.raises(Incomparable, match="too few independent recordings"):
        comparison_setup.compare(held_out)


def test_a_parent_without_training_digests_proves_nothing(
    comparison_setup: ComparisonSetup, held_out: HeldOut
) -> None:
    with pytest.raises(Incomparable, match="parent does not say what it was trained on"):
        comparison_setup.compare(replace(held_out, trained_on=None))


def test_an_active_checkpoint_with_unknown_ancestors_proves_nothing(
    comparison_setup: ComparisonSetup, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(path: Path) -> Checkpoint:
        known = read_checkpoint(path)
        training = {**known.description.training, "ancestors_known": False}
        return replace(
            known, description=known.description.model_copy(update={"training": training})
        )

    monkeypatch.setattr("trainer.promotion.compare_active.read_checkpoint", forgetful)
    with pytest.raises(Incomparable, match="does not say what it was trained on"):
        comparison_setup.compare(held_out)


def test_files_that_changed_or_went_meanwhile_are_left_out(
    comparison_setup: ComparisonSetup, held_out: HeldOut, tmp_path: Path
) -> None:
    moved = []
    for example in comparison_setup.dataset.examples:
        shutil.copy(example.path, tmp_path)
        moved.append(replace(example, path=tmp_path / example.path.name))
    comparison_setup.dataset = replace(comparison_setup.dataset, examples=tuple(moved))
    moved[0].path.unlink()
    shutil.copy(moved[3].path, moved[1].path)
    assert comparison_setup.compare(held_out).n_recordings == 10


def test_the_rule_gets_the_facts_of_the_active_checkpoint(active: Path, tmp_path: Path) -> None:
    checkpoint_folder = CheckpointFolder(tmp_path)
    assert read_active(checkpoint_folder) is None
    shutil.copy(active, tmp_path)
    checkpoint_folder.activate(active.stem)
    assert read_active(checkpoint_folder) == Active(active.stem, ("rain", "bell", "dog"))
    checkpoint_folder.path(active.stem).write_bytes(b"no weights")
    broken = read_active(checkpoint_folder)
    assert broken is not None
    assert broken.refusal.startswith(f"checkpoint {active.name} refused: not a whole")


def test_the_starter_is_known_as_one(comparison_setup: ComparisonSetup, tmp_path: Path) -> None:
    starter = comparison_setup.with_training(tmp_path, {"starter": True})
    CheckpointFolder(tmp_path).activate(starter.stem)
    known = read_active(CheckpointFolder(tmp_path))
    assert known is not None
    assert known.is_starter


def test_digests_are_those_of_whole_files(dataset: Dataset) -> None:
    path = dataset.examples[0].path
    assert dataset.digests[0] == hashlib.sha256(path.read_bytes()).hexdigest()
