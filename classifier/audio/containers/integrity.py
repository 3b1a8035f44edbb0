"""What is wrong with a file, and the file as a decoder is to see it nevertheless.

Decoders shorten a file that was cut, and drop the rest without a message. So each container holds
what its header promises against what the file holds (`formats.py`). What only shows while decoding
(FLAC has a checksum in every frame) is not looked for there.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from classifier.errors import DecodingError

MAX_READ_BYTES = 2**18


class Patch(NamedTuple):
    """`content` is read in place of the `replaced` bytes of the file from `offset` on."""

    offset: int
    replaced: int
    content: bytes


@dataclass(frozen=True)
class Integrity:
    """`damage` is the failure that a recording may become.

    With `patches` a decoder reads it to its end: all of it, or all that is left. With a `demuxer`
    only FFmpeg does. `oddity` is what a writer did wrong around sound that is whole.
    """

    damage: DecodingError | None = None
    patches: tuple[Patch, ...] = ()
    demuxer: str = ""
    oddity: str | None = None


def several_files(of: str) -> DecodingError:
    """Whole files one behind the other, as `cat` and recorders of blobs make them."""
    return DecodingError(
        "unsupported",
        f"several {of} files one behind the other, of which only the first would be heard; split "
        "them, or join their sound with a program that knows the format",
    )


class Patched(io.RawIOBase):
    """An open file, read as if `patches` stood in it. Its file descriptor stays open."""

    def __init__(self, fd: int, patches: Sequence[Patch]) -> None:
        super().__init__()
        self.fd, self._position = fd, 0
        self._pieces: list[range | bytes] = []  # a range is one of the file's bytes
        at = 0
        for offset, replaced, content in sorted(patches):
            self._pieces += [range(at, offset), content]
            at = offset + replaced
        self._pieces.append(range(at, max(at, os.fstat(fd).st_size)))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = sum(len(piece) for piece in self._pieces)
        self._position = max(0, offset + (0, self._position, size)[whence])
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes | None:
        """Not more than MAX_READ_BYTES at once: a header may make a decoder ask for 4 GiB."""
        return super().read(min(size, MAX_READ_BYTES) if size >= 0 else MAX_READ_BYTES)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view, done, at = memoryview(buffer).cast("B"), 0, self._position
        for piece in self._pieces:
            part = piece[at : at + len(view) - done]
            at = max(0, at - len(piece))
            content = part if isinstance(part, bytes) else os.pread(self.fd, len(part), part.start)
            view[done : done + len(content)] = content
            done += len(content)
            if len(content) < len(part):
                break  # it was cut meanwhile
        self._position += done
        return done
