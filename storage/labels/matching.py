"""What people say that recordings are: matched to recordings, written and forgotten."""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, select, tuple_

from storage.database.bulk import chunks
from storage.database.database import Database
from storage.database.tables import human_label, inbox, recording
from storage.errors import StorageError, os_errors_as
from storage.home.safe_open import file_digest
from storage.labels.label_events import LabelEvent, PartKey, Way, apply_events, new_act
from storage.labels.tables.annotation_files import Annotation
from storage.values.text import caseless

# What other programs round times to: an end may lie so far behind that of the recording.
ROUNDED_SECONDS = 0.1
_FROM_INBOX = "./"
_row, _human = recording.c, human_label.c
_KEY = tuple_(_human.digest, _human.start_s, _human.end_s)


class _Namesake(NamedTuple):
    spelling: str
    folder: str
    digest: str


@dataclass(frozen=True)
class MatchedLabels:
    """Annotations with the digests of their recordings; `problems` are of none, or of several."""

    found: tuple[tuple[Annotation, str], ...]
    problems: tuple[str, ...]


def match(connection: Connection, annotations: Sequence[Annotation]) -> MatchedLabels:
    """By digest, path, content of the file that lies at the path, or name: the first that fits.

    A part that ends after its recording does is of another one, and a problem too.
    """
    recordings = _RecordingIndex(connection, annotations)
    found, problems = [], []
    for one in annotations:
        digests = recordings.digests_of(one)
        if len(digests) > 1:
            several = (
                f"{one.recording} is the name of {len(digests)} recordings; write the"
                " path as `clfd results` shows it, or the digest"
            )
            problems.append(_placed(one, several))
        elif not digests:
            sound = one.recording
            nothing = (
                f"no recording that was read is {sound}" if sound else "neither path nor digest"
            )
            shown = "; `clfd results --status all` shows which were" * (one.place == sound)
            problems.append(_placed(one, nothing + shown))
        else:
            found.append((one, next(iter(digests))))
    lengths = recordings.lengths_of({digest for one, digest in found if one.start_s or one.end_s})
    too_long = [_beyond(one, lengths.get(digest)) for one, digest in found]
    problems += filter(None, too_long)
    within = [pair for pair, problem in zip(found, too_long, strict=True) if not problem]
    return MatchedLabels(tuple(within), tuple(problems))


def _placed(one: Annotation, problem: str) -> str:
    """With its row; the place of a label without a table is the recording itself."""
    return problem if one.place == one.recording else f"{one.place}: {problem}"


def _beyond(one: Annotation, duration_s: float | None) -> str:
    last_s = max(one.start_s, one.end_s)
    if duration_s is None or last_s <= duration_s + ROUNDED_SECONDS:
        return ""
    return f"{one.place}: {last_s:g} s is behind the end of {one.recording}, {duration_s:g} s"


def write_labels(
    database: Database,
    matched: Iterable[tuple[Annotation, str, str]],
    author: str,
    way: Way = "command",
) -> tuple[int, int]:
    """Annotations, their digests and origins, in one transaction and as one act.

    An earlier label of the same part is replaced, and the last of several counts.
    Returns how many are new, and how many say something else than before.
    """
    given = {(digest, one.start_s, one.end_s): (one, origin) for one, digest, origin in matched}
    with database.transaction() as connection:
        before = labels_of(connection, list(given))
        changed = [part for part, (one, _) in given.items() if before.get(part) != one.label]
        act = new_act()
        events = [
            LabelEvent(
                *(f"{act}-{at}", part[0], "label", one.label, *part[1:], way),
                group=one.group,
                origin=origin,
            )
            for at, part in enumerate(changed)
            for one, origin in [given[part]]
        ]
        apply_events(connection, events, author, act)
    n_changed = len(before.keys() & {*changed})
    return len(changed) - n_changed, n_changed


