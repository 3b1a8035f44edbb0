"""A checkpoint that may come from anywhere made ready to score, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import torch

from classifier.errors import CheckpointError, ClassifierError, DeviceBusyError
from classifier.inference.device import first_line, is_out_of_memory
from classifier.inference.predictor import Predictor
from classifier.model.checkpoint import Checkpoint, read_checkpoint


def load_predictor(
    path: Path, device: torch.device, precision: str = "auto", n_threads: int = 0
) -> Predictor:
    """A checkpoint file ready to serve. Raises as `prepare`."""
    return prepare(read_checkpoint(path), device, precision, n_threads)


def prepare(
    checkpoint: Checkpoint, device: torch.device, precision: str = "auto", n_threads: int = 0
) -> Predictor:
    """A predictor for a checkpoint that may come from anywhere.

    Raises DeviceBusyError where the device has no memory for it now, and CheckpointError where it
    cannot be served for any other reason.
    """
    try:
        return Predictor(checkpoint, device, precision, n_threads)
    except ClassifierError:
        raise
    except Exception as error:  # nobody can list what torch raises of odd numbers and shapes
        problem = f"checkpoint {checkpoint.name} cannot be prepared on {device}"
        if is_out_of_memory(error):
            raise DeviceBusyError(f"{problem}: too little memory; free some there") from error
        raise CheckpointError(
            f"{problem}: {first_line(error)}; train again, or activate another one"
        ) from error
