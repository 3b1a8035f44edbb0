"""Which names in an inbox are audio files, told from the name alone."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

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


class Verdict(Enum):
    AUDIO = "audio"
    PARTIAL = "partial"  # a name that a copying program uses until it is done
    IGNORED = "ignored"


def judge_name(name: bytes, suffixes: Collection[bytes]) -> Verdict:
    """`name` is a file name without folders; `suffixes` are lower case with their dot."""
    lowered = name.lower()
    if lowered.startswith(b".") or lowered.endswith(b"~"):
        return Verdict.IGNORED
    if lowered.endswith(PARTIAL_SUFFIXES):
        return Verdict.PARTIAL
    dot = lowered.rfind(b".")
    return Verdict.AUDIO if dot >= 0 and lowered[dot:] in suffixes else Verdict.IGNORED


def is_system_folder(name: bytes) -> bool:
    """Hidden folders (.stfolder, .Trash) and those that NAS and desktop systems leave behind."""
    return name.startswith(b".") or name in SYSTEM_FOLDERS
