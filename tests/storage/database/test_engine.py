"""Opening a ledger: what is made, what is upgraded, what is refused."""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_rows import add
from old_ledger import first_ledger
from sqlalchemy import Connection, create_engine, text

from storage.database import sqlite_schema as module
from storage.database.engine import open_database, upgrade
from storage.database.indexes import metadata
from storage.database.sqlite import SqliteDatabase, driver
from storage.database.tables import SCHEMA_VERSION
from storage.errors import (
    ConfigurationError,
    LedgerDamaged,
    LedgerMissing,
    LedgerUnavailable,
    RowRefused,
    SchemaMismatch,
    StorageError,
)
from storage.home.safe_open import lock_folder
from storage.ledger.ledger import open_ledger
from storage.ledger.tallies import tally_errors

ADD_INBOX = text("INSERT INTO inbox (path, path_text) VALUES (x'2f', '/')")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'clfd.db'}"


@pytest.fixture
def file(url: str) -> Path:
    open_database(url, "writer").close()
    return Path(url.removeprefix("sqlite:///"))


@pytest.fixture
def daemon(url: str) -> Iterator[SqliteDatabase]:
    with open_database(url, "daemon") as opened:
        yield opened


def pragma(connection: Connection, name: str) -> Any:
    return connection.scalar(text(f"PRAGMA {name}"))


def set_version(file: Path, version: str) -> None:
    with driver().connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()


def test_a_new_ledger_has_the_newest_schema_and_is_sound(daemon: SqliteDatabase) -> None:
    assert daemon.version() == SCHEMA_VERSION
    assert daemon.problems() == []


