"""Networks compiled ahead of time: the folder that keeps them, and how one is taken from it.

A package is machine code, so that it is loaded from a folder only this user can write to, and
from nowhere else. Loading takes milliseconds and needs no compiler.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from classifier.inference.batching import CPU_BATCHES
from classifier.model.checkpoint import CANARY_TOLERANCE
from classifier.workers.process import PACKAGES

KEPT = 4  # packages; that of a checkpoint which is served again is soon made
TIMED_PASSES = 3
COMPILERS = ("c++", "g++", "clang++")
PROCESSORS = Path("/proc/cpuinfo")
CPU_FLAG_KEYS = ("flags", "Features")  # as x86 and ARM call them there

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class CompileKey:
    """What a package is compiled from, and for: batches of exactly `n_clips`."""

    digest: str
    precision: str
    n_clips: int

    @property
    def file_name(self) -> str:
        isa, version = torch.backends.cpu.get_cpu_capability(), torch.__version__
        made_for = f"{isa}-{_abilities()}-{version}"
        return f"{self.digest}-{self.precision}-{self.n_clips}-features-{made_for}.pt2"


class CompiledNetworks:
    """The packages in a folder, which is made where it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: CompileKey) -> Network | None:
        """The compiled network; None where there is none, or none that may be trusted."""
        try:
            with self._opened(key.file_name) as fd:
                # By number: under its name another file may lie by now. What is in
                # `torch._inductor.aoti_load_package` is this, behind 4 s of loading the compiler.
                file = f"/proc/self/fd/{fd}"
                how = "model", False, CPU_BATCHES, -1
                loader = torch._C._aoti.AOTIModelPackageLoader(file, *how)
            _remove_unpacked()
        except (OSError, RuntimeError, AttributeError, TypeError):
            return None
        return lambda batch: loader.run([batch])[0]

    def begin(self, key: CompileKey, checkpoint_file: Path) -> subprocess.Popen[bytes] | None:
        """Starts to compile, in a process that ends by itself; None where that cannot be done."""
        compilers = (os.environ.get("CXX", ""), *COMPILERS)  # as torch looks for them
        if not any(shutil.which(name) for name in compilers if name):
            return None
        try:
            self._make_room()
            package = self._folder / key.file_name
            what = (os.getpid(), checkpoint_file, key.precision, key.n_clips, package)
            return subprocess.Popen(
                [sys.executable, "-m", "classifier.inference.compile_worker", *map(str, what)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=PACKAGES,
                start_new_session=True,  # Ctrl-C is the daemon's to handle
            )
        except OSError:
            return None

    def copy_into(self, folder: Path) -> None:
        """Those that may be trusted, for another daemon of this user; `folder` is made."""
        folder.mkdir(mode=0o700)
        for package in self._folder.glob("*.pt2"):
            with contextlib.suppress(OSError), self._opened(package.name) as fd:
                copy = folder / package.name
                with open(fd, "rb", closefd=False) as source, copy.open("xb") as target:
                    os.fchmod(target.fileno(), 0o600)
                    shutil.copyfileobj(source, target)

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        """A package that nobody but this user can have written; OSError where others could."""
        with (
            _owned_by_user(self._folder, os.O_DIRECTORY) as folder,
            _owned_by_user(name, 0, folder) as file,
        ):
            yield file

    def _make_room(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with _owned_by_user(self._folder, os.O_DIRECTORY):  # and no link to where others' files lie
            packages = sorted(self._folder.glob("*.pt2"), key=lambda file: file.stat().st_mtime)
            for file in packages[: 1 - KEPT]:
                file.unlink(missing_ok=True)
            for left in self._folder.glob("tmp*"):  # of a compilation that was killed
                shutil.rmtree(left, ignore_errors=True)


def is_worthwhile(compiled: Network, eager: Network, probabilities: Network, batch: Tensor) -> bool:
    """Whether a compiled network gives the scores of the eager one, and is faster."""
    try:
        own, other = (probabilities(network(batch)) for network in (eager, compiled))
        is_right = float((own - other).abs().max()) <= CANARY_TOLERANCE
        return is_right and _seconds(compiled, batch) < _seconds(eager, batch)
    except RuntimeError:
        return False


def _seconds(network: Network, batch: Tensor) -> float:
    """Of the fastest pass; the first one, which is slow, is not counted."""
    return min(timeit.repeat(lambda: network(batch), number=1, repeat=TIMED_PASSES)[1:])


@contextlib.contextmanager
def _owned_by_user(path: Path | str, flags: int, folder: int | None = None) -> Iterator[int]:
    """Open, by no link, and looked at afterwards: what was looked at before may be exchanged."""
    how = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags
    fd = os.open(path, how, dir_fd=folder)
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(errno.EPERM, "others can write to it", os.fspath(path))
        yield fd
    finally:
        os.close(fd)


def _remove_unpacked() -> None:
    """What a loader unpacks is in memory by then, and would stay behind if this process is killed.

    It lies in the folder for temporary files, under a name that the loader keeps to itself.
    """
    mapped = Path("/proc/self/maps").read_text()
    for folder in set(re.findall(r"(/.*/aotinductor_\w+)/.*\.so$", mapped, re.MULTILINE)):
        shutil.rmtree(folder, ignore_errors=True)


def _abilities() -> str:
    """A short name for all that this machine's processors can do.

    A compiler uses everything it finds there. What it makes is a death by SIGILL on a processor
    that can do less, and a home may be moved to one; torch's own name for it gives only the width.
    """
    try:
        lines = PROCESSORS.read_text().splitlines()
    except OSError:
        lines = []
    flags = sorted({line for line in lines if line.startswith(CPU_FLAG_KEYS)})
    return hashlib.sha256("\n".join(flags).encode()).hexdigest()[:8]
