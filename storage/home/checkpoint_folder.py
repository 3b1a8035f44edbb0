"""The checkpoints folder, and its two links that say which checkpoint is to be served.

It knows file names and never looks inside a file. A *name* is a checkpoint file's stem,
`YYYYMMDDTHHMMSSZ-<first 8 of digest>`, so names sort by age.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from storage.errors import StorageError, os_errors_as
from storage.home.atomic_write import flush_folder, write_whole
from storage.home.paths import FILE_MODE, Home
from storage.home.safe_open import lock_folder

SUFFIX = ".safetensors"
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


@dataclass(frozen=True)
class CheckpointFolder:
    """`folder` must exist; the links `active` and `previous` need not."""

    folder: Path

    def names(self) -> list[str]:
        """Every checkpoint in the folder, newest first; none where there is no folder.

        Raises StorageError where it cannot be looked into.
        """
        what = f"cannot list the checkpoints folder {self.folder}"
        with os_errors_as(StorageError, what, "join the group that owns it"):
            try:
                files = [file for file in self.folder.iterdir() if file.suffix == SUFFIX]
            except FileNotFoundError:
                return []
            names = [file.stem for file in files if _NAME.fullmatch(file.stem) and file.is_file()]
        return sorted(names, reverse=True)

    def path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def active(self) -> str | None:
        """The name to be served; None without a link, or when it leads to no checkpoint here."""
        return self._linked("active")

    def previous(self) -> str | None:
        """The name that was active before; None as for `active`."""
        return self._linked("previous")

    def link_problem(self, link: str) -> str | None:
        """Why `active` or `previous` leads to no checkpoint; None where it does, or is none."""
        if self._linked(link):
            return None
        place = self.folder / link
        try:
            return f"the link {place} leads to {place.readlink()}, not there"
        except FileNotFoundError:
            return None if self.folder.is_dir() else f"the folder {self.folder} is not there"
        except OSError as error:
            is_no_link = error.errno == errno.EINVAL
            return (
                f"{place} is no link; move it away" if is_no_link else f"{place}: {error.strerror}"
            )

    def find(self, reference: str) -> str:
        """The name meant by a name, a file name, the start of a name or digest, or a link's word.

        Raises StorageError saying what there is, when none or more than one fits.
        """
        if reference in ("active", "previous"):
            return self._linked(reference) or self._refuse(f"no checkpoint is {reference}")
        wanted = reference.removesuffix(SUFFIX)
        matches = [name for name in self.names() if _means(wanted, name)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            self._refuse(f"checkpoint {reference!r} is ambiguous", matches)
        return self._refuse(f"there is no checkpoint {reference!r}")

    def locate(self, reference: str) -> Path:
        """The file meant by a path to a checkpoint file, else by a reference as for `find`."""
        path = Path(reference)
        with os_errors_as(StorageError, f"cannot look at {path}", "ask who owns its folder"):
            if path.suffix == SUFFIX and path.is_file():
                return path
        return self.path(self.find(reference))

    def activate(self, name: str, refused: Collection[str] = ()) -> None:
        """Point `active` at `name`, and `previous` at what was active; a no-op if it is already.

        What was active and is among the `refused` was never served: the one before it stays the
        previous one. Raises StorageError when there is no such checkpoint.
        """
        with self._alone():
            self._activate(name, refused)

    def rollback(self, refused: Collection[str] = ()) -> str:
        """Swap active and previous; returns the name that is active now.

        One of the `refused` does not become the previous one. Raises StorageError when there is no
        previous checkpoint.
        """
        with self._alone():
            name = self.previous()
            if name is None or name == self.active():
                self._refuse("there is no previous checkpoint to go back to")
            self._activate(name, refused)
            return name

    def put(self, name: str, data: bytes) -> None:
        """Write a checkpoint file in one step; it replaces one that has this name already."""
        write_whole(self.path(name), data, FILE_MODE)

    def remove(self, name: str) -> None:
        """Takes a checkpoint away. Raises StorageError for one to which a link leads."""
        with self._alone():
            self.refuse_if_linked(name)
            self._unlink([name])

    def prune(self, keep: int, spared: Collection[str] = ()) -> list[str]:
        """Takes away all but the newest `keep` (0 keeps all); returns the names, oldest last.

        Those in `spared`, and those to which a link leads, stay whatever their age.
        """
        with self._alone():
            kept = {*spared, self.active(), self.previous()}
            old = [name for name in self.names()[keep:] if keep and name not in kept]
            self._unlink(old)
            return old

    def refuse_if_linked(self, name: str) -> None:
        """Raises StorageError saying what to do, for the active and the previous checkpoint."""
        if name == self.active():
            raise StorageError(
                f"checkpoint {name} is active and stays;"
                " activate another one first, with `clfd checkpoints activate`"
            )
        if name == self.previous():
            raise StorageError(
                f"checkpoint {name} is the previous one and stays, so that there is a way back;"
                " it can go once another one was activated"
            )

    def _unlink(self, names: list[str]) -> None:
        for name in names:
            file = self.path(name)
            with os_errors_as(StorageError, f"cannot remove {file}", "ask who owns the folder"):
                file.unlink(missing_ok=True)
        flush_folder(self.folder)

    def _activate(self, name: str, refused: Collection[str]) -> None:
        if not self.path(name).is_file():
            self._refuse(f"there is no checkpoint {name!r}")
        old = self.active()
        if old == name:
            return
        # Between the two steps both links lead to the old one: served goes on, nothing dangles.
        if old is not None and old not in refused:
            self._link("previous", old)
        self._link("active", name)

    def _linked(self, link: str) -> str | None:
        try:
            target = (self.folder / link).readlink()
            ours = target.name == str(target) and target.suffix == SUFFIX
            known = ours and _NAME.fullmatch(target.stem) and self.path(target.stem).is_file()
        except OSError:  # `link_problem` says which
            return None
        return target.stem if known else None

    def _link(self, link: str, name: str) -> None:
        aside, place = self.folder / f".{link}.new", self.folder / link
        remedy = "move away what lies there, or ask who owns the folder"
        with os_errors_as(StorageError, f"cannot make the link {place}", remedy):
            aside.unlink(missing_ok=True)
            aside.symlink_to(self.path(name).name)
            aside.replace(place)
            flush_folder(self.folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One change at a time: trainer, `rollback`, `remove` and a person may meet."""
        what = f"cannot open the checkpoints folder {self.folder}"
        with os_errors_as(StorageError, what, "`clfd init` makes it"):
            lock = lock_folder(self.folder)
        try:
            yield
        finally:
            os.close(lock)

    def _refuse(self, problem: str, among: list[str] | None = None) -> NoReturn:
        there = ", ".join(among or self.names()) or "nothing; `clfd train` makes one"
        raise StorageError(f"{problem}; in {self.folder} there is: {there}")


def resolve_reference(home: Home, reference: str | None) -> str | None:
    """The name behind `active` or `previous`; other names may outlive their files."""
    if reference not in ("active", "previous"):
        return reference
    return CheckpointFolder(home.checkpoints).find(reference)


def is_name(text: str) -> bool:
    """Whether it has the format of a checkpoint's name; the file need not exist."""
    return _NAME.fullmatch(text) is not None


def _means(reference: str, name: str) -> bool:
    if reference == name:
        return True
    digest = name.rpartition("-")[2]
    starts = name.startswith(reference) or digest.startswith(reference)
    # Eight digits are in the name; a whole digest, as `results` prints it, means the same.
    return bool(reference) and (starts or reference.startswith(digest))