def test_a_ledger_is_the_groups(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o660


def test_the_migrations_make_the_tables_of_the_code(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "metadata.db"
    engine = create_engine(f"sqlite:///{other}", module=driver())
    metadata.create_all(engine)
    engine.dispose()
    assert schema(file) == schema(other)


def schema(file: Path) -> dict[str, list[str]]:
    connection = driver().connect(file)
    found = connection.execute(
        "SELECT name, sql FROM sqlite_master"
        " WHERE name NOT LIKE 'sqlite%' AND name NOT LIKE 'alembic%'"
    ).fetchall()
    connection.close()
    return {name: sorted(parts(sql)) for name, sql in found}


def parts(sql: str) -> list[str]:
    """Columns and constraints: what stands between the commas outside inner brackets."""
    head, _, body = sql.partition("(")
    inner = re.split(r",(?![^(]*\))", body.rpartition(")")[0])
    return [" ".join(part.split()) for part in (head, *inner, body.rpartition(")")[2])]


def test_a_first_ledger_is_upgraded_with_every_row_and_a_backup(url: str) -> None:
    file = Path(url.removeprefix("sqlite:///"))
    first_ledger(file)
    backup = upgrade(url)
    assert backup is not None
    with open_database(url, "daemon") as opened, opened.transaction() as connection:
        for table in ("inbox", "checkpoint", "recording", "prediction"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 1
    with open_database(url, "reader") as opened:
        assert opened.version() == SCHEMA_VERSION
    with driver().connect(backup) as kept:
        assert kept.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    kept.close()


def test_an_upgrade_copies_and_counts_what_was_answered(url: str) -> None:
    file = Path(url.removeprefix("sqlite:///"))
    first_ledger(file)
    with driver().connect(file) as connection:
        answered = "state = 'done', digest = 'd', prediction_id = 1, answered_at = '2026-01-02T'"
        connection.execute(f"UPDATE recording SET {answered}")
    connection.close()
    printed: list[str] = []
    upgrade(url, printed.append)
    with open_database(url, "reader") as opened, opened.transaction() as reading:
        counted = reading.execute(text("SELECT * FROM tally")).one()
        assert counted == ("done", "2026-01-02", "a", 1, 1)
        assert list(tally_errors(opened)) == []
    assert printed[1:] == [
        "copied and counted 1 of 1 answers",
        "making indexes",
        "indexed 1 of 1 answers by label",
        "indexed 1 of 1 recordings by label",
    ]


def test_only_answers_after_an_upgrade_have_numbers(url: str) -> None:
    file = Path(url.removeprefix("sqlite:///"))
    first_ledger(file)
    with driver().connect(file) as connection:
        answered = "state = 'done', digest = 'd', prediction_id = 1, answered_at = '2036-01-02T'"
        connection.execute(f"UPDATE recording SET {answered}")
    connection.close()
    with open_ledger(url, "daemon") as ledger:
        add(ledger, "b.wav", "dog")
        with ledger.database.transaction() as connection:
            numbers = connection.execute(text("SELECT path_text, answer_number FROM recording"))
            assert dict(map(tuple, numbers)) == {"a": None, "b.wav": 1}
        assert ledger.database.problems() + list(tally_errors(ledger.database)) == []


def test_a_commit_is_on_the_disk_and_keys_are_enforced(daemon: SqliteDatabase) -> None:
    with daemon.transaction() as connection:
        assert pragma(connection, "journal_mode") == "wal"
        assert pragma(connection, "synchronous") == 2
        assert pragma(connection, "foreign_keys") == 1


def test_only_the_daemon_moves_the_log_into_the_database(daemon: SqliteDatabase, url: str) -> None:
    with daemon.transaction() as connection:
        assert pragma(connection, "wal_autocheckpoint") > 0
    with open_database(url, "editor") as editor, editor.transaction() as connection:
        assert pragma(connection, "wal_autocheckpoint") == 0


def test_a_reader_cannot_write(file: Path, url: str) -> None:
    with (
        open_database(url, "reader") as reader,
        pytest.raises(LedgerUnavailable, match="readonly"),
        reader.transaction() as connection,
    ):
        connection.execute(ADD_INBOX)


def test_a_reader_sees_one_moment(daemon: SqliteDatabase, url: str) -> None:
    count = text("SELECT count(*) FROM inbox")
    with open_database(url, "reader") as reader, reader.transaction() as reading:
        assert reading.scalar(count) == 0
        with daemon.transaction() as writing:
            writing.execute(ADD_INBOX)
        assert reading.scalar(count) == 0


def test_a_failed_transaction_leaves_nothing(daemon: SqliteDatabase) -> None:
    with pytest.raises(RowRefused), daemon.transaction() as connection:
        connection.execute(ADD_INBOX)
        connection.execute(ADD_INBOX)
    with daemon.transaction() as connection:
        assert connection.scalar(text("SELECT count(*) FROM inbox")) == 0


def test_two_writers_lose_no_update(daemon: SqliteDatabase, url: str) -> None:
    def add_hundred(writer: SqliteDatabase) -> None:
        for _ in range(100):
            with writer.transaction() as connection:
                size = connection.scalar(text("SELECT count(*) FROM inbox"))
                row = {"path": str(size).encode(), "path_text": str(size)}
                connection.execute(
                    text("INSERT INTO inbox (path, path_text) VALUES (:path, :path_text)"), row
                )

    with open_database(url, "editor") as editor:
        threads = [threading.Thread(target=add_hundred, args=(w,)) for w in (daemon, editor)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with daemon.transaction() as connection:
        assert connection.scalar(text("SELECT count(*) FROM inbox")) == 200


def test_many_may_make_the_same_ledger_at_once(url: str) -> None:
    errors: list[Exception] = []

    def make() -> None:
        try:
            open_database(url, "writer").close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_where_a_daemon_or_a_backup_locks_the_folder_no_ledger_is_made_and_a_line_says_so(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TRIES", 0)
    lock = lock_folder(tmp_path)
    with pytest.raises(LedgerUnavailable, match="no ledger can be made in"):
        open_database(url, "writer")
    open_database(url, "daemon").close()  # holds that lock itself
    open_database(url, "writer").close()
    os.close(lock)


@pytest.mark.parametrize("role", ["reader", "editor"])
def test_a_missing_ledger_is_not_made_by_those_who_use_it(url: str, role: Any) -> None:
    with pytest.raises(LedgerMissing, match="clfd init"):
        open_database(url, role)


@pytest.mark.parametrize("role", ["reader", "daemon"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(
    tmp_path: Path, url: str, role: Any, content: bytes
) -> None:
    (tmp_path / "clfd.db").write_bytes(content)
    with pytest.raises(LedgerDamaged):
        open_database(url, role)
    assert (tmp_path / "clfd.db").read_bytes() == content


@pytest.mark.parametrize("role", ["reader", "editor", "daemon"])
def test_a_newer_ledger_is_refused(file: Path, url: str, role: Any) -> None:
    set_version(file, "9999")
    with pytest.raises(SchemaMismatch, match="newer clfd") as refusal:
        open_database(url, role)
    assert refusal.value.exit_code == 78


def test_an_older_ledger_is_left_to_db_upgrade_by_a_reader(file: Path, url: str) -> None:
    set_version(file, "0000")
    with pytest.raises(SchemaMismatch, match="clfd db upgrade"):
        open_database(url, "reader")


def test_an_older_ledger_is_backed_up_before_it_is_touched(file: Path, url: str) -> None:
    set_version(file, "0000")  # no such migration: the upgrade itself fails
    with pytest.raises(Exception, match="0000"):
        upgrade(url)
    backups = list(file.parent.glob("clfd.db.schema-0000-*.backup"))
    assert len(backups) == 1
    assert schema(backups[0]) == schema(file)


def test_a_current_ledger_needs_no_upgrade(file: Path, url: str) -> None:
    assert upgrade(url) is None
    assert [path.name for path in file.parent.iterdir()] == ["clfd.db"]


def test_a_ledger_that_was_taken_away_is_not_written_into_the_void(
    daemon: SqliteDatabase, file: Path
) -> None:
    file.rename(file.with_name("elsewhere.db"))
    with pytest.raises(StorageError, match="put it back"), daemon.transaction() as connection:
        connection.execute(ADD_INBOX)


@pytest.mark.parametrize("url", ["postgresql://host/db", "sqlite://", "nonsense"])
def test_a_database_of_another_kind_is_refused_by_the_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="database = "):
        open_database(url, "reader")


def test_an_upgrade_that_a_full_disk_ends_leaves_no_backups_behind(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(url.removeprefix("sqlite:///"))
    first_ledger(file)
    killed = file.with_name("clfd.db.schema-0001-20260101T000000Z.backup.new")
    killed.write_bytes(b"half a backup")
    monkeypatch.setattr(module, "_migrate", raise_full)
    with pytest.raises(LedgerUnavailable):
        upgrade(url)
    assert [path.name for path in file.parent.glob("*.backup*")] == []


def raise_full(*_: object) -> None:
    raise LedgerUnavailable("database or disk is full")


def test_a_backup_that_cannot_be_finished_gives_its_room_back(file: Path) -> None:
    with open_database(f"sqlite:///{file}", "editor") as opened:
        with opened._raw() as raw:
            raw.set_progress_handler(lambda: True, 100)
        with pytest.raises(LedgerUnavailable, match="cannot back up"):
            opened.back_up(file.with_name("copy.backup"))
    assert list(file.parent.glob("copy.backup*")) == []


def test_systemd_gives_an_upgrade_the_time_that_it_takes() -> None:
    unit = Path(module.__file__).parents[2] / "systemd" / "clfd.service"
    assert "TimeoutStartSec=infinity" in unit.read_text().splitlines()