def labels_of(connection: Connection, parts: Sequence[PartKey]) -> dict[PartKey, str]:
    """What is said of just these parts."""
    found: dict[PartKey, str] = {}
    for some in chunks(parts):
        there = select(*_KEY.clauses, _human.label).where(_KEY.in_(some))
        found |= {(row[0], row[1], row[2]): row[3] for row in connection.execute(there)}
    return found


def clear_labels(
    database: Database, digest: str, author: str, part: tuple[float, float] | None = None
) -> int:
    """Forget the labels of this content, or of one part; returns how many."""
    which = [_human.digest == digest]
    if part is not None:
        which += [_human.start_s == part[0], _human.end_s == part[1]]
    with database.transaction() as connection:
        parts = connection.execute(select(*_KEY.clauses).where(*which)).all()
        act = new_act()
        events = [
            LabelEvent(f"{act}-{at}", digest, "clear", None, start_s, end_s)
            for at, (_, start_s, end_s) in enumerate(parts)
        ]
        apply_events(connection, events, author, act)
    return len(events)


def has_groups(connection: Connection) -> bool:
    """Whether any label came with a group."""
    named = select(_human.digest).where(_human.group_name.is_not(None)).limit(1)
    return connection.scalar(named) is not None


def require_recording(connection: Connection, one: Annotation) -> str:
    """The digest of one recording. Raises StorageError where there is none, or more.

    The path is one in an inbox, or of a file, counted from where the person is: a file that lies
    there is meant, and no other one.
    """
    here = str(Path(one.path).absolute())
    if os.path.lexists(here):
        one = replace(one, path=here, name="")
    matched = match(connection, [one])
    if not matched.found:
        raise StorageError(matched.problems[0])
    return matched.found[0][1]


