"""The ledger's files may be deleted or replaced by others while clfd has them open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.database.engine import open_database
from storage.database.sqlite import SqliteDatabase
from storage.errors import StorageError

ADD_INBOX = text("INSERT INTO inbox (path, path_text) VALUES (x'2f', '/')")
COUNT = text("SELECT count(*) FROM inbox")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'clfd.db'}"


@pytest.fixture
def daemon(url: str) -> Iterator[SqliteDatabase]:
    with open_database(url, "daemon") as opened:
        yield opened


def beside(database: SqliteDatabase, end: str) -> Path:
    return database.path.with_name(f"{database.path.name}{end}")


def add(database: SqliteDatabase) -> None:
    with database.transaction() as connection:
        connection.execute(ADD_INBOX)


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
@pytest.mark.parametrize("fate", ["deleted", "replaced", "renamed"])
def test_nothing_is_committed_into_a_file_that_nobody_finds(
    daemon: SqliteDatabase, end: str, fate: str
) -> None:
    file = beside(daemon, end)
    if fate == "renamed":
        file.rename(f"{file}.old")
    else:
        content = file.read_bytes()
        file.unlink()
        if fate == "replaced":
            file.write_bytes(content)
    with pytest.raises(StorageError, match=rf"{file.name}\b.* was moved, deleted or replaced .*"):
        add(daemon)


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_a_transaction_is_not_committed_when_a_file_goes_during_it(
    daemon: SqliteDatabase, end: str
) -> None:
    with (
        pytest.raises(StorageError, match="start clfd again"),
        daemon.transaction() as connection,
    ):
        connection.execute(ADD_INBOX)
        beside(daemon, end).unlink()


def test_a_reader_says_that_its_ledger_was_replaced(
    daemon: SqliteDatabase, url: str, tmp_path: Path
) -> None:
    daemon.back_up(tmp_path / "copy.db")
    with open_database(url, "reader") as reader:
        with reader.transaction() as connection:
            assert connection.scalar(COUNT) == 0
        (tmp_path / "copy.db").rename(daemon.path)
        with pytest.raises(StorageError, match="replaced"), reader.transaction() as connection:
            connection.scalar(COUNT)


def test_others_that_come_and_go_leave_the_files_in_place(daemon: SqliteDatabase, url: str) -> None:
    add(daemon)
    for role in ("reader", "editor", "pruner"):
        with open_database(url, role) as other, other.transaction() as connection:  # type: ignore[arg-type]
            assert connection.scalar(COUNT) == 1
    daemon.shorten_log()
    daemon.require_in_place()


def test_a_log_that_comes_after_a_reader_and_goes_with_the_last_writer_is_no_fault(
    url: str,
) -> None:
    open_database(url, "writer").close()
    with open_database(url, "reader") as reader:
        with open_database(url, "writer") as writer:
            add(writer)
        with reader.transaction() as connection:
            assert connection.scalar(COUNT) == 1


def test_rows_of_a_deleted_log_reach_the_ledger_when_the_daemon_ends(url: str) -> None:
    with open_database(url, "daemon") as daemon:
        add(daemon)
        beside(daemon, "-wal").unlink()
        with pytest.raises(StorageError):
            daemon.require_in_place()
    with open_database(url, "reader") as reader, reader.transaction() as connection:
        assert connection.scalar(COUNT) == 1


def test_a_share_may_give_a_file_another_number(
    daemon: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = daemon.path.read_bytes()
    daemon.path.unlink()
    with pytest.raises(StorageError):
        daemon.require_in_place()
    daemon.path.write_bytes(content)
    monkeypatch.setattr("storage.home.mounts.NETWORK_FILE_SYSTEMS", AnyKind())
    daemon.require_in_place()


class AnyKind:
    def __contains__(self, kind: str) -> bool:
        return True
