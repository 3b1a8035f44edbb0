"""The daemon stops, and moves nothing more, once ledger or lock are not what it opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from house import House, HouseMaker

from storage.errors import StorageError


@pytest.fixture
def archiving(make_house: HouseMaker) -> House:
    return make_house(**{"intake.archive_dir": "archive"})


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.wav"))


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_an_idle_daemon_stops_when_a_file_of_the_ledger_is_deleted(house: House, end: str) -> None:
    house.live()
    Path(f"{house.home.ledger_file}{end}").unlink()
    with pytest.raises(StorageError, match=rf"clfd\.db{end} ?.*was moved, deleted or replaced"):
        house.live()


def test_an_idle_daemon_stops_when_its_lock_is_deleted(house: House) -> None:
    def refuse() -> None:
        raise StorageError("daemon.lock was deleted")

    house.live()
    house.service.components.upkeep.require_lock = refuse
    with pytest.raises(StorageError, match=r"daemon\.lock"):
        house.live()


def test_a_batch_of_moves_ends_where_the_log_is_deleted_and_its_rows_are_not_lost(
    archiving: House, make_house: HouseMaker, audio_file: Callable[..., Path]
) -> None:
    archiving.archive_thread.idle = True
    for name in ("a.wav", "b.wav"):
        archiving.drop(audio_file(), name)
    archiving.live()
    Path(f"{archiving.home.ledger_file}-wal").unlink()
    archiving.archive_thread.work()
    with pytest.raises(StorageError, match="start clfd again"):
        archiving.live()
    assert names_in(archiving.inbox) == ["a.wav", "b.wav"]
    archiving.close()
    after = make_house(**{"intake.archive_dir": "archive"})
    assert after.rows() == [("a.wav", "done"), ("b.wav", "done")]
    after.live()
    assert names_in(after.home.root / "archive") == ["a.wav", "b.wav"]
