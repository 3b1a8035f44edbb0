"""What a process and all below it use, by /proc: memory and CPU time."""

from __future__ import annotations

import os
import resource
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# In /proc/stat.
KINDS_OF_TIME = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
# In /proc/PID/stat, behind the name; system, and both of children that have ended, follow.
USER_TICKS = 11


def tree_of(pid: int) -> list[int]:
    """The process, its children, and theirs."""
    found = [pid]
    for parent in found:  # grows while it is walked
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, _read(children).split())
    return found


def memory_bytes(pids: list[int]) -> int:
    """Proportional set sizes, summed: a page that several share counts once."""
    return 1024 * sum(map(_pss_kib, pids))


def resident_bytes() -> int:
    """Of this process alone; pages that it shares with others count in full."""
    pages = _read(Path("/proc/self/statm")).split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if pages else 0


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of a whole tree, with that of children that have ended."""
    return sum(map(_ticks, pids)) / TICKS_PER_SECOND


def cpu_of_ended_children() -> float:
    """User and system time of all children of this process, and theirs, that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def busy_seconds() -> float:
    """CPU time that all programs of the machine have used since it was started.

    What a hypervisor gave to other machines counts too: nobody here could use it.
    """
    ticks = dict(zip(KINDS_OF_TIME, map(int, _read(Path("/proc/stat")).split()[1:]), strict=False))
    busy = sum(ticks.values()) - ticks.get("idle", 0) - ticks.get("iowait", 0)
    return busy / TICKS_PER_SECOND


def _pss_kib(pid: int) -> int:
    lines = _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _ticks(pid: int) -> int:
    behind_the_name = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, behind_the_name[USER_TICKS : USER_TICKS + 4]))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # ended meanwhile
