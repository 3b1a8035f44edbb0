"""Where a folder lies: on which file system, and whether that is away.

A card or a share that is not mounted leaves an empty folder behind, which looks like an inbox with
nothing to do. So the ledger remembers the mount point that an inbox was found under.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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


FindMount = Callable[[Path], Mount]


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


def is_away(
    folder: Path,
    known_point: Path | None,
    ledger_file: Path | None,
    find_mount: FindMount = mount_of,
) -> bool:
    """Whether the files of a folder may be back with its mount: the folder or the mount is gone.

    `known_point` is the mount point that it was found under before, if that was noted.
    """
    # os.path: a folder that may not be looked at is no error, but away.
    return not os.path.isdir(folder) or _is_mount_gone(folder, known_point, ledger_file, find_mount)


def is_unmounted(
    folder: Path,
    known_point: Path | None,
    ledger_file: Path | None,
    find_mount: FindMount = mount_of,
) -> bool:
    """Whether a folder is empty, and its mount is gone. One with files is taken as it is."""
    return _is_mount_gone(folder, known_point, ledger_file, find_mount) and _is_empty(folder)


def _is_mount_gone(
    folder: Path, known_point: Path | None, ledger_file: Path | None, find_mount: FindMount
) -> bool:
    """Whether what used to be mounted at or above a folder is not.

    A mount that holds the ledger is there: in the namespace of a service systemd mounts the home
    on itself, which other processes do not see.
    """
    if known_point is None or (ledger_file and ledger_file.is_relative_to(known_point)):
        return False
    point = find_mount(folder).point
    return known_point != point and known_point.is_relative_to(point)


def _is_empty(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True
