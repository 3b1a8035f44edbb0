"""Does a container promise where the file ends, and does the file end just there?

Finding damage is another question (`integrity.py`): it finds nothing wrong where a format does not
let anybody see. Here the answer is no unless the end is proven. The check takes a few small reads
and no decoder; it runs in a worker, as everything does that reads what a stranger wrote.
"""

from __future__ import annotations

from collections.abc import Sequence

from classifier.audio.containers.formats import container_of
from classifier.audio.regular_file import (
    Opener,
    fingerprint,
    has_coarse_times,
    is_version,
    regular_file,
)


def are_complete(files: Sequence[tuple[Opener, bytes, str]]) -> list[bool]:
    """Whether each is still the file with that fingerprint, and ends as it promises."""
    return [_is_complete(*file) for file in files]


def _is_complete(opener: Opener, path: bytes, expected: str) -> bool:
    try:
        with regular_file(path, opener) as (fd, status):
            # Where a second write would not show, nothing is to be answered before it.
            if not is_version(expected, fingerprint(status)) or has_coarse_times(status):
                return False
            return container_of(fd).ends_as_promised(fd)
    except Exception:  # also of a file made to surprise us: it settles as any other
        return False
