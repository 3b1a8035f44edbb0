"""Reading the ledger: which rows, in which order, and how many; and words for time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ledger_rows import add
from sqlalchemy import Connection, delete, update

from storage.database.engine import open_database
from storage.database.tables import recording
from storage.export.results_request import ResultsRequest
from storage.export.results_source import LedgerSource
from storage.export.results_writer import write_counts
from storage.export.text_formats import FORMATS
from storage.labels.label_events import LabelEvent, write_events
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Scored
from storage.queries.clips import ClipOptions
from storage.queries.counts import Number, count, count_by, count_in_time, count_others
from storage.queries.filters import SORTS, Filters, Sort
from storage.queries.results import Position, newest_position, page, results, results_after
from storage.values.timestamps import parse_when, stamp

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Connection]:
    """Answered on five days: a dog, a siren, a failure, a dog; the last file waits."""
    moments = [stamp(NOW + timedelta(days=day)) for day in range(5)]
    url = f"sqlite:///{tmp_path / 'clfd.db'}"
    today = 0
    with Ledger(open_database(url, "daemon"), lambda: moments[today]) as ledger:
        add(ledger, "yard/a.wav", "dog", 0.9)
        today = 1
        add(ledger, "roof/b.wav", "siren", 0.6)
        today = 2
        add(ledger, "yard/c.wav", None)
        today = 3
        add(ledger, "d.wav", "dog", 0.7)
        today = 4
        ledger.admit([Arrival(Path("/inbox"), b"e.wav", "f", 1)])
    with open_database(url, "reader") as database, database.transaction() as connection:
        yield connection


def paths(reading: Connection, filters: Filters) -> list[str]:
    return [result.path for result in results(reading, filters)]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(), ["d.wav", "roof/b.wav", "yard/a.wav"]),
        (Filters(labels=("siren",)), ["roof/b.wav"]),
        (Filters(labels=("siren", "dog")), ["d.wav", "roof/b.wav", "yard/a.wav"]),
        (Filters(min_confidence=0.65), ["d.wav", "yard/a.wav"]),
        (Filters(max_confidence=0.65), ["roof/b.wav"]),
        (Filters(path="yard/*"), ["yard/a.wav"]),
        (Filters(path="/inbox/yard/*"), ["yard/a.wav"]),
        (Filters(path="a.wav"), []),
        (Filters(path="./*"), []),
        (Filters(since=stamp(NOW + timedelta(days=1))), ["d.wav", "roof/b.wav"]),
        (Filters(until=stamp(NOW + timedelta(days=1))), ["yard/a.wav"]),
        (Filters(checkpoint="2026"), ["d.wav", "roof/b.wav", "yard/a.wav"]),
        (Filters(checkpoint="ccc"), ["d.wav", "roof/b.wav", "yard/a.wav"]),
        (Filters(checkpoint="%"), []),
        (Filters(history=True), ["d.wav", "roof/b.wav", "yard/a.wav"]),
        (Filters(status="failed"), ["yard/c.wav"]),
        (Filters(status="pending"), ["e.wav"]),
        (Filters(status="pending", since=stamp(NOW)), ["e.wav"]),
        (Filters(status="all"), ["e.wav", "d.wav", "yard/c.wav", "roof/b.wav", "yard/a.wav"]),
    ],
)
def test_filters_choose_rows(reading: Connection, filters: Filters, found: list[str]) -> None:
    assert paths(reading, filters) == found
    assert count(reading, filters) == len(found)


def test_rows_come_in_the_order_asked_for(reading: Connection) -> None:
    def sorted_by(sort: str) -> list[str]:
        return [result.path for result in results(reading, Filters(), sort)]  # type: ignore[arg-type]

    assert sorted_by("oldest") == ["yard/a.wav", "roof/b.wav", "d.wav"]
    assert sorted_by("confidence") == ["yard/a.wav", "d.wav", "roof/b.wav"]
    assert sorted_by("path") == ["d.wav", "roof/b.wav", "yard/a.wav"]


def test_a_limit_counts_rows(reading: Connection) -> None:
    assert len(list(results(reading, Filters(), limit=2))) == 2
    assert len(list(results(reading, Filters(), limit=3, clips=ClipOptions()))) == 3


@pytest.fixture
def labelled(reading: Connection, tmp_path: Path) -> Iterator[Connection]:
    """The first two answers are labelled, by two people."""
    with open_database(f"sqlite:///{tmp_path / 'clfd.db'}", "editor") as database:
        for number, author in ((1, "ann"), (2, "bob")):
            event = LabelEvent(f"e{number}", f"{number:064d}", "label", "owl")
            write_events(database, [event], author)
        with database.transaction() as connection:
            yield connection


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters("all", labelled=True), {"yard/a.wav", "roof/b.wav"}),
        (Filters("all", unlabelled=True), {"yard/c.wav", "d.wav", "e.wav"}),
        (Filters(unlabelled=True), {"d.wav"}),
        (Filters("pending", unlabelled=True), {"e.wav"}),
        (Filters(author="bob"), {"roof/b.wav"}),
        (Filters(author="bob", labels=("dog",)), set()),
        (Filters(unlabelled=True, labels=("dog",), min_confidence=0.5), {"d.wav"}),
    ],
)
def test_pages_of_what_people_labelled_or_not_have_all_of_it(
    labelled: Connection, sort: Sort, filters: Filters, found: set[str]
) -> None:
    seen, after = [], None
    while True:
        part = page(labelled, filters, sort, 1, after)
        seen += [one.path for one in part.rows]
        after = part.after
        if after is None:
            break
    assert sorted(seen) == sorted(found)
    assert count_in_time(labelled, filters, 1.0) == Number(len(found))


def test_scores_stand_beside_their_labels(reading: Connection) -> None:
    first = next(results(reading, Filters()))
    assert first.scores() == {"dog": 0.7, "siren": 0.3}


def test_the_last_clip_ends_with_the_recording(reading: Connection) -> None:
    clips = list(results(reading, Filters(path="d.wav"), clips=ClipOptions()))
    heard = [(clip.start_s, clip.end_s, clip.label, clip.confidence) for clip in clips]
    assert heard == [(0.0, 5.0, "dog", 0.75), (5.0, 8.0, "siren", 0.875)]


def test_the_others_are_counted_per_state(reading: Connection) -> None:
    others = count_others(reading, Filters(labels=("siren",)))
    assert {state: str(n) for state, n in others.items()} == {"failed": "1", "pending": "1"}


@pytest.mark.parametrize(
    ("axis", "status", "counts"),
    [
        ("label", "done", [("dog", 2), ("siren", 1)]),
        ("status", "all", [("done", 3), ("failed", 1), ("pending", 1)]),
        ("checkpoint", "done", [("20260101T000000Z-cccccccc", 3)]),
        ("day", "done", [("2026-01-10", 1), ("2026-01-11", 1), ("2026-01-13", 1)]),
        ("folder", "all", [(".", 2), ("yard", 2), ("roof", 1)]),
        ("site", "all", [(None, 2), ("yard", 2), ("roof", 1)]),
    ],
)
def test_rows_are_counted_by_what_they_share(
    reading: Connection, axis: str, status: str, counts: list[tuple[str, int]]
) -> None:
    filters = Filters(status=status)  # type: ignore[arg-type]
    assert count_by(reading, filters, axis) == counts  # type: ignore[arg-type]


def test_following_starts_where_the_ledger_ends(reading: Connection) -> None:
    assert results_after(reading, Filters("all"), newest_position(reading)) == []


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(), ["roof/b.wav", "d.wav"]),
        (Filters("failed"), ["yard/c.wav"]),
        (Filters("pending"), ["e.wav"]),
        (Filters("all"), ["roof/b.wav", "yard/c.wav", "d.wav", "e.wav"]),
        (Filters(labels=("dog",)), ["d.wav"]),
    ],
)
def test_following_goes_on_behind_a_position(
    reading: Connection, filters: Filters, found: list[str]
) -> None:
    later = results_after(reading, filters, Position(recording=1, answer=1))
    assert [result.path for result in later] == found


@pytest.mark.parametrize("clock_runs", [1, -1])
def test_answers_come_in_their_order_whatever_the_clock_does(
    tmp_path: Path, clock_runs: int
) -> None:
    day = 0
    url = f"sqlite:///{tmp_path / 'clfd.db'}"

    def clock() -> str:
        return stamp(NOW + timedelta(days=3650 + clock_runs * day))

    with Ledger(open_database(url, "daemon"), clock) as ledger:
        for name in ("c.wav", "a.wav", "b.wav"):
            add(ledger, name, "dog")
            day += 1
        with ledger.database.transaction() as connection:
            found = results_after(connection, Filters(), Position(0, 0))
    assert [result.path for result in found] == ["c.wav", "a.wav", "b.wav"]


def test_an_answer_that_is_given_anew_is_new(tmp_path: Path) -> None:
    with Ledger(open_database(f"sqlite:///{tmp_path / 'clfd.db'}", "daemon")) as ledger:
        add(ledger, "a.wav", "dog")
        with ledger.database.transaction() as connection:
            before = newest_position(connection)
        rescore(ledger, "siren")
        with ledger.database.transaction() as connection:
            (found,) = results_after(connection, Filters(), before)
    assert (found.path, found.label) == ("a.wav", "siren")


def test_a_number_is_not_given_again_when_the_newest_answer_is_deleted(tmp_path: Path) -> None:
    with Ledger(open_database(f"sqlite:///{tmp_path / 'clfd.db'}", "daemon")) as ledger:
        add(ledger, "a.wav", "dog")
        with ledger.database.transaction() as connection:
            before = newest_position(connection)
            connection.execute(update(recording).values(state="superseded", prediction_id=None))
            connection.execute(delete(recording))
        add(ledger, "b.wav", "dog")
        with ledger.database.transaction() as connection:
            found = results_after(connection, Filters(), before)
    assert [result.path for result in found] == ["b.wav"]


@pytest.mark.parametrize(
    ("words", "ago"),
    [("now", "0h"), ("2h", "2h"), (" 3D ", "72h"), ("1.5h", "1.5h"), ("1w", "168h")],
)
def test_a_span_counts_back_from_now(words: str, ago: str) -> None:
    assert NOW - parse_when(words, NOW) == timedelta(hours=float(ago.removesuffix("h")))


def test_yesterday_begins_at_its_midnight() -> None:
    yesterday = parse_when("yesterday", NOW)
    assert (yesterday.hour, yesterday.minute) == (0, 0)
    assert timedelta() < NOW - yesterday < timedelta(hours=49)


def test_a_time_with_a_zone_keeps_it() -> None:
    assert stamp(parse_when("2026-01-31T12:00+02:00", NOW)) == "2026-01-31T10:00:00.000Z"


def test_words_that_are_no_time_are_refused_with_examples() -> None:
    with pytest.raises(ValueError, match="'soon' is no time; write 2h"):
        parse_when("soon", NOW)


def test_a_span_that_reaches_before_all_time_is_refused() -> None:
    with pytest.raises(ValueError, match="is no time; write 2h"):
        parse_when("999999999w", datetime.now(UTC))


def test_a_history_is_counted_by_its_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger(open_database(f"sqlite:///{tmp_path / 'clfd.db'}", "daemon")) as ledger:
        add(ledger, "a.wav", "dog")
        rescore(ledger, "siren")
        for axis in ("label", "checkpoint", "folder"):
            request = ResultsRequest(Filters(history=True), format=FORMATS["csv"])
            with ledger.database.transaction() as connection:
                write_counts(LedgerSource(connection), request, axis)  # type: ignore[arg-type]
    printed = capsys.readouterr().out.split()
    assert printed == [
        *("label,count", "dog,1", "siren,1"),
        *("checkpoint,count", "20260101T000000Z-cccccccc,1", "20260202T000000Z-dddddddd,1"),
        *("folder,count", ".,2"),
    ]


def rescore(ledger: Ledger, label: str) -> None:
    """The first recording is heard again, by another checkpoint."""
    with ledger.database.transaction() as connection:
        connection.execute(update(recording).values(requeued="rescore"))
    (claim,) = ledger.claim("me", 1, 3)
    name = "20260202T000000Z-dddddddd"
    checkpoint_id = ledger.register_checkpoint("d" * 64, name, ["dog", "siren"], 5.0, {})
    facts = AudioFacts(f"{claim.recording_id:064d}", 8.0, 44100, 1)
    scores = struct.pack("<2f", 0.25, 0.75), struct.pack("<2e", 0.25, 0.75)
    scored = Scored(claim.recording_id, facts, checkpoint_id, label, 0.75, *scores, 5.0, 5.0)
    ledger.record([scored])


@pytest.mark.parametrize(
    "asked", [{"labels": ("dog",)}, {"min_confidence": 0.5}, {"checkpoint": "20260101"}]
)
def test_the_foot_of_a_history_counts_its_predictions(
    tmp_path: Path, asked: dict[str, Any]
) -> None:
    with Ledger(open_database(f"sqlite:///{tmp_path / 'clfd.db'}", "daemon")) as ledger:
        for name in ("a.wav", "b.wav", "c.wav"):
            add(ledger, name, "dog")
        rescore(ledger, "siren")
        with ledger.database.transaction() as connection:
            filters = Filters(history=True, **asked)
            n = len(list(results(connection, filters)))
            assert count_in_time(connection, filters, 60) == Number(n)
