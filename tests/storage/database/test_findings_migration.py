"""Answers of older ledgers get their findings; long ones are answered by their clips."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from old_ledger import first_ledger
from sqlalchemy import Engine, event

from storage.database.engine import open_database, upgrade
from storage.database.sqlite import driver
from storage.errors import LedgerUnavailable
from storage.ledger.tallies import tally_errors
from storage.queries.clips import ClipOptions
from storage.queries.counts import count_by
from storage.queries.filters import Filters
from storage.queries.results import results
from storage.values.findings import answer_of

LABELS = ["dog", "siren", "rain"]
N_CLIPS = (1, 2, 3, 4, 12) * 20


def clips_of(number: int) -> np.ndarray:
    chance = np.random.default_rng(number)
    return chance.dirichlet((0.4,) * 3, N_CLIPS[number]).astype("<f2").astype(np.float32)


@pytest.fixture
def url(tmp_path: Path) -> str:
    file = tmp_path / "clfd.db"
    first_ledger(file)
    with driver().connect(file) as old:
        old.execute("UPDATE checkpoint SET labels = ?", (json.dumps(LABELS),))
        for number in range(len(N_CLIPS)):
            clips, id = clips_of(number), number + 2
            day = f"2026-01-{1 + id % 28:02}T00:00:00.000Z"
            scores = clips.mean(axis=0)
            best = int(scores.argmax())
            old.execute(
                "INSERT INTO recording (id, inbox_id, path, path_text, fingerprint, size_bytes,"
                " digest, state, prediction_id, answered_at, first_seen_at)"
                " VALUES (?, 1, ?, ?, 'f', 1, ?, 'done', ?, ?, 't')",
                (id, b"%d" % id, str(id), f"{id:064}", id, day),
            )
            packed = scores.astype("<f4").tobytes(), clips.astype("<f2").tobytes()
            answer = (id, id, LABELS[best], float(scores[best]), *packed)
            old.execute(
                "INSERT INTO prediction VALUES (?, ?, 1, ?, ?, ?, ?, 1.0, 1.0, 't')", answer
            )
    old.close()
    return f"sqlite:///{file}"


def test_an_upgrade_finds_what_the_daemon_would_have_written(url: str) -> None:
    upgrade(url)
    with open_database(url, "reader") as database:
        assert list(tally_errors(database)) == []
        with database.transaction() as reading:
            found = list(results(reading, Filters()))
            stored = reading.exec_driver_sql(
                "SELECT prediction_id, label, probability, first_clip, last_clip FROM finding"
                " WHERE prediction_id > 1 ORDER BY 1, 2"
            ).fetchall()
    wanted = []
    for number in range(len(N_CLIPS)):
        clips = clips_of(number)
        scores = clips.mean(axis=0).astype(np.float32)
        wanted += [
            (number + 2, *one) for one in answer_of("single", LABELS, scores, clips).findings
        ]
    assert [tuple(row) for row in stored] == sorted(wanted, key=lambda row: row[:2])
    told = {row.id: str(row.labels) for row in found}
    assert len([text for text in told.values() if ";" in text]) > 20


def test_labels_of_an_upgraded_ledger_are_found_by_the_index(url: str) -> None:
    upgrade(url)
    with open_database(url, "reader") as database, database.transaction() as reading:
        siren = Filters(labels=("siren",))
        n = len(list(results(reading, siren, limit=1000)))
        assert n == dict(count_by(reading, Filters(), "label"))["siren"]
        by_clips = {row.id for row in results(reading, siren, clips=ClipOptions())}
    has_siren = (
        number + 2 for number in range(len(N_CLIPS)) if 1 in clips_of(number).argmax(axis=1)
    )
    assert by_clips == {*has_siren}


def test_upgrades_that_are_killed_leave_one_backup(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(url.removeprefix("sqlite:///")).parent
    monkeypatch.setattr("storage.database.sqlite_schema._migrate", lambda *_: os._exit(9))
    for _ in range(3):
        child = os.fork()
        if child == 0:
            upgrade(url)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert len(list(folder.glob("*.backup*"))) == 1
    monkeypatch.undo()
    assert upgrade(url) in [*folder.glob("*.backup*")]
    assert len(list(folder.glob("*.backup*"))) == 1


def test_an_upgrade_that_is_killed_between_its_pieces_is_finished_by_the_next(
    url: str, tmp_path: Path
) -> None:
    file, beginning = tmp_path / "clfd.db", tmp_path / "first.db"
    shutil.copyfile(file, beginning)
    old, wanted, exit_codes = rows(file), None, []
    for step in (None, *range(1, 6)):
        for leftover in tmp_path.glob("clfd.db*"):
            leftover.unlink()
        shutil.copyfile(beginning, file)
        if step is not None:
            exit_codes.append(upgrade_until_killed(url, step))
        backup = upgrade(url)
        wanted = wanted or rows(file)
        assert rows(file) == wanted
        with open_database(url, "reader") as database:
            assert list(tally_errors(database)) == []
        if backup is not None:
            assert [*tmp_path.glob("clfd.db.*")] == [backup]
            assert rows(backup) == old
    assert exit_codes == [9] * 4 + [0]


def test_a_disk_that_is_full_between_two_pieces_leaves_the_backup_of_the_old_ledger(
    url: str, tmp_path: Path
) -> None:
    old = rows(tmp_path / "clfd.db")
    begun = iter(range(3))

    def fill(*arguments: Any) -> None:
        if arguments[2] == "BEGIN IMMEDIATE" and next(begun, None) is None:
            raise LedgerUnavailable("database or disk is full")

    event.listen(Engine, "before_cursor_execute", fill)
    try:
        with pytest.raises(LedgerUnavailable):
            upgrade(url)
    finally:
        event.remove(Engine, "before_cursor_execute", fill)
    (kept,) = tmp_path.glob("*.backup.new")
    backup = upgrade(url)
    assert backup is not None
    assert [*tmp_path.glob("*.backup*")] == [backup] == [kept.with_suffix("")]
    assert rows(backup) == old


def rows(file: Path) -> list[Any]:
    """Of a ledger of any age: the answers, and the findings where there are any."""
    found = []
    with closing(driver().connect(file)) as ledger:
        tables = {row[0] for row in ledger.execute("SELECT name FROM sqlite_master")}
        for table in ("prediction", "finding", "recording_label"):
            if table in tables:
                columns = "id, label, confidence" if table == "prediction" else "*"
                ordered = f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3"
                found.append(ledger.execute(ordered).fetchall())
    return found


def upgrade_until_killed(url: str, n_begun: int) -> int:
    """The exit code: 9 where so many transactions that write were begun."""
    child = os.fork()
    if child == 0:
        left = iter(range(n_begun, -1, -1))

        def kill(*arguments: Any) -> None:
            if arguments[2] == "BEGIN IMMEDIATE" and next(left) == 0:
                os._exit(9)

        event.listen(Engine, "before_cursor_execute", kill)
        upgrade(url)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
