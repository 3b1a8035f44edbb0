"""Checkpoint files for tests, in any folder."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from classifier.checkpoint import SUFFIX, encode_checkpoint


def save_checkpoint(folder: Path, *what: Any, **more: Any) -> Path:
    """Writes what `encode_checkpoint` makes of these arguments; the path of the file."""
    name, data = encode_checkpoint(*what, **more)
    path = folder / f"{name}{SUFFIX}"
    path.write_bytes(data)
    return path


def forge_checkpoint(
    source: Path, path: Path, tensors: Mapping[str, Tensor | None] | None = None, **fields: object
) -> Path:
    """Writes `source` to `path` with other tensors or metadata; None leaves one out."""
    data = source.read_bytes()
    new = {**safetensors.torch.load(data), **(tensors or {})}
    written = {key: json.dumps(value) for key, value in fields.items() if value is not None}
    metadata = {k: v for k, v in metadata_of(data).items() if k not in fields} | written
    kept = {key: tensor for key, tensor in new.items() if tensor is not None}
    path.write_bytes(safetensors.torch.save(kept, metadata))
    return path


def metadata_of(data: bytes) -> dict[str, str]:
    return json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]
