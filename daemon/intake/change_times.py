"""How long has a file been as it is? What its change time says, where that can be relied on.

The kernel stamps a file whenever its content, name or rights change, and nobody can set this time
(as `cp -p` sets the modification time); but it stamps with a clock that may be set. On a share that
is the clock of another machine, and FAT keeps no such time.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from classifier.audio.regular_file import file_version
from storage.home.mounts import FindMount, mount_of
from storage.ledger.outcomes import Arrival

FILE_SYSTEMS = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "tmpfs", "overlay")
)
SECOND_NS = 10**9


@dataclass(eq=False)
class ChangeTimes:
    """`look_at` comes before a listing: what is mounted may change."""

    find_mount: FindMount = mount_of
    wall_clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    _devices: dict[Path, int] = field(default_factory=dict)
    _offset: float = math.inf  # least seen, of the wall clock from the monotonic one

    def __post_init__(self) -> None:
        self._now()

    def look_at(self, inboxes: Iterable[Path]) -> None:
        self._devices = {}
        for root in inboxes:
            with suppress(OSError):
                device = os.stat(root).st_dev
                if self.find_mount(root).kind in FILE_SYSTEMS:
                    self._devices[root] = device

    def rest_seconds(self, arrival: Arrival) -> float:
        """0 where that is not known, as of a file below another mount."""
        version = file_version(arrival.fingerprint)
        if version.device != self._devices.get(arrival.inbox):
            return 0.0
        changed_ns = version.changed_ns
        if changed_ns % SECOND_NS == 0:  # of a file system that counts whole seconds
            changed_ns += SECOND_NS
        return max(0.0, self._now() - changed_ns / SECOND_NS)

    def _now(self) -> float:
        """The wall clock, less what it was set forward: no file has rested for so much longer."""
        monotonic = self.monotonic()
        self._offset = min(self._offset, self.wall_clock() - monotonic)
        return monotonic + self._offset
