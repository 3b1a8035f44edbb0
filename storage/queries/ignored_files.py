"""Files of the inboxes that are left out for their suffix, as they lie there now."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from storage.errors import SettingsError
from storage.home.folder_walk import FolderWalk, folder_identity, folders_apart
from storage.home.inbox_rules import IgnoreList, count_ignored, is_system_folder
from storage.home.mounts import mount_of
from storage.home.paths import Home
from storage.settings.loading import load_settings
from storage.settings.schema import Settings

MAX_NAMES = 200_000  # of an inbox that are looked at: a quarter of a second


def ignored_now(settings: Settings) -> Counter[str]:
    """By suffix. Shares are left out, since one that is away keeps whoever looks there waiting."""
    counts: Counter[str] = Counter()
    suffixes = frozenset(suffix.encode() for suffix in settings.intake.suffixes)
    for root in settings.inboxes:
        if not mount_of(root).is_network:
            for _, entry in islice(files_in(root, settings), MAX_NAMES):
                count_ignored(counts, os.fsencode(entry.name), suffixes)
    return counts


def ignored_at_home(home: Home) -> Counter[str]:
    """As `ignored_now`; of settings that are wrong others tell."""
    try:
        return ignored_now(load_settings(home))
    except SettingsError:
        return Counter()


def files_in(root: Path, settings: Settings) -> Iterator[tuple[bytes, os.DirEntry[str]]]:
    """What is no folder, by paths relative to the root, but for what a scan does not even list."""
    ignored = IgnoreList(settings.intake.ignore)
    apart = folders_apart(root, settings.inboxes, folder_identity(settings.archive))
    walk = FolderWalk(root, lambda folder, error: None, apart)
    for path, entry in walk.entries():
        with suppress(OSError):  # gone meanwhile, or not ours to look at: the daemon tells
            if ignored.has(path):
                continue
            if not entry.is_dir(follow_symlinks=False):
                yield path, entry
            elif not is_system_folder(os.fsencode(entry.name)):
                walk.enter(path)
