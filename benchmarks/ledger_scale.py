"""The ledger with ten million rows: pages, counts, what the daemon asks, what a batch costs.

python -m benchmarks.ledger_scale --rows 10000000 --ledger DIR

fills a home at DIR, or reuses what lies there, and prints a table. The batches that are measured
stay in it.
"""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import fmean
from timeit import repeat, timeit
from typing import Any

import click
from sqlalchemy import Connection

from benchmarks.big_ledger import CHECKPOINTS, LABELS, fill_ledger
from storage.database.engine import open_database
from storage.export.results_remarks import foot_of
from storage.export.results_request import ResultsRequest
from storage.export.results_source import LedgerSource
from storage.home.paths import Home
from storage.ledger.ledger import Ledger, open_ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Scored
from storage.queries.clips import ClipOptions
from storage.queries.counts import count_by
from storage.queries.filters import Filters
from storage.queries.results import results
from storage.settings.loading import load_settings
from storage.settings.schema import Settings

REPEATS = 3
PAGE = 50
BATCH, BATCHES = 64, 60
LAST_DAY, A_DAY = "2026-03-31", "2026-02-01"

PAGES: dict[str, dict[str, Any]] = {
    "no filter": {},
    "--label, common": {"labels": ("blackbird",)},
    "--label, rare": {"labels": ("woodpecker",)},
    "--label none": {"labels": ("none",)},
    "--label twice": {"labels": ("woodpecker", "wind")},
    "--min-confidence 0.9": {"min_confidence": 0.9},
    "--min-confidence 0.9999": {"min_confidence": 0.9999},
    "--max-confidence 0.31": {"max_confidence": 0.31},
    "--since, half a day": {"since": f"{LAST_DAY}T12:00:00.000Z"},
    "--until, a month in": {"until": f"{A_DAY}T12:00:00.000Z"},
    "--path 'site003/*'": {"path": "site003/*"},
    "--path '*7.wav'": {"path": "*7.wav"},
    "--checkpoint, the older": {"checkpoint": CHECKPOINTS[0]},
    "--status failed": {"status": "failed"},
    "--status pending": {"status": "pending"},
    "--status superseded": {"status": "superseded"},
    "--status all": {"status": "all"},
    "--label --min-confidence": {"labels": ("wind",), "min_confidence": 0.99},
    "--label --checkpoint": {"labels": ("siren",), "checkpoint": CHECKPOINTS[0]},
    "--label --path": {"labels": ("siren",), "path": "site003/*"},
    "--label --since --min-confidence": {
        "labels": ("siren",),
        "since": f"{A_DAY}T12:00:00.000Z",
        "min_confidence": 0.9,
    },
}
SORTS = ("newest", "oldest", "confidence", "path")
AXES = ("label", "status", "checkpoint", "day", "folder")


@click.command()
@click.option("--rows", default=10_000_000, show_default=True, help="Recordings to fill in.")
@click.option("--ledger", type=click.Path(path_type=Path), help="A home to fill or to reuse.")
@click.option("--multi", is_flag=True, help="Answers of a multi task, with three findings each.")
def main(rows: int, ledger: Path | None, multi: bool) -> None:
    """Measures this checkout on this machine."""
    with ExitStack() as stack:
        folder = ledger or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home = Home(folder)
        wanted = load_settings(home, environ={})
        if not home.ledger_file.exists():
            home.create()
            seconds = timeit(lambda: fill_ledger(wanted, rows, multi), number=1)
            click.echo(f"filled in {seconds:.0f} s", err=True)
        click.echo(f"| what, best of {REPEATS} | figure |\n|---|---|")
        for what, figure in _measure(home, wanted):
            click.echo(f"| {what} | {figure} |")


def _measure(home: Home, wanted: Settings) -> Iterator[tuple[str, str]]:
    size = home.ledger_file.stat().st_size
    with _reading(wanted) as connection:
        n = sum(number for _, number in count_by(connection, Filters(status="all"), "status"))
    yield "recordings", f"{n:,}, {size / n:.0f} bytes each in all tables and indexes"
    for arguments in (["--help"], ["results"], ["results", "--count-by", "label"], ["status"]):
        yield f"`clfd {' '.join(arguments)}`, from start to end", _process(home, arguments)
    yield from _pages(wanted)
    yield from _clips(wanted)
    yield from _counts(wanted)
    yield from _daemon(wanted)
    yield from _batches(wanted)


def _pages(wanted: Settings) -> Iterator[tuple[str, str]]:
    """A page in every order, and the foot of the table."""
    for what, filters in PAGES.items():
        times = []
        for sort in SORTS:
            seconds = _seconds(
                wanted, lambda c, f=filters, s=sort: list(results(c, Filters(**f), s, PAGE))
            )
            times.append(f"{sort} {1000 * seconds:.1f}")
        foots = _seconds(
            wanted,
            lambda c, f=filters: foot_of(LedgerSource(c), ResultsRequest(Filters(**f)), PAGE),
        )
        yield f"page of {PAGE}, {what}", f"{', '.join(times)} ms; its foot {1000 * foots:.1f} ms"


def _clips(wanted: Settings) -> Iterator[tuple[str, str]]:
    for label in ("blackbird", "woodpecker"):
        asked = Filters(labels=(label,))
        seconds = _seconds(
            wanted, lambda c, f=asked: list(results(c, f, limit=PAGE, clips=ClipOptions()))
        )
        yield f"page of {PAGE}, --clips --label {label}", f"{1000 * seconds:.1f} ms"


