"""Three daemons with one ledger on a server, while all that can happen to them happens."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import soundfile
from cut_cable import Cable
from postgresql_server import LIBFAKETIME, PostgresqlServer, programs
from sqlalchemy import Engine, create_engine, text

from storage.database.engine import open_database
from storage.ledger.tallies import tally_errors

pytestmark = [pytest.mark.torture, pytest.mark.postgresql]
LEASE_SECONDS = 3
DAEMONS = "abc"
N_DROPPED = 240  # files at once, which keep the daemons at work for a second


@pytest.fixture
def server() -> Iterator[PostgresqlServer]:
    if programs() is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    flushing = PostgresqlServer(("fsync=on",))
    yield flushing
    flushing.remove()


class Fleet:
    """Daemons of one inbox, each behind a cable of its own."""

    def __init__(self, folder: Path, server: PostgresqlServer) -> None:
        self.folder, self.server = folder, server
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.cables = {name: Cable(server.port) for name in DAEMONS}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def call(self, name: str, *words: str) -> list[str]:
        return [sys.executable, "-m", "clfd", "--home", str(self.folder / name), *words]

    def environ(self, name: str) -> dict[str, str]:
        url = self.server.url.set(port=self.cables[name].port)
        return {
            **os.environ,
            "CLFD_DATABASE": url.render_as_string(),
            "CLFD_INBOX": str(self.inbox),
            "CLFD_FLEET__INBOXES": f"{self.inbox}=card",
            "CLFD_FLEET__LEASE_SECONDS": str(LEASE_SECONDS),
            "CLFD_INTAKE__SETTLE_SECONDS": "0.2",
        }

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                self.call(name, "run"), env=self.environ(name), stderr=log, start_new_session=True
            )

    def look_after(self) -> None:
        """Nobody ends by itself, whatever is away."""
        for process in self.running.values():
            assert process.poll() is None, self.words()

    def signal(self, name: str, number: int) -> None:
        os.killpg(self.running[name].pid, number)

    def words(self) -> str:
        return "\n".join((self.folder / f"{name}.log").read_text()[-1500:] for name in DAEMONS)


def drop(inbox: Path, n: int, begin: int, chance: random.Random) -> None:
    """Files of which no two are alike."""
    for number in range(begin, begin + n):
        samples = [chance.uniform(-0.5, 0.5) for _ in range(800)]
        soundfile.write(inbox / f"{number:06d}.wav", samples, 8000)


def rows(engine: Engine, statement: str) -> list[tuple[object, ...]]:
    for _ in range(100):
        try:
            with engine.begin() as connection:
                return [tuple(row) for row in connection.execute(text(statement))]
        except Exception:
            time.sleep(0.2)  # the server comes back
    raise AssertionError("the server stayed away")


def test_a_storm_over_a_fleet_loses_and_doubles_no_row(
    tmp_path: Path,
    server: PostgresqlServer,
    chance: random.Random,
    size: Callable[[str, int], int],
) -> None:
    seconds = size("FLEET_SECONDS", 60)
    fleet = Fleet(tmp_path, server)
    for name in DAEMONS:
        subprocess.run(fleet.call(name, "init"), env=fleet.environ(name), check=True)
        fleet.start(name)
    engine, n_files, blows = create_engine(server.url), 0, dict.fromkeys(BLOWS, 0)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        drop(fleet.inbox, N_DROPPED, n_files, chance)
        n_files += N_DROPPED
        time.sleep(chance.uniform(0.2, 1.2))  # until some are claimed
        blow = chance.choice(list(BLOWS))
        blows[blow] += 1
        BLOWS[blow](fleet, chance.choice(DAEMONS))
        time.sleep(chance.uniform(0, 2))
        fleet.look_after()
    deadline = time.monotonic() + 120
    while rows(engine, "SELECT count(*) FROM recording WHERE state = 'done'") != [(n_files,)]:
        assert time.monotonic() < deadline, (
            rows(engine, "SELECT state, attempts, count(*) FROM recording GROUP BY 1, 2"),
            fleet.words(),
        )
        time.sleep(0.5)
        fleet.look_after()
    lost = rows(engine, "SELECT count(*) FROM lease WHERE lost_at IS NOT NULL")[0][0]
    for name in DAEMONS:
        fleet.signal(name, signal.SIGTERM)
    codes = [process.wait(60) for process in fleet.running.values()]
    assert codes == [0] * len(DAEMONS), fleet.words()
    counts = "SELECT count(*), count(DISTINCT path), count(DISTINCT digest) FROM recording"
    assert rows(engine, counts) == [(n_files, n_files, n_files)]
    assert rows(engine, "SELECT count(*) FROM prediction") == [(n_files,)]
    assert rows(engine, "SELECT count(*) FROM recording WHERE claimed_by IS NOT NULL") == [(0,)]
    with open_database(server.url.render_as_string(), "reader") as database:
        assert [*tally_errors(database)] == []
        assert database.problems() == []
    for cable in fleet.cables.values():
        cable.close()
    print(f"{n_files} files, {lost} leases lost; {blows}")
    engine.dispose()


def _kill(fleet: Fleet, name: str) -> None:
    fleet.signal(name, signal.SIGKILL)
    fleet.running[name].wait()
    fleet.start(name)


def _freeze(fleet: Fleet, name: str) -> None:
    fleet.signal(name, signal.SIGSTOP)
    time.sleep(LEASE_SECONDS + 1)
    fleet.signal(name, signal.SIGCONT)


def _cut(fleet: Fleet, name: str) -> None:
    with fleet.cables[name].cut():
        time.sleep(LEASE_SECONDS + 1)


def _cut_all(fleet: Fleet, _: str) -> None:
    with ExitStack() as cut:
        for cable in fleet.cables.values():
            cut.enter_context(cable.cut())
        time.sleep(1)


def _crash_server(fleet: Fleet, _: str) -> None:
    fleet.server.stop("immediate")
    fleet.server.start()


def _jump_clock(fleet: Fleet, _: str) -> None:
    for seconds in (3600, -3600, 0):
        fleet.server.set_clock(seconds)
        time.sleep(1)


BLOWS: dict[str, Callable[[Fleet, str], None]] = {
    "kill -9": _kill,
    "freeze": _freeze,
    "cut": _cut,
    "all cut": _cut_all,
    "server crash": _crash_server,
}
if LIBFAKETIME:
    BLOWS["clock jumps"] = _jump_clock
