"""Processes and what they leave behind: workers that end with their parent, temporary folders."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from classifier.errors import TemporaryFolderError

# Where clfd lies. `python -m` looks for modules where it stands first, and a daemon may stand
# anywhere.
PACKAGES = Path(__file__).parents[2]
PR_SET_PDEATHSIG = 1
OOM_SCORE = 500  # added to the daemon's own, of 1000


def die_with_parent(parent: int) -> None:
    """Has the kernel kill this process when `parent`, its parent, is gone; where there is prctl.

    Where memory ends, the kernel takes this process first.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError, ValueError):
        score = Path("/proc/self/oom_score_adj")
        score.write_text(str(min(1000, int(score.read_text()) + OOM_SCORE)))
    if os.getppid() != parent:
        os._exit(1)  # it died before it could take this process along


@contextlib.contextmanager
def without_main_module() -> Iterator[None]:
    """Workers that are started meanwhile do not import the script that runs.

    Else every worker would run a script that has no `if __name__ == "__main__":`.
    """
    main = vars(sys.modules["__main__"])
    hidden = {name: main[name] for name in main.keys() & {"__file__", "__spec__"}}
    main.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        main.update(hidden)


def _is_gone(pid: int) -> bool:
    """Also where no /proc is mounted."""
    try:
        os.kill(pid, 0)
    except OverflowError:
        return True
    except OSError as error:
        return error.errno == errno.ESRCH  # another user's process lives
    return False


def temporary_folder(kind: str) -> tempfile.TemporaryDirectory[str]:
    """One that bears the number of this process; those of processes that are gone are removed.

    Raises TemporaryFolderError.
    """
    prefix = f"{kind}-{os.getpid()}-"
    try:
        for folder in Path(tempfile.gettempdir()).glob(f"{kind}-*"):
            pid = folder.name.removeprefix(f"{kind}-").partition("-")[0]
            if pid.isdecimal() and _is_gone(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
        return tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    except OSError as error:
        what = f"no temporary folder can be made: {error.strerror}"
        raise TemporaryFolderError(what) from error
