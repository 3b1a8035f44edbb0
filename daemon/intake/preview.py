"""`clfd scan`: the inboxes as a run would see them now."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from classifier.audio.regular_file import file_version
from daemon.errors import DaemonError
from daemon.intake.scanner import IgnoredFiles, inboxes_of
from storage.errors import LedgerMissing
from storage.export.text_formats import output, write_jsonl, write_table
from storage.ledger.ledger import Ledger, open_ledger
from storage.ledger.outcomes import Arrival
from storage.settings.loading import refuse_overlapping_folders
from storage.settings.schema import Settings
from storage.values.text import printable_path

CHUNK = 500
_VERBS = {"take": "take", "wait": "wait for", "ignore": "ignore"}


@dataclass(frozen=True)
class Preview:
    """One file: `action` is take, wait, known or ignore; `why` is for people."""

    action: str
    path: str
    why: str
    inbox: str


def preview(settings: Settings) -> Iterator[Preview]:
    """Every file in every inbox, in bounded memory.

    Raises DaemonError where an inbox cannot be listed, and SettingsError where two overlap.
    """
    refuse_overlapping_folders(settings)
    try:
        with open_ledger(settings.database, "reader") as ledger:
            yield from _preview_inboxes(settings, ledger)
    except LedgerMissing:
        yield from _preview_inboxes(settings, None)


def _preview_inboxes(settings: Settings, ledger: Ledger | None) -> Iterator[Preview]:
    for inbox in inboxes_of(settings):
        root, scan = inbox.root, inbox.scan()
        entries = scan.entries()
        while chunk := list(islice(entries, CHUNK)):
            yield from _preview_chunk(root, chunk, ledger, settings.intake.settle_seconds)
        if scan.fault:
            raise DaemonError(f"{scan.fault}; check the path and its permissions")
        for folder, why in scan.left_out.items():
            yield Preview("ignore", printable_path(folder), f"a folder that {why}", str(root))


def _preview_chunk(
    root: Path, entries: list[Arrival | IgnoredFiles], ledger: Ledger | None, settle_seconds: float
) -> Iterator[Preview]:
    paths = [entry.path for entry in entries if isinstance(entry, Arrival)]
    known = ledger.known(root, paths) if ledger else {}
    queued = ledger.queued(root, paths) if ledger else set()
    for entry in entries:
        if isinstance(entry, IgnoredFiles):
            action, why = "wait" if entry.is_partial else "ignore", entry.why
        elif entry.path in queued:
            action, why = "take", "waits in the queue"
        elif known.get(entry.path) == entry.fingerprint:
            action, why = "known", "has its row"
        elif _age_seconds(entry.fingerprint) < settle_seconds:
            action, why = "wait", "was written a moment ago"
        else:
            action, why = "take", "changed since its row" if entry.path in known else "new"
        yield Preview(action, printable_path(entry.path), why, str(root))


def _age_seconds(fingerprint: str) -> float:
    version = file_version(fingerprint)
    return time.time() - max(version.written_ns, version.changed_ns) / 1e9


def show_preview(found: Iterator[Preview], form: str, limit: int) -> None:
    """A table of the first names with counts below it, or JSON lines of all."""
    with output(None) as stream:
        if form == "jsonl":
            write_jsonl(stream, map(asdict, found))
            return
        counts: Counter[str] = Counter()
        rows: list[list[str]] = []
        for file in found:
            counts[file.action] += 1
            if file.action != "known" and (not limit or len(rows) < limit):
                rows.append([file.action, file.path, file.why])
        if rows:
            write_table(stream, ["action", "path", "why"], rows)
        listed = (f"{counts[action]} to {word}" for action, word in _VERBS.items())
        print(f"{', '.join(listed)}; {counts['known']} known already", file=stream)
