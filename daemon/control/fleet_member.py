"""This daemon among those that share a ledger: its lease, and those of others that are over."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daemon.component import Component
from daemon.pipeline.model_manager import ModelManager
from daemon.pipeline.scoring import Scorer
from storage.errors import LeaseLost, LedgerUnavailable, SchemaMismatch
from storage.fleet.inboxes import machine_place
from storage.fleet.lease import BEATS, Holder
from storage.ledger.ledger import Ledger
from storage.values.distribution import installed_version
from storage.values.text import counted

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class FleetMember(Component):
    """Takes a lease at the start, beats while others may wait for it, and gives it back."""

    ledger: Ledger
    home: Path
    inboxes: Sequence[Path]
    scorer: Scorer
    model: ModelManager
    _due: float = 0.0
    _before: tuple[float, int] = (0.0, 0)
    _lost: list[int] = field(default_factory=list)  # recordings that others have by now

    def start(self) -> None:
        """May raise LedgerUnavailable, and is called again then."""
        self._require_schema()
        self.ledger.join(self._holder, self.inboxes)
        self._require_schema()

    def step(self, now: float) -> None:
        """Raises LeaseLost where others have what this daemon had claimed."""
        lease = self.ledger.lease
        if lease.seconds is None or now < self._due:
            return
        self._due = now + lease.seconds / BEATS
        lease.beat(self._doing(now), self.model.served.predictor.checkpoint.digest)
        if n_lost := lease.reap():
            logger.warning(
                "%s fell silent: what was claimed is free", counted(n_lost, "other daemon")
            )

    def _doing(self, now: float) -> Mapping[str, object]:
        """Since the last beat, for others to see."""
        progress, (began, n_before) = self.scorer.progress(now), self._before
        self._before = now, progress.recordings
        rate = (progress.recordings - n_before) / (now - began) if began else 0.0
        return {"in flight": progress.in_flight, "files/s": round(rate, 1)}

    def begin_again(self, error: LeaseLost) -> None:
        """Forgets what others have by now, which costs no attempt, and takes a new lease.

        May raise LedgerUnavailable, and is called again then.
        """
        if not self._lost:
            logger.warning("%s; it goes on with other work", error)
        self._lost += self.scorer.forget()
        self._require_schema()
        self.ledger.lease.take(self._holder, is_start=False)
        self._require_schema()
        self.ledger.give_attempts_back(self._lost)
        self._lost.clear()

    def _require_schema(self) -> None:
        """Before the lease, and with it: from then on an upgrade is refused.

        Raises LedgerUnavailable where the ledger was upgraded; nothing was claimed then.
        """
        try:
            self.ledger.database.require_schema()
        except SchemaMismatch as other:
            raise LedgerUnavailable(str(other)) from other

    def stop(self, seconds: float = 0.0) -> None:
        self.ledger.lease.end()

    def status(self) -> Mapping[str, object]:
        return {"lease": self.ledger.lease.id}

    @property
    def _holder(self) -> Holder:
        host, version = socket.gethostname(), installed_version() or ""
        return Holder(machine_place(host), host, str(self.home), os.getpid(), version)
