"""`clfd classify`: the daemon's own window over files that are named, without inbox or ledger."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from classifier.audio.regular_file import fingerprint
from classifier.inference.scoring_process import RemotePredictor, ScoringProcessDied
from classifier.model.checkpoint_facts import CheckpointFacts
from classifier.model.starter import starter_file
from classifier.workers.process import without_main_module
from daemon.errors import DaemonError
from daemon.intake.scanner import Inbox, inbox_at
from daemon.pipeline.model_manager import Served, hop_samples
from daemon.pipeline.scoring_setup import RecordingPool, begun_scoring, decode_pool, with_batches
from daemon.pipeline.window import Window
from storage.export.dataframe import frame_of
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
from storage.home.paths import Home, resolve_home
from storage.ledger.checkpoints import decision_facts
from storage.ledger.outcomes import Arrival, Claim, Failed, Outcome, Scored
from storage.queries.result import COLUMNS, Result
from storage.settings.loading import load_settings
from storage.settings.schema import Settings
from storage.values.decision import is_negative
from storage.values.progress import progress_bar
from storage.values.text import counted, listed, printable_path
from storage.values.timestamps import choose_recorded_at, moment_in_name, utc_now

if TYPE_CHECKING:
    import pandas as pd

Record = dict[str, Any]


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
    with (
        _pipeline(home, settings, checkpoint, note) as pipeline,
        output(file) as stream,  # who may not write there hears of it before the work
    ):
        results = _results(settings, arrivals, pipeline, show_progress)
        _write(stream, [_record(result) for result in results], format)
    if ignored:
        note(ignored_text(ignored))
    if n_failed := sum(result.status == "failed" for result in results):
        note(f"{n_failed} of {counted(len(results), 'file')} failed; the column `error` says why")
    return n_failed


def classify_frame(
    paths: str | Path | Sequence[str | Path],
    home: str | Path | None = None,
    *,
    checkpoint: str | Path = "active",
    device: str | None = None,
    scores: bool = False,
) -> pd.DataFrame:
    """`clfd.classify`: files, or the audio files in folders, once, without inbox and ledger.

    Args:
        paths: a file or a folder, or several.
        home: whose checkpoint and settings count, as `--home`; None is CLFD_HOME, or the user's
            data folder. Where there is no home yet the starter answers.
        checkpoint: a name, its beginning, `active`, `previous`, or the path of a file.
        device: auto, cpu, cuda, cuda:N or mps; None is `engine.device`.
        scores: also a column `score_LABEL` for every label.

    Returns:
        A row for each file, in the order of their paths, with the columns of `clfd.results`:
        confidence and scores from 0 to 1, `duration_s` in seconds, `sample_rate_hz`, levels in
        dBFS, times in UTC. A file without an answer has the status `failed` and an `error`.

    Raises FileNotFoundError for a path that is not there, DaemonError for a folder without audio
    files, ClassifierError or StorageError for a checkpoint or a setting.
    """
    folder = resolve_home(None if home is None else Path(home))
    settings = load_settings(folder, {} if device is None else {"engine.device": device})
    named = [paths] if isinstance(paths, str | Path) else paths
    arrivals = _arrivals_by_name([Path(path) for path in named], settings, Counter())
    with (
        without_main_module(),
        _pipeline(folder, settings, str(checkpoint), lambda _: None) as pipeline,
    ):
        return frame_of(_results(settings, arrivals, pipeline, False), scores=scores)


class _Pipeline(NamedTuple):
    """What scores and decodes, with settings for this device."""

    predictor: RemotePredictor
    settings: Settings
    batches_at_once: int
    pool: RecordingPool
    wake: threading.Event


@contextmanager
def _pipeline(
    home: Home, settings: Settings, reference: str, note: Callable[[str], None]
) -> Iterator[_Pipeline]:
    """With the checkpoint that is meant; where no home was made yet, `active` is the starter."""
    with ExitStack() as stack:
        starter = None
        if reference == "active" and not home.is_made:
            starter = stack.enter_context(starter_file())
        file = starter or CheckpointFolder(home.checkpoints).locate(reference)
        scoring, wake = stack.enter_context(begun_scoring(settings.engine))
        pool = stack.enter_context(decode_pool(settings.engine, scoring, wake))
        device = scoring.device
        settings = with_batches(settings, device.kind)
        predictor = scoring.load(file)
        if starter is not None:
            known = [label for label in predictor.checkpoint.labels if not is_negative(label)]
            note(
                f"no home at {home.root}: the starter that comes with clfd answers; it knows only"
                f" {listed(known)}; `clfd init` makes a home"
            )
        yield _Pipeline(predictor, settings, device.n_batches, pool, wake)


def _results(
    settings: Settings, arrivals: Mapping[str, Arrival], pipeline: _Pipeline, show_progress: bool
) -> list[Result]:
    """In the order of the paths."""
    claims = [
        Claim(number, each.inbox, each.path, each.fingerprint, each.size_bytes, 1, "new")
        for number, each in enumerate(arrivals.values())
    ]
    files, rules = list(arrivals.items()), settings.results.display_rules
    results = []
    with progress_bar(show_progress, len(claims)) as advance:
        for outcome in _outcomes(pipeline, claims):
            name, arrival = files[outcome.recording_id]
            shown = _result(outcome, arrival, pipeline.predictor.checkpoint).displayed(rules)
            results.append(replace(shown, path=name))
            advance()
    return sorted(results, key=lambda result: result.path)


def _record(result: Result) -> Record:
    scores = result.scores()
    return result.record(COLUMNS) | ({"scores": scores} if scores else {})


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


def _outcomes(pipeline: _Pipeline, claims: Sequence[Claim]) -> Iterator[Outcome]:
    """One attempt each, every file for itself. Raises ScoringProcessDied."""
    predictor, settings, batches_at_once, pool, wake = pipeline
    hop = hop_samples(predictor.checkpoint, settings.engine.overlap_seconds)
    served = Served(predictor, hop, checkpoint_id=0)
    waiting = deque(claims)
    window = Window(
        pool,
        settings.engine,
        max_attempts=1,
        links_duplicates=False,
        batches_at_once=batches_at_once,
        accepts_damaged=settings.intake.damaged == "warn",
        machine=None,
        log=lambda *_: None,  # a row for each file says it
    )
    while waiting or len(window):
        wake.clear()
        if not predictor.is_alive:
            raise ScoringProcessDied
        n_claims = min(window.free, len(waiting))
        window.take([waiting.popleft() for _ in range(n_claims)], served)
        yield from window.step()
        if len(window) and not window.batches.can_get_on:
            wake.wait(1.0)


def _result(outcome: Outcome, arrival: Arrival, checkpoint: CheckpointFacts) -> Result:
    """As it would stand in the ledger of an inbox that is the named folder."""
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
    decides = decision_facts(checkpoint.description)
    return replace(
        failed,
        status="done",
        label=outcome.label,
        confidence=outcome.confidence,
        warning=outcome.warning,
        novelty=outcome.novelty,
        labels_json=json.dumps(checkpoint.labels),
        task=decides["task"],
        thresholds_json=decides["thresholds"],
        findings_json=json.dumps([one[:2] for one in outcome.own_findings if one[1] is not None]),
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
    if any(len(record["labels"] or ()) > 1 for record in records):
        columns.append("labels")
    columns += [word for word in ("error", "warning") if any(record[word] for record in records)]
    cells = [[_cell(record[column]) for column in columns] for record in records]
    return columns, cells


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value or "")
