"""What can go wrong while the daemon takes files in and answers them."""

from __future__ import annotations


class DaemonError(Exception):
    """One line: what, which one, what to do."""

    exit_code = 1


class NothingToServe(DaemonError):
    """There is no checkpoint that could be served."""

    exit_code = 78


class HookTestFailed(DaemonError):
    """A hook did not take the example that was sent to it."""
