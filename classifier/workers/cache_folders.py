"""Where numba and matplotlib keep what they made, for a user without a home that can be written.

A service user or one of a container often has none, and they would end the program or complain.
numba's cache is code, so that the folder has to be this user's alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLES = {
    "NUMBA_CACHE_DIR": "numba",
    "MPLCONFIGDIR": "matplotlib",
    "XDG_CACHE_HOME": "librosa",  # only asked for, in `import librosa`
}


@contextmanager
def writable_caches() -> Iterator[None]:
    """Before these libraries are imported; what the environment names is left as it is."""
    missing = {name: kind for name, kind in VARIABLES.items() if name not in os.environ}
    if not missing or os.access(os.path.expanduser("~"), os.W_OK | os.X_OK):
        yield
        return
    from classifier.workers.process import temporary_folder

    with temporary_folder("clfd-cache") as folder:
        os.environ.update({name: os.path.join(folder, kind) for name, kind in missing.items()})
        yield
