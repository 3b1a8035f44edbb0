"""A ledger on a PostgreSQL server: what differs from a file, and must not be seen."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as some
from postgresql_server import PostgresqlServer, programs
from sqlalchemy import URL, Double, create_engine, func, literal, select, text

from clfd import cli
from daemon.control.ledger_retry import opened_in_time
from storage.commands.context import Invocation
from storage.database import database, migrate
from storage.database.engine import open_database, upgrade
from storage.database.server import postgresql, postgresql_schema
from storage.database.server.postgresql import PostgresqlDatabase
from storage.errors import (
    AlreadyRunning,
    ConfigurationError,
    LedgerMissing,
    LedgerUnavailable,
    SchemaMismatch,
)
from storage.fleet.inboxes import inboxes_of_ledger
from storage.fleet.lease import Holder
from storage.home.daemon_lock import DaemonLock
from storage.home.paths import Home
from storage.ledger.ledger import Ledger, open_ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Failed, Scored
from storage.ledger.tallies import tally_errors
from storage.queries.counts import count_by
from storage.queries.filters import Filters
from storage.queries.results import results
from storage.settings.loading import load_settings
from storage.values.clip_scores import is_part_wrong

pytestmark = pytest.mark.postgresql
INBOX = Path("/inbox")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    if programs() is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    own = PostgresqlServer()
    yield own
    own.remove()


@pytest.fixture
def url(server: PostgresqlServer, tmp_path: Path) -> URL:
    return server.schema_for(str(tmp_path))


@pytest.fixture
def ledger(url: URL) -> Iterator[Ledger]:
    with open_ledger(url.render_as_string(), "daemon") as opened:
        yield opened


def answer(ledger: Ledger, *paths: bytes, size_bytes: int = 10) -> None:
    ledger.admit([Arrival(INBOX, path, "f", size_bytes) for path in paths])
    number = ledger.register_checkpoint("c" * 64, "c", ["dog"], 5.0, {})
    scores = struct.pack("<f", 0.5), struct.pack("<e", 0.5)
    ledger.record(
        Scored(
            *(claim.recording_id, AudioFacts(f"{claim.recording_id:064d}", 5.0, 8000, 1), number),
            *("dog", 0.5, *scores, 5.0, 5.0),
        )
        for claim in ledger.claim("me", 100, 3)
    )


def test_paths_longer_than_an_entry_of_an_index_are_paths_like_others(ledger: Ledger) -> None:
    folder = b"/".join([os.urandom(60).hex().encode()] * 33)
    long = [folder + b"/" + name for name in (b"b.wav", b"a.wav", b"\xff.wav")]
    assert len(long[0]) > 3900
    answer(ledger, *long, b"short.wav")
    with ledger.database.transaction() as connection:
        found = [one.path for one in results(connection, Filters(), sort="path")]
        assert found == [
            *sorted(path.decode("utf-8", "backslashreplace") for path in long[:2]),
            long[2].decode("utf-8", "backslashreplace"),
            "short.wav",
        ]
        folders = count_by(connection, Filters(), "folder")
    assert sorted(row[-1] for row in folders) == [1, 3]
    assert set(ledger.known(INBOX, long)) == {*long}


def test_a_nul_in_a_reason_and_a_size_of_gigabytes_can_be_stored(ledger: Ledger) -> None:
    ledger.admit([Arrival(INBOX, b"a.wav", "f", 3 * 2**30)])
    (claim,) = ledger.claim("me", 1, 3)
    assert claim.size_bytes == 3 * 2**30
    ledger.record([Failed(claim.recording_id, "decode", "bad \0 header", None)])
    with ledger.database.transaction() as connection:
        (row,) = results(connection, Filters(status="failed"))
    assert row.error == "bad \\x00 header"


def test_a_server_that_goes_away_and_comes_back_is_waited_for(
    server: PostgresqlServer, ledger: Ledger
) -> None:
    answer(ledger, b"a.wav")
    server.stop("fast")  # it does not flush, so that a crash would lose commits
    with pytest.raises(LedgerUnavailable, match="cannot be used now"):
        ledger.counts()
    server.start()
    for _ in range(2):  # a connection that is lost shows once more
        try:
            assert ledger.counts()["done"] == 1
        except LedgerUnavailable:
            continue
    answer(ledger, b"b.wav")
    assert ledger.counts()["done"] == 2


def test_a_daemon_that_starts_while_the_server_is_away_waits_for_it(
    server: PostgresqlServer, url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop("fast")
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            server.start()

    place = url.render_as_string()
    with opened_in_time(lambda: open_ledger(place, "daemon"), sleep) as ledger:
        answer(ledger, b"1.wav")
    assert len(waits) >= 2
    assert [one.message.partition(" cannot be used now: ")[2] for one in caplog.records] == [
        f'connection failed: connection to server at "127.0.0.1", port {server.port} failed:'
        " Connection refused; clfd waits for it"
    ]


@pytest.fixture
def next_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A version of clfd with one more migration."""
    migrations = Path(str(migrate._MIGRATIONS))
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    shutil.copy(migrations / "env.py", versions.parent)
    head = "from alembic import op\nrevision = {!r}\ndown_revision = {!r}\ndef upgrade(): {}\n"
    (versions / "0012.py").write_text(head.format("0012", None, "pass"))
    add = 'op.execute("ALTER TABLE recording ADD COLUMN tide text")'
    (versions / "0013.py").write_text(head.format("0013", "0012", add))
    monkeypatch.setattr(migrate, "_MIGRATIONS", versions.parent)
    for module in (database, postgresql_schema):
        monkeypatch.setattr(module, "SCHEMA_VERSION", "0013")
    return "0013"


