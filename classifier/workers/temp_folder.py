"""Temporary folders that bear the number of their process, so that one that was killed leaves none.

The next one of the same kind removes them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def temporary_folder(kind: str) -> tempfile.TemporaryDirectory[str]:
    """A new one, after those of processes that are gone are removed. Raises OSError."""
    for folder in Path(tempfile.gettempdir()).glob(f"{kind}-*"):
        pid = folder.name.removeprefix(f"{kind}-").partition("-")[0]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{kind}-{os.getpid()}-", ignore_cleanup_errors=True)
