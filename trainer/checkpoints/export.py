"""Export of a checkpoint: a copy of the file, or an ONNX model for other programs."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from classifier.model.checkpoint import Canary, Checkpoint, read_with_bytes
from classifier.model.classifier import ClipClassifier
from classifier.model.log_mel import LogMel
from storage.home.atomic_write import write_output
from storage.values.distribution import installed_version
from trainer.errors import ExportError

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18  # STFT came with 17; what runs ONNX at all today knows 18


def export_checkpoint(
    source: Path, target: Path, file_format: str, overwrite: bool = False
) -> None:
    """Writes a checkpoint as safetensors or onnx; `target` appears when it is whole.

    As safetensors it is copied byte for byte. Raises ExportError where `target` exists or a
    package is missing, CheckpointError where `source` is invalid, StorageError.
    """
    if target.exists() and not overwrite:
        raise ExportError(f"{target} exists already; choose another name, or --force to replace it")
    checkpoint, data = read_with_bytes(source, remedy="only a sound one can be exported")
    write_output(target, to_onnx(checkpoint) if file_format == "onnx" else data)


def to_onnx(checkpoint: Checkpoint) -> bytes:
    """An ONNX model from `clips` (B, S) to `scores` (B, L), equal to the predictor's.

    Features, normalisation, temperature and softmax, of a multi task sigmoid, are inside; any batch
    size will do. Labels, task, audio format and origin are in its metadata. Raises ExportError
    without the packages.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # torch translates with it
    except ImportError as error:
        raise ExportError(
            f"ONNX needs the package {error.name}, which is not installed;"
            " pip install onnx onnxscript"
        ) from error
    # Two clips: with an example of one, the batch would be taken for a constant.
    example = Canary.clips(0, checkpoint.audio_format.clip_samples)
    with _quiet():
        program = torch.onnx.export(
            _Scorer(checkpoint.build()),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["clips"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _remove_source_lines(model)
    model.producer_name, model.producer_version = "clfd", installed_version() or "unknown"
    onnx.helper.set_model_props(model, onnx_metadata(checkpoint))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()  # type: ignore[no-any-return]


def onnx_metadata(checkpoint: Checkpoint) -> dict[str, str]:
    """Labels, audio format, origin and attribution, for programs that use the scores."""
    audio, training = checkpoint.audio_format, checkpoint.description.training
    facts: dict[str, Any] = {
        "labels": json.dumps(checkpoint.labels, ensure_ascii=False),
        "task": checkpoint.description.task,
        "sample_rate_hz": audio.sample_rate_hz,
        "clip_samples": audio.clip_samples,
        "clip_seconds": audio.clip_seconds,
        "checkpoint": checkpoint.name,
        "digest": checkpoint.digest,
        "attribution": training.get("attribution"),
        "license": training.get("license"),
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


class _Scorer(nn.Module):
    """What an exporter takes is a module's `forward`."""

    def __init__(self, model: ClipClassifier) -> None:
        super().__init__()
        self.model = model
        self.model.logmel = _PortableLogMel(model.logmel.audio_format, model.logmel.bank)

    def forward(self, clips: Tensor) -> Tensor:
        return self.model.scores(clips)


class _PortableLogMel(LogMel):
    """The same features by `torch.stft`, which ONNX knows as one operator.

    What serves goes through memory piece by piece, which would tie the model to one batch size.
    """

    def forward(self, clips: Tensor) -> Tensor:
        spectrum = torch.stft(
            clips,
            self.audio_format.n_fft,
            self.audio_format.hop_length,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        power = torch.view_as_real(spectrum).square().sum(-1)
        return self._decibels(self.bank @ power)


def _remove_source_lines(model: ModelProto) -> None:
    """Each node remembers the lines of code that made it, with this machine's paths."""
    for node in model.graph.node:
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter, whose warnings are for its own developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
