from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from checkpoint_files import forge_checkpoint, metadata_of, save_checkpoint
from torch import Tensor

import classifier
from classifier.errors import CheckpointError
from classifier.inference.predictor import Predictor
from classifier.model.checkpoint import Canary, Checkpoint, Threshold, read_checkpoint
from classifier.model.classifier import ClipClassifier

PACKAGE = Path(classifier.__file__).parent
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HEAD = "network.head.2.weight"


@pytest.fixture
def forged(checkpoint_file: Path, tmp_path: Path) -> Callable[..., Path]:
    """`forged(tensors, **fields)`: the checkpoint with other tensors or metadata; None removes."""

    def forge(tensors: dict[str, Tensor | None] | None = None, **fields: object) -> Path:
        path = tmp_path / "forged.safetensors"
        return forge_checkpoint(checkpoint_file, path, tensors, **fields)

    return forge


THRESHOLD = Threshold(
    threshold=0.4,
    precision=0.95,
    precision_low=0.9,
    recall=0.5,
    n_examples=40,
    n_found=21,
    rests_on="validation",
)


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    return str(caught.value)


def save_again(
    checkpoint: Checkpoint, folder: Path, weights_dtype: torch.dtype = torch.float32
) -> Path:
    about = checkpoint.description
    return save_checkpoint(
        folder, checkpoint.build(), about.labels, about.network, about.training, NOW, weights_dtype
    )


# Round trip


