from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.doorbell import Doorbell


@pytest.fixture
def doorbell(tmp_path: Path) -> Iterator[Doorbell]:
    (tmp_path / "inbox").mkdir()
    doorbell = Doorbell([tmp_path / "inbox"])
    doorbell.start()
    doorbell.collect()
    yield doorbell
    doorbell.stop()


def test_a_queue_that_overflowed_asks_for_a_scan(doorbell: Doorbell) -> None:
    logging.getLogger("watchdog.observers.inotify_c").warning("inotify queue overflow")
    assert doorbell.collect() == ([], True)
    assert doorbell.collect() == ([], False)


def test_an_inbox_that_was_replaced_is_watched_anew_and_scanned(
    doorbell: Doorbell, tmp_path: Path
) -> None:
    (tmp_path / "inbox").rename(tmp_path / "old")
    (tmp_path / "inbox").mkdir()
    doorbell.supervise()
    assert doorbell.is_watching
    assert doorbell.collect()[1]


def test_a_missing_inbox_is_not_called_watched(doorbell: Doorbell, tmp_path: Path) -> None:
    (tmp_path / "inbox").rmdir()
    doorbell.supervise()
    assert not doorbell.is_watching
