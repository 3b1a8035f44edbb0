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
    "open_bound_s": "open, at rest",
}
# For programs only; some have a twin for people: `paused_since`, `faults`, `last_error`.
_FOR_PROGRAMS = frozenset(
    (
        *("reload", "paused", "figures", "memory_bytes", "device_memory_bytes", "last_error_at"),
        *("hooks", "slow"),
    )
)
_IN_FIRST_LINE = frozenset(("running", "pid", "host", "silent_since", "died_at"))
_COUNTS = ("pending", "done", "failed")
_SILENT_AFTER = timedelta(seconds=60)

Status = dict[str, object]


def status_of(home: Home, database_url: str, now: datetime) -> Status:
    """Every key of the contract, None where nobody knows, and whatever else the daemon wrote.

    `silent_since` is the last heartbeat of a daemon that holds the lock but does not respond,
    `died_at` that of one which is gone and had not begun to stop; `ledger_error` says why the
    counts are missing. Raises StorageError when the home is unreadable.
    """
    written = read_status(home) or {}
    lock_holder = holder(home)
    if lock_holder is None:
        return _stopped(home, written) | _ledger_counts(database_url)
    return _running(lock_holder, written, now)


def status_lines(status: Status) -> list[tuple[str, str]]:
    """The same for people: a word and what there is to say about it."""
    running = f"yes, pid {status['pid']} on {status['host']}" if status["running"] else "no"
    if status.get("silent_since"):
        running += f", but not responding since {status['silent_since']}"
    if status.get("died_at"):
        running += f", the last daemon crashed or was killed after {status['died_at']}"
    hidden = _FOR_PROGRAMS | _IN_FIRST_LINE
    if not status.get("open_for_writing"):
        hidden |= {"open_bound_s"}
    words = [
        (_WORDS.get(key, key.replace("_", " ")), _text(key, value))
        for key, value in status.items()
        if key not in hidden and (value or (key in _COUNTS and value == 0))
    ]
    return [("running", running), *words]


def _running(lock_holder: LockHolder, written: Status, now: datetime) -> Status:
    # A file of another process is what an earlier daemon left; this one has not written yet.
    live = written if written.get("pid") == lock_holder.pid else {}
    identity = {"running": True, "pid": lock_holder.pid, "host": lock_holder.host}
    status = _complete(live) | identity
    heartbeat = status["heartbeat_at"]
    if isinstance(heartbeat, str) and now - from_stamp(heartbeat) > _SILENT_AFTER:
        status["silent_since"] = heartbeat
    return status


def _stopped(home: Home, written: Status) -> Status:
    from storage.queries.ignored_files import ignored_at_home

    heartbeat = written.get("heartbeat_at")
    since = paused_since(home)
    ignored = ignored_at_home(home)
    return _complete(
        {
            "checkpoint": CheckpointFolder(home.checkpoints).active(),
            "heartbeat_at": heartbeat,
            "died_at": None if written.get("stopping") else heartbeat,
            "paused": since is not None,
            "paused_since": since,
            "ignored": ignored.total(),
            "ignored_suffixes": ignored,
        }
    )


def _ledger_counts(database_url: str) -> Status:
    from storage.ledger.ledger import open_ledger

    try:
        with open_ledger(database_url, "reader") as ledger:
            counts, failure = ledger.counts(), ledger.last_failure()
    except StorageError as error:
        return {"ledger_error": str(error)}
    last_error = None if failure is None else f"{failure[0]}: {failure[1]}"
    return {**{state: counts[state] for state in _COUNTS}, "last_error": last_error}


def _complete(known: Status) -> Status:
    """With every key; the version is a daemon's own, else that of this program."""
    status = dict.fromkeys(KEYS) | {"running": False} | known
    return status | {"version": status["version"] or installed_version()}


def _text(key: str, value: object) -> str:
    if key in ("uptime_s", "eta_s") and isinstance(value, int | float):
        return str(timedelta(seconds=round(value)))
    if key == "open_bound_s":
        return f"taken after {value:g} s"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {inner}" for name, inner in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
