"""Checkpoint files for tests, in any folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from classifier.checkpoint import SUFFIX, encode_checkpoint


def save_checkpoint(folder: Path, *what: Any, **more: Any) -> Path:
    """Writes what `encode_checkpoint` makes of these arguments; the path of the file."""
    name, data = encode_checkpoint(*what, **more)
    path = folder / f"{name}{SUFFIX}"
    path.write_bytes(data)
    return path
