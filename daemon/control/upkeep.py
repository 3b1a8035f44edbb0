"""Once a minute: free memory, keep the ledger's log small, start compilation when it pays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from classifier.workers.malloc import give_freed_memory_back
from daemon.component import Component
from storage.ledger.ledger import Ledger

UPKEEP_SECONDS = 60.0


@dataclass(eq=False)
class Upkeep(Component):
    """Looks after memory, the ledger's log, and the served network (`compile_network`)."""

    ledger: Ledger
    compile_network: Callable[[], None]
    _due: float = 0.0

    def step(self, now: float) -> None:
        if now < self._due:
            return
        self._due = now + UPKEEP_SECONDS
        give_freed_memory_back()
        self.fault = self.ledger.database.truncate_wal()
        self.compile_network()
