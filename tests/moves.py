"""Moves to an archive, as tests speak of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from house import House

from classifier.fingerprint import fingerprint
from daemon.moving import MARK, Mover
from storage.archiving import ArchivePlan, Move


def files_below(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if not path.is_dir() and path.name != MARK)
    return sorted(str(path.relative_to(folder)) for path in found)


def digest(path: Path | bytes) -> str:
    return hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()


def a_move(source: Path, place: Path, **other: Any) -> Move:
    found = source.lstat()
    values: dict[str, Any] = {
        "recording_id": 1,
        "inbox": source.parent,
        "path": os.fsencode(source.name),
        "fingerprint": fingerprint(found),
        "size_bytes": found.st_size,
        "digest": digest(source),
        "place": os.fsencode(place),
    }
    return Move(**(values | other))


def mover_to(archive: Path, inbox: Path) -> Mover:
    return Mover(ArchivePlan(archive, (inbox,)), makes_root=True)


def places(house: House) -> list[tuple[object, ...]]:
    """(path, state, where it lies in the archive or None), sorted."""
    return sorted(
        (path, state, place if at else None)
        for path, state, place, at in house.ask(
            "SELECT path_text, state, archive_path_text, archived_at FROM recording"
        )
    )
