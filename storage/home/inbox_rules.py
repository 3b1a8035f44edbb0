"""Which files in an inbox are audio files: the rule, by names alone."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from enum import Enum
from fnmatch import translate

SYSTEM_FOLDERS = (b"@eaDir", b"__MACOSX", b"#recycle", b"$RECYCLE.BIN", b"lost+found")
PARTIAL_SUFFIXES = (
    b".part",
    b".partial",
    b".tmp",
    b".temp",
    b".crdownload",
    b".download",
    b".filepart",
)
LEAVING = b".clfd-leaving."  # before the name of a file that is being taken away to the archive
# rsync's .name.wav.x7Gq2Z, Syncthing's .syncthing.name.wav.tmp and ~syncthing~name.wav.tmp
_HIDDEN_COPY = re.compile(rb"\..+\.[a-z0-9]+\.[a-z0-9]{6}|[.~]syncthing[.~].+\.tmp", re.IGNORECASE)


class FileKind(Enum):
    AUDIO = "audio"
    PARTIAL = "partial"  # a name that a copying program uses until it is done
    IGNORED = "ignored"


def file_kind(name: bytes, suffixes: Collection[bytes]) -> FileKind:
    """`name` is a file name without folders; `suffixes` are lower case with their dot."""
    lowered = name.lower()
    if name.startswith((b".", b"~")) and _HIDDEN_COPY.fullmatch(name):
        return FileKind.PARTIAL
    if lowered.startswith(b".") or lowered.endswith(b"~"):
        return FileKind.IGNORED
    if lowered.endswith(PARTIAL_SUFFIXES):
        return FileKind.PARTIAL
    dot = lowered.rfind(b".")
    return FileKind.AUDIO if dot >= 0 and lowered[dot:] in suffixes else FileKind.IGNORED


def is_system_folder(name: bytes) -> bool:
    """Hidden folders (.stfolder, .Trash) and those that NAS and desktop systems leave behind."""
    return name.startswith(b".") or name in SYSTEM_FOLDERS


class IgnoreList:
    """Globs: one without a slash is for names at any depth, one with a slash for whole paths."""

    def __init__(self, globs: Sequence[str] = ()) -> None:
        self._is_empty = not globs
        self._names = _any_of([glob for glob in globs if "/" not in glob])
        self._paths = _any_of([glob.strip("/") for glob in globs if "/" in glob])

    def has(self, path: bytes) -> bool:
        """`path`, of a file or a folder, is relative to the inbox."""
        if self._is_empty:  # as most are; this is asked four times of every file
            return False
        whole = os.fsdecode(path)
        name = whole.rpartition("/")[2]
        return bool(self._names.fullmatch(name) or self._paths.fullmatch(whole))


def _any_of(globs: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, globs)) or "(?!)")
