"""Are ledger and lock in place? Once a minute: free memory, a short log, compilation if it pays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from classifier.workers.malloc import give_freed_memory_back
from daemon.component import Component
from storage.ledger.ledger import Ledger

UPKEEP_SECONDS = 60.0


@dataclass(eq=False)
class Upkeep(Component):
    """Looks after memory, the ledger's files, and the served network (`compile_network`)."""

    ledger: Ledger
    compile_network: Callable[[], None]
    require_lock: Callable[[], None] = lambda: None
    _due: float = 0.0

    def step(self, now: float) -> None:
        """Raises StorageError where ledger or lock are not the files that were opened."""
        self.ledger.database.require_in_place()
        self.require_lock()
        if now < self._due:
            return
        self._due = now + UPKEEP_SECONDS
        give_freed_memory_back()
        self.fault = self.ledger.database.shorten_log()
        self.compile_network()
