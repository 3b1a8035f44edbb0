"""`clfd service install` and `uninstall`: unit files put in place, and taken away again.

Nothing is replaced unasked, and what is replaced is kept beside it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from daemon.errors import DaemonError
from daemon.units.systemctl import ServiceManager
from daemon.units.unit_files import DAEMONS, JOBS, TRIGGERS, UnitFile
from storage.home.atomic_write import write_whole
from storage.home.safe_open import read_bounded

UNIT_MODE = 0o644
SETUP = (
    ("systemd-sysusers", "/etc/sysusers.d/clfd.conf"),
    ("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/clfd.conf"),
)
STARTED = (DAEMONS[0], *TRIGGERS)  # may be enabled or running
INSTANCES = "clfd@*.service"
OWN_FOLDERS = (".service.d", "clfd")  # folders made for these files alone


def obsolete(planned: Sequence[UnitFile], possible: Sequence[UnitFile]) -> list[UnitFile]:
    """Files of an installation before that are there and not planned any more."""
    planned_paths = {file.path for file in planned}
    return [file for file in possible if file.path not in planned_paths and file.path.exists()]


def preview(planned: Sequence[UnitFile], unneeded: Sequence[UnitFile]) -> Iterator[str]:
    """What `install` would write and take away, without doing it."""
    for file in planned:
        state = _state(file)
        yield f"# ---- {file.path} ({state})"
        if state != "is the same":
            yield file.text
    yield from (f"# ---- {file.path} (is no longer wanted)" for file in unneeded)


def install(
    planned: Sequence[UnitFile], unneeded: Sequence[UnitFile], force: bool
) -> Iterator[str]:
    """Writes the files and takes those away that are `unneeded`; yields a line about each.

    Raises DaemonError, before anything is written, where a file that is there reads otherwise.
    """
    differing = [file for file in planned if _state(file) == "differs from what is there"]
    unwanted = [file for file in unneeded if not file.is_derived]
    if (differing or unwanted) and not force:
        names = ", ".join(str(file.path) for file in (*differing, *unwanted))
        raise DaemonError(
            f"{names}: there already, and different or not asked for now; nothing was written. Look"
            " with --dry-run, and replace with --force: what is there is kept beside it"
        )
    for file in planned:
        yield _write(file)
    yield from (_remove(file) for file in unneeded)


def set_up(manager: ServiceManager, now: bool) -> Iterator[str]:
    """User and home, and systemd told of the files; with `now` the daemon enabled and started."""
    if not manager.for_user:
        for command in SETUP:
            _call(*command)
    if not manager.is_reachable:
        yield "waiting     systemd does not answer here, and reads the files when it starts"
        return
    manager.command("daemon-reload")
    if now:
        manager.command("enable", "--now", DAEMONS[0])
        yield f"started     {DAEMONS[0]}, now and with every boot"
        return
    verb, scope = "restart" if is_active(manager) else "enable --now", manager.scope
    yield f"next        {' '.join(['systemctl', *scope, verb, 'clfd'])}"


def is_active(manager: ServiceManager) -> bool:
    return manager.properties(DAEMONS[0], "ActiveState").get("ActiveState") == "active"


def stop_and_disable(manager: ServiceManager) -> None:
    """The daemon, its instances, and training; none of them has to be there."""
    if not manager.is_reachable:
        return
    running = manager.list_units("list-units", "--all", *STARTED, INSTANCES, *JOBS)
    known = manager.list_units("list-unit-files", *STARTED, INSTANCES)
    if running:
        manager.command("stop", *running)
    enabled = [unit for unit in {*running, *known} if unit not in JOBS and "@." not in unit]
    if enabled:
        manager.command("disable", *sorted(enabled))
    failed = manager.list_units("list-units", "--state=failed", *STARTED, INSTANCES, *JOBS)
    if failed:
        manager.command("reset-failed", *failed)


def removable(planned: Sequence[UnitFile]) -> list[UnitFile]:
    """Those of the files that are there, and not a person's own by now."""
    found = [file for file in planned if file.path.exists()]
    return [file for file in found if not file.is_yours or _state(file) == "is the same"]


def remove(planned: Sequence[UnitFile]) -> Iterator[str]:
    """Takes the files away; yields a line about each. What was changed by hand is kept beside."""
    yield from (_remove(file) for file in removable(planned))
    yield from (f"left        {path}, which is yours" for path in _remaining(planned))


def _remaining(planned: Sequence[UnitFile]) -> Iterator[Path]:
    """What a person has edited, or added as a drop-in."""
    yield from (file.path for file in planned if file.path.exists())
    for folder in dict.fromkeys(file.path.parent for file in planned):
        if folder.suffix == ".d" and folder.stem.endswith(".service") and folder.is_dir():
            yield from sorted(folder.glob("*.conf"))


def _state(file: UnitFile) -> str:
    try:
        present_text = read_bounded(file.path).decode()
    except FileNotFoundError:
        return "is new"
    except (OSError, ValueError) as error:
        raise DaemonError(f"cannot read {file.path}: {error}; look at what lies there") from error
    if present_text == file.text:
        return "is the same"
    if file.is_derived:
        return "follows the settings"
    return "is there, and yours" if file.is_yours else "differs from what is there"


def _write(file: UnitFile) -> str:
    place, state = file.path, _state(file)
    if state in ("is the same", "is there, and yours"):
        return f"kept        {place}"
    is_kept = state == "differs from what is there"
    kept = f", the one before is {_back_up(place).name}" if is_kept else ""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DaemonError(f"cannot make {place.parent}: {error.strerror}") from error
    write_whole(place, file.text.encode(), UNIT_MODE)
    return f"written     {place}{kept}"


def _remove(file: UnitFile) -> str:
    place = file.path
    is_known = file.is_derived or _state(file) == "is the same"
    kept = "" if is_known else f", kept as {_back_up(place).name}"
    place.unlink()
    if place.parent.name.endswith(OWN_FOLDERS) and not any(place.parent.iterdir()):
        place.parent.rmdir()
    return f"removed     {place}{kept}"


def _back_up(place: Path) -> Path:
    """A copy under a name that systemd does not read."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    copy = place.with_name(f"{place.name}.{stamp}.backup")
    write_whole(copy, read_bounded(place), UNIT_MODE)
    return copy


def _call(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise DaemonError(
            f"{command[0]} is missing; make the user clfd and its home by hand, as {command[-1]}"
            " says"
        ) from error
    if done.returncode:
        output = " ".join(done.stderr.split())
        raise DaemonError(f"{' '.join(command)} failed: {output}; mend it and install again")
