"""`clfd bulk import`: the ledger knows of an archive what it would know had a daemon scored it."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from bulk_work import BulkWork
from house import House, HouseMaker

from daemon.bulk.import_rows import import_rows
from storage.errors import StorageError
from storage.ledger.tallies import tally_errors

QUERIES = (
    "SELECT path_text, state, digest, size_bytes, label, confidence, duration_s, sample_rate_hz,"
    " channels, recorded_at, rms_dbfs, peak_dbfs, clipped, error_class, error, warning"
    " FROM recording r WHERE true ORDER BY path_text",
    "SELECT path_text, p.label, p.confidence, scores, clip_scores, p.clip_seconds,"
    " clip_hop_seconds, scoring, novelty FROM prediction p JOIN recording r ON r.id = recording_id"
    " WHERE true ORDER BY path_text",
    "SELECT path_text, f.label, f.probability, first_clip, last_clip FROM finding f JOIN prediction"
    " p ON p.id = f.prediction_id JOIN recording r ON r.id = recording_id WHERE true"
    " ORDER BY path_text",
)


@pytest.fixture
def scored(bulk: BulkWork) -> BulkWork:
    bulk.put("20260131_120000.wav", "b.wav", "c.wav")
    bulk.put("text.wav", content=b"this is no sound")
    bulk.list()
    bulk.write(bulk.rows().values())
    return bulk


def imported(bulk: BulkWork, house: House) -> str:
    """What the command says."""
    notes: list[str] = []
    import_rows(house.settings, bulk.work, notes.append)
    return notes[-1]


def test_rows_are_those_that_a_daemon_writes_of_the_same_files(
    scored: BulkWork, make_house: HouseMaker
) -> None:
    house = make_house(**{"intake.duplicates": "score"})
    imported(scored, house)
    by_import = [house.ask(query) for query in QUERIES]
    for file in scored.archive.iterdir():
        house.drop(file, file.name)
    house.live()
    of_inbox = " AND r.inbox_id = (SELECT max(id) FROM inbox) ORDER BY path_text"
    by_daemon = [house.ask(query.replace(" ORDER BY path_text", of_inbox)) for query in QUERIES]
    assert by_import == by_daemon
    assert [len(rows) for rows in by_import] == [4, 3, 3]


def test_what_was_imported_is_not_imported_again(scored: BulkWork, make_house: HouseMaker) -> None:
    house = make_house()
    assert imported(scored, house) == "4 of 4 rows imported; the ledger knew the others"
    before = house.ask("SELECT * FROM recording ORDER BY id")
    assert imported(scored, house) == "0 of 4 rows imported; the ledger knew the others"
    assert house.ask("SELECT * FROM recording ORDER BY id") == before


def test_a_file_that_is_gone_meanwhile_keeps_its_answer_and_is_imported_once(
    scored: BulkWork, make_house: HouseMaker
) -> None:
    house = make_house()
    shutil.rmtree(scored.archive)
    imported(scored, house)
    imported(scored, house)
    assert house.rows() == [
        ("20260131_120000.wav", "done"),
        ("b.wav", "done"),
        ("c.wav", "done"),
        ("text.wav", "failed"),
    ]


def test_a_daemon_has_nothing_to_do_with_what_was_imported_into_its_inbox(
    scored: BulkWork, make_house: HouseMaker
) -> None:
    house = make_house(**{"inbox": str(scored.archive.parent), "intake.ignore": ["home", "work"]})
    imported(scored, house)
    house.live()
    assert house.pool.submitted == []
    assert house.rows()[0] == ("archive/20260131_120000.wav", "done")


def test_an_answer_that_the_ledger_has_stays(scored: BulkWork, make_house: HouseMaker) -> None:
    house = make_house(inbox=str(scored.archive))
    house.live()
    before = house.ask("SELECT * FROM recording ORDER BY id")
    assert imported(scored, house).startswith("0 of 4 rows")
    assert house.ask("SELECT * FROM recording ORDER BY id") == before


def test_what_a_daemon_works_on_is_left_to_it(scored: BulkWork, make_house: HouseMaker) -> None:
    house = make_house(**{"inbox": str(scored.archive), "intake.settle_seconds": 0})
    claimer = house.service.components.claimer
    while not len(house.window):
        claimer.step(house.now)
        house.now += 1
    imported(scored, house)
    house.live()
    assert sorted(state for _, state in house.rows()) == ["done", "done", "done", "failed"]
    assert house.ask("SELECT count(*) FROM prediction") == [(3,)]


def test_a_file_that_had_changed_is_left_to_a_daemon(
    bulk: BulkWork, make_house: HouseMaker
) -> None:
    bulk.put("a.wav", "b.wav")
    bulk.list()
    bulk.put("a.wav", content=b"other bytes")
    bulk.write(bulk.rows().values())
    house = make_house()
    imported(bulk, house)
    assert house.rows() == [("b.wav", "done")]


def test_rows_of_a_bucket_are_refused(scored: BulkWork, make_house: HouseMaker) -> None:
    job = replace(scored.work.read_job(), roots=("s3://sounds/yard",))
    scored.work.write_job(job)
    with pytest.raises(StorageError, match="s3://sounds/yard is no folder"):
        imported(scored, make_house())


def test_counts_are_those_of_the_rows(scored: BulkWork, make_house: HouseMaker) -> None:
    house = make_house()
    imported(scored, house)
    assert [*tally_errors(house.ledger.database)] == []
    assert house.ledger.counts()["done"] == 3
