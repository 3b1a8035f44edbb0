"""The checkpoint file: one safetensors file that describes itself. No pickle anywhere.

Weights, mel filter bank, normalisation and what novelty is measured by are tensors; labels, audio
format, network shape, task, temperature, thresholds, a canary and the training facts are JSON in
the metadata. The file is
read once, and what is checked are the very bytes that are served.
"""

from __future__ import annotations

import copy
import errno
import hashlib
import json
import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import safetensors.torch
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from safetensors import SafetensorError
from torch import Tensor

from classifier.errors import CheckpointError, one_line
from classifier.model.audio_format import AudioFormat
from classifier.model.checkpoint_facts import MAX_FILE_BYTES, CheckpointFacts
from classifier.model.classifier import ClipClassifier, NetworkShape, Task, build_network
from classifier.model.memory import check_memory, memory_limit
from classifier.model.novelty import DISTANCES, Novelty, NoveltyFacts

SUFFIX = ".safetensors"
# Of the header. The digests of a million recordings are half of them; twice as many values take a
# second to parse and some 300 MB.
MAX_VALUES = 2**21
# Of all fields but `training`; 40,000 labels and their canary take 2 MiB. Each wrong value in them
# costs a kilobyte, as an error.
MAX_FIELDS_BYTES = 2 * 2**20
WEIGHTS = "network."
CANARY_CLIPS = 2
CANARY_TOLERANCE = 0.02  # of a probability: other devices and precisions round differently


class Canary(BaseModel):
    """Noise of a known seed, and the scores that the network gave it when it was trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    scores: Annotated[
        tuple[Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], FailFast()], ...],
        FailFast(),
    ]

    @staticmethod
    def clips(seed: int, clip_samples: int) -> Tensor:
        """(CANARY_CLIPS, S); RandomState, because its stream is frozen for all numpy versions."""
        noise = np.random.RandomState(seed).randn(CANARY_CLIPS, clip_samples)
        return torch.from_numpy((0.1 * noise).astype(np.float32))

    @classmethod
    def of(cls, model: ClipClassifier, seed: int = 0) -> Canary:
        clips = cls.clips(seed, model.logmel.audio_format.clip_samples)
        with torch.inference_mode():
            scores = model.scores(clips)
        return cls(seed=seed, scores=tuple(tuple(row) for row in scores.tolist()))


Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Threshold(BaseModel):
    """From which probability on a label is told, and the held-out recordings that it rests on.

    `n_examples` of them bear the label, and `n_found` lie at the threshold or above. `precision` is
    of those, `precision_low` the lower end of its interval (Wilson, 1927).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    threshold: Share
    precision: Share
    precision_low: Share
    recall: Share
    n_examples: Count
    n_found: Count
    rests_on: Literal["out of fold", "validation"]