class _RecordingIndex:
    """Recordings by digest, path and name: as few as the annotations ask for."""

    def __init__(self, connection: Connection, annotations: Sequence[Annotation]) -> None:
        self._connection = connection
        self._inboxes = {
            row.id: row.path for row in connection.execute(select(inbox.c.id, inbox.c.path))
        }
        asked = {one.digest for one in annotations if one.digest}
        self._digests = set(self._all_in(list(asked)))
        self._by_path: dict[bytes, set[str]] = defaultdict(set)
        self._by_name: dict[str, set[_Namesake]] = defaultdict(set)
        self._by_file: dict[Path, set[str]] = {}
        open_ones = [one for one in annotations if one.digest not in self._digests]
        self._find_paths({os.fsencode(one.path) for one in open_ones if one.path})
        named = [one for one in open_ones if not self._by_path.get(os.fsencode(one.path))]
        if spellings := {caseless(name) for one in named for name in _names(one)}:
            self._find_names(spellings)

    def digests_of(self, one: Annotation) -> set[str]:
        if one.digest in self._digests and one.digest is not None:
            return {one.digest}
        path = os.fsencode(one.path)
        if found := self._by_path.get(path) or self._by_content(one):
            return found
        is_in_inbox = any(path.startswith(_inside(folder)) for folder in self._inboxes.values())
        is_another_file = os.path.isabs(one.path) and os.path.isfile(one.path)
        return set() if is_in_inbox or is_another_file else self._namesakes(one)

    def lengths_of(self, digests: Collection[str]) -> dict[str, float]:
        """In seconds."""
        found: dict[str, float] = {}
        for some in chunks(list(digests)):
            query = select(_row.digest, _row.duration_s).where(_row.digest.in_(some))
            found.update((row[0], row[1]) for row in self._connection.execute(query) if row[1])
        return found

    def _namesakes(self, one: Annotation) -> set[str]:
        """Those at such a path but for its case, else those whose folders end most like it."""
        ranked: dict[float, set[str]] = defaultdict(set)
        for name in _names(one):
            called = self._by_name.get(caseless(name), set())
            for each in {each for each in called if each.spelling == name} or called:
                is_path = name.startswith(_FROM_INBOX)
                rank = math.inf if is_path else _common_end(each.folder.split("/"), one.folders)
                ranked[rank].add(each.digest)
        best = max(ranked, default=-1)
        return ranked[best] if best >= one.n_sure else set()

    def _by_content(self, one: Annotation) -> set[str]:
        name = one.path or one.name
        file = (one.folder or Path()) / name
        if not name or not os.path.isfile(file):
            return set()
        if file not in self._by_file:
            with os_errors_as(StorageError, f"{one.place}: cannot read {file}"):
                digest = file_digest(file)
            self._by_file[file] = set(self._all_in([digest]))
        return self._by_file[file]

    def _all_in(self, digests: list[str]) -> Iterator[str]:
        for some in chunks(digests):
            query = select(_row.digest).where(_row.digest.in_(some))
            yield from filter(None, self._connection.scalars(query))

    def _find_paths(self, paths: set[bytes]) -> None:
        by_spelling: dict[bytes, set[bytes]] = defaultdict(set)
        for path in paths:
            for spelling in _spellings(path):
                by_spelling[spelling].add(path)
        for spelling, digest in (*self._in_inboxes(by_spelling), *self._in_archives(by_spelling)):
            for path in by_spelling[spelling]:
                self._by_path[path].add(digest)

    def _in_inboxes(self, paths: Collection[bytes]) -> Iterator[tuple[bytes, str]]:
        asked: dict[tuple[int, bytes], set[bytes]] = defaultdict(set)
        for path in paths:
            for number, folder in self._inboxes.items():
                below = path.removeprefix(_inside(folder))
                if not below.startswith(b"/"):
                    asked[number, below].add(path)
        for some in chunks(list(asked)):
            query = select(_row.inbox_id, _row.path, _row.digest).where(
                tuple_(_row.inbox_id, _row.path).in_(some),
                _row.digest.is_not(None),
                _row.state != "superseded",
            )
            for number, below, digest in self._connection.execute(query):
                yield from ((path, digest) for path in asked[number, below])

    def _in_archives(self, paths: Collection[bytes]) -> Iterator[tuple[bytes, str]]:
        for some in chunks(sorted(path for path in paths if path.startswith(b"/"))):
            query = select(_row.archive_path, _row.digest).where(
                _row.archive_path.in_(some), _row.archived_at.is_not(None)
            )
            yield from ((path, digest) for path, digest in self._connection.execute(query))

    def _find_names(self, names: set[str]) -> None:
        """Goes through all recordings once. A table may leave out the suffix of its sound."""
        query = select(_row.inbox_id, _row.path, _row.digest).where(
            _row.digest.is_not(None), _row.state != "superseded"
        )
        rows = self._connection.execute(query, execution_options={"yield_per": 1000})
        for inbox_id, path, digest in rows:
            below = os.fsdecode(path)
            folder, name = os.path.split(os.path.join(os.fsdecode(self._inboxes[inbox_id]), below))
            for spelling in (_FROM_INBOX + below, name, os.path.splitext(name)[0]):
                if (key := caseless(spelling)) in names:
                    self._by_name[key].add(_Namesake(spelling, folder, digest))


def _names(one: Annotation) -> list[str]:
    """The path from an inbox on, and the name alone, where it has them."""
    path = [_FROM_INBOX + one.path.replace("\\", "/")] if one.path else []
    return [*path, *([one.name] if one.name else [])]


def _inside(folder: bytes) -> bytes:
    return folder.rstrip(b"/") + b"/"


def _spellings(path: bytes) -> set[bytes]:
    """As it is, with the bytes that were written as `\\xff`, and with the slashes of Windows."""
    as_bytes = re.sub(rb"\\x([89a-f][0-9a-f])", lambda one: bytes.fromhex(one[1].decode()), path)
    return {path, as_bytes, path.replace(b"\\", b"/")}


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = zip(reversed(one), reversed(other), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
