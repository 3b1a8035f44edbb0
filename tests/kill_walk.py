"""Moves files, and is killed at the first step of the first, the second step of the second, ...

A process of its own, which forks one for each move. It reads pickled (plan, moves, whether the
system can rename without replacing) and prints the steps that each process came to, as JSON.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from collections.abc import Callable
from typing import Any

from daemon import moving, renaming
from storage.archiving import ArchivePlan, Move

CHANGES = ("open", "mkdir", "write", "fchmod", "utime", "fsync", "unlink", "rename", "close")
SMALL_BLOCK_BYTES = 4000  # so that a copy is killed half way as well


class Walk:
    """Stands in for the module `os`, and calls `step` before everything that changes files."""

    def __init__(self, step: Callable[[str], None]) -> None:
        self._step = step

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        return self.watched(name, found) if name in CHANGES else found

    def watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self._step(name)
            return function(*arguments, **named)

        return call


def watch(step: Callable[[str], None]) -> None:
    """From now on every step of a move is told before it is done."""
    walk = Walk(step)
    moving.os = renaming.os = walk  # type: ignore[attr-defined, assignment]
    if renaming._renameat2 is not None:
        renaming._renameat2 = walk.watched("renameat2", renaming._renameat2)
    moving.BLOCK_BYTES = SMALL_BLOCK_BYTES


def move_and_die(plan: ArchivePlan, move: Move, last_step: int, report: int) -> None:
    steps = 0

    def step(name: str) -> None:
        nonlocal steps
        if steps == last_step:
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(report, name.encode() + b"\n")
        steps += 1

    watch(step)
    moving.Mover(plan, makes_root=True).carry([move])


def steps_of(plan: ArchivePlan, move: Move, last_step: int) -> list[str]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        move_and_die(plan, move, last_step, writer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        steps = told.read().decode().split()
    _, status = os.waitpid(child, 0)
    return steps if os.WIFSIGNALED(status) else [*steps, "end"]


if __name__ == "__main__":
    plan, moves, can_rename = pickle.load(sys.stdin.buffer)
    if not can_rename:
        renaming._renameat2 = None
    print(json.dumps([steps_of(plan, move, i) for i, move in enumerate(moves)]))
