"""`clfd results --from WORK` tells of a work folder what the ledger tells once it is imported."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typed_commands import typed

from daemon.bulk.import_rows import import_rows
from daemon.bulk.scorer import row_of
from storage.bulk.parquet_parts import MANIFEST, OUTPUT, ListedFile, write_part
from storage.bulk.work_folder import Job, WorkFolder
from storage.bulk.work_folder_source import WorkFolderSource
from storage.export.results_source import LedgerSource
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger
from storage.ledger.outcomes import AudioFacts, Failed, Outcome, Scored
from storage.queries.clips import ClipOptions
from storage.queries.filters import Filters
from storage.queries.result import CLIP_COLUMNS
from storage.queries.result import Result as ResultRow
from storage.queries.results import ignore
from storage.settings.loading import load_settings
from storage.values.decision import DisplayRules
from storage.values.findings import answer_of

LABELS = ("dog", "it's rain", "noise", "siren")
ROOT = "/archive"
NAMES = (
    *("yard/20260131_120000.wav", "yard/20260131_120500Z.wav", "pond/north/50%_a.wav"),
    *("pond/north/a[1].wav", "pond\\b.wav", "ö'x/é.wav", "=b,\n.wav", "plain.wav", "PLAIN.wav"),
    *(f"site{number % 4}/{number:03}.wav" for number in range(60)),
)
PATHS = (*(name.encode() for name in NAMES), b"odd/\xff.wav")
KINDS = {
    "one label": {"task": "single"},
    "own thresholds": {"task": "single", "thresholds": {"dog": {"threshold": 0.6}}},
    "several labels": {"task": "multi", "thresholds": {"dog": {"threshold": 0.3}}},
}
RULES = {
    "": "",
    "thresholds": "[results]\nthresholds = ['siren=0.7']\nunknown_below = 0.4\n",
    "novelty": "[results]\nnovel_above = 0.6\nsite_pattern = '/(?P<site>[^/]+)'\n",
}


def outcome_of(number: int, task: str) -> Outcome:
    """An answer of one to six clips, or a failure; from numbers."""
    random = np.random.default_rng(number)
    digest = f"{number:064x}"
    if number % 9 == 5:
        return Failed(number, "damaged", f"nothing but noise, {number} times", digest)
    clips = random.random((1 + number % 6, len(LABELS))).astype(np.float32)
    clips **= 1 + 4 * random.random()
    if task == "single":
        clips /= clips.sum(axis=1, keepdims=True)
    scores = clips.mean(axis=0)
    label, confidence, findings = answer_of(task, LABELS, scores, clips)
    moment = "2026-01-31T12:00:00" + "Z" * (number % 2) if number % 3 == 0 else None
    level = float(-60 * random.random())
    facts = AudioFacts(digest, 5.0 * len(clips), 48000, 1, level, level / 2, number % 2 * 0.1)
    return Scored(
        *(number, AudioFacts(**{**vars(facts), "recorded_at": moment}), 1, label, confidence),
        *(scores.astype("<f4").tobytes(), clips.astype("<f2").tobytes(), 5.0, 5.0),
        findings=findings,
        novelty=None if number % 7 == 0 else float(random.random()),
        warning="it ends early" if number % 11 == 0 else None,
    )


def work_folder(folder: Path, kind: str, n_left: int = 0) -> WorkFolder:
    """The last files have no row yet."""
    work = WorkFolder(folder / "wo'rk [1]")
    (work.output / "shard-00001-of-00001").mkdir(parents=True)
    work.manifest.mkdir()
    job = Job(
        *((ROOT,), len(PATHS), "20260101T000000Z-cccccccc", "c" * 64, LABELS, 5.0),
        *(KINDS[kind], {}, False, "2026-02-01T00:00:00.000Z", None),
    )
    files = [ListedFile(n, ROOT, path, 10, f"10:{n}") for n, path in enumerate(PATHS)]
    write_part(work.manifest_part(0), MANIFEST, [file._asdict() for file in files])
    scored = files[: len(files) - n_left]
    task = str(KINDS[kind]["task"])
    rows = [row_of(file, outcome_of(file.id, task), job) for file in scored]
    for number, some in enumerate((rows[:30], rows[30:])):
        part = work.output / "shard-00001-of-00001" / f"part-{number:05}.parquet"
        write_part(part, OUTPUT, some)
    work.write_job(job)
    return work


Sources = tuple[WorkFolderSource, LedgerSource, DisplayRules]


@pytest.fixture(
    scope="module",
    params=[
        *(("one label", ""), ("own thresholds", "thresholds")),
        *(("several labels", "thresholds"), ("several labels", "novelty")),
    ],
    ids=", ".join,
)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sources]:
    """A work folder, and a ledger that it was imported into."""
    kind, rules = request.param
    folder = tmp_path_factory.mktemp("both")
    home, work = Home(folder / "home"), work_folder(folder, kind)
    home.create()
    home.settings_file.write_text(RULES[rules])
    settings = load_settings(home, environ={})
    with open_ledger(settings.database, "daemon") as ledger:
        import_rows(settings, work, lambda _: None)
        with WorkFolderSource(work) as source, ledger.database.transaction() as connection:
            yield source, LedgerSource(connection), settings.results.display_rules


def rows(rows: Iterable[ResultRow]) -> list[dict[str, object]]:
    """Without what an import gives anew."""
    known = [name for name in CLIP_COLUMNS if name != "classified_at"]
    return [{**row.record(known), "scores": row.scores()} for row in rows]


CLIP_FILTERS: list[dict[str, Any]] = [
    *({}, {"labels": ("dog",), "min_confidence": 0.5}, {"max_confidence": 0.5}),
    {"by_recorded": True, "since": "2026-01-31T12:00:05.000Z", "until": "2026-01-31T13:00:00.000Z"},
]
FILTERS: list[dict[str, Any]] = [
    *({}, {"status": "all"}, {"status": "failed"}, {"status": "superseded"}),
    *({"labels": ("dog",)}, {"labels": ("it's rain", "siren")}),
    *({"labels": ("none",)}, {"labels": ("unknown", "dog")}),
    *({"labels": ("dog",), "min_confidence": 0.5}, {"max_confidence": 0.5}),
    *({"min_novelty": 0.5}, {"min_level": -30.0, "max_level": -10.0}, {"clipped": True}),
    *({"checkpoint": "20260101"}, {"checkpoint": "cccc"}, {"checkpoint": "x"}),
    {"by_recorded": True, "since": "2026-01-31T11:00:00.000Z", "until": "2026-01-31T12:00:01.000Z"},
]
GLOBS = (
    *("yard/*", "p*", "*[0-3].wav", "*[!0-3].wav", "pond/north/50%_*", "pond/north/50?_?.wav"),
    *("ö'x/?.wav", "pond\\b.wav", "*/a[[]1].wav", "odd/*", "/archive/site?/*", "=b,?.wav", "*–*"),
)


@pytest.mark.parametrize("asked", [*FILTERS, *({"path": glob} for glob in GLOBS)], ids=str)
def test_the_rows_are_those_of_the_ledger(both: Sources, asked: dict[str, Any]) -> None:
    of_work, of_ledger, rules = both
    filters = Filters(**asked, rules=rules)
    from_work = rows(of_work.results(filters, "path", 0, None, ignore))
    assert from_work == rows(of_ledger.results(filters, "path", 0, None, ignore))
    for axis in ("label", "status", "folder", "site", "checkpoint"):
        assert of_work.count_by(filters, axis) == of_ledger.count_by(filters, axis)


@pytest.mark.parametrize("asked", [{}, {"labels": ("dog",)}], ids=str)
def test_the_surest_are_those_of_the_ledger(both: Sources, asked: dict[str, Any]) -> None:
    of_work, of_ledger, rules = both
    filters = Filters(**asked, rules=rules)
    from_work = rows(of_work.results(filters, "confidence", 9, None, ignore))
    assert from_work == rows(of_ledger.results(filters, "confidence", 9, None, ignore))


@pytest.mark.parametrize("asked", CLIP_FILTERS, ids=str)
@pytest.mark.parametrize("clips", [ClipOptions(), ClipOptions(2, merge_gap_seconds=1.0)], ids=str)
def test_the_clips_are_those_of_the_ledger(
    both: Sources, asked: dict[str, Any], clips: ClipOptions
) -> None:
    of_work, of_ledger, rules = both
    filters = Filters(**asked, rules=rules)
    from_work = rows(of_work.results(filters, "path", 0, clips, ignore))
    assert from_work == rows(of_ledger.results(filters, "path", 0, clips, ignore))
    for axis in ("label", "hour"):
        counts = of_work.count_clips_by(filters, clips, axis, ignore)
        assert counts == of_ledger.count_clips_by(filters, clips, axis, ignore)
    for_others = of_work.recordings_with_clips(filters, clips, ignore)
    there = of_ledger.recordings_with_clips(filters, clips, ignore)
    assert [rows(found) for _, found in for_others] == [rows(found) for _, found in there]


# --- what only a work folder has


@pytest.fixture
def half_scored(tmp_path: Path) -> WorkFolder:
    return work_folder(tmp_path, "one label", n_left=20)


def asked(work: WorkFolder, *words: str) -> Result:
    home = work.root.parent / "no home"
    return typed(["--home", str(home), "results", "--from", str(work.root), *words])


def test_a_file_without_a_row_is_pending(half_scored: WorkFolder) -> None:
    told = json.loads(asked(half_scored, "--status", "pending", "--json", "--limit", "0").stdout)
    assert {row["path"] for row in told} == {*NAMES[-19:], "odd/\\xff.wav"}
    assert {(row["status"], row["label"], row["scores"]) for row in told} == {
        ("pending", None, None)
    }
    counts = asked(half_scored, "--count-by", "status", "--format", "csv").stdout.split()
    assert counts == ["status,count", "done,45", "pending,20", "failed,5"]
    assert "done (5 failed, 20 pending)" in asked(half_scored).stdout


def test_times_are_those_of_the_answers(half_scored: WorkFolder) -> None:
    assert "45 of 45 done" in asked(half_scored, "--since", "1h").stdout
    assert "the period ends" in asked(half_scored, "--since", "1h", "--until", "2h").stderr
    assert asked(half_scored, "--until", "1h", "--format", "csv").stdout.count("\n") == 1


def test_parquet_of_a_work_folder_has_the_columns_of_the_results(
    half_scored: WorkFolder, tmp_path: Path
) -> None:
    import pyarrow.parquet

    file = tmp_path / "out.parquet"
    asked(half_scored, "--label", "dog", "-o", str(file))
    table = pyarrow.parquet.read_table(file)
    assert {*table.column("label").to_pylist()} <= {*LABELS}
    assert dict(table.column("scores").to_pylist()[0]).keys() == {*LABELS}


def test_one_that_has_no_row_at_all_says_what_to_do(tmp_path: Path) -> None:
    work = work_folder(tmp_path, "one label")
    for part in work.output_parts():
        part.unlink()
    done = asked(work)
    assert done.exit_code == 0, done.stderr
    assert done.stderr == "nothing found; other recordings: 70 pending (see --status)\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--wrong", "what people say lies in the ledger"),
        ("--unlabelled", "what people say lies in the ledger"),
        ("--history", "a work folder has one answer for each file"),
        ("--follow", "a work folder has one answer for each file"),
        ("--label cat", "no recording is labelled cat; labels given so far: dog, it's rain"),
        ("--path yard", "'yard/*' is all that lies in the folder"),
        ("--checkpoint zzz", "no checkpoint zzz"),
    ],
)
def test_what_cannot_be_asked_or_found_is_told(
    half_scored: WorkFolder, words: str, sentence: str
) -> None:
    assert sentence in asked(half_scored, *words.split()).stderr


def test_a_part_that_is_damaged_is_named(half_scored: WorkFolder) -> None:
    part = half_scored.output_parts()[1]
    part.write_bytes(part.read_bytes()[:-100])
    done = asked(half_scored)
    assert done.exit_code == 1 and part.name in done.stderr


def test_a_folder_that_is_no_work_folder_says_so(tmp_path: Path) -> None:
    done = asked(WorkFolder(tmp_path))
    assert done.exit_code == 1 and "is no work folder" in done.stderr
