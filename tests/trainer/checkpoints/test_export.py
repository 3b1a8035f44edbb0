"""Export as ONNX: what another program answers is what the daemon answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from checkpoint_files import save_checkpoint

from classifier.inference.predictor import Predictor
from classifier.model.audio_format import AudioFormat
from classifier.model.checkpoint import Checkpoint, read_checkpoint
from classifier.model.classifier import ClipClassifier, NetworkShape
from classifier.model.log_mel import mel_filter_bank
from classifier.model.resnet9 import widths_from
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from trainer.checkpoints.export import export_checkpoint, to_onnx
from trainer.errors import ExportError

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 1, 2, tzinfo=UTC)
LABELS = ("bell", "dog", "雨")
TOLERANCE = 1e-4
FACTS = {"attribution": "Three Sounds by A. Recordist", "license": "CC BY 3.0"}

Samples = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def rich_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with all that a network can have switched on, its bands normalised, not too sure."""
    options = {field.name: True for field in fields(NetworkShape) if field.type == "bool"}
    shape = NetworkShape(widths_from(4), **options)
    audio_format = AudioFormat(8000, 0.5, n_fft=256, hop_length=64, n_mels=16, max_hz=4000.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ClipClassifier(LABELS, audio_format, shape, mel_filter_bank(audio_format))
        model.network.head[-1].weight.data *= 20
    model.band_mean.fill_(-60)
    model.band_std.fill_(20)
    model.temperature = 1.7
    folder = tmp_path_factory.mktemp("exported")
    return save_checkpoint(folder, model, LABELS, shape, FACTS, NOW)


@pytest.fixture(scope="module")
def checkpoint(rich_checkpoint: Path) -> Checkpoint:
    return read_checkpoint(rich_checkpoint)


@pytest.fixture(scope="module")
def command(
    rich_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> subprocess.CompletedProcess[str]:
    """`clfd checkpoints export`, which made out.onnx in the folder it was called in."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.create()
    CheckpointFolder(home.checkpoints).put(rich_checkpoint.stem, rich_checkpoint.read_bytes())
    words = ["checkpoints", "export", "2026", "-o", "out.onnx", "--home", str(home.root)]
    return subprocess.run(
        [sys.executable, "-m", "clfd", *words],
        cwd=home.root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def model(command: subprocess.CompletedProcess[str]) -> bytes:
    return Path(command.args[-1], "out.onnx").read_bytes()


@pytest.fixture(scope="module")
def session(model: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model)


@pytest.fixture(scope="module")
def clips(noise: Samples, tone: Samples) -> np.ndarray:
    """Loud and soft noise, a tone, a click and silence (5, S)."""
    click = np.zeros(4000, np.float32)
    click[2000] = 1.0
    return np.stack(
        [noise(0.5), noise(0.5, seed=1) / 100, tone(1000.0, 0.5), click, np.zeros_like(click)]
    )


@pytest.mark.parametrize("n_clips", [1, 2, 5])
def test_another_program_gives_the_predictors_scores(
    checkpoint: Checkpoint,
    session: onnxruntime.InferenceSession,
    clips: np.ndarray,
    n_clips: int,
) -> None:
    (scores,) = session.run(["scores"], {"clips": clips[:n_clips]})
    expected = Predictor(checkpoint, torch.device("cpu"), "float32").score(clips[:n_clips])
    assert expected.max() < 0.999  # saturated scores would agree whatever the features
    np.testing.assert_allclose(scores, expected, atol=TOLERANCE)


def test_the_model_says_what_its_numbers_mean(
    checkpoint: Checkpoint, session: onnxruntime.InferenceSession
) -> None:
    message = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(message["labels"])) == LABELS
    assert (message["sample_rate_hz"], message["clip_samples"]) == ("8000", "4000")
    assert (message["checkpoint"], message["digest"]) == (checkpoint.name, checkpoint.digest)
    assert (message["attribution"], message["license"]) == (FACTS["attribution"], FACTS["license"])


def test_any_number_of_clips_will_do(session: onnxruntime.InferenceSession) -> None:
    assert session.get_inputs()[0].shape == ["batch", 4000]
    assert session.get_outputs()[0].shape == ["batch", 3]


def test_the_model_holds_nothing_about_the_machine_that_made_it(model: bytes) -> None:
    assert os.fsencode(ROOT) not in model


def test_without_the_packages_it_says_what_to_install(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ExportError, match="pip install onnx onnxscript"):
        to_onnx(checkpoint)


def test_nothing_is_written_where_it_fails(
    checkpoint_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExportError):
        export_checkpoint(checkpoint_file, tmp_path / "out.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_one_line(
    command: subprocess.CompletedProcess[str],
    checkpoint: Checkpoint,
    session: onnxruntime.InferenceSession,
) -> None:
    assert (command.returncode, command.stdout) == (0, "")
    assert command.stderr == f"{checkpoint.name} is in out.onnx, as onnx\n"
    assert session.get_inputs()[0].name == "clips"
