"""Does a container promise where the file ends, and does the file end just there?

Finding damage is another question (`integrity.py`): it finds nothing wrong where a format does not
let anybody see. Here the answer is no unless the end is proven. The check takes a few small reads
and no decoder; it runs in a worker, as everything does that reads what a stranger wrote.
"""

from __future__ import annotations

from dataclasses import dataclass

from classifier.audio.containers.formats import container_of
from classifier.audio.regular_file import fingerprint, has_coarse_times, regular_file
from classifier.errors import DecodingError


@dataclass(frozen=True)
class EndCheck:
    """A file that its writer closed, as it was then."""

    path: bytes
    fingerprint: str


def is_complete(check: EndCheck) -> bool:
    """Whether it is still that file, and ends where its container promises."""
    try:
        with regular_file(check.path) as (fd, status):
            # Where a second write would not show, nothing is to be answered before it.
            if fingerprint(status) != check.fingerprint or has_coarse_times(status):
                return False
            return has_promised_end(fd)
    except (DecodingError, OSError):
        return False


def has_promised_end(fd: int) -> bool:
    """Whether the container promises an end, and the file ends there."""
    try:
        return container_of(fd).ends_as_promised(fd)
    except Exception:  # of a file made to surprise us: it settles as any other
        return False