class Description(BaseModel):
    """The metadata: each field is one JSON value under its name.

    `temperature` is of a single task, `temperatures` (L,) of a multi task; without any they are 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format_version: Literal[1] = 1
    labels: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1), FailFast()
    ]
    audio_format: AudioFormat
    network: NetworkShape
    task: Task = "single"
    temperature: Temperature = 1.0
    temperatures: Annotated[tuple[Temperature, ...], FailFast()] = ()
    thresholds: dict[str, Threshold] = {}
    novelty: NoveltyFacts | None = None
    canary: Canary
    training: dict[str, Any] = {}

    @field_validator("labels")
    @classmethod
    def _are_distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) < len(labels):
            raise ValueError("a label stands there twice")
        return labels

    @field_validator("temperatures")
    @classmethod
    def _are_one_for_each_label(
        cls, temperatures: tuple[float, ...], info: ValidationInfo
    ) -> tuple[float, ...]:
        if temperatures and len(temperatures) != len(info.data.get("labels", temperatures)):
            raise ValueError("not one for each label")
        return temperatures

    @field_validator("thresholds")
    @classmethod
    def _are_of_labels(
        cls, thresholds: dict[str, Threshold], info: ValidationInfo
    ) -> dict[str, Threshold]:
        if thresholds.keys() - set(info.data.get("labels", thresholds)):
            raise ValueError("one of them is of no label")
        return thresholds


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory. `name` is the file's stem, `digest` the SHA-256 of its bytes."""

    name: str
    digest: str
    description: Description
    tensors: Mapping[str, Tensor] = field(repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.description.labels

    @property
    def audio_format(self) -> AudioFormat:
        return self.description.audio_format

    @property
    def facts(self) -> CheckpointFacts:
        about = self.description.model_dump(mode="json", exclude={"labels", "canary"})
        return CheckpointFacts(self.name, self.digest, self.labels, self.audio_format, about)

    @property
    def novelty(self) -> Novelty | None:
        """None: nothing was held out to measure it by, or it was trained before there was any."""
        facts = self.description.novelty
        return None if facts is None else Novelty.of_tensors(facts, self.tensors)

    def build(self) -> ClipClassifier:
        """The module with this checkpoint's weights, on the CPU, in evaluation mode."""
        about = self.description
        model = ClipClassifier(
            about.labels, about.audio_format, about.network, self.tensors["mel_bank"], about.task
        )
        weights = {
            name.removeprefix(WEIGHTS): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(WEIGHTS)
        }
        model.network.load_state_dict(weights, strict=True)
        model.band_mean.copy_(self.tensors["band_mean"])
        model.band_std.copy_(self.tensors["band_std"])
        model.temperature = about.temperature
        if about.temperatures:
            model.label_temperatures.copy_(torch.tensor(about.temperatures))
        return model.eval()


def encode_checkpoint(
    model: ClipClassifier,
    labels: tuple[str, ...],
    shape: NetworkShape,
    training: Mapping[str, Any],
    now: datetime,
    weights_dtype: torch.dtype = torch.float32,
    thresholds: Mapping[str, Threshold] | None = None,
    novelty: Novelty | None = None,
) -> tuple[str, bytes]:
    """The name and the bytes of the file that holds `model`.

    `now` is an aware UTC time and becomes part of the name. `weights_dtype` is what the weights
    of convolutions and of the last layer are rounded to; half as wide, the file is half as large.
    Features and batch statistics stay as they are: they are few, and range over decades.
    """
    model = _rounded(model.eval().cpu(), weights_dtype)
    description = Description(
        labels=labels,
        audio_format=model.logmel.audio_format,
        network=shape,
        task=model.task,
        temperature=model.temperature,
        temperatures=tuple(model.label_temperatures.tolist()) if model.task == "multi" else (),
        thresholds=dict(thresholds or {}),
        novelty=None if novelty is None else novelty.facts,
        canary=Canary.of(model),
        training=dict(training),
    )
    fields = description.model_dump(mode="json")
    metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in fields.items()}
    tensors = _tensors(model, weights_dtype) | (novelty.tensors if novelty else {})
    data = safetensors.torch.save(tensors, metadata)
    return f"{now:%Y%m%dT%H%M%SZ}-{hashlib.sha256(data).hexdigest()[:8]}", data


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads and checks a checkpoint.

    Raises CheckpointError naming the file and the field where anything about it is wrong.
    """
    return read_with_bytes(path, remedy="train again, or activate another one")[0]


def read_with_bytes(path: Path, remedy: str) -> tuple[Checkpoint, bytes]:
    """A checkpoint and the very bytes that were checked, to be copied. Raises CheckpointError."""
    try:
        data = _read(path)
        return parse_checkpoint(path.stem, data), data
    except Exception as error:  # nobody can list what a file from anywhere may bring about
        reason = one_line(error)
        raise CheckpointError(f"checkpoint {path.name} refused: {reason}; {remedy}") from error


def parse_checkpoint(name: str, data: bytes) -> Checkpoint:
    """Raises CheckpointError, and for a hostile file whatever its parsers raise."""
    try:
        metadata = _metadata(data)
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, struct.error) as error:
        raise CheckpointError(f"not a whole safetensors file ({error})") from error
    description = _description(metadata)
    check_memory(
        description.audio_format, description.network, len(description.labels), CANARY_CLIPS
    )
    rows = description.canary.scores
    if len(rows) != CANARY_CLIPS or any(len(row) != len(description.labels) for row in rows):
        raise CheckpointError("field canary.scores: not one score for each label")
    _check_shapes(description, tensors)
    tensors = {key: tensor.float() for key, tensor in tensors.items()}
    _check_values(tensors)
    return Checkpoint(name, hashlib.sha256(data).hexdigest(), description, tensors)


def open_file(path: Path) -> BufferedReader:
    """For reading, and a file for certain: whoever opens a pipe waits for a writer.

    Raises OSError.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no file", os.fspath(path))
    return os.fdopen(handle, "rb")


