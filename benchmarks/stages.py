"""A daemon that notes when it comes to each stage: `python -m benchmarks.stages LOG [clfd ...]`.

The product is left as it is; its methods are wrapped from outside.
"""

from __future__ import annotations

import functools
import runpy
import sys
import time
from collections.abc import Callable
from typing import IO, Any

from classifier.inference.predictor import Predictor
from classifier.workers.pool import DecodePool
from daemon.intake.end_checks import EndChecker
from daemon.intake.watcher import FileWatcher
from storage.ledger.ledger import Ledger

STAGES = {
    "noted": (FileWatcher, "note"),
    "claim": (Ledger, "claim"),
    "check": (EndChecker, "submit"),
    "checked": (EndChecker, "_note"),
    "submit": (DecodePool, "submit_all"),
    "answer": (DecodePool, "_finished"),
    "ask": (Ledger, "known_answers"),
    "score": (Predictor, "score"),
    "record": (Ledger, "record"),
}


def note_stages(log: IO[str]) -> None:
    """From now on each call of a stage is a line: its name, beginning and end on the clock."""
    for stage, (owner, method) in STAGES.items():
        setattr(owner, method, _timed(getattr(owner, method), stage, log))


def _timed(call: Callable[..., Any], stage: str, log: IO[str]) -> Callable[..., Any]:
    @functools.wraps(call)
    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.monotonic()
        try:
            return call(*arguments, **named)
        finally:
            log.write(f"{stage} {began} {time.monotonic()}\n")

    return timed


if __name__ == "__main__":
    note_stages(open(sys.argv[1], "w", buffering=1))  # noqa: SIM115
    sys.argv = ["clfd", *sys.argv[2:]]
    runpy.run_module("clfd", run_name="__main__")
