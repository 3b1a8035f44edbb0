"""`clfd bulk list`: which files there are, in bounded memory, and what they are to be scored by."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np

from classifier.audio.regular_file import shared_fingerprint
from classifier.model.checkpoint import Checkpoint, read_with_bytes
from classifier.model.starter import starter_file
from daemon.bulk.archive_roots import roots_apart
from daemon.errors import DaemonError
from daemon.intake.scanner import Scan
from daemon.pipeline.model_manager import hop_samples
from storage.bulk.parquet_parts import MANIFEST, ListedFile, Row, file_id, part_writer, read_rows
from storage.bulk.work_folder import LOCK_NAME, Job, WorkFolder, locked
from storage.errors import StorageError, os_errors_as
from storage.home.atomic_write import write_whole
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.inbox_rules import ignored_text
from storage.home.paths import Home
from storage.ledger.outcomes import Arrival
from storage.settings.schema import Settings
from storage.values.distribution import installed_version
from storage.values.progress import ProgressTicker
from storage.values.text import counted, printable_path, visible
from storage.values.timestamps import utc_now

Note = Callable[[str], None]

PART_FILES = 1_000_000
STEP_NAMES = 10_000  # in memory at a time
MAX_NAMED = 3
# What decides the answers; how fast they come is each machine's own matter.
ANSWER_SETTINGS = {"clip_pooling", "long_clips", "channel", "overlap_seconds", "max_hours"}


def list_files(
    home: Home,
    settings: Settings,
    roots: Sequence[str],
    work: WorkFolder,
    reference: str,
    note: Note,
) -> None:
    """Makes the work folder. Raises DaemonError, CheckpointError and StorageError.

    A folder that cannot be listed is refused, since nobody would miss its files in the end.
    """
    inboxes = [(root, root.inbox(settings)) for root in roots_apart(roots)]
    with _alone_in(work):
        checkpoint, data = _checkpoint(home, reference)
        hop_samples(checkpoint.facts, settings.engine.overlap_seconds)  # refuses short clips
        listing = _Listing(work, note)
        for root, inbox in inboxes:
            listing.add(root.name, inbox.scan())
        listing.finish()
        write_whole(work.checkpoint, data)
        urls = tuple(root.url for root, _ in inboxes)
        work.write_job(_job(urls, len(listing.ids), checkpoint, settings))
    note(f"{counted(len(listing.ids), 'file')} listed: `clfd bulk score {work.root}` scores them")


def _job(roots: tuple[str, ...], n_files: int, checkpoint: Checkpoint, settings: Settings) -> Job:
    return Job(
        roots=roots,
        n_files=n_files,
        checkpoint=checkpoint.name,
        checkpoint_digest=checkpoint.digest,
        labels=checkpoint.labels,
        clip_seconds=checkpoint.audio_format.clip_seconds,
        facts=checkpoint.facts.description,
        engine=settings.engine.model_dump(include=ANSWER_SETTINGS),
        accepts_damaged=settings.intake.damaged == "warn",
        listed_at=utc_now(),
        clfd_version=installed_version(),
    )


@contextmanager
def _alone_in(work: WorkFolder) -> Iterator[None]:
    """In a new work folder, or in one whose list was never finished."""
    with os_errors_as(StorageError, f"cannot make {work.root}", "name another folder with -o"):
        for folder in (work.manifest, work.output):
            folder.mkdir(parents=True, exist_ok=True)
        with locked(work.root / LOCK_NAME, f"another process lists files into {work.root}"):
            if work.job_file.exists():
                raise DaemonError(f"{work.root} has its list already; name another folder with -o")
            for part in work.manifest_parts():
                part.unlink()
            yield


def _checkpoint(home: Home, reference: str) -> tuple[Checkpoint, bytes]:
    """The one that is meant, as for `clfd classify`: where no home was made, the starter."""
    wants_starter = reference == "active" and not home.is_made
    with starter_file() if wants_starter else nullcontext() as starter:
        file = starter or CheckpointFolder(home.checkpoints).locate(reference)
        return read_with_bytes(file, remedy="name another one with --checkpoint")


class _Listing:
    """The parts of the manifest, as they are filled; of all files only the ids are kept."""

    def __init__(self, work: WorkFolder, note: Note) -> None:
        self._work, self._note = work, note
        self._ticker = ProgressTicker(note)
        self._n_parts = 0
        self.ids = array("q")
        self._ignored: Counter[str] = Counter()

    def add(self, root: str, scan: Scan) -> None:
        """All audio files of a root, in parts of their own."""
        while not scan.is_over:
            self._write_part(scan, root)
        _refuse_unseen(scan)
        self._ignored.update(scan.by_suffix)

    def finish(self) -> None:
        """Raises DaemonError where two files have one id, and where there are none."""
        left_out = ignored_text(self._ignored)
        if not self.ids:
            why = f" ({left_out})" if left_out else ""
            raise DaemonError(f"no audio files are there{why}; name other folders")
        if left_out:
            self._note(left_out)
        ids = np.sort(np.frombuffer(self.ids, np.int64))
        twice = set(ids[1:][ids[1:] == ids[:-1]].tolist())
        if twice:
            batches = read_rows(self._work.manifest_parts(), ["id", "path"])
            rows = (row for batch in batches for row in batch.to_pylist() if row["id"] in twice)
            names = ", ".join(visible(printable_path(row["path"])) for row in rows)
            raise DaemonError(f"files have the same id by chance: {names}; rename one of them")

    def _write_part(self, scan: Scan, root: str) -> None:
        part, end = self._work.manifest_part(self._n_parts), len(self.ids) + PART_FILES
        with part_writer(part, MANIFEST) as write:
            while len(self.ids) < end and not scan.is_over:
                rows = [_row(root, arrival) for arrival in scan.take(STEP_NAMES)]
                write(rows)
                self.ids.extend(row["id"] for row in rows)
                self._ticker.tick(f"listed {len(self.ids):,} files")
        self._n_parts += 1


def _row(root: str, arrival: Arrival) -> Row:
    version = shared_fingerprint(arrival.fingerprint)
    number = file_id(root, arrival.path, version)
    return ListedFile(number, root, arrival.path, arrival.size_bytes, version)._asdict()


def _refuse_unseen(scan: Scan) -> None:
    faults = scan.faults
    if faults:
        more = f" and {len(faults) - MAX_NAMED} more" if len(faults) > MAX_NAMED else ""
        raise DaemonError(
            f"{'; '.join(faults[:MAX_NAMED])}{more}; change the permissions, or leave it out with"
            " the setting intake.ignore"
        )