def _read(path: Path) -> bytes:
    most = min(MAX_FILE_BYTES, memory_limit() // 2)  # its tensors take as much again
    try:
        with open_file(path) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise CheckpointError(f"it cannot be read ({error.strerror})") from error
    if len(data) > most:
        raise CheckpointError(f"larger than {most} bytes")
    return data


def _metadata(data: bytes) -> dict[str, str]:
    """The fields as JSON, few enough to be parsed."""
    header = data[8 : 8 + struct.unpack("<Q", data[:8])[0]].decode()
    _refuse_many_values(header)
    fields: dict[str, str] = json.loads(header).get("__metadata__", {})
    _refuse_many_values(*fields.values())  # in the header some may have been escaped
    n_letters = sum(len(key) + len(value) for key, value in fields.items() if key != "training")
    if n_letters > MAX_FIELDS_BYTES:
        raise CheckpointError(f"its fields other than training exceed {MAX_FIELDS_BYTES} bytes")
    return fields


def _refuse_many_values(*texts: str) -> None:
    if sum(text.count(sign) for text in texts for sign in ",[{") > MAX_VALUES:
        raise CheckpointError(f"its metadata hold more than {MAX_VALUES} values")


def _description(metadata: Mapping[str, str]) -> Description:
    try:
        fields = {key: json.loads(value) for key, value in metadata.items()}
        if "format_version" not in fields:
            raise CheckpointError("field format_version is missing: not written by clfd")
        description = Description.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"field {place}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:  # no JSON, nested without end, too many digits
        raise CheckpointError(f"its metadata is not JSON ({error})") from error
    _check_storable(description)
    return description


def _check_storable(about: Description) -> None:
    """The ledger and exports write it again: no lone surrogates, nothing nested too deep."""
    for name in Description.model_fields:
        try:
            written = about.model_dump(mode="json", include={name})
            json.dumps(written, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"field {name} cannot be written again ({error})") from error


def _check_shapes(about: Description, tensors: Mapping[str, Tensor]) -> None:
    expected = _expected_shapes(about)
    if odd := sorted(expected.keys() ^ tensors.keys()):
        which = "is missing" if odd[0] in expected else "does not belong to this network"
        raise CheckpointError(f"tensor {odd[0]} {which}")
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            found = tuple(tensors[name].shape)
            raise CheckpointError(f"tensor {name} has shape {found}, its description needs {shape}")
        if tensors[name].is_complex():
            raise CheckpointError(f"tensor {name} holds complex numbers")


def _check_values(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise CheckpointError(f"tensor {name} holds values that are no numbers")
    for name in ("band_std", DISTANCES):
        if name in tensors and not (tensors[name] > 0).all():
            raise CheckpointError(f"tensor {name} holds values that are not positive")


def _expected_shapes(about: Description) -> dict[str, tuple[int, ...]]:
    audio = about.audio_format
    with torch.device("meta"):  # shapes only: a hostile header allocates nothing
        network = build_network(about.network, len(about.labels))
    weights = {WEIGHTS + key: tuple(value.shape) for key, value in network.state_dict().items()}
    features = {
        "mel_bank": (audio.n_mels, audio.n_bins),
        "band_mean": (audio.n_mels,),
        "band_std": (audio.n_mels,),
    }
    novelty = about.novelty.shapes(about.network.widths[-1]) if about.novelty else {}
    return weights | features | novelty


def _rounded(model: ClipClassifier, weights_dtype: torch.dtype) -> ClipClassifier:
    """A copy with the weights that a reader of the file will find, so that its canary is theirs."""
    model = copy.deepcopy(model)
    model.network.load_state_dict(_weights(model, weights_dtype))
    return model


def _weights(model: ClipClassifier, dtype: torch.dtype) -> dict[str, Tensor]:
    weights = model.network.state_dict()
    # Batch statistics, scales and biases have one axis.
    return {key: value.to(dtype) if value.ndim > 1 else value for key, value in weights.items()}


def _tensors(model: ClipClassifier, weights_dtype: torch.dtype) -> dict[str, Tensor]:
    weights = {WEIGHTS + key: value for key, value in _weights(model, weights_dtype).items()}
    features = {
        "mel_bank": model.logmel.bank,
        "band_mean": model.band_mean,
        "band_std": model.band_std,
    }
    return {key: value.contiguous() for key, value in (weights | features).items()}
