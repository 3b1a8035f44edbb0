"""`clfd reload`: a request left for the running daemon, and its answer.

A file and not a signal: whoever may write in the home may ask, also from another container, and a
daemon in a terminal takes SIGHUP for the terminal's end.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping

from storage.errors import ReloadRefused
from storage.home.atomic_write import write_whole
from storage.home.daemon_client import Status, running_daemon, wait_for_daemon
from storage.home.paths import FILE_MODE, Home

NOTHING_TO_RELOAD = "the settings are read by the next `clfd run`"


def ask_for_reload(home: Home, seconds: float) -> Iterator[str]:
    """Yields what came of it, line by line.

    Raises ReloadRefused with the reason where settings or checkpoint were refused, and StorageError
    where no daemon answers within `seconds`.
    """
    running_daemon(home, NOTHING_TO_RELOAD)
    word = secrets.token_hex(8)
    write_whole(home.reload_request(word), b"", FILE_MODE)

    def answer(status: Status) -> tuple[Status, Mapping[str, object]] | None:
        reload = status.get("reload")
        is_ours = isinstance(reload, dict) and word in reload.get("requests", ())
        return (status, reload) if is_ours else None  # type: ignore[return-value]

    status, reload = wait_for_daemon(home, answer, seconds, NOTHING_TO_RELOAD)
    if reload["error"]:
        raise ReloadRefused(str(reload["error"]))
    yield f"reloaded, serving {status['served_checkpoint']}; changed: {_listed(reload['applied'])}"
    if status["restart_to_apply"]:
        yield f"restart to apply: {_listed(status['restart_to_apply'])}"


def _listed(keys: object) -> str:
    return (", ".join(map(str, keys)) if isinstance(keys, list) else "") or "nothing"
