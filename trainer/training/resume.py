"""Saved state of a training run, so that it can be resumed: no pickle here either.

A run may train several networks, one for each fold and the one that is published. Each has a file
of its own with the state after its last saved epoch.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from classifier.model.checkpoint_facts import MAX_FILE_BYTES
from storage.errors import StorageError
from storage.home.atomic_write import write_whole
from storage.home.paths import FILE_MODE, make_folder
from storage.home.safe_open import lock_folder, read_plain
from trainer.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trainer.errors import TrainerError

SAVE_SECONDS = 5.0  # an epoch may take 50 ms, and writing as long
STALE_SECONDS = 30 * 86_400.0
KEY_LETTERS = 16
# Network, its average and two moments for each weight: four checkpoints, and what is said of them.
MAX_STATE_BYTES = 5 * MAX_FILE_BYTES


@dataclass(frozen=True)
class SavedState:
    """Tensors and plain facts of one network after an epoch."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


@dataclass
class RunStage:
    """The file of one network; without a path nothing is saved.

    Where it cannot be written, `print_line` gets a line, once for each
    network, and training continues.
    """

    path: Path | None = None
    print_line: Callable[[str], None] = lambda _: None
    _saved_at: float = field(default_factory=time.monotonic)

    def load(self) -> SavedState | None:
        """The state to continue from; None without a file, or where it is damaged."""
        if self.path is None:
            return None
        try:
            data = read_plain(self.path, MAX_STATE_BYTES)
            tensors = safetensors.torch.load(data)
            header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
            return SavedState(tensors, json.loads(header["__metadata__"]["facts"]))
        except (OSError, SafetensorError, ValueError, KeyError, struct.error):
            return None  # of another version, damaged, no file: the epochs are made again

    def is_due(self, is_last: bool) -> bool:
        return self.path is not None and (
            is_last or time.monotonic() - self._saved_at >= SAVE_SECONDS
        )

    def save(self, saved: SavedState) -> None:
        assert self.path is not None
        tensors = {name: each.detach().cpu().contiguous() for name, each in saved.tensors.items()}
        data = safetensors.torch.save(tensors, {"facts": json.dumps(saved.facts)})
        try:
            write_whole(self.path, data, FILE_MODE)
        except StorageError as error:
            self.print_line(f"training goes on, but could not be resumed from here: {error}")
            self.path = None
        self._saved_at = time.monotonic()


NO_RESUME = RunStage()


@dataclass(frozen=True)
class RunState:
    """The folder of one run."""

    folder: Path
    print_line: Callable[[str], None] = lambda _: None

    def stage(self, name: str) -> RunStage:
        return RunStage(self.folder / f"{name}.safetensors", self.print_line)

    def has_begun(self) -> bool:
        return any(self.folder.glob("*.safetensors"))


@contextmanager
def open_run_state(
    runs: Path,
    run: Mapping[str, Any],
    resume: bool,
    print_line: Callable[[str], None] = lambda _: None,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> Iterator[RunState]:
    """The state of this very run in the folder `runs`; it is removed when the run succeeds.

    `run` is everything that decides about the result, as JSON: another recipe or other labels are
    another run. Without `resume` an earlier state is removed. Of several processes the main one
    saves. `print_line` gets a line where it cannot. Raises TrainerError where the same run is
    under way elsewhere.
    """
    key = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()[:KEY_LETTERS]
    folder = runs / key
    if not process_group.is_main_process:
        yield RunState(folder)
        return
    make_folder(folder)
    try:
        lock = lock_folder(folder, wait=False)
    except BlockingIOError as error:
        raise TrainerError(
            f"the same training is under way in another process (it holds {folder}); "
            "wait for it, or stop it first"
        ) from error
    try:
        if not resume:
            for file in folder.iterdir():
                file.unlink()
        _remove_stale(runs, folder)
        yield RunState(folder, print_line)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _remove_stale(runs: Path, own: Path) -> None:
    """Removes runs that nobody resumed for a month."""
    for folder in runs.iterdir():
        with suppress(FileNotFoundError):  # another training ended meanwhile
            if folder != own and time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
