"""A file's stat facts in one token: a cheap answer to "is this still the same file?"."""

from __future__ import annotations

import os


def fingerprint(stat: os.stat_result) -> str:
    """Device, inode, size, mtime_ns and ctime_ns; text, because inode numbers may pass 2**63.

    The change time is part of it since a restored modification time hides an edit.
    """
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"
