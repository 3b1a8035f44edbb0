"""A whole daemon, as a user would start it, on a home that is thrown away."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from classifier.inference.compiled import CompiledNetworks
from classifier.model.starter import Starter
from daemon.benchmark.figures import Run, Start
from daemon.benchmark.files import copy_file
from daemon.benchmark.observe import Observed, observe
from daemon.benchmark.temp_home import throw_away_folder
from daemon.errors import DaemonError
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger
from storage.settings.loading import load_settings
from storage.settings.schema import Settings
from storage.values.timestamps import from_stamp

SAYS_IT_LOADS, SAYS_IT_SERVES = "clfd runs on", "serving checkpoint"  # as it starts
SCORE_BYTES = 2  # of a label of a clip, in the ledger
ANSWERS = """
SELECT count(*), sum(state = 'failed'), coalesce(sum(duration_s), 0.0),
    coalesce(sum(length(clip_scores)), 0), min(first_seen_at), min(answered_at), max(answered_at)
FROM recording LEFT JOIN prediction ON prediction.id = prediction_id
WHERE answered_at IS NOT NULL
"""


def run_once(
    checkpoint: Starter,
    labels: Sequence[str],
    files: Sequence[Path],
    settings: Settings,
    compiled: Path | None = None,
    seconds: float = float("inf"),
) -> Run:
    """`clfd run --once` over the files, with the engine's settings; told to stop after so long.

    `compiled` is a folder of compiled networks that may be used. Raises DaemonError where it
    fails, or where nothing was answered until then.
    """
    with _throw_away_home(checkpoint, files, compiled) as home:
        ledger_seconds = _seconds_to_open_ledger(home)
        environment = _environment(settings, files) | {"TMPDIR": str(_temporary(home))}
        observed = observe(home, environment, (SAYS_IT_LOADS, SAYS_IT_SERVES), seconds)
        return _run(home, observed, ledger_seconds, len(labels))


@contextmanager
def _throw_away_home(
    checkpoint: Starter, files: Sequence[Path], compiled: Path | None
) -> Iterator[Home]:
    """A home with a ledger that serves this checkpoint, and copies of the files in its inbox."""
    with throw_away_folder() as folder:
        home = Home(folder)
        home.create()
        shelf = CheckpointFolder(home.checkpoints)
        shelf.put(checkpoint.name, checkpoint.data)
        shelf.activate(checkpoint.name)
        if compiled:
            CompiledNetworks(compiled).copy_into(home.compiled)
        for number, file in enumerate(files):
            copy_file(file, home.inbox / f"{number:06}{file.suffix or '.wav'}")
        _seconds_to_open_ledger(home)  # makes it
        yield home


def _temporary(home: Home) -> Path:
    """Where the daemon may leave something if it is killed: it goes with the home."""
    folder = home.root / "tmp"
    folder.mkdir()
    return folder


def _seconds_to_open_ledger(home: Home) -> float:
    began = time.perf_counter()
    with open_ledger(load_settings(home, environ={}).database, "daemon"):
        return time.perf_counter() - began


def _environment(settings: Settings, files: Sequence[Path]) -> dict[str, str]:
    """The user's, with no setting of clfd but the engine's: no other ledger, no other inbox."""
    environment = {key: v for key, v in os.environ.items() if not key.startswith("CLFD_")}
    engine = settings.engine.model_dump()
    environment |= {f"CLFD_ENGINE__{key.upper()}": str(value) for key, value in engine.items()}
    suffixes = {file.suffix.lower() or ".wav" for file in files}
    return environment | {
        "CLFD_INTAKE__DAMAGED": settings.intake.damaged,
        "CLFD_INTAKE__SETTLE_SECONDS": "0",
        "CLFD_INTAKE__SUFFIXES": ",".join(sorted(suffixes)),
    }


def _run(home: Home, observed: Observed, ledger_seconds: float, n_labels: int) -> Run:
    answered, failed, audio, score_bytes, seen, first, last = _answers(home)
    if not answered or answered == failed:
        reason = "every file failed" if answered else "no recording was done in that time"
        raise DaemonError(
            f"nothing can be measured: {reason}; name other files, or raise --seconds"
        )
    seen_at, first_at, last_at = (from_stamp(str(s)).timestamp() for s in (seen, first, last))
    return Run(
        files=int(answered),
        failed=int(failed),
        clips=int(score_bytes) // (SCORE_BYTES * n_labels),
        audio_seconds=float(audio),
        seconds=max(last_at - seen_at, 0.001),  # the resolution of a stamp
        cpu_seconds=observed.cpu_seconds,
        others_cores=observed.others_cores,
        peak_bytes=observed.peak_bytes,
        start=_start(observed, ledger_seconds, seen_at, first_at),
        started_seconds=observed.started_seconds,
    )


def _answers(home: Home) -> Sequence[float | str]:
    with (
        open_ledger(load_settings(home, environ={}).database, "reader") as ledger,
        ledger.database.transaction() as connection,
    ):
        return tuple(connection.exec_driver_sql(ANSWERS).one())


def _start(observed: Observed, ledger: float, seen_at: float, first_at: float) -> Start:
    said: Mapping[str, float] = observed.said_at
    imports = said[SAYS_IT_LOADS] - observed.began_at - ledger
    checkpoint = said[SAYS_IT_SERVES] - said[SAYS_IT_LOADS]
    return Start(
        imports=imports,
        ledger=ledger,
        checkpoint=checkpoint,
        rest=observed.ready_at - said[SAYS_IT_SERVES],
        first_row=seen_at - observed.ready_at,
        first_answer=first_at - seen_at,
    )
