"""Audio files that lie in an inbox and have no row yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import translate
from pathlib import Path
from re import compile as compiled

from storage.database.engine import Database
from storage.ledger.admission import newest_of
from storage.maintenance.id_ranges import batches
from storage.settings.schema import Settings
from storage.values.progress import ProgressTicker
from storage.values.text import printable_path

# As the daemon's listing has them; a test holds the two together.
SYSTEM_FOLDERS = (b"@eaDir", b"__MACOSX", b"#recycle", b"$RECYCLE.BIN", b"lost+found")
_AT_ONCE = 500


def uncovered(database: Database, settings: Settings, pulse: ProgressTicker) -> Iterator[str]:
    """The paths of those files, with their inbox."""
    n_seen = 0
    for root in settings.inboxes:
        for paths in batches(audio_files(root, settings), _AT_ONCE):
            n_seen += len(paths)
            pulse.tick(f"files in the inboxes: {n_seen}")
            with database.transaction() as connection:
                rows = newest_of(connection, root, paths)
            # What left for the archive is not what lies there now.
            known = {row.path for row in rows if row.archived_at is None}
            missed = (path for path in paths if path not in known)
            yield from (printable_path(os.path.join(os.fsencode(root), path)) for path in missed)


def audio_files(root: Path, settings: Settings) -> Iterator[bytes]:
    """By their names, relative to the root; what a scan leaves out, and links, are left out."""
    suffixes = tuple(suffix.encode() for suffix in settings.intake.suffixes)
    is_ignored = _Ignored(settings.intake.ignore)
    folders = [b""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(os.path.join(os.fsencode(root), folder)) as entries:
                for entry in entries:
                    path = os.path.join(folder, entry.name)
                    if entry.name.startswith(b".") or is_ignored(path):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders += [path] if entry.name not in SYSTEM_FOLDERS else []
                    elif entry.name.lower().endswith(suffixes) and _is_plain(entry):
                        yield path
        except OSError:
            continue  # gone meanwhile, or not ours to read: the daemon tells


def _is_plain(entry: os.DirEntry[bytes]) -> bool:
    return entry.is_file(follow_symlinks=False)


class _Ignored:
    """Globs without a slash are for names, others for whole paths."""

    def __init__(self, globs: tuple[str, ...]) -> None:
        names = [translate(glob) for glob in globs if "/" not in glob]
        paths = [translate(glob.strip("/")) for glob in globs if "/" in glob]
        self._names = compiled("|".join(names) or "(?!)")
        self._paths = compiled("|".join(paths) or "(?!)")

    def __call__(self, path: bytes) -> bool:
        whole = os.fsdecode(path)
        name = whole.rpartition("/")[2]
        return bool(self._names.fullmatch(name) or self._paths.fullmatch(whole))
