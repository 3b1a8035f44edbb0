"""`clfd service status`: what is installed, what of it is enabled and active, and where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from daemon.units.install import INSTANCES, STARTED
from daemon.units.installation import read_installation
from daemon.units.systemctl import ServiceManager

PROPERTIES = ("LoadState", "UnitFileState", "ActiveState", "SubState", "NRestarts", "DropInPaths")
COLUMNS = "{:<20} {:<11} {:<10} {}"


def status_lines(manager: ServiceManager) -> Iterator[str]:
    """Lines for people."""
    found = read_installation(manager.for_user, Path("/"))
    if found is None:
        command = " ".join(["clfd service install", *manager.scope])
        yield f"not installed; `{command}` does it"
        return
    yield COLUMNS.format("unit", "file", "at boot", "now")
    instances = manager.list_units("list-units", "--all", INSTANCES)
    drop_ins: list[str] = []
    for unit in (*STARTED, *instances):
        facts = manager.properties(unit, *PROPERTIES)
        drop_ins += facts.get("DropInPaths", "").split()
        yield _line(unit, facts)
    if not manager.is_reachable:
        yield "systemd does not answer here, so what is enabled and active is not known"
    yield f"executable  {found.executable}"
    yield f"home        {found.home}"
    yield from (f"drop-in     {path}" for path in dict.fromkeys(drop_ins))


def _line(unit: str, facts: dict[str, str]) -> str:
    if not facts:
        return COLUMNS.format(unit, "?", "?", "?")
    file = "installed" if facts.get("LoadState") == "loaded" else "missing"
    active = f"{facts.get('ActiveState')} ({facts.get('SubState')})"
    restarts = facts.get("NRestarts", "0")
    if restarts not in ("", "0"):
        active += f", restarted {restarts} times"
    return COLUMNS.format(unit, file, facts.get("UnitFileState") or "no", active)
