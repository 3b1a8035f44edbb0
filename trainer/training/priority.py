"""Training gives way: a daemon on the same machine must not notice that a network is learning."""

from __future__ import annotations

import os

import torch

from storage.home.daemon_lock import holder
from storage.home.paths import Home
from storage.settings.schema import TrainingSettings


def give_way(home: Home, wish: TrainingSettings) -> None:
    """Lowers this process's priority, and takes fewer threads while a daemon serves this home.

    Workers that decode inherit the priority. It is never raised again: the system forbids that.
    """
    priority = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, max(priority, wish.nice))
    if threads := wish.threads or _fewer_threads(home):
        torch.set_num_threads(threads)


def _fewer_threads(home: Home) -> int:
    """Half of torch's choice while a daemon runs, else 0: torch may choose."""
    return max(1, torch.get_num_threads() // 2) if holder(home) else 0
