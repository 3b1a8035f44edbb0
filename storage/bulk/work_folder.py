"""The work folder of `clfd bulk`: what is to be scored, by which checkpoint, and the rows.

`job.json` is written last: a folder without one was never listed to the end.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from storage.errors import AlreadyRunning, StorageError, os_errors_as
from storage.home.atomic_write import ASIDE, write_whole
from storage.home.safe_open import file_digest, read_bounded

FORMAT_VERSION = 1
LOCK_NAME = ".lock"
NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK}  # a share that is mounted without them
MAX_JOB_BYTES = 2**24
MANIFEST_PATTERN = "part-*.parquet"


@dataclass(frozen=True)
class Job:
    """What all processes that score a work folder have in common.

    `roots` are absolute folders or `s3://` URLs. `checkpoint` is its name, `facts` what it says of
    itself. `engine` are the settings that decide what is stored of an answer, `accepts_damaged`
    whether what is left of a damaged recording is scored.
    """

    roots: tuple[str, ...]
    n_files: int
    checkpoint: str
    checkpoint_digest: str
    labels: tuple[str, ...]
    clip_seconds: float
    facts: Mapping[str, object]
    engine: Mapping[str, object]
    accepts_damaged: bool
    listed_at: str
    clfd_version: str | None


@dataclass(frozen=True)
class WorkFolder:
    root: Path

    @property
    def job_file(self) -> Path:
        return self.root / "job.json"

    @property
    def checkpoint(self) -> Path:
        return self.root / "checkpoint.safetensors"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest"

    @property
    def output(self) -> Path:
        return self.root / "out"

    def manifest_part(self, number: int) -> Path:
        return self.manifest / f"part-{number:05}.parquet"

    def manifest_parts(self) -> list[Path]:
        """In the order of the list."""
        return sorted(self.manifest.glob(MANIFEST_PATTERN))

    def output_parts(self) -> list[Path]:
        """Those that are whole; what is being written has a hidden name."""
        found = self.output.rglob("*.parquet")
        return sorted(part for part in found if not part.name.startswith("."))

    @contextmanager
    def output_folder(self, name: str, beside: str) -> Iterator[Path]:
        """A folder of the output for this process alone, as long as it lives.

        Others may be in those folders only that fit the glob `beside`: what they do was parted
        from this. Raises AlreadyRunning, and StorageError.
        """
        folder = self.output / name
        with os_errors_as(StorageError, f"cannot make {folder}", "check the folder's permissions"):
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / LOCK_NAME, f"{name} of {self.root} is being scored already"):
                for other in self.output.glob(f"*/{LOCK_NAME}"):
                    if other.parent != folder and not fnmatchcase(other.parent.name, beside):
                        busy = f"{other.parent.name} of {self.root} is being scored"
                        busy += "; let it end, since both would score the same"
                        with locked(other, busy, fcntl.LOCK_SH):  # others may look just now
                            pass
                for left in folder.iterdir():  # by a process that was killed
                    if ASIDE.fullmatch(left.name):
                        left.unlink()
                yield folder

    def write_job(self, job: Job) -> None:
        """Raises StorageError."""
        text = json.dumps({"format": FORMAT_VERSION, **asdict(job)}, ensure_ascii=False, indent=1)
        write_whole(self.job_file, f"{text}\n".encode())

    def read_job(self) -> Job:
        """Raises StorageError where there is none, or one of another format."""
        with os_errors_as(StorageError, f"cannot read {self.job_file}", "check its permissions"):
            try:
                written = json.loads(read_bounded(self.job_file, MAX_JOB_BYTES))
            except FileNotFoundError:
                raise StorageError(
                    f"{self.root} is no work folder; make one: clfd bulk list ROOT -o {self.root}"
                ) from None
            except ValueError as error:
                raise _not_a_job(self.job_file) from error
        found = written.pop("format", None) if isinstance(written, dict) else None
        if found != FORMAT_VERSION:
            raise StorageError(
                f"{self.job_file} has format {found}, and this clfd knows {FORMAT_VERSION}; go on"
                " with the version of clfd that listed it"
            )
        try:
            lists = {name: tuple(written[name]) for name in ("roots", "labels")}
            return Job(**{**written, **lists})
        except (TypeError, KeyError) as error:
            raise _not_a_job(self.job_file) from error

    def require_checkpoint(self, job: Job) -> None:
        """Raises StorageError where the checkpoint is not the one that the job began with."""
        with os_errors_as(StorageError, f"cannot read {self.checkpoint}", "list the archive again"):
            digest = file_digest(self.checkpoint)
        if digest != job.checkpoint_digest:
            raise StorageError(
                f"{self.checkpoint} is not the checkpoint that this job began with; copy"
                f" {job.checkpoint}.safetensors there, or list the archive again"
            )


@contextmanager
def locked(file: Path, otherwise: str, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Raises AlreadyRunning with this sentence where another process, of any machine, has it.

    A file, since a share locks no folders; where it locks nothing, nobody is kept away.
    """
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise AlreadyRunning(otherwise) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            os.close(handle)
            raise
    try:
        yield
    finally:
        os.close(handle)


def _not_a_job(file: Path) -> StorageError:
    return StorageError(f"{file} is damaged; list the archive again into another folder")
