"""Networks compiled ahead of time: the folder that keeps them, and how one is taken from it.

A package is machine code, so that it is loaded from a folder only this user can write to, and
from nowhere else. Loading takes milliseconds and needs no compiler.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

KEPT = 4  # packages; that of a checkpoint which is served again is soon made
TIMED_PASSES = 3
COMPILERS = ("c++", "g++", "clang++")

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Order:
    """What a package is compiled from, and for: batches of exactly `n_clips`."""

    digest: str
    precision: str
    n_clips: int

    @property
    def file_name(self) -> str:
        isa = torch.backends.cpu.get_cpu_capability()
        version = torch.__version__
        return f"{self.digest}-{self.precision}-{self.n_clips}-{isa}-{version}.pt2"


class CompiledNetworks:
    """The packages in a folder, which is made where it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, order: Order) -> Network | None:
        """The compiled network; None where there is none, or none that may be trusted."""
        file = self._folder / order.file_name
        if not (_is_mine_alone(self._folder) and _is_mine_alone(file)):
            return None
        try:
            # `torch._inductor.aoti_load_package` does the same once it has loaded the compiler,
            # which takes 4 s.
            loader = torch._C._aoti.AOTIModelPackageLoader(str(file), "model", False, 1, -1)
        except (RuntimeError, AttributeError, TypeError):
            return None
        return lambda batch: loader.run([batch])[0]

    def begin(self, order: Order, checkpoint_file: Path) -> subprocess.Popen[bytes] | None:
        """Starts to compile, in a process that ends by itself; None where that cannot be done."""
        if not can_compile():
            return None
        try:
            self._make_room()
            package = self._folder / order.file_name
            what = (os.getpid(), checkpoint_file, order.precision, order.n_clips, package)
            return subprocess.Popen(
                [sys.executable, "-m", "classifier.compile_network", *map(str, what)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is the daemon's to handle
            )
        except OSError:
            return None

    def _make_room(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        packages = sorted(self._folder.glob("*.pt2"), key=lambda file: file.stat().st_mtime)
        for file in packages[: 1 - KEPT]:
            file.unlink(missing_ok=True)
        for left in self._folder.glob("tmp*"):  # of a compilation that was killed
            shutil.rmtree(left, ignore_errors=True)


def can_compile() -> bool:
    """Whether a C++ compiler is there, by the variable or the names that torch looks for."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS) if name)


def seconds(network: Network, batch: Tensor) -> float:
    """That a pass takes at best; the first one, which is slow, is not counted."""
    times = []
    for _ in range(TIMED_PASSES):
        began = time.perf_counter()
        network(batch)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def _is_mine_alone(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    if stat.S_ISLNK(found.st_mode):
        return False
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