def test_an_upgrade_waits_until_no_daemon_lives_and_is_done_once(
    ledger: Ledger, url: URL, next_schema: str, tmp_path: Path
) -> None:
    place, notes = url.render_as_string(), list[str]()
    answer(ledger, b"1.wav")
    member = Ledger(ledger.database, lease_seconds=30.0)
    member.join(Holder("host:a", "a", "/home/a", 1, "1"), [])
    with pytest.raises(AlreadyRunning, match=r"a:/home/a works with the ledger .*; stop all"):
        upgrade(place, notes.append, tmp_path / "clfd.db")
    with pytest.raises(SchemaMismatch, match="older schema 0012, not 0013"):
        open_database(place, "daemon")
    member.lease.end()
    backup = upgrade(place, notes.append, tmp_path / "clfd.db")
    assert backup is not None and backup.name.startswith("clfd.db.schema-0012-")
    assert backup.stat().st_size > 1000
    with open_ledger(place, "daemon") as upgraded, upgraded.database.transaction() as connection:
        assert connection.scalar(text("SELECT count(*) FROM recording WHERE tide IS NULL")) == 1
    assert upgrade(place, notes.append, tmp_path / "clfd.db") is None
    assert notes == ["upgrading the ledger from schema 0012 to 0013, after a backup"]


