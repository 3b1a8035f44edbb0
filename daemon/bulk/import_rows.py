"""`clfd bulk import`: the rows of a work folder into the ledger, which may be repeated."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from classifier.audio.regular_file import fingerprint, shared_fingerprint
from storage.bulk.bucket import is_bucket
from storage.bulk.ledger_import import import_outcomes, outcome_of
from storage.bulk.parquet_parts import OUTPUT, Row, count_rows, read_rows
from storage.bulk.work_folder import WorkFolder
from storage.errors import StorageError
from storage.home.safe_open import stat_below
from storage.ledger.ledger import open_ledger
from storage.ledger.outcomes import Arrival
from storage.settings.schema import Settings
from storage.values.progress import ProgressTicker

STEP_ROWS = 256  # in one transaction: a daemon that runs meanwhile is held up for so long


def import_rows(settings: Settings, work: WorkFolder, note: Callable[[str], None]) -> None:
    """Raises StorageError; what was imported before stays.

    A file in one of the inboxes belongs to that, any other to the root that it was listed in.
    """
    job, parts = work.read_job(), work.output_parts()
    buckets = [root for root in job.roots if is_bucket(root)]
    if buckets:
        raise StorageError(
            f"{buckets[0]} is no folder: the ledger has files that a daemon, or the page, can open;"
            f" read the answers where they are, in {work.output}"
        )
    inboxes = sorted(map(os.fsencode, settings.inboxes), key=len, reverse=True)
    ticker, n_rows, n_read, n_imported = ProgressTicker(note), count_rows(parts), 0, 0
    with open_ledger(settings.database, "editor") as ledger:
        about = job.labels, job.clip_seconds, job.facts
        checkpoint = ledger.register_checkpoint(job.checkpoint_digest, job.checkpoint, *about)
        rows = _rows(parts)
        while some := list(islice(rows, STEP_ROWS)):
            n_read += len(some)
            known = {_arrival(row, inboxes): row for row in some if row["error_class"] != "changed"}
            outcomes = {arrival: outcome_of(row, checkpoint) for arrival, row in known.items()}
            n_imported += import_outcomes(ledger, outcomes)
            ticker.advance("importing", n_read, n_rows)
    note(f"{n_imported:,} of {n_read:,} rows imported; the ledger knew the others")


def _rows(parts: Sequence[Path]) -> Iterator[Row]:
    for batch in read_rows(parts, OUTPUT.names):
        yield from batch.to_pylist()


def _arrival(row: Row, inboxes: Sequence[bytes]) -> Arrival:
    root, path = os.fsencode(row["root"]), bytes(row["path"])
    version = _version_here(root, path, row["fingerprint"])
    whole = root + b"/" + path
    inbox = next((inbox for inbox in inboxes if whole.startswith(inbox + b"/")), root)
    name = whole[len(inbox) + 1 :]
    return Arrival(Path(os.fsdecode(inbox)), name, version, row["size_bytes"])


def _version_here(root: bytes, path: bytes, listed: str) -> str:
    """The fingerprint that a scan would find, where it is the file that was listed."""
    try:
        here = fingerprint(stat_below(root, path))
    except OSError:
        return listed
    return here if shared_fingerprint(here) == listed else listed
