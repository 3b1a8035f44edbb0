"""`clfd classify`: the daemon's own window over files that are named, without inbox or ledger."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TextIO

from classifier.audio.regular_file import fingerprint
from classifier.inference.predictor import Predictor
from classifier.inference.prepare import prepare
from classifier.model.checkpoint import parse_checkpoint
from classifier.model.starter import packaged_starter
from classifier.workers.malloc import keep_freed_memory
from daemon.errors import DaemonError
from daemon.intake.scanner import Inbox, inbox_at
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
    FORMATS,
    TABLE,
    Format,
    format_of,
    output,
    write_records,
    write_table,
)
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.inbox_rules import ignored_text
from storage.home.paths import Home
from storage.ledger.outcomes import Arrival, Claim, Failed, Outcome, Scored
from storage.queries.result import COLUMNS, Result
from storage.settings.schema import Settings
from storage.values.progress import progress_bar
from storage.values.text import counted, listed, printable_path
from storage.values.timestamps import choose_recorded_at, moment_in_name, utc_now

Record = dict[str, object]


def classify_paths(
    home: Home,
    settings: Settings,
    paths: Sequence[Path],
    checkpoint: str,
    form: str | None,
    file: Path | None,
    show_progress: bool,
    note: Callable[[str], None] = lambda _: None,
) -> int:
    """Writes a row for each file; returns how many could not be classified.

    `note` is told which files got no answer or were left out, and when the starter answers.

    Raises DaemonError where a folder cannot be listed or holds no audio files, and UnknownFormat.
    """
    format = FORMATS[form or format_of(file, text_only=True)]
    ignored: Counter[str] = Counter()
    arrivals = _arrivals_by_name(paths, settings, ignored)
    keep_freed_memory(KEPT_BYTES)
    predictor = _predictor(home, settings, checkpoint, note)
    with output(file) as stream:  # who may not write there hears of it before the work
        records = _records(settings, arrivals, predictor, show_progress)
        _write(stream, records, format)
    if ignored:
        note(ignored_text(ignored))
    if n_failed := sum(record["status"] == "failed" for record in records):
        note(f"{n_failed} of {counted(len(records), 'file')} failed; the column `error` says why")
    return n_failed


def _predictor(
    home: Home, settings: Settings, reference: str, note: Callable[[str], None]
) -> Predictor:
    """Of the checkpoint that is meant; where no home was made yet, `active` is the starter."""
    device, precision = engine_device(settings), settings.engine.precision
    starter = packaged_starter() if reference == "active" and not home.is_made else None
    if starter is None:
        file = CheckpointFolder(home.checkpoints).locate(reference)
        return load_predictor(file, device, precision)
    checkpoint = parse_checkpoint(starter.name, starter.data)
    note(
        f"no home at {home.root}: the starter that comes with clfd answers; it knows only"
        f" {listed(checkpoint.labels)}; `clfd init` makes a home"
    )
    return prepare(checkpoint, device, precision)


def _records(
    settings: Settings, arrivals: Mapping[str, Arrival], predictor: Predictor, show_progress: bool
) -> list[Record]:
    """In the order of the paths."""
    claims = [
        Claim(number, each.inbox, each.path, each.fingerprint, each.size_bytes, 1, "new")
        for number, each in enumerate(arrivals.values())
    ]
    files, rules = list(arrivals.items()), settings.results.display_rules
    records = []
    with progress_bar(show_progress, len(claims)) as advance:
        for outcome in _outcomes(settings, claims, predictor):
            name, arrival = files[outcome.recording_id]
            shown = replace(_result(outcome, arrival, predictor).displayed(rules), path=name)
            scores = shown.scores()
            records.append(shown.record(COLUMNS) | ({"scores": scores} if scores else {}))
            advance()
    return sorted(records, key=lambda record: str(record["path"]))


def _arrivals_by_name(
    paths: Sequence[Path], settings: Settings, ignored: Counter[str]
) -> dict[str, Arrival]:
    """Arrivals by the name a person gave them; named files are taken whatever their name."""
    found: dict[str, Arrival] = {}
    for path in paths:
        if path.is_dir():
            found |= _in_folder(path, inbox_at(path.resolve(), settings), ignored)
        else:
            target = path.resolve()  # a person may name a link
            stat, name = target.stat(), os.fsencode(target.name)
            arrival = Arrival(target.parent, name, fingerprint(stat), stat.st_size)
            found[printable_path(os.fsencode(path))] = arrival
    return found


def _in_folder(folder: Path, inbox: Inbox, ignored: Counter[str]) -> dict[str, Arrival]:
    scan = inbox.scan()
    found = {printable_path(os.fsencode(folder) + b"/" + a.path): a for a in scan.take(10**9)}
    if scan.fault or scan.left_out:
        which = folder / os.fsdecode(next(iter(scan.left_out), b""))
        raise DaemonError(f"{which} cannot be listed; change its permissions, or leave it out")
    if scan.n_unseen:
        unseen = f"{folder}: files not seen: {scan.n_unseen}; {scan.first_unseen}"
        raise DaemonError(f"{unseen}; change the permissions of their folder")
    ignored.update(scan.by_suffix)
    if not found:
        left_out = ignored_text(scan.by_suffix)
        why = f" ({left_out})" if left_out else ""
        raise DaemonError(f"no audio files in {folder}{why}; name another folder, or a file")
    return found


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
            machine=None,
            log=lambda *_: None,  # a row for each file says it
        )
        while waiting or len(window):
            wake.clear()
            n_claims = min(window.free, len(waiting))
            window.take([waiting.popleft() for _ in range(n_claims)], served)
            yield from window.step()
            if len(window) and not window.has_ready_clips:
                wake.wait(1.0)


def _result(outcome: Outcome, arrival: Arrival, predictor: Predictor) -> Result:
    """As it would stand in the ledger of an inbox that is the named folder."""
    checkpoint = predictor.checkpoint
    failed = Result(
        path=printable_path(arrival.path),
        status="failed",
        checkpoint=checkpoint.name,
        checkpoint_digest=checkpoint.digest,
        classified_at=utc_now(),
    )
    if isinstance(outcome, Failed):
        return replace(failed, error=outcome.error)
    if not isinstance(outcome, Scored):
        return replace(failed, error="the file changed while it was read")
    facts = asdict(outcome.facts)
    facts["recorded_at"] = choose_recorded_at(
        outcome.facts.recorded_at, moment_in_name(failed.path)
    )
    return replace(
        failed,
        status="done",
        label=outcome.label,
        confidence=outcome.confidence,
        warning=outcome.warning,
        labels_json=json.dumps(checkpoint.labels),
        packed_scores=outcome.scores,
        **facts,
    )


def _write(stream: TextIO, records: list[Record], format: Format) -> None:
    if format is TABLE:
        write_table(stream, *_table(records))
    else:
        write_records(stream, format, COLUMNS, records)


def _table(records: list[Record]) -> tuple[list[str], list[list[str]]]:
    columns = ["path", "label", "confidence"]
    columns += [word for word in ("error", "warning") if any(record[word] for record in records)]
    cells = [[_cell(record[column]) for column in columns] for record in records]
    return columns, cells


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value or "")
