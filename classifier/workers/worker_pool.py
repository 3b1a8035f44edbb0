"""The processes that decode, and the order in which they end."""

from __future__ import annotations

from pebble import ProcessPool


class WorkerPool(ProcessPool):
    """Pebble removes the locks of its workers, then ends them; a worker that just starts would
    print a traceback, as it finds no lock. So they are ended first.
    """

    def _stop_pool(self) -> None:
        if self._pool_manager_loop is not None:
            self._pool_manager_loop.join()  # which starts workers
        self._pool_manager.worker_manager.force_stop_workers()  # type: ignore[no-untyped-call]
        super()._stop_pool()  # type: ignore[no-untyped-call]
