"""Where libraries keep caches and temporary files, for a user without a home that can be written.

A service user or one of a container often has none, and numba and matplotlib would end the program
or complain. numba's cache is code, so that the folder has to be this user's alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from classifier.errors import TemporaryFolderError

VARIABLES = {
    "NUMBA_CACHE_DIR": "numba",
    "MPLCONFIGDIR": "matplotlib",
    "XDG_CACHE_HOME": "librosa",  # only asked for, in `import librosa`
}
TEMPORARY_FOLDERS = ("/tmp", "/var/tmp")  # of those that Python and C programs try


@contextmanager
def writable_caches() -> Iterator[None]:
    """Before these libraries are imported; what the environment names is left if it can be written.

    Where nothing can be, the command that needs such a library says so.
    """
    _keep_temporary_files_in_the_home()
    named = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    refused = {name for name, folder in named.items() if not _can_be_written(folder)}
    if not _is_writable(os.path.expanduser("~")):
        refused |= VARIABLES.keys() - named.keys()
    if not refused:
        yield
        return
    from classifier.workers.process import temporary_folder

    try:
        temporary = temporary_folder("clfd-cache")
    except TemporaryFolderError:
        yield
        return
    with temporary as folder:
        os.environ.update({name: os.path.join(folder, VARIABLES[name]) for name in refused})
        yield


def _keep_temporary_files_in_the_home() -> None:
    """Where the system has no folder for them, as in a container whose root is read-only."""
    home = os.environ.get("CLFD_HOME", "")
    folders = (os.environ.get("TMPDIR", ""), *TEMPORARY_FOLDERS)
    if _is_writable(home) and not any(map(_is_writable, folders)):
        os.environ["TMPDIR"] = os.path.abspath(home)


def _is_writable(folder: str) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _can_be_written(folder: str) -> bool:
    """Or made, in the first folder above it that exists."""
    while folder and not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return _is_writable(folder)
