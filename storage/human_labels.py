"""What people say that recordings are: written, matched to recordings, and told again."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, select, tuple_

from storage.annotations import Annotation
from storage.answers import chunks
from storage.database import Database, execute_many
from storage.errors import StorageError
from storage.tables import human_label, inbox, recording
from storage.times import utc_now

EXPORT_COLUMNS = (
    "path",
    "label",
    "start",
    "end",
    "group",
    "digest",
    "predicted",
    "confidence",
    "origin",
    "labelled_at",
)
_row, _said = recording.c, human_label.c


@dataclass(frozen=True)
class Matched:
    """Annotations with the digests of their recordings; `problems` are of none, or of several."""

    found: tuple[tuple[Annotation, str], ...]
    problems: tuple[str, ...]


def match(connection: Connection, annotations: Sequence[Annotation]) -> Matched:
    """By digest, else by the path (in an inbox, or absolute), else by the name alone.

    Else by content, where a file lies at the path, counted from the table's folder.
    """
    known = _Known(connection, annotations)
    found, problems = [], []
    for one in annotations:
        digests = known.digests_of(one)
        if len(digests) == 1:
            found.append((one, next(iter(digests))))
        elif digests:
            problems.append(
                f"{one.place}: {one.path} is the name of {len(digests)} recordings; write the path"
                " as `clfd results` shows it, or the digest"
            )
        else:
            problems.append(f"{one.place}: no recording that was read is {one.path or one.digest}")
    return Matched(tuple(found), tuple(problems))


def write_labels(
    database: Database, matched: Iterable[tuple[Annotation, str, str]]
) -> tuple[int, int]:
    """Annotations, their digests and origins, in one transaction.

    What was said of the same part before is replaced, and the last of several counts.
    Returns how many are new, and how many say something else than before.
    """
    now = utc_now()
    rows: dict[tuple[str, float, float], dict[str, object]] = {}
    for one, digest, origin in matched:
        rows[digest, one.start_s, one.end_s] = {
            "digest": digest,
            "start_s": one.start_s,
            "end_s": one.end_s,
            "label": one.label,
            "group_name": one.group,
            "origin": origin,
            "labelled_at": now,
        }
    key = tuple_(_said.digest, _said.start_s, _said.end_s)
    n_new = n_changed = 0
    with database.transaction() as connection:
        for some in chunks(list(rows)):
            there = select(*key.clauses, _said.label).where(key.in_(some))
            before = {tuple(row[:3]): row[3] for row in connection.execute(there)}
            changed = [part for part in some if before.get(part) != rows[part]["label"]]
            connection.execute(delete(human_label).where(key.in_(changed)))
            execute_many(connection, _INSERT, [rows[part] for part in changed])
            n_new += len([part for part in changed if part not in before])
            n_changed += len([part for part in changed if part in before])
    return n_new, n_changed


def clear_labels(database: Database, digests: Sequence[str]) -> int:
    """Forget all that was said of these contents; returns how many labels that were."""
    with database.transaction() as connection:
        forgotten = delete(human_label).where(_said.digest.in_(digests))
        return connection.execute(forgotten).rowcount


def labels_said(connection: Connection) -> Iterator[dict[str, object]]:
    """One for each label, by file; of copies one is named. What is not known is empty."""
    query = (
        select(human_label, inbox.c.path, _row.path, _row.archived_at, _row.archive_path)
        .add_columns(_row.label, _row.confidence)
        .join(recording, _row.digest == _said.digest)
        .join(inbox, inbox.c.id == _row.inbox_id)
        .where(_row.state != "superseded")
        .order_by(_said.digest, _said.start_s, _said.end_s, _row.id)
    )
    told: tuple[object, ...] = ()
    for row in connection.execution_options(yield_per=1000).execute(query):
        digest, start_s, end_s, label, group, origin, at, folder, path, left, place = row[:11]
        if (part := (digest, start_s, end_s)) == told:
            continue
        told = part
        file = place if left is not None else os.path.join(folder, path)
        yield {
            "path": os.fsdecode(file),
            "label": label,
            "start": f"{start_s:g}" if start_s or end_s else "",
            "end": f"{end_s:g}" if end_s else "",
            "group": group or "",
            "digest": digest,
            "predicted": row[11] or "",
            "confidence": "" if row[12] is None else round(row[12], 6),
            "origin": origin,
            "labelled_at": at,
        }


def has_groups(connection: Connection) -> bool:
    """Whether any label came with a group."""
    named = select(_said.digest).where(_said.group_name.is_not(None)).limit(1)
    return connection.scalar(named) is not None


def require_recording(connection: Connection, path: str) -> str:
    """The digest of one recording. Raises StorageError where there is none, or more.

    The path is one in an inbox, or of a file, counted from where the person is.
    """
    here = str(Path(path).absolute())
    if os.path.lexists(here) and (found := match(connection, [Annotation(here, "", path)]).found):
        return found[0][1]
    matched = match(connection, [Annotation(path, "", path)])
    if not matched.found:
        raise StorageError(matched.problems[0])
    return matched.found[0][1]


_INSERT = human_label.insert()


class _Known:
    """Recordings by digest, path and name: as few as the annotations ask for."""

    def __init__(self, connection: Connection, annotations: Sequence[Annotation]) -> None:
        self._connection = connection
        self._folders = {
            row.id: row.path for row in connection.execute(select(inbox.c.id, inbox.c.path))
        }
        asked = {one.digest for one in annotations if one.digest}
        self._digests = set(self._all_in(list(asked)))
        self._by_path: dict[bytes, set[str]] = defaultdict(set)
        self._by_name: dict[bytes, set[str]] = defaultdict(set)
        paths = {os.fsencode(one.path) for one in annotations if one.digest not in self._digests}
        self._find_paths(paths)
        # A folder that is named must not be another one.
        if names := {path for path in paths if path not in self._by_path and b"/" not in path}:
            self._find_names(names)

    def digests_of(self, one: Annotation) -> set[str]:
        if one.digest in self._digests and one.digest is not None:
            return {one.digest}
        path = os.fsencode(one.path)
        found = self._by_path.get(path) or self._by_name.get(path)
        return found or self._by_content(one)

    def _by_content(self, one: Annotation) -> set[str]:
        file = (one.folder or Path()) / one.path
        if not one.path or not file.is_file():
            return set()
        try:
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise StorageError(f"{one.place}: cannot read {file}: {error.strerror}") from error
        return set(self._all_in([digest]))

    def _all_in(self, digests: list[str]) -> Iterator[str]:
        for some in chunks(digests):
            query = select(_row.digest).where(_row.digest.in_(some))
            yield from filter(None, self._connection.scalars(query))

    def _find_paths(self, paths: set[bytes]) -> None:
        asked: dict[tuple[int, bytes], set[bytes]] = defaultdict(set)
        for path in paths:
            for number, folder in self._folders.items():
                inside = folder.rstrip(b"/") + b"/"
                below = path.removeprefix(inside) if path.startswith(b"/") else path
                if not below.startswith(b"/"):
                    asked[number, below].add(path)
        for some in chunks(list(asked)):
            query = select(_row.inbox_id, _row.path, _row.digest).where(
                tuple_(_row.inbox_id, _row.path).in_(some),
                _row.digest.is_not(None),
                _row.state != "superseded",
            )
            for number, path, digest in self._connection.execute(query):
                for spelling in asked[number, path]:
                    self._by_path[spelling].add(digest)
        for several in chunks(sorted(path for path in paths if path.startswith(b"/"))):
            query = select(_row.archive_path, _row.digest).where(
                _row.archive_path.in_(several), _row.archived_at.is_not(None)
            )
            for path, digest in self._connection.execute(query):
                self._by_path[path].add(digest)

    def _find_names(self, names: set[bytes]) -> None:
        """Goes through all recordings once. A table may leave out the suffix of its sound."""
        query = select(_row.path, _row.digest).where(
            _row.digest.is_not(None), _row.state != "superseded"
        )
        for path, digest in self._connection.execution_options(yield_per=1000).execute(query):
            name = os.path.basename(path)
            for spelling in {name, os.path.splitext(name)[0]} & names:
                self._by_name[spelling].add(digest)
