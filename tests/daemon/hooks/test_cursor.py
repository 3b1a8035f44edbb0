"""How far a hook has come among the answers, whatever the clock does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.hooks.cursor import HookCursor
from storage.errors import ConfigurationError, LedgerUnavailable, StorageError
from storage.queries.results import Cursor
from storage.values.timestamps import from_stamp, stamp

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


class Clocks:
    """The wall's clock can be set; the other one cannot."""

    def __init__(self) -> None:
        self.wall = NOON
        self.since_start = 1000.0

    def pass_time(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.since_start += seconds

    def set_back(self, seconds: float) -> None:
        self.wall -= timedelta(seconds=seconds)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def make_cursor(tmp_path: Path, clocks: Clocks) -> Callable[[], HookCursor]:
    def make() -> HookCursor:
        newest = (stamp(NOON - timedelta(hours=1)), 7)
        return HookCursor(
            tmp_path / "place", lambda: newest, lambda: clocks.wall, lambda: clocks.since_start
        )

    return make


def test_without_a_file_it_begins_behind_the_newest_answer_and_keeps_that(
    make_cursor: Callable[[], HookCursor],
) -> None:
    assert make_cursor().position == ("2026-03-04T11:00:00.000Z", 7)
    assert make_cursor().position == ("2026-03-04T11:00:00.000Z", 7)


def test_where_nothing_can_be_written_or_read_it_begins_with_this_moment_and_is_saved_later(
    tmp_path: Path, clocks: Clocks
) -> None:
    def newest() -> Cursor:
        raise LedgerUnavailable("locked")

    folder = tmp_path / "disk"
    cursor = HookCursor(folder / "place", newest, lambda: clocks.wall, lambda: clocks.since_start)
    assert cursor.position == (stamp(NOON), 0)
    with pytest.raises(StorageError, match="cannot write"):
        cursor.save()
    folder.mkdir()
    cursor.save()
    clocks.pass_time(3600)
    again = HookCursor(folder / "place", newest, lambda: clocks.wall, lambda: clocks.since_start)
    assert again.position == (stamp(NOON), 0)


def test_what_was_saved_is_where_it_begins(make_cursor: Callable[[], HookCursor]) -> None:
    cursor = make_cursor()
    cursor.position = (stamp(NOON - timedelta(minutes=1)), 12)
    cursor.save()
    assert make_cursor().position == (stamp(NOON - timedelta(minutes=1)), 12)


def test_time_that_passes_moves_nothing(
    make_cursor: Callable[[], HookCursor], clocks: Clocks
) -> None:
    cursor = make_cursor()
    cursor.position = (stamp(NOON), 12)
    for _ in range(100):
        clocks.pass_time(3600)
        clocks.set_back(1)  # as a time server does, a little at a time
        cursor.until()
    assert cursor.position == (stamp(NOON), 12)


@pytest.mark.parametrize("seconds", [2, 60, 3600, 86_400])
def test_a_clock_that_is_set_back_takes_the_cursor_back_behind_all_new_answers(
    make_cursor: Callable[[], HookCursor], clocks: Clocks, seconds: float
) -> None:
    cursor = make_cursor()
    cursor.until()
    cursor.position = (stamp(clocks.wall), 12)
    clocks.pass_time(5)
    clocks.set_back(seconds)
    first_new = stamp(clocks.wall)
    clocks.pass_time(30)  # in the middle of a long command
    cursor.until()
    assert cursor.position[0] < first_new
    assert from_stamp(first_new) - from_stamp(cursor.position[0]) < timedelta(seconds=10)


def test_answers_of_the_future_wait_for_their_time(
    make_cursor: Callable[[], HookCursor], clocks: Clocks
) -> None:
    cursor = make_cursor()
    clocks.set_back(3600)
    assert cursor.until() < stamp(NOON)


def test_a_cursor_in_the_future_at_the_start_is_that_of_another_clock(
    make_cursor: Callable[[], HookCursor],
) -> None:
    cursor = make_cursor()
    cursor.position = (stamp(NOON + timedelta(days=1)), 12)
    cursor.save()
    assert make_cursor().position[0] < stamp(NOON)


@pytest.mark.parametrize("content", ["", "[]", '{"moment": "x"}', "\x00"])
def test_a_file_that_has_no_position_is_named(
    tmp_path: Path, make_cursor: Callable[[], HookCursor], content: str
) -> None:
    (tmp_path / "place").write_text(content)
    with pytest.raises(ConfigurationError, match=r"place does not say .*remove it"):
        make_cursor()
