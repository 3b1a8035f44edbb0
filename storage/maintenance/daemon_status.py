"""`clfd status`: how things stand, from the lock, the status file and, at rest, the ledger.

What reads ledgers takes a quarter of a second to load, so it is loaded only where no daemon runs.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from storage.errors import StorageError
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.daemon_lock import LockHolder, holder, read_status
from storage.home.paths import Home
from storage.home.pause_file import paused_since
from storage.values.distribution import installed_version
from storage.values.timestamps import from_stamp

KEYS = (
    "running",
    "pid",
    "host",
    "uptime_s",
    "device",
    "precision",
    "checkpoint",
    "served_checkpoint",
    "pending",
    "done",
    "failed",
    "ignored",
    "clips_per_s",
    "eta_s",
    "last_error",
    "heartbeat_at",
    "version",
)
_WORDS = {
    "uptime_s": "uptime",
    "clips_per_s": "clips per second",
    "eta_s": "time left",
    "heartbeat_at": "heartbeat",
    "checkpoint": "active checkpoint",
    "checkpoint_refused": "refused",
    "oldest_pending_at": "oldest pending",
}
# Some told in other words as well: `paused_since`, `faults`, `last_error`.
_FOR_PROGRAMS = frozenset(
    ("reload", "paused", "figures", "memory_bytes", "device_memory_bytes", "last_error_at", "hooks")
)
_SILENT_AFTER = timedelta(seconds=60)

Standing = dict[str, object]


def standing(home: Home, database_url: str, now: datetime) -> Standing:
    """Every key of the contract, None where nobody knows, and whatever else the daemon wrote.

    `silent_since` is the last heartbeat of a daemon that holds the lock but does not respond,
    `died_at` that of one which is gone and had not begun to stop; `ledger_error` says why the
    counts are missing. Raises StorageError when the home is unreadable.
    """
    written = read_status(home) or {}
    found = holder(home)
    if found is None:
        stopped = _stopped(home, written)
        return stopped | _counted(database_url)
    return _running(found, written, now)


def lines(told: Standing) -> list[tuple[str, str]]:
    """The same for people: a word and what there is to say about it."""
    running = f"yes, pid {told['pid']} on {told['host']}" if told["running"] else "no"
    if told.get("silent_since"):
        running += f", but not responding since {told['silent_since']}"
    if told.get("died_at"):
        running += f", the last daemon crashed or was killed after {told['died_at']}"
    shown = [(key, value) for key, value in told.items() if _is_worth_a_line(key, value)]
    words = [(_WORDS.get(key, key.replace("_", " ")), _worded(key, value)) for key, value in shown]
    return [("running", running), *words]


def _is_worth_a_line(key: str, value: object) -> bool:
    if key in ("running", "pid", "host", "silent_since", "died_at"):
        return False  # told in the first line
    if key in _FOR_PROGRAMS:
        return False
    return bool(value) or (key in ("pending", "done", "failed") and value == 0)


def _running(found: LockHolder, written: Standing, now: datetime) -> Standing:
    # A file of another process is what an earlier daemon left; this one has not written yet.
    live = written if written.get("pid") == found.pid else {}
    identity = {"running": True, "pid": found.pid, "host": found.host}
    told = _complete(live) | identity
    heartbeat = told["heartbeat_at"]
    if isinstance(heartbeat, str) and now - from_stamp(heartbeat) > _SILENT_AFTER:
        told["silent_since"] = heartbeat
    return told


def _stopped(home: Home, written: Standing) -> Standing:
    heartbeat = written.get("heartbeat_at")
    since = paused_since(home)
    return _complete(
        {
            "checkpoint": CheckpointFolder(home.checkpoints).active(),
            "heartbeat_at": heartbeat,
            "died_at": None if written.get("stopping") else heartbeat,
            "paused": since is not None,
            "paused_since": since,
        }
    )


def _counted(database_url: str) -> Standing:
    from storage.database.engine import open_database
    from storage.ledger.ledger import newest_failure, state_counts

    try:
        with (
            open_database(database_url, "reader") as database,
            database.transaction() as connection,
        ):
            counts, failure = state_counts(connection), newest_failure(connection)
    except StorageError as error:
        return {"ledger_error": str(error)}
    last_error = None if failure is None else f"{failure[0]}: {failure[1]}"
    figures = {state: counts[state] for state in ("pending", "done", "failed")}
    return {**figures, "last_error": last_error}


def _complete(known: Standing) -> Standing:
    """With every key; the version is a daemon's own, else that of this program."""
    told = dict.fromkeys(KEYS) | {"running": False} | known
    return told | {"version": told["version"] or installed_version()}


def _worded(key: str, value: object) -> str:
    if key in ("uptime_s", "eta_s") and isinstance(value, int | float):
        return str(timedelta(seconds=round(value)))
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {inner}" for name, inner in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
