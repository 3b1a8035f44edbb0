"""What one answer costs where its file has been written again and again.

python -m benchmarks.many_versions          # a file that is replaced every minute, after 35 days
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import click

from storage.database.engine import driver, file_of
from storage.home.paths import Home
from storage.ledger.ledger import Ledger, open_ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Scored
from storage.settings.loading import load_settings

PATH = b"latest.wav"
ANSWERS = 9
Times = dict[str, list[float]]


@click.command()
@click.option("--versions", default=50_000, show_default=True, help="That were superseded.")
def main(versions: int) -> None:
    """Milliseconds of each step, median of nine, for a new file and for one with versions."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder, "home"))
        home.create()
        url = load_settings(home, environ={}).database
        with open_ledger(url, "daemon") as ledger:
            click.echo(f"{0:6} versions: {_told(_answer(ledger, home.inbox, 0))}")
            _supersede(file_of(url), versions)
            click.echo(f"{versions:6} versions: {_told(_answer(ledger, home.inbox, ANSWERS))}")


def _answer(ledger: Ledger, inbox: Path, first: int) -> Times:
    times: Times = {}
    checkpoint_id = ledger.register_checkpoint("d" * 64, "bench", ["a", "b"], 5.0, {})
    for number in range(first, first + ANSWERS):
        arrival = Arrival(inbox, PATH, f"fingerprint {number}", 10)
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        with _timed(times, "known"):
            ledger.known(inbox, [PATH])
        with _timed(times, "claim"):
            (claim,) = ledger.claim("bench", 1, 3, (), [arrival])
        with _timed(times, "known_answers"):
            ledger.known_answers([(claim.recording_id, digest, checkpoint_id)], link=True)
        scored = Scored(
            recording_id=claim.recording_id,
            facts=AudioFacts(digest, 5.0, 44_100, 1),
            checkpoint_id=checkpoint_id,
            label="a",
            confidence=0.9,
            scores=bytes(8),
            clip_scores=bytes(4),
            clip_seconds=5.0,
            clip_hop_seconds=5.0,
        )
        with _timed(times, "record"):
            ledger.record([scored])
    return times


@contextmanager
def _timed(times: Times, name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    times.setdefault(name, []).append(1000 * (time.perf_counter() - began))


def _supersede(file: Path, versions: int) -> None:
    """Copies of the oldest version, each of a content of its own."""
    raw: Any = driver().connect(file)
    columns = [row[1] for row in raw.execute("PRAGMA table_info(recording)") if row[1] != "id"]
    copied = ", ".join(name for name in columns if name not in ("digest", "state"))
    raw.executemany(
        f"INSERT INTO recording (digest, state, {copied})"
        f" SELECT ?, 'superseded', {copied} FROM recording WHERE id = 1",
        ((hashlib.sha256(b"old %d" % number).hexdigest(),) for number in range(versions)),
    )
    raw.commit()
    raw.close()


def _told(times: Times) -> str:
    return ", ".join(f"{name} {median(each):.1f}" for name, each in times.items())


if __name__ == "__main__":
    main()
