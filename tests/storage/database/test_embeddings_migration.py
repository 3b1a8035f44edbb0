"""A ledger from before embeddings keeps what it has, and keeps embeddings from then on."""

from __future__ import annotations

from pathlib import Path

from old_ledger import first_ledger, migrate

from storage.database.engine import open_database, upgrade
from storage.ledger.tallies import tally_errors
from storage.queries.filters import Filters
from storage.queries.results import results

N_RECORDINGS = 300
TABLES = ("recording", "prediction", "finding", "recording_label", "tally", "human_label")
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i <= 300)"
ROWS = (
    f"{NUMBERS} INSERT INTO recording (id, inbox_id, path, path_text, fingerprint, size_bytes,"
    " digest, state, prediction_id, checkpoint_id, label, confidence, answered_at, first_seen_at)"
    " SELECT i, 1, CAST(i AS BLOB), i, 'f', 1, i, 'done', i, 1, 'a', 0.5,"
    " '2026-01-01T00:00:00.000Z', 't' FROM n",
    f"{NUMBERS} INSERT INTO prediction SELECT i, i, 1, 'a', 0.5, x'0000003f', x'0038', 1.0, 1.0,"
    " 't', NULL, 0.25 FROM n",
    f"{NUMBERS} INSERT INTO finding SELECT i, 'a', 0.5, 0, 0 FROM n",
    f"{NUMBERS} INSERT INTO recording_label"
    " SELECT 'a', '2026-01-01T00:00:00.000Z', i, 0.5, 1 FROM n",
    "INSERT INTO tally VALUES ('done', '2026-01-01', 'a', 1, 300)",
    "INSERT INTO folder_tally VALUES (1, '.', 'done', 300)",
)


def test_a_filled_ledger_of_before_is_upgraded_with_every_row(tmp_path: Path) -> None:
    file = tmp_path / "clfd.db"
    first_ledger(file)
    migrate(file, "0009", ROWS)
    url = f"sqlite:///{file}"
    backup = upgrade(url)
    assert backup is not None
    with open_database(url, "daemon") as database:
        assert database.problems() == []
        assert list(tally_errors(database)) == []
        with database.transaction() as connection:
            found = list(results(connection, Filters()))
            connection.exec_driver_sql("INSERT INTO embedding VALUES (2, x'0038')")
            connection.exec_driver_sql("DELETE FROM recording WHERE id = 2")
            kept = connection.exec_driver_sql("SELECT count(*) FROM embedding").scalar()
    assert [(row.label, row.novelty) for row in found] == [("a", 0.25)] * N_RECORDINGS
    assert kept == 0
