"""Which files in an inbox are audio files: the rule, by names alone."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from fnmatch import translate

from storage.values.text import counted

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
MAX_SUFFIXES = 50  # that are counted one by one
MAX_TOLD = 8
_PLAIN_SUFFIX = re.compile(rb"[a-z0-9_-]{1,12}")
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


def count_ignored(counts: Counter[str], name: bytes, suffixes: Collection[bytes]) -> None:
    """Counts a file by its suffix if it is left out for that; not what is hidden, or a backup."""
    kind = file_kind(name, suffixes)
    if kind is FileKind.AUDIO or name.startswith(b".") or name.endswith(b"~"):
        return
    suffix = _suffix(name)
    counts[suffix if suffix in counts or len(counts) < MAX_SUFFIXES else "other"] += 1


def ignored_text(counts: Mapping[str, int]) -> str:
    """`3 files ignored: .m4a 2, .xyz 1`; empty where there are none."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    listed = [f"{suffix} {n}" if len(ranked) > 1 else suffix for suffix, n in ranked[:MAX_TOLD]]
    if not listed:
        return ""
    n_files = sum(counts.values())
    more = f" and {len(ranked) - MAX_TOLD} more suffixes" if len(ranked) > MAX_TOLD else ""
    return f"{counted(n_files, 'file')} ignored: {', '.join(listed)}{more}"


def _suffix(name: bytes) -> str:
    _, dot, ending = name.lower().rpartition(b".")
    if not dot:
        return "no suffix"
    return f".{ending.decode()}" if _PLAIN_SUFFIX.fullmatch(ending) else "other"


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