def test_an_upgrade_is_refused_for_a_daemon_that_came_during_its_backup(
    ledger: Ledger, url: URL, next_schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, back_up = Ledger(ledger.database, lease_seconds=30.0), PostgresqlDatabase.back_up

    def joined_meanwhile(database: PostgresqlDatabase, *target: Any) -> None:
        back_up(database, *target)
        member.join(Holder("host:a", "a", "/home/a", 1, "1"), [])

    monkeypatch.setattr(PostgresqlDatabase, "back_up", joined_meanwhile)
    with pytest.raises(AlreadyRunning, match="a:/home/a works with the ledger"):
        upgrade(url.render_as_string(), print, tmp_path / "clfd.db")
    assert ledger.database.version() == "0012"


def test_a_daemon_that_was_cut_off_during_an_upgrade_writes_nothing_more(
    ledger: Ledger, url: URL, next_schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(url.render_as_string(), print, tmp_path / "clfd.db")
    monkeypatch.setattr(database, "SCHEMA_VERSION", "0012")  # what it began with
    with pytest.raises(SchemaMismatch, match=r"written by a newer clfd .schema 0013"):
        ledger.database.require_schema()


def test_a_writer_that_is_frozen_does_not_keep_the_others_out(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_IDLE_SECONDS", {"daemon": 1, "other": 1})
    with open_ledger(url.render_as_string(), "daemon") as frozen:
        with pytest.raises(LedgerUnavailable), frozen.database.transaction() as connection:
            with open_ledger(url.render_as_string(), "daemon") as other:
                answer(other, b"a.wav")  # waits until the server has ended the first one
            connection.execute(text("SELECT 1"))
        assert frozen.counts()["done"] == 1


def test_of_programs_that_make_it_at_once_one_does_and_the_others_find_it(url: URL) -> None:
    script = (
        "import sys; from storage.database.engine import open_database;"
        " open_database(sys.argv[1], 'daemon').close()"
    )
    command = [sys.executable, "-c", script, url.render_as_string()]
    all_of_them = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    assert [(one.communicate()[1], one.returncode) for one in all_of_them] == [(b"", 0)] * 4


def test_a_reader_makes_nothing_and_is_told_where_nothing_is(url: URL) -> None:
    with pytest.raises(LedgerMissing, match="clfd init"):
        open_database(url.render_as_string(), "reader")


def test_a_database_that_is_not_there_is_named(server: PostgresqlServer) -> None:
    missing = server.url.set(database="nowhere", password="secret")
    with pytest.raises(LedgerMissing, match="createdb") as told:
        open_database(missing.render_as_string(hide_password=False), "daemon")
    assert "secret" not in str(told.value)


def execute(url: URL, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize("schema", ["public", "a_quoted.Name"])
def test_a_backup_put_back_is_that_ledger_and_leaves_its_neighbour_alone(
    server: PostgresqlServer, tmp_path: Path, schema: str
) -> None:
    name = f"restored_{schema[0]}"
    place = server.url.set(database=name)
    execute(server.url, f"CREATE DATABASE {name}")
    execute(place, f'CREATE SCHEMA IF NOT EXISTS "{schema}"', "CREATE SCHEMA neighbour")
    own = place.update_query_dict({"options": f'-csearch_path="{schema}"'}).render_as_string()
    other = place.update_query_dict({"options": "-csearch_path=neighbour"}).render_as_string()
    paths = [b"kept.wav", b"later.wav"]
    with open_ledger(own, "daemon") as ledger, open_ledger(other, "daemon") as neighbour:
        answer(ledger, b"kept.wav")
        ledger.database.back_up(tmp_path / "copy", check=True)
        answer(ledger, b"later.wav")
        answer(neighbour, *paths)
    target = place.set(drivername="postgresql").render_as_string()
    restore = ["pg_restore", "--clean", "--if-exists", "--exit-on-error", f"--dbname={target}"]
    subprocess.run([*restore, str(tmp_path / "copy")], check=True)
    with open_ledger(own, "daemon") as ledger, open_ledger(other, "daemon") as neighbour:
        assert {*ledger.known(INBOX, paths)} == {b"kept.wav"}
        assert not [*tally_errors(ledger.database)]
        answer(ledger, b"new.wav")
        assert {*neighbour.known(INBOX, paths)} == {*paths}


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from storage.database.server import postgresql_schema

    monkeypatch.setattr(postgresql_schema, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"clfd-daemon\[postgresql\]"):
        open_database("postgresql+psycopg://clfd@127.0.0.1:1/clfd", "daemon")


def test_a_ledger_that_is_copied_from_its_file_is_the_same_row_by_row(
    url: URL, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    home.create()
    file = load_settings(home, environ={}).database
    with open_ledger(file, "daemon") as before:
        answer(before, b"a.wav", b"\xff.wav")
        before.admit([Arrival(INBOX, b"waits.wav", "f", 1)])
        before.claim("me", 1, 3)
    words = ["db", "copy", url.render_as_string()]
    done = CliRunner().invoke(cli, words, obj=Invocation(home.root), catch_exceptions=False)
    assert "prediction                2 rows" in done.stdout
    with open_ledger(url.render_as_string(), "daemon") as after:
        assert [*tally_errors(after.database)] == []
        assert after.counts() == {
            "done": 2,
            "failed": 0,
            "pending": 1,
            "queued": 1,
            "superseded": 0,
        }
        (claim,) = after.claim("me", 5, 3)  # which was claimed in the file
        assert claim.path == b"waits.wav"
        answer(after, b"new.wav")
    again = CliRunner().invoke(cli, words, obj=Invocation(home.root))
    assert (again.exit_code, "has rows already" in again.stderr) == (1, True)


def test_a_ledger_that_is_copied_back_is_that_of_its_machine_again(
    url: URL, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.settings_file.write_text(f"database = '{url.render_as_string()}'\n")
    file, place = tmp_path / "back.db", url.render_as_string()
    words = ["db", "copy", f"sqlite:///{file}"]
    shared = inboxes_of_ledger(place, {})
    with open_ledger(place, "daemon", inboxes=shared, lease_seconds=30.0) as before:
        before.join(Holder(shared.machine, "a", "/home/a", 1, "1"), [INBOX])
        answer(before, b"a.wav", b"\xff.wav")
        busy = CliRunner().invoke(cli, words, obj=Invocation(home.root))
        assert (busy.exit_code, "stop all daemons" in busy.stderr) == (78, True), busy.stderr
        assert not file.exists()
        with open_ledger(f"sqlite:///{file}", "daemon") as own, DaemonLock.acquire(home, file):
            taken = CliRunner().invoke(cli, words, obj=Invocation(home.root))
            assert taken.exit_code == 78 and own.counts()["done"] == 0
        assert file.exists()  # of a daemon that runs there
        file.unlink()
        before.lease.end()
    done = CliRunner().invoke(cli, words, obj=Invocation(home.root), catch_exceptions=False)
    assert "prediction                2 rows" in done.stdout
    with open_ledger(f"sqlite:///{file}", "daemon") as after:
        assert [*tally_errors(after.database)] == [] and after.database.problems() == []
        assert {*after.known(INBOX, [b"a.wav", b"new.wav"])} == {b"a.wav"}
        answer(after, b"new.wav")
        assert after.counts()["done"] == 3


_scores = some.floats(0, 1, width=16)
_label = some.sampled_from(["dog", "noise", "siren", "none"])
_threshold = some.tuples(_label, some.floats(0, 1))
_part = some.tuples(some.integers(0, 30), some.integers(0, 30), _label)


@settings(max_examples=60, deadline=None)
@given(
    task=some.sampled_from(["single", "multi"]),
    clips=some.lists(some.tuples(_scores, _scores, _scores), max_size=6),
    parts=some.lists(_part, min_size=1, max_size=3),
    own=some.dictionaries(_label, some.floats(0, 1), max_size=2),
    rules=some.tuples(
        some.lists(some.tuples(_label, some.floats(0, 1)), max_size=1), some.floats(0, 1)
    ),
)
def test_sql_finds_the_same_parts_wrong_as_python(
    server: PostgresqlServer,
    task: str,
    clips: list[tuple[float, ...]],
    parts: list[tuple[int, int, str]],
    own: dict[str, float],
    rules: tuple[list[tuple[str, float]], float],
) -> None:
    packed = b"".join(struct.pack("<3e", *clip) for clip in clips)
    notes = [
        {"start_s": start, "end_s": end or None, "label": label}
        for start, end, label in parts
        if not end or end > start
    ] or [{"start_s": 0, "end_s": 5, "label": "dog"}]
    labels = json.dumps(["dog", "noise", "siren"])
    asked = (labels, packed, 5.0, 2.5, task, json.dumps(own), json.dumps(notes), json.dumps(rules))
    cast = [literal(value, Double()) if isinstance(value, float) else value for value in asked]
    with _twin(server).begin() as connection:
        found = connection.scalar(select(func.is_part_wrong(*cast)))
    assert bool(found) == is_part_wrong(*asked)


_engines: dict[int, object] = {}


def _twin(server: PostgresqlServer) -> object:
    if server.port not in _engines:
        url = server.schema_for("twin")
        open_database(url.render_as_string(), "daemon").close()
        _engines[server.port] = create_engine(url)
    return _engines[server.port]