def test_a_checkpoint_comes_back_as_it_was_saved(checkpoint_file: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(checkpoint_file)
    again = read_checkpoint(save_again(checkpoint, tmp_path))
    assert again.description == checkpoint.description
    assert again.labels == ("bell", "dog", "rain")
    assert again.tensors.keys() == checkpoint.tensors.keys()
    for name, tensor in checkpoint.tensors.items():
        torch.testing.assert_close(again.tensors[name], tensor, rtol=0, atol=0)


def test_a_checkpoint_is_named_after_its_time_and_digest(checkpoint_file: Path) -> None:
    digest = hashlib.sha256(checkpoint_file.read_bytes()).hexdigest()
    checkpoint = read_checkpoint(checkpoint_file)
    assert checkpoint_file.name == f"20260102T030405Z-{digest[:8]}.safetensors"
    assert (checkpoint.name, checkpoint.digest) == (checkpoint_file.stem, digest)


def test_normalisation_and_temperature_travel_inside(checkpoint_file: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(checkpoint_file)
    model = checkpoint.build()
    model.band_mean.fill_(-40.0)
    model.band_std.fill_(12.0)
    model.temperature = 1.5
    path = save_checkpoint(
        tmp_path, model, checkpoint.labels, checkpoint.description.network, {}, NOW
    )
    built = read_checkpoint(path).build()
    assert (built.band_mean[0], built.band_std[0], built.temperature) == (-40.0, 12.0, 1.5)


def of_several_labels(checkpoint_file: Path) -> ClipClassifier:
    about = read_checkpoint(checkpoint_file).description
    single = read_checkpoint(checkpoint_file).build()
    model = ClipClassifier(
        about.labels, about.audio_format, about.network, single.logmel.bank, "multi"
    )
    model.network.load_state_dict(single.network.state_dict())
    model.calibrate([0.5, 1.0, 2.0])
    return model.eval()


def test_task_temperatures_and_thresholds_travel_inside(
    checkpoint_file: Path, tmp_path: Path
) -> None:
    about = read_checkpoint(checkpoint_file).description
    path = save_checkpoint(
        tmp_path,
        of_several_labels(checkpoint_file),
        about.labels,
        about.network,
        {},
        NOW,
        thresholds={"dog": THRESHOLD},
    )
    found = read_checkpoint(path)
    assert (found.description.task, found.description.thresholds) == ("multi", {"dog": THRESHOLD})
    assert found.build().label_temperatures.tolist() == [0.5, 1.0, 2.0]
    clips = Canary.clips(3, found.audio_format.clip_samples)
    with torch.inference_mode():
        expected = torch.sigmoid(found.build()(clips) / torch.tensor([0.5, 1.0, 2.0]))
    scores = Predictor(found, torch.device("cpu"), "float32").score(clips.numpy())
    assert np.allclose(scores, expected.numpy(), atol=1e-5)


def test_a_checkpoint_that_says_no_task_is_single(forged: Callable[..., Path]) -> None:
    path = forged(task=None, temperatures=None, thresholds=None)
    assert read_checkpoint(path).description.task == "single"


def test_the_bytes_on_disk_may_change_under_a_loaded_checkpoint(
    checkpoint_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / checkpoint_file.name
    path.write_bytes(checkpoint_file.read_bytes())
    checkpoint = read_checkpoint(path)
    before = checkpoint.tensors[HEAD].clone()
    path.write_bytes(bytes(path.stat().st_size))
    torch.testing.assert_close(checkpoint.tensors[HEAD], before, rtol=0, atol=0)


# Refusals


def nested(depth: int) -> dict[str, object]:
    return {"in": nested(depth - 1)} if depth else {}


def test_a_truncated_file_is_refused(checkpoint_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    for kept in (0, 7, 100, -1):
        path.write_bytes(checkpoint_file.read_bytes()[:kept])
        assert "cut.safetensors refused: not a whole safetensors file" in refusal(path)


def test_a_file_that_is_one_byte_too_long_is_refused(checkpoint_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.safetensors"
    path.write_bytes(checkpoint_file.read_bytes() + b"\0")
    assert "not a whole safetensors file" in refusal(path)


class Bomb:
    def __reduce__(self):
        return (os._exit, (66,))


def pickled() -> bytes:
    return pickle.dumps(Bomb())


def saved_by_torch() -> bytes:
    buffer = io.BytesIO()
    torch.save({HEAD: torch.zeros(3)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [pickled, saved_by_torch])
def test_a_renamed_pickle_is_refused_and_never_loaded(
    tmp_path: Path, content: Callable[[], bytes]
) -> None:
    path = tmp_path / "pickle.safetensors"
    path.write_bytes(content())
    assert "not a whole safetensors file" in refusal(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "gone.safetensors refused: it cannot be read (No such file" in refusal(
        tmp_path / "gone.safetensors"
    )


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        ({HEAD: torch.full((3, 32), torch.nan)}, f"tensor {HEAD} holds values that are no numbers"),
        ({HEAD: torch.full((3, 32), torch.inf)}, f"tensor {HEAD} holds values that are no numbers"),
        ({HEAD: torch.zeros(4, 32)}, rf"tensor {HEAD} has shape \(4, 32\), .* \(3, 32\)"),
        ({HEAD: None}, f"tensor {HEAD} is missing"),
        ({"mel_bank": None}, "tensor mel_bank is missing"),
        ({"mel_bank": torch.zeros(16, 7)}, r"tensor mel_bank has shape \(16, 7\)"),
        ({"band_std": torch.zeros(16)}, "tensor band_std holds values that are not positive"),
        ({"stowaway": torch.zeros(1)}, "tensor stowaway does not belong to this network"),
    ],
    ids=["nan", "infinite", "shape", "missing", "bank", "bank-shape", "std", "extra"],
)
def test_a_wrong_tensor_is_refused_by_name(
    forged: Callable[..., Path], tensors: dict[str, Tensor | None], complaint: str
) -> None:
    assert re.search(complaint, refusal(forged(tensors)))


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("labels", None, "field labels: Field required"),
        ("labels", [], "field labels: "),
        ("labels", "dog", "field labels: "),
        ("labels", ["dog", ""], "field labels.1: "),
        ("labels", ["dog", "dog", "rain"], "field labels: .*twice"),
        ("labels", ["dog", "rain"], f"tensor {HEAD}|field canary.scores"),
        ("format_version", None, "field format_version is missing: not written by clfd"),
        ("format_version", 2, "field format_version: "),
        ("audio_format", None, "field audio_format: "),
        ("audio_format", {"sample_rate_hz": 1}, "audio format field sample_rate_hz = 1"),
        ("audio_format", {"clip_seconds": float("inf")}, "audio format field clip_seconds = inf"),
        ("audio_format", {"loudness": 1}, "field audio_format.loudness: "),
        ("network", {"widths": [4, 8, 16]}, "field network.widths.3: "),
        ("network", {"widths": [-1, 8, 16, 32]}, "network field widths = "),
        ("network", {"widths": [10**18] * 4}, "network field widths = "),
        ("network", {"widths": [4, 8, 16, 64]}, "tensor network.stages.4.0.weight has shape"),
        ("temperature", 0, "field temperature: "),
        ("temperature", float("nan"), "field temperature: "),
        ("task", "several", "field task: "),
        ("temperatures", [1.0], "field temperatures: .*not one for each label"),
        ("temperatures", [1.0, 0.0, 1.0], "field temperatures.1: "),
        ("thresholds", {"owl": THRESHOLD.model_dump()}, "field thresholds: .*of no label"),
        ("thresholds", {"dog": {"threshold": 2}}, "field thresholds.dog.threshold: "),
        ("canary", {"seed": -1, "scores": [[1, 0, 0]] * 2}, "field canary.seed: "),
        ("canary", {"seed": 0, "scores": [[1, 0, 0], [1]]}, "field canary.scores: "),
        ("canary", {"seed": 0, "scores": [[float("nan")] * 3] * 2}, "field canary.scores.0.0: "),
        ("training", [], "field training: "),
        ("training", {"note": "\ud800"}, "field training cannot be written again"),
        ("training", {"at": nested(300)}, "field training cannot be written again"),
        ("mood", "good", "field mood: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_field_is_refused_by_name(
    forged: Callable[..., Path], field: str, value: object, complaint: str
) -> None:
    assert re.search(complaint, refusal(forged(**{field: value})))


@pytest.mark.parametrize("text", ["[" * 100_000, f'{{"x": {"1" * 5000}}}', "{", '{"x": NaN'])
def test_metadata_that_no_parser_takes_is_refused(
    checkpoint_file: Path, tmp_path: Path, text: str
) -> None:
    data = checkpoint_file.read_bytes()
    metadata = metadata_of(data) | {"training": text}
    path = tmp_path / "odd.safetensors"
    path.write_bytes(safetensors.torch.save(safetensors.torch.load(data), metadata))
    assert "its metadata is not JSON" in refusal(path)


def test_an_audio_format_beyond_all_memory_is_refused_before_it_is_tried(
    forged: Callable[..., Path],
) -> None:
    line = refusal(
        forged(audio_format={"sample_rate_hz": 768_000, "clip_seconds": 60, "hop_length": 1})
    )
    assert re.search(r"field audio_format\.\w+: it needs about [\d.]+ GiB .* limit .* GiB", line)


def test_what_nobody_foresaw_is_a_refusal_too(
    checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_(*_: object) -> None:
        raise OverflowError("too\nlarge " * 100)

    monkeypatch.setattr("classifier.model.checkpoint._check_values", raise_)
    assert re.search(r"refused: (too large )+t?o?o?…; train again", refusal(checkpoint_file))


def test_a_checkpoint_that_forgot_its_canary_is_not_served(forged: Callable[..., Path]) -> None:
    path = forged(canary={"seed": 0, "scores": [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]})
    with pytest.raises(CheckpointError, match=r"forged does not repeat its canary .*off by"):
        Predictor(read_checkpoint(path), torch.device("cpu"))


def test_one_changed_weight_matrix_is_caught_by_the_canary(forged: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match="canary"):
        Predictor(read_checkpoint(forged({HEAD: torch.zeros(3, 32)})), torch.device("cpu"))


def test_weights_that_overflow_are_not_served(forged: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match=r"gives scores of no use; train again"):
        Predictor(read_checkpoint(forged({HEAD: torch.full((3, 32), 3e38)})), torch.device("cpu"))


def test_a_refusal_is_one_line_with_a_remedy(forged: Callable[..., Path]) -> None:
    line = refusal(forged(labels=None))
    assert "\n" not in line
    assert line.endswith("train again, or activate another one")


# Rounded weights


@pytest.fixture
def rounded(checkpoint_file: Path, tmp_path: Path) -> Checkpoint:
    return read_checkpoint(save_again(read_checkpoint(checkpoint_file), tmp_path, torch.bfloat16))


def test_rounded_weights_take_half_the_room(checkpoint_file: Path, tmp_path: Path) -> None:
    whole = safetensors.torch.load(checkpoint_file.read_bytes())
    path = save_again(read_checkpoint(checkpoint_file), tmp_path, torch.bfloat16)
    halved = safetensors.torch.load(path.read_bytes())
    assert halved[HEAD].nbytes == whole[HEAD].nbytes / 2
    assert path.stat().st_size < 0.75 * checkpoint_file.stat().st_size


def test_the_canary_is_that_of_the_rounded_weights(rounded: Checkpoint) -> None:
    canary = rounded.description.canary
    clips = canary.clips(canary.seed, rounded.audio_format.clip_samples)
    scores = Predictor(rounded, torch.device("cpu"), "float32").score(clips.numpy())
    np.testing.assert_allclose(scores, canary.scores, atol=1e-6)


def test_features_and_batch_statistics_are_never_rounded(
    checkpoint_file: Path, tmp_path: Path
) -> None:
    checkpoint = read_checkpoint(checkpoint_file)
    thirds = {
        name: torch.full_like(tensor, 1 / 3)
        for name, tensor in checkpoint.tensors.items()
        if tensor.ndim == 1 or name == "mel_bank"
    }
    odd = Checkpoint(
        checkpoint.name, checkpoint.digest, checkpoint.description, {**checkpoint.tensors, **thirds}
    )
    again = read_checkpoint(save_again(odd, tmp_path, torch.bfloat16))
    for name, tensor in thirds.items():
        torch.testing.assert_close(again.tensors[name], tensor, rtol=0, atol=0)


def test_saving_leaves_the_network_in_hand_as_it_is(checkpoint_file: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(checkpoint_file)
    model = checkpoint.build()
    about = checkpoint.description
    save_checkpoint(tmp_path, model, about.labels, about.network, {}, NOW, torch.bfloat16)
    weight = model.network.state_dict()[HEAD.removeprefix("network.")]
    torch.testing.assert_close(weight, checkpoint.tensors[HEAD], rtol=0, atol=0)


# What serving does without


def test_serving_imports_neither_librosa_nor_a_compiler(checkpoint_file: Path) -> None:
    script = """
import sys
from pathlib import Path
import numpy, torch
from classifier.audio import decode
from classifier.workers import pool
from classifier.model.checkpoint import read_checkpoint
from classifier.inference.predictor import Predictor
predictor = Predictor(read_checkpoint(Path(sys.argv[1])), torch.device("cpu"))
predictor.score(numpy.zeros((1, 4000), numpy.float32))
unused = {"librosa", "numba", "pandas", "matplotlib", "sklearn", "torch._dynamo"}
print(sorted(unused & sys.modules.keys()))
"""
    command = [sys.executable, "-c", script, checkpoint_file]
    run = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_no_source_of_ours_loads_a_pickle() -> None:
    forbidden = re.compile(
        r"\b(import|from) pickle|joblib|allow_pickle|(?<!safetensors\.)torch\.load\b"
    )
    folders = ("classifier", "daemon", "storage", "trainer")
    sources = [path for folder in folders for path in (PACKAGE.parent / folder).rglob("*.py")]
    assert [path for path in sources if forbidden.search(path.read_text())] == []
