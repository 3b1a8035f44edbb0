"""Files of `clfd bulk` on their way to the window: what is not on this machine is copied first."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

from classifier.audio.regular_file import fingerprint
from classifier.errors import DecodingError, FileChanged
from classifier.workers.process import temporary_folder
from daemon.bulk.archive_roots import ArchiveRoot, Place
from daemon.errors import DaemonError
from storage.bulk.parquet_parts import ListedFile
from storage.errors import StorageError, os_errors_as
from storage.ledger.outcomes import Claim

MAX_FILES = 1024  # ahead of the window, which on a GPU takes 500 at once
MAX_COPY_BYTES = 2 * 2**30  # of all copies; the next file may be larger, and comes all the same
# An object takes three requests of some 20 ms each, one after the other.
THREADS = 16


@dataclass(frozen=True)
class Trial:
    """`attempts` counts this one, `n_deaths` those of the process that scored it then.

    `place` is where it was found, from then on.
    """

    file: ListedFile
    attempts: int = 1
    n_deaths: int = 0
    place: Place | None = None

    @property
    def claim(self) -> Claim:
        assert self.place is not None
        number, size_bytes = self.file.id, self.file.size_bytes
        return Claim(number, *self.place, size_bytes, self.attempts, "new")


class Fetches:
    """Finds files in their roots, by name. `wake` is set from another thread with each copy.

    Copies lie in a folder of this process; what one that was killed left there goes with the next
    that makes one. Leave it to end what is under way.
    """

    def __init__(self, roots: Mapping[str, ArchiveRoot], wake: threading.Event) -> None:
        self.roots = roots
        self._wake = wake
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._threads = ThreadPoolExecutor(THREADS, "fetch")
        self._end: StorageError | None = None
        self._fetching: dict[Future[Place], Trial] = {}
        self._done: SimpleQueue[Future[Place]] = SimpleQueue()
        self._found: deque[Trial] = deque()
        self._refused: deque[tuple[Trial, DecodingError | FileChanged]] = deque()
        self._copied_bytes = 0  # of copies that are there, or will be

    def __enter__(self) -> Fetches:
        return self

    def __exit__(self, *_: object) -> None:
        self._end = self._end or StorageError("files are not wanted any more")
        self._threads.shutdown(cancel_futures=True)
        self._stack.close()

    def __len__(self) -> int:
        """Files that were asked for, and neither taken nor refused."""
        return len(self._fetching) + len(self._found) + len(self._refused)

    def fill(self, trials: Iterator[Trial]) -> None:
        """Asks for as many as there is room for."""
        while len(self) < MAX_FILES and self._copied_bytes < MAX_COPY_BYTES:
            trial = next(trials, None)
            if trial is None:
                return
            self.ask(trial)

    def ask(self, trial: Trial) -> None:
        """What has its place, from a trial before, is the next one to be taken."""
        if trial.place is not None:
            self._found.appendleft(trial)
            return
        content = self.roots[trial.file.root].find(trial.file)
        if isinstance(content, Place):
            self._found.append(replace(trial, place=content))
            return
        if self._folder is None:
            self._folder = Path(self._stack.enter_context(temporary_folder("clfd-objects")))
        self._copied_bytes += trial.file.size_bytes
        future = self._threads.submit(self._copy, self._folder, trial.file, content)
        self._fetching[future] = trial
        future.add_done_callback(self._tell)

    def take(self, n: int) -> list[Trial]:
        """Up to `n` that have their place. Raises StorageError where a root is away."""
        while not self._done.empty():
            self._finish(self._done.get())
        return [self._found.popleft() for _ in range(min(n, len(self._found)))]

    def refused(self) -> Iterator[tuple[Trial, DecodingError | FileChanged]]:
        """Those that could not be read, and why."""
        while self._refused:
            yield self._refused.popleft()

    def drop(self, trial: Trial) -> None:
        """Its copy, if there is one, is not needed any more."""
        if trial.place is not None and trial.place.folder == self._folder:
            (self._folder / os.fsdecode(trial.place.path)).unlink(missing_ok=True)
            self._copied_bytes -= trial.file.size_bytes

    def refuse_away(self, folder: Path, work: Path) -> bool:
        """Raises DaemonError or StorageError where what was in a place is not there any more."""
        if folder == self._folder:
            raise DaemonError(f"copies in {folder} were deleted; keep others from it, then go on")
        self.roots[str(folder)].refuse_away(work)
        return False

    def _finish(self, future: Future[Place]) -> None:
        trial = self._fetching.pop(future)
        try:
            self._found.append(replace(trial, place=future.result()))
        except (DecodingError, FileChanged) as error:
            self._copied_bytes -= trial.file.size_bytes
            self._refused.append((trial, error))

    def _tell(self, future: Future[Place]) -> None:
        self._done.put(future)
        self._wake.set()

    def _copy(self, folder: Path, file: ListedFile, content: Iterator[bytes]) -> Place:
        """In a thread. What is left half way is written over by the next try."""
        # Decoders go by the suffix, too.
        name = f"{file.id:016x}{Path(os.fsdecode(file.path)).suffix}"
        remedy = "check the space on its disk, or set TMPDIR to another folder"
        try:
            with os_errors_as(StorageError, f"cannot write a copy into {folder}", remedy):
                with (folder / name).open("wb") as copy:
                    self._go_on()
                    for piece in content:
                        self._go_on()
                        copy.write(piece)
                version = fingerprint((folder / name).stat())
        except StorageError as error:
            self._end = error  # others would only wait for the same
            raise
        return Place(folder, os.fsencode(name), version)

    def _go_on(self) -> None:
        if self._end is not None:
            raise self._end