def _counts(wanted: Settings) -> Iterator[tuple[str, str]]:
    asked = {
        "": {},
        " --since": PAGES["--since, half a day"],
        " --min-confidence 0.9": PAGES["--min-confidence 0.9"],
    }
    for (more, filters), axis in itertools.product(asked.items(), AXES):
        status = "all" if axis == "status" else "done"
        wide = Filters(**{"status": status, **filters})
        seconds = _seconds(wanted, lambda c, f=wide, a=axis: count_by(c, f, a))
        yield f"--count-by {axis}{more}", f"{1000 * seconds:.1f} ms"


def _daemon(wanted: Settings) -> Iterator[tuple[str, str]]:
    """What it asks at every turn, or every second."""
    inbox = wanted.inboxes[0]
    paths = [f"site003/{number:08}.wav".encode() for number in range(500)]
    digest = hashlib.sha256(b"1").hexdigest()
    with open_ledger(wanted.database, "daemon") as ledger:
        asked: dict[str, Callable[[], object]] = {
            "counts": ledger.counts,
            "last_failure": ledger.last_failure,
            "has_work": ledger.has_work,
            "known, 500 paths": lambda: ledger.known(inbox, paths),
            "queued, 500 paths": lambda: ledger.queued(inbox, paths),
            "known_answers": lambda: ledger.known_answers([(2, digest, 1)], True),
            "count_moves": ledger.moves.count,
            "has_archived": lambda: ledger.moves.has_archived(Path("/archive")),
            "reclaim": ledger.reclaim,
        }
        for what, ask in asked.items():
            yield f"daemon: {what}", f"{1000 * min(repeat(ask, number=1, repeat=REPEATS)):.2f} ms"


def _batches(wanted: Settings) -> Iterator[tuple[str, str]]:
    """By turns, so that both meet the same machine; the best third of each counts."""
    with tempfile.TemporaryDirectory(
        dir=Path(wanted.database.removeprefix("sqlite:///")).parent
    ) as folder:
        empty = load_settings(Home(Path(folder)), environ={})
        with (
            open_ledger(empty.database, "daemon") as small,
            open_ledger(wanted.database, "daemon") as large,
        ):
            seconds: dict[str, list[float]] = {"small": [], "large": []}
            steps = {"small": _steps(small), "large": _steps(large)}
            for _ in range(BATCHES):
                for name, step in steps.items():
                    seconds[name].append(timeit(lambda s=step: next(s), number=1))
    best = {name: sorted(times)[: len(times) // 3] for name, times in seconds.items()}
    rates = {name: BATCH / fmean(times) for name, times in best.items()}
    yield f"batches of {BATCH} into an empty ledger", f"{rates['small']:.0f} rows/s"
    share = rates["large"] / rates["small"]
    yield f"batches of {BATCH} into this one", f"{rates['large']:.0f} rows/s, {share:.0%} of that"


def _steps(ledger: Ledger) -> Iterator[None]:
    """Folder by folder, as a scan finds what a card holds."""
    checkpoint_id = ledger.register_checkpoint("a" * 64, CHECKPOINTS[0], LABELS, 5.0, {})
    inbox, salt = Path("/new"), f"{time.time_ns()}"
    for first in itertools.count(0, BATCH):
        numbers = range(first, first + BATCH)
        names = {n: f"site{n // 640 % 200:03}/{salt}{n:06}.wav".encode() for n in numbers}
        ledger.admit([Arrival(inbox, name, f"{n}", 441_044) for n, name in names.items()])
        claims = ledger.claim("bench", BATCH, 3)
        ledger.record([_scored(claim.recording_id, checkpoint_id, salt) for claim in claims])
        yield


def _scored(recording_id: int, checkpoint_id: int, salt: str) -> Scored:
    digest = hashlib.sha256(f"{salt}{recording_id}".encode()).hexdigest()
    confidence = int(digest[:6], 16) / 2**24
    label = LABELS[recording_id % len(LABELS)]
    scores = bytes(4 * len(LABELS))
    facts = AudioFacts(digest, 5.0, 44_100, 1)
    answer = (label, confidence, scores, scores[: len(scores) // 2], 5.0, 5.0)
    return Scored(recording_id, facts, checkpoint_id, *answer)


def _seconds(wanted: Settings, ask: Callable[[Connection], object]) -> float:
    """Each time in a new connection, as a command has it."""

    def once() -> float:
        with _reading(wanted) as connection:
            return timeit(lambda: ask(connection), number=1)

    best = once()
    for _ in range(REPEATS - 1 if best < 5 else 0):
        best = min(best, once())
    return best


@contextmanager
def _reading(wanted: Settings) -> Iterator[Connection]:
    with open_database(wanted.database, "reader") as database, database.transaction() as connection:
        yield connection


def _process(home: Home, arguments: list[str]) -> str:
    command = [sys.executable, "-m", "clfd", "--home", str(home.root), *arguments]
    run = partial(subprocess.run, command, capture_output=True)
    times = sorted(repeat(run, number=1, repeat=2 * REPEATS))
    return f"{times[0]:.2f} s at best, {times[REPEATS]:.2f} s median of {2 * REPEATS}"


if __name__ == "__main__":
    main()
