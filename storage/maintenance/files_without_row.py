"""Audio files that lie in an inbox and have no row yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from storage.database.database import Database
from storage.fleet.inboxes import inboxes_of_ledger
from storage.home.inbox_rules import FileKind, file_kind
from storage.ledger.admission import newest_of
from storage.queries.ignored_files import files_in
from storage.settings.schema import Settings
from storage.values.progress import ProgressTicker
from storage.values.text import printable_path

_AT_ONCE = 500


def without_row(database: Database, settings: Settings, progress: ProgressTicker) -> Iterator[str]:
    """The paths of those files, with their inbox."""
    n_seen, inboxes = 0, inboxes_of_ledger(settings.database, settings.fleet.inboxes)
    for root in settings.inboxes:
        files = audio_files(root, settings)
        while paths := list(islice(files, _AT_ONCE)):
            n_seen += len(paths)
            progress.tick(f"files in the inboxes: {n_seen}")
            with database.transaction() as connection:
                rows = newest_of(connection, inboxes.find(connection, root), paths)
            # What left for the archive is not what lies there now.
            with_row = {row.path for row in rows if row.archived_at is None}
            missed = (path for path in paths if path not in with_row)
            yield from (printable_path(os.path.join(os.fsencode(root), path)) for path in missed)


def audio_files(root: Path, settings: Settings) -> Iterator[bytes]:
    """By their names, relative to the root; what a scan leaves out, and links, are left out."""
    suffixes = frozenset(suffix.encode() for suffix in settings.intake.suffixes)
    for path, entry in files_in(root, settings):
        with suppress(OSError):  # gone meanwhile, or not ours to look at: the daemon tells
            is_audio = file_kind(os.fsencode(entry.name), suffixes) is FileKind.AUDIO
            if is_audio and entry.is_file(follow_symlinks=False):
                yield path
