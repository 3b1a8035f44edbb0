"""How far a hook has come among the answers, over restarts, restores and new versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.hooks.cursor import HookCursor, Place, Unnumbered
from storage.errors import ConfigurationError, LedgerUnavailable, StorageError
from storage.queries.result import Result
from storage.values.timestamps import stamp

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


class FakeLedger:
    """Answers by number, and those of an older version by stamp and recording."""

    def __init__(self) -> None:
        self.newest = 7
        self.is_locked = False
        self.unnumbered: list[Unnumbered] = []

    def newest_number(self) -> int:
        if self.is_locked:
            raise LedgerUnavailable("locked")
        return self.newest

    def answers(self, place: Place) -> list[Result]:
        if isinstance(place, Unnumbered):
            return [answer(old.recording, old.moment) for old in self.unnumbered if old > place]
        return [answer(n, stamp(NOON), n) for n in range(place + 1, self.newest + 1)]


def answer(id: int, moment: str, number: int | None = None) -> Result:
    return Result(id=id, classified_at=moment, answer_number=number)


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "place"


@pytest.fixture
def make_cursor(file: Path, ledger: FakeLedger) -> Callable[[], HookCursor]:
    return lambda: HookCursor(file, ledger.newest_number, lambda: NOON)


def all_read(cursor: HookCursor, ledger: FakeLedger) -> list[int]:
    """The ids of what is sent, one by one."""
    sent = []
    while found := cursor.read(ledger.answers):
        sent.append(found[0].id)
        cursor.move_behind(found[0])
    return sent


def test_without_a_file_it_begins_behind_the_newest_answer_and_keeps_that(
    make_cursor: Callable[[], HookCursor], ledger: FakeLedger
) -> None:
    make_cursor()
    ledger.newest = 9
    assert all_read(make_cursor(), ledger) == [8, 9]


def test_where_nothing_can_be_written_or_read_it_begins_once_it_can(
    tmp_path: Path, ledger: FakeLedger
) -> None:
    ledger.is_locked = True
    folder = tmp_path / "disk"
    cursor = HookCursor(folder / "place", ledger.newest_number)
    with pytest.raises(LedgerUnavailable):
        cursor.read(ledger.answers)
    ledger.is_locked = False
    assert cursor.read(ledger.answers) == []
    with pytest.raises(StorageError, match="cannot write"):
        cursor.save()
    folder.mkdir()
    cursor.save()
    ledger.newest = 8
    assert all_read(HookCursor(folder / "place", ledger.newest_number), ledger) == [8]


def test_what_was_saved_is_where_it_begins(
    make_cursor: Callable[[], HookCursor], ledger: FakeLedger
) -> None:
    cursor = make_cursor()
    cursor.move_behind(answer(1, stamp(NOON), 3))
    cursor.save()
    assert all_read(make_cursor(), ledger) == [4, 5, 6, 7]


def test_behind_a_ledger_that_was_put_back_no_number_is_left_out(
    make_cursor: Callable[[], HookCursor], ledger: FakeLedger
) -> None:
    make_cursor().save()
    ledger.newest = 2
    cursor = make_cursor()
    ledger.newest = 4
    assert all_read(cursor, ledger) == [3, 4]


# --- kept by a version whose answers had no numbers


def keep(file: Path, moment: datetime, recording: int) -> None:
    file.write_text(json.dumps({"moment": stamp(moment), "recording": recording}))


def test_what_is_left_of_the_older_version_comes_first_and_then_all_numbers(
    make_cursor: Callable[[], HookCursor], ledger: FakeLedger, file: Path
) -> None:
    minutes = [stamp(NOON - timedelta(minutes=minute)) for minute in (3, 2, 1)]
    ledger.unnumbered = [Unnumbered(minute, 90 + n) for n, minute in enumerate(minutes)]
    ledger.newest = 2
    keep(file, NOON - timedelta(minutes=3), 90)
    assert all_read(make_cursor(), ledger) == [91, 92, 1, 2]


def test_half_way_through_what_is_left_a_restart_goes_on_there(
    make_cursor: Callable[[], HookCursor], ledger: FakeLedger, file: Path
) -> None:
    ledger.unnumbered = [Unnumbered(stamp(NOON), n) for n in (91, 92)]
    ledger.newest = 1
    keep(file, NOON - timedelta(minutes=3), 90)
    cursor = make_cursor()
    cursor.move_behind(cursor.read(ledger.answers)[0])
    cursor.save()
    assert all_read(make_cursor(), ledger) == [92, 1]


def test_a_place_in_the_future_is_that_of_another_clock(
    make_cursor: Callable[[], HookCursor], ledger: FakeLedger, file: Path
) -> None:
    ledger.unnumbered = [Unnumbered(stamp(NOON - timedelta(seconds=10)), 91)]
    ledger.newest = 1
    keep(file, NOON + timedelta(days=1), 90)
    assert all_read(make_cursor(), ledger) == [91, 1]


@pytest.mark.parametrize("content", ["", "[]", '{"moment": "x"}', '{"number": "x"}', "7", "\x00"])
def test_a_file_that_has_no_place_is_named(
    file: Path, make_cursor: Callable[[], HookCursor], content: str
) -> None:
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"place does not say .*remove it"):
        make_cursor()
