"""The oracle: what must be true of a home when the dust has settled, whatever befell the daemon.

It judges by the promise alone: what lies in the inbox, what the ledger says, and what the test
itself put there. It reads the ledger with SQLite and the inbox with the file system, not through
the code that is on trial.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from storage.database.sqlite import driver
from storage.home.paths import Home

SUFFIXES = (
    b".wav", b".wave", b".flac", b".ogg", b".oga", b".opus", b".mp3", b".aif", b".aiff", b".m4a",
    b".webm", b".wma"
)  # fmt: skip
PARTIAL = (b".part", b".partial", b".tmp", b".temp", b".crdownload", b".download", b".filepart")
SYSTEM_FOLDERS = (b"@eaDir", b"__MACOSX", b"#recycle", b"$RECYCLE.BIN", b"lost+found")
STALE_HEARTBEAT_SECONDS = 30.0

Contents = dict[bytes, str]  # path relative to the inbox -> digest


@dataclass(frozen=True)
class Row:
    id: int
    path: bytes
    fingerprint: str
    digest: str | None
    state: str
    claimed_by: str | None
    error_class: str | None
    error: str | None
    prediction_id: int | None
    requeued: str | None


@dataclass
class Verdict:
    """`complaints` are broken promises in words; none means that all were kept."""

    complaints: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0

    def complain(self, text: str) -> None:
        self.complaints.append(text)


def judge(
    home: Home,
    inbox: Path | None = None,
    expected: Mapping[bytes, set[str]] | None = None,
    untouched: Contents | None = None,
    may_fail: Mapping[str, set[str]] | None = None,
    must_fail: Collection[str] = (),
) -> Verdict:
    """The verdict over a home whose work is done.

    `expected` are the digests of complete contents per path that must have a row, whether the
    file is still there or not. `untouched` is what the inbox must hold still. `may_fail` names
    the kinds of failure that are right per digest; with it, every other recording must be done,
    but for the digests that `must_fail`.
    """
    verdict = Verdict()
    there = contents(inbox or home.inbox)
    # The daemon's own library: two copies of SQLite in one process drop each other's locks.
    with closing(driver().connect(f"file:{home.ledger_file}?mode=ro", uri=True)) as ledger:
        ledger.execute("BEGIN")
        _is_sound(ledger, verdict)
        rows = _rows(ledger)
        _has_answers(ledger, rows, verdict)
        _is_tallied(ledger, verdict)
        _is_numbered(ledger, verdict)
    verdict.states.update(row.state for row in rows)
    verdict.kinds.update(row.error_class or "" for row in rows if row.state == "failed")
    _is_accounted(there, rows, inbox or home.inbox, verdict)
    _has_each_once(rows, expected or {}, verdict)
    _is_over(rows, verdict)
    if may_fail is not None:
        _failed_rightly(rows, may_fail, must_fail, verdict)
    for path, digest in (untouched or {}).items():
        if there.get(path) != digest:
            verdict.complain(f"{path!r} was changed or deleted in the inbox")
    return verdict


def _is_tallied(ledger: Any, verdict: Verdict) -> None:
    """What is counted beforehand is what a count finds."""
    day = "substr(coalesce(answered_at, first_seen_at), 1, 10)"
    query = f"SELECT {{}} FROM recording GROUP BY state, {day} ORDER BY 1, 2"
    counted = ledger.execute(query.format(f"state, {day}, count(*)")).fetchall()
    printed = ledger.execute(
        "SELECT state, day, sum(n) FROM tally GROUP BY 1, 2 HAVING sum(n) <> 0 ORDER BY 1, 2"
    ).fetchall()
    if counted != printed:
        verdict.complain(f"the tally says {printed}, the recordings {counted}")


def _is_numbered(ledger: Any, verdict: Verdict) -> None:
    """Each answer has a number of its own, and the counter is not behind."""
    n, n_numbers, largest = ledger.execute(
        "SELECT count(*), count(DISTINCT answer_number), coalesce(max(answer_number), 0)"
        " FROM recording WHERE answered_at IS NOT NULL"
    ).fetchone()
    (newest,) = ledger.execute("SELECT newest FROM answer_counter").fetchone()
    if n != n_numbers or largest > newest:
        verdict.complain(f"{n} answers have {n_numbers} numbers, up to {largest} of {newest}")


def require(verdict: Verdict) -> None:
    shown = verdict.complaints[:20]
    more = len(verdict.complaints) - len(shown)
    assert not shown, "\n".join([*shown, *([f"and {more} more"] if more else [])])


def contents(inbox: Path) -> Contents:
    """Every file in the inbox that clfd promises a row: regular, whole, audio by its name."""
    return {
        os.path.relpath(path, os.fsencode(inbox)): _digest(path)
        for path in _audio_files(os.fsencode(inbox))
    }


def is_healthy(home: Home, pid: int) -> str | None:
    """What is wrong with the daemon's own word of itself; None where it is well."""
    status = json.loads(home.status_file.read_text())
    if status["pid"] != pid or not status["running"]:
        return f"another daemon's status: {status}"
    age = datetime.now(UTC) - datetime.fromisoformat(status["heartbeat_at"])
    if age.total_seconds() > STALE_HEARTBEAT_SECONDS:
        return f"the heartbeat is {age.total_seconds():.0f} s old"
    return f"faults: {status['faults']}" if status["faults"] else None


