"""A ledger with many rows: what a daemon leaves behind in ninety days, written in bulk.

The ledger's own way in takes hours for ten million rows; a test holds that these rows are such as
it makes. Indexes are taken away for the time of writing and made again from their own words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from storage.database.engine import open_database
from storage.database.ledger_files import file_of
from storage.database.sqlite import driver
from storage.ledger.ledger import open_ledger
from storage.ledger.tallies import recount
from storage.settings.schema import Settings

LABELS = (
    *("blackbird", "dog_bark", "drilling", "engine_idling", "rain"),
    *("siren", "street_music", "tawny_owl", "wind", "woodpecker"),
)
SHARES = (0.22, 0.18, 0.14, 0.12, 0.10, 0.09, 0.07, 0.04, 0.03, 0.01)
CHECKPOINTS = ("20260101T000000Z-aaaaaaaa", "20260215T000000Z-bbbbbbbb")
DAYS, FOLDERS = 90, 200
FIRST_DAY = "2026-01-01"
CHUNK = 20_000
# Out of a thousand recordings; the last of all wait, and what is left is done.
FAILED, SUPERSEDED, LINKED, RESCORED, PENDING = 20, 15, 10, 10, 1
FIRST_LINKED = FAILED + SUPERSEDED
FIRST_SINGLE = FIRST_LINKED + LINKED

RECORDING = (
    *("id", "inbox_id", "path", "path_text", "fingerprint", "size_bytes", "digest", "state"),
    *("attempts", "error_class", "error", "duration_s", "sample_rate_hz", "channels"),
    *("first_seen_at", "answered_at", "prediction_id", "label", "confidence", "checkpoint_id"),
)
PREDICTION = (
    *("id", "recording_id", "checkpoint_id", "label", "confidence", "scores", "clip_scores"),
    *("clip_seconds", "clip_hop_seconds", "classified_at"),
)
FINDING = ("prediction_id", "label", "probability", "first_clip", "last_clip")
# Made in one go their pages would be full, and each further row would split one.
SCATTERED = ("ix_recording_digest", "ix_recording_confidence")
FACTS, NO_FACTS, NO_ANSWER = (5.0, 44_100, 1), (None,) * 3, (None,) * 4
Row = tuple[Any, ...]


def fill_ledger(settings: Settings, n_rows: int, multi: bool = False) -> None:
    """`n_rows` recordings in 200 folders and 90 days, of ten labels and two checkpoints.

    With `multi` each answer has two further findings.
    """
    facts = {"task": "multi"} if multi else {}
    with open_ledger(settings.database, "daemon") as ledger:
        for letter, name in zip("ab", CHECKPOINTS, strict=True):
            ledger.register_checkpoint(letter * 64, name, LABELS, 5.0, facts)
    connection = driver().connect(file_of(settings.database), isolation_level=None)
    folder = str(settings.inboxes[0])
    inbox = (1, folder.encode(), folder)
    connection.execute("INSERT INTO inbox (id, path, path_text) VALUES (?, ?, ?)", inbox)
    with _bulk(connection):
        for first in range(0, n_rows, CHUNK):
            rows = Rows(range(first, min(first + CHUNK, n_rows)), n_rows, multi)
            _insert(connection, "recording", RECORDING, rows.recordings())
            _insert(connection, "prediction", PREDICTION, rows.predictions())
            _insert(connection, "finding", FINDING, rows.findings())
    connection.close()
    with open_database(settings.database, "editor") as database, database.transaction() as writing:
        recount(writing)


class Rows:
    """Some consecutive recordings of `total`, the same whenever they are made.

    Numbers count from 0, ids from 1. A recording's own prediction has its id; that which an
    earlier checkpoint gave has an id above all of these.
    """

    def __init__(self, numbers: range, total: int, multi: bool = False) -> None:
        self.numbers, self.total = numbers, total
        n, chance = len(numbers), np.random.default_rng(numbers.start)
        self.folders = chance.integers(0, FOLDERS, n).tolist()
        self.best = chance.choice(len(LABELS), n, p=SHARES).tolist()
        confidences = (0.3 + 0.7 * chance.beta(2.0, 1.0, n)).astype("<f4")
        self.confidences = confidences.astype(float).tolist()
        scores = np.repeat((1 - confidences) / (len(LABELS) - 1), len(LABELS)).reshape(n, -1)
        scores[np.arange(n), self.best] = confidences
        self.scores, self.clip_scores = scores.tobytes(), scores.astype("<f2").tobytes()
        self.seen = self._stamps(0)
        self.answered = self._stamps(3)
        kinds = chance.integers(0, 1000, n).tolist()
        self.states = [self._state(*pair) for pair in zip(kinds, numbers, strict=True)]
        self.linked = [FIRST_LINKED <= kind < FIRST_SINGLE for kind in kinds]
        for position in range(n):  # to the one before it, if that has an answer of its own
            before = position > 0 and kinds[position - 1] >= FIRST_SINGLE
            self.linked[position] &= before and self.states[position] == "done"
        self.rescored = [kind >= 1000 - RESCORED for kind in kinds]
        self.further = chance.beta(1.0, 3.0, (n, 2 * multi)).tolist()  # probabilities

    def recordings(self) -> Iterator[Row]:
        columns = (self.numbers, self.states, self.paths(), self.linked, self.seen, self.answered)
        for number, state, path, linked, seen, answered in zip(*columns, strict=True):
            fingerprint = f"{1_767_225_600_000_000_000 + number * 777_600}:{number}:441044"
            head = (number + 1, 1, path.encode(), path, fingerprint, 441_044)
            if state == "pending":
                yield *head, None, state, 0, None, None, *NO_FACTS, seen, None, *NO_ANSWER
                continue
            answer = number if linked else number + 1
            digest = hashlib.sha256(b"%d" % answer).hexdigest()
            if state == "failed":
                error = ("decode", f"{path} holds no audio that can be decoded")
                yield *head, digest, state, 1, *error, *NO_FACTS, seen, answered, *NO_ANSWER
                continue
            given = (answer, *self._given(number - self.numbers.start - linked))
            yield *head, digest, state, 1, None, None, *FACTS, seen, answered, *given

    def _given(self, position: int) -> tuple[str, float, int]:
        checkpoint = 1 if 2 * self.numbers[position] < self.total else 2
        return LABELS[self.best[position]], self.confidences[position], checkpoint

    def paths(self) -> list[str]:
        """The earlier version of a file lies under the name of the recording after it."""
        found: list[str] = []
        for position in reversed(range(len(self.numbers))):
            path = f"site{self.folders[position]:03}/{self.numbers[position]:08}.wav"
            following = self.states[position + 1 : position + 2]
            if self.states[position] == "superseded" and following in (["done"], ["failed"]):
                path = found[-1]
            found.append(path)
        return found[::-1]

    def predictions(self) -> Iterator[Row]:
        width = len(LABELS)
        for position, number in enumerate(self.numbers):
            if self.linked[position] or self.states[position] in ("pending", "failed"):
                continue
            label, confidence, checkpoint = self._given(position)
            answer = (
                *(label, confidence),
                self.scores[4 * width * position : 4 * width * (position + 1)],
                self.clip_scores[2 * width * position : 2 * width * (position + 1)],
                *(5.0, 5.0, self.answered[position]),
            )
            yield number + 1, number + 1, checkpoint, *answer
            if self.rescored[position] and checkpoint == 2:
                yield self.total + number + 1, number + 1, 1, *answer

    def findings(self) -> Iterator[Row]:
        for id, recording_id, _, label, confidence, *_ in self.predictions():
            yield id, label, confidence, 0, 0
            at = LABELS.index(label)
            further = self.further[recording_id - 1 - self.numbers.start]
            for step, probability in zip((1, 3 + at % 4), further, strict=False):
                yield id, LABELS[(at + step) % len(LABELS)], 0.05 + 0.95 * probability, 0, 0

    def _state(self, kind: int, number: int) -> str:
        if number >= self.total - self.total * PENDING // 1000:
            return "pending"
        if kind < FAILED:
            return "failed"
        return "superseded" if kind < FIRST_LINKED else "done"

    def _stamps(self, seconds: int) -> list[str]:
        step = 86_400_000 * DAYS / self.total
        past = (np.array(self.numbers) * step).astype("timedelta64[ms]")
        moments = np.datetime64(FIRST_DAY, "ms") + np.timedelta64(seconds, "s") + past
        return [f"{moment}Z" for moment in np.datetime_as_string(moments)]


def _insert(connection: Any, table: str, columns: Sequence[str], rows: Iterator[Row]) -> None:
    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


@contextmanager
def _bulk(connection: Any) -> Iterator[None]:
    """One transaction without most indexes, which are cheaper to make in one go."""
    found = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    indexes = [row for row in connection.execute(found) if row[0] not in SCATTERED]
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -2000000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    yield
    for _, sql in indexes:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
