"""`clfd classify`: the daemon's own window over files that are named, without inbox or ledger."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from classifier.audio.regular_file import fingerprint
from classifier.inference.predictor import Predictor
from classifier.model.checkpoint import SUFFIX
from classifier.workers.malloc import keep_freed_memory
from daemon.errors import DaemonError
from daemon.intake.scanner import Inbox
from daemon.pipeline.model_manager import Served, hop_samples
from daemon.pipeline.scoring_setup import (
    KEPT_BYTES,
    decode_pool,
    engine_device,
    load_predictor,
    with_batches,
)
from daemon.pipeline.window import Window
from storage.export.text_formats import (
    output,
    shape_of,
    write_csv,
    write_json,
    write_jsonl,
    write_table,
)
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.inbox_rules import IgnoreList
from storage.home.paths import Home
from storage.ledger.outcomes import Arrival, Claim, Failed, Outcome, Scored
from storage.queries.result import COLUMNS
from storage.settings.schema import Settings
from storage.values.progress import progress_bar
from storage.values.text import printable_path
from storage.values.timestamps import utc_now

Record = dict[str, object]


def classify_paths(
    home: Home,
    settings: Settings,
    paths: Sequence[Path],
    checkpoint: str,
    form: str | None,
    file: Path | None,
    show_progress: bool,
) -> int:
    """Writes a row for each file; returns how many could not be classified.

    Raises DaemonError where a folder cannot be listed or holds no audio files.
    """
    named = _named(paths, settings)
    keep_freed_memory(KEPT_BYTES)
    predictor = _predictor(home, settings, checkpoint)
    claims = [_claim(number, arrival) for number, arrival in enumerate(named.values())]
    names = list(named)
    with progress_bar(show_progress, len(claims)) as advance:
        records = []
        for outcome in _outcomes(settings, claims, predictor):
            records.append(_record(outcome, names[outcome.recording_id], predictor))
            advance()
    records.sort(key=lambda record: str(record["path"]))
    _write(records, form or shape_of(file), file)
    return sum(record["status"] == "failed" for record in records)


def _named(paths: Sequence[Path], settings: Settings) -> dict[str, Arrival]:
    """Arrivals by the name a person gave them; named files are taken whatever their name."""
    suffixes = frozenset(suffix.encode() for suffix in settings.intake.suffixes)
    ignored = IgnoreList(settings.intake.ignore)
    found: dict[str, Arrival] = {}
    for path in paths:
        if path.is_dir():
            found |= _in_folder(path, Inbox(path.resolve(), suffixes, ignored))
        else:
            target = path.resolve()  # a person may name a link
            stat, name = target.stat(), os.fsencode(target.name)
            arrival = Arrival(target.parent, name, fingerprint(stat), stat.st_size)
            found[printable_path(os.fsencode(path))] = arrival
    return found


def _in_folder(folder: Path, inbox: Inbox) -> dict[str, Arrival]:
    scan = inbox.scan()
    found = {printable_path(os.fsencode(folder) + b"/" + a.path): a for a in scan.take(10**9)}
    if scan.fault or scan.unreadable:
        which = folder / scan.unreadable[0] if scan.unreadable else folder
        raise DaemonError(f"{which} cannot be listed; change its permissions, or leave it out")
    if not found:
        raise DaemonError(f"no audio files in {folder}; name another folder, or a file")
    return found


def _predictor(home: Home, settings: Settings, checkpoint: str) -> Predictor:
    path = Path(checkpoint)
    if path.suffix != SUFFIX or not path.is_file():
        shelf = CheckpointFolder(home.checkpoints)
        path = shelf.path(shelf.find(checkpoint))
    return load_predictor(path, engine_device(settings), settings.engine.precision)


def _claim(number: int, arrival: Arrival) -> Claim:
    return Claim(
        number, arrival.inbox, arrival.path, arrival.fingerprint, arrival.size_bytes, 1, "new"
    )


def _outcomes(
    settings: Settings, claims: Sequence[Claim], predictor: Predictor
) -> Iterator[Outcome]:
    """One attempt each, every file for itself."""
    hop = hop_samples(predictor.checkpoint, settings.engine.overlap_seconds)
    served = Served(predictor, hop, checkpoint_id=0)
    waiting = deque(claims)
    settings = with_batches(settings, predictor.device.type)
    with decode_pool(settings, predictor.device) as (pool, wake):
        window = Window(
            pool,
            settings.engine,
            max_attempts=1,
            links_duplicates=False,
            accepts_damaged=settings.intake.damaged == "warn",
        )
        while waiting or len(window):
            wake.clear()
            n_claims = min(window.free, len(waiting))
            window.take([waiting.popleft() for _ in range(n_claims)], served)
            yield from window.step()
            if len(window) and not window.has_ready_clips:
                wake.wait(1.0)


def _record(outcome: Outcome, name: str, predictor: Predictor) -> Record:
    """The columns of `clfd results`; `path` as it was named, and no inbox."""
    record: Record = dict.fromkeys(COLUMNS)
    record["path"] = name
    record["checkpoint"] = predictor.checkpoint.name
    record["checkpoint_digest"] = predictor.checkpoint.digest
    record["classified_at"] = utc_now()
    if isinstance(outcome, Scored):
        return record | _answer(outcome, predictor)
    error = outcome.error if isinstance(outcome, Failed) else "the file changed while it was read"
    return record | {"status": "failed", "error": error}


def _answer(outcome: Scored, predictor: Predictor) -> Record:
    scores = np.frombuffer(outcome.scores, "<f4").tolist()
    return {
        "status": "done",
        "label": outcome.label,
        "confidence": round(outcome.confidence, 6),
        "duration_s": round(outcome.facts.duration_s, 3),
        "sample_rate_hz": outcome.facts.sample_rate_hz,
        "digest": outcome.facts.digest,
        "warning": outcome.warning,
        "scores": {
            label: round(score, 6)
            for label, score in zip(predictor.checkpoint.labels, scores, strict=True)
        },
    }


def _write(records: list[Record], form: str, file: Path | None) -> None:
    with output(file) as stream:
        if form == "json":
            write_json(stream, records)
        elif form == "jsonl":
            write_jsonl(stream, records)
        elif form == "csv":
            write_csv(stream, COLUMNS, ({key: r[key] for key in COLUMNS} for r in records))
        else:
            write_table(stream, *_table(records))


def _table(records: list[Record]) -> tuple[list[str], list[list[str]]]:
    columns = ["path", "label", "confidence"]
    columns += [word for word in ("error", "warning") if any(record[word] for record in records)]
    cells = [[_cell(record[column]) for column in columns] for record in records]
    return columns, cells


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value or "")