def _audio_files(folder: bytes) -> Iterator[bytes]:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith(b".") and entry.name not in SYSTEM_FOLDERS:
                yield from _audio_files(entry.path)
        elif _is_audio(entry.name.lower()) and stat.S_ISREG(
            entry.stat(follow_symlinks=False).st_mode
        ):
            yield entry.path


def is_promised(path: bytes) -> bool:
    """Whether a regular file at this path, relative to its inbox, gets a row."""
    *folders, name = path.split(b"/")
    hidden = any(folder.startswith(b".") or folder in SYSTEM_FOLDERS for folder in folders)
    return not hidden and _is_audio(name.lower())


def _is_audio(name: bytes) -> bool:
    if name.startswith(b".") or name.endswith((b"~", *PARTIAL)):
        return False
    return name.endswith(SUFFIXES)


def _digest(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rows(ledger: Any) -> list[Row]:
    query = (
        "SELECT id, path, fingerprint, digest, state, claimed_by, error_class, error,"
        " prediction_id, requeued FROM recording ORDER BY id"
    )
    return [Row(*row) for row in ledger.execute(query)]


def _is_sound(ledger: Any, verdict: Verdict) -> None:
    found = [row[0] for row in ledger.execute("PRAGMA integrity_check")]
    if found != ["ok"]:
        verdict.complain(f"integrity_check: {found[:3]}")
    if orphans := ledger.execute("PRAGMA foreign_key_check").fetchall():
        verdict.complain(f"foreign_key_check: {orphans[:3]}")


def _has_answers(ledger: Any, rows: list[Row], verdict: Verdict) -> None:
    """Each `done` has a prediction of that very content, by a checkpoint that was accepted.

    It may have been refused since, as its process was killed when it was loaded again; labels are
    written when it is accepted only.
    """
    query = (
        "SELECT p.id, r.digest, c.labels <> '[]' FROM prediction p"
        " JOIN recording r ON r.id = p.recording_id JOIN checkpoint c ON c.id = p.checkpoint_id"
    )
    answers = {row[0]: row[1:] for row in ledger.execute(query)}
    for row in rows:
        if row.state != "done":
            continue
        digest, was_accepted = answers.get(row.prediction_id, (None, False))
        if digest != row.digest:
            verdict.complain(f"{row.path!r} is done with an answer to other content")
        if not was_accepted:
            verdict.complain(f"{row.path!r} was answered by a checkpoint that was never accepted")


def _is_accounted(there: Contents, rows: list[Row], inbox: Path, verdict: Verdict) -> None:
    """What lies in the inbox has one current row, which knows these very bytes."""
    current: dict[bytes, list[Row]] = defaultdict(list)
    for row in rows:
        if row.state in ("done", "failed"):
            current[row.path].append(row)
    for path, digest in there.items():
        answers = current.get(path, [])
        if not answers:
            verdict.lost += 1
            states = [row.state for row in rows if row.path == path]
            verdict.complain(f"{path!r} lies in the inbox without a current row (has {states})")
        elif len(answers) > 1:
            verdict.doubled += 1
            verdict.complain(f"{path!r} has {len(answers)} current rows")
        elif answers[0].digest != digest and not _is_unread(answers[0], inbox):
            verdict.complain(
                f"{path!r}: the current row ({answers[0].state}, {answers[0].error_class}) is of"
                " other content than the file"
            )


def _is_unread(row: Row, inbox: Path) -> bool:
    """A failure before anything was read is told by the file's stat facts."""
    if row.state != "failed" or row.digest is not None:
        return False
    found = os.lstat(os.path.join(os.fsencode(inbox), row.path))
    facts = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return row.fingerprint == ":".join(map(str, facts))


def _has_each_once(rows: list[Row], expected: Mapping[bytes, set[str]], verdict: Verdict) -> None:
    times = Counter((row.path, row.digest) for row in rows)
    for (path, digest), n in times.items():
        if n > 1:
            verdict.doubled += 1
            verdict.complain(f"{path!r} has {n} rows of the same content {digest}")
    for path, digests in expected.items():
        for digest in digests:
            if (path, digest) not in times:
                verdict.lost += 1
                verdict.complain(f"{path!r}: the complete content {digest[:8]} has no row")


def _is_over(rows: list[Row], verdict: Verdict) -> None:
    for row in rows:
        if row.claimed_by is not None:
            verdict.complain(f"{row.path!r} ({row.state}) is still claimed")
        if row.state == "pending":
            verdict.complain(f"{row.path!r} is still pending")
        if row.state == "failed" and not (row.error and row.error_class):
            verdict.complain(f"{row.path!r} failed without a reason")


def _failed_rightly(
    rows: list[Row],
    may_fail: Mapping[str, set[str]],
    must_fail: Collection[str],
    verdict: Verdict,
) -> None:
    for row in rows:
        allowed = may_fail.get(row.digest or "", set())
        if row.state == "failed" and row.error_class not in allowed:
            verdict.complain(f"{row.path!r} failed as {row.error_class}: {row.error}")
        if row.state == "done" and row.digest in must_fail:
            verdict.complain(f"{row.path!r} is done but should have failed as {allowed}")
