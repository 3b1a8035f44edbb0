"""A file's stat facts in one token: a cheap answer to "is this still the same file?"."""

from __future__ import annotations

import os

FINE_NS = 1_000_000  # finer times are such round numbers by chance only


def fingerprint(stat: os.stat_result) -> str:
    """Device, inode, size, mtime_ns and ctime_ns; text, because inode numbers may pass 2**63.

    The change time is part of it since a restored modification time hides an edit.
    """
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


def has_coarse_times(stat: os.stat_result) -> bool:
    """Whether its file system may count in steps so long that two writes look like one.

    FAT counts in steps of 2 s, ext3 of 1 s, exFAT of 10 ms.
    """
    return stat.st_ctime_ns % FINE_NS == 0
