"""Where an inbox lies: on which file system, and whether its mount has gone.

A card or a share that is not mounted leaves an empty folder behind, which looks like an inbox with
nothing to do. So the ledger remembers the mount point that an inbox was found under.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from storage.database.engine import file_of
from storage.ledger.ledger import Ledger
from storage.settings.schema import Settings

# Others' changes there give no event on this machine.
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "vboxsf"}
    | {f"fuse.{kind}" for kind in ("sshfs", "rclone", "s3fs", "glusterfs", "davfs", "gvfsd-fuse")}
)
MOUNT_TABLE = Path("/proc/self/mountinfo")


class Mount(NamedTuple):
    """A mount point and the kind of file system mounted there."""

    point: Path
    kind: str

    @property
    def is_network(self) -> bool:
        return self.kind in NETWORK_FILE_SYSTEMS


def mount_of(path: Path) -> Mount:
    """The mount that holds `path`, or would if it were there."""
    try:
        table = os.fsdecode(MOUNT_TABLE.read_bytes())
    except OSError:
        return Mount(Path("/"), "unknown file system")
    whole = Path(os.path.realpath(path))
    found = Mount(Path("/"), "unknown file system")
    for mount in map(_parsed, filter(None, table.split("\n"))):  # other ends of lines are names
        # Of mounts at one place the last one covers the others.
        if whole.is_relative_to(mount.point) and mount.point.is_relative_to(found.point):
            found = mount
    return found


def _parsed(line: str) -> Mount:
    """`36 35 98:0 /root /mnt/point rw,noatime shared:1 - ext4 /dev/sda1 rw`"""
    here, _, there = line.partition(" - ")
    point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), here.split(" ")[4])
    return Mount(Path(point), there.split(" ")[0])


class MountMemory:
    """Notices that an inbox lies empty where a file system used to be mounted."""

    def __init__(self, ledger: Ledger, look: Callable[[Path], Mount] = mount_of) -> None:
        self._ledger = ledger
        self._look = look
        self._known: dict[Path, Path] | None = None

    def fault(self, root: Path, is_empty: bool) -> str | None:
        """What to tell people after a listing of `root`, if its mount has gone."""
        if self._known is None:
            self._known = self._ledger.mount_points()
        point, known = self._look(root).point, self._known.get(root)
        if known == point:
            return None
        if is_empty and known is not None and self._has_gone(root):
            return f"inbox {root} is empty: {known} used to be mounted there and is not; mount it"
        self._ledger.note_mount_point(root, point)
        self._known[root] = point
        return None

    def is_away(self, root: Path) -> bool:
        """Whether what is missing in this inbox now may be back with its mount."""
        return not root.is_dir() or self._has_gone(root)

    def _has_gone(self, root: Path) -> bool:
        point, known = self._look(root).point, (self._known or {}).get(root)
        return known is not None and known != point and known.is_relative_to(point)


def ledger_remark(settings: Settings) -> str | None:
    """What speaks against the place of the ledger's file, if anything does."""
    kind = mount_of(file_of(settings.database)).kind
    if kind not in NETWORK_FILE_SYSTEMS:
        return None
    return (
        f"the ledger lies on {kind}, where SQLite's locks hold on one machine at best; set"
        " `database` to a file on a local disk"
    )


def why_no_events(watch: str, root: Path) -> str | None:
    """Why events are not to be waited for in an inbox, by `intake.watch` and where it lies."""
    if watch == "scans":
        return "intake.watch = scans"
    mount = mount_of(root)
    return f"{mount.kind} has no events" if watch == "auto" and mount.is_network else None
