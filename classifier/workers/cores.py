"""How many cores a program may use, and the control groups that limit it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Fewer than there are under `taskset`, in a container or with systemd's CPUQuota."""
    return min(len(os.sched_getaffinity(0)), quota_cores() or math.inf)  # type: ignore[return-value]


def quota_cores(membership: Path = MEMBERSHIP, groups: Path = CGROUPS) -> int | None:
    """The quota in cores, rounded up; None where there is none.

    A group is limited by those above it as well. In a container its own group is the root of what
    can be seen. Source: cgroups(7) and the kernel's cgroup-v2 and sched-bwc documentation.
    """
    folders = group_folders("cpu", membership, groups)
    quotas = [quota for folder in folders if (quota := _quota(folder))]
    return max(1, math.ceil(min(quotas))) if quotas else None


def group_folders(
    controller: str, membership: Path = MEMBERSHIP, groups: Path = CGROUPS
) -> Iterator[Path]:
    """Of this process's control groups that may limit a resource, and of all above them."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers == "" or controller in controllers.split(","):
            for root in (groups / controllers, groups / "unified", groups):
                place = PurePosixPath(path)
                yield from (root / str(above).lstrip("/") for above in (place, *place.parents))


def _quota(group: Path) -> float | None:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None  # "max" is no number: there is no limit
