"""Several daemons with one ledger: what one has claimed is its own until its lease is over."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from storage.database.engine import open_database
from storage.database.tables import inbox, lease, recording
from storage.errors import LeaseLost
from storage.fleet.inboxes import Inboxes
from storage.fleet.lease import Holder, Lease, leases_of
from storage.fleet.overview import members
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Claim, Scored
from storage.ledger.tallies import tally_errors
from storage.queries.filters import Filters
from storage.queries.results import answers_after

SECONDS = 30.0
CARD = Path("/mnt/card")
Join = Callable[..., "Member"]


class Member:
    """A daemon on a machine, its ledger and its own clock."""

    def __init__(self, url: str, machine: str, home: str, folder: Path = CARD) -> None:
        self.now = 1000.0
        self.holder = Holder(machine, machine, home, 1, "1")
        inboxes = Inboxes(machine, {folder: "north"} if folder.name == "card" else {})
        database = open_database(url, "daemon")
        self.ledger = Ledger(database, inboxes=inboxes, lease_seconds=SECONDS)
        self.ledger.lease._clock = lambda: self.now
        self.folder = folder
        self.ledger.join(self.holder, [folder])
        self.checkpoint = self.ledger.register_checkpoint("c" * 64, "c", ["dog"], 5.0, {})

    def arrive(self, *names: str) -> int:
        found = (Arrival(self.folder, name.encode(), "10:5", 10) for name in names)
        return self.ledger.admit(list(found))

    def claim(self) -> list[Claim]:
        return self.ledger.claim("", 10, 3)

    def record(self, *claims: Claim, confidence: float = 0.75) -> None:
        self.ledger.record([self._scored(claim, confidence) for claim in claims])

    def fall_silent(self) -> None:
        """For longer than its lease, by the clock of the server."""
        with self.ledger.database.transaction() as connection:
            own = update(lease).where(lease.c.id == self.ledger.lease.id)
            connection.execute(own.values(lease_until=0.0))

    def reap(self) -> int:
        self.now += SECONDS / 2
        self.ledger.lease.beat({}, None)
        return self.ledger.lease.reap()

    def ask(self) -> list[tuple[object, ...]]:
        columns = (recording.c[name] for name in ("state", "attempts", "confidence", "answered_by"))
        query = select(*columns).order_by(recording.c.id)
        with self.ledger.database.transaction() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def _scored(self, claim: Claim, confidence: float) -> Scored:
        digest = f"{claim.recording_id:064d}"
        scores, clips = struct.pack("<f", confidence), struct.pack("<e", confidence)
        return Scored(
            *(claim.recording_id, AudioFacts(digest, 5.0, 8000, 1), self.checkpoint),
            *("dog", confidence, scores, clips, 5.0, 5.0),
        )


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Join]:
    there: list[Member] = []

    def joins(machine: str, home: str = "/home", folder: Path = CARD) -> Member:
        url = f"sqlite:///{tmp_path / 'clfd.db'}"
        there.append(Member(url, f"host:{machine}", home, folder))
        return there[-1]

    yield joins
    for member in there:
        with member.ledger:
            assert [*tally_errors(member.ledger.database)] == []


def test_what_a_silent_daemon_had_claimed_is_scored_by_another_and_its_late_answer_refused(
    join: Join,
) -> None:
    frozen, other = join("a"), join("b")
    frozen.arrive("1.wav")
    late = frozen.claim()
    assert other.claim() == []
    frozen.fall_silent()
    assert other.reap() == 1
    other.record(*other.claim(), confidence=0.5)
    before = other.ask()
    with pytest.raises(LeaseLost, match="silent for more than 30 s"):
        frozen.record(*late, confidence=1.0)
    assert other.ask() == before == [("done", 2, 0.5, other.ledger.lease.id)]


def test_it_is_the_fence_that_refuses_a_late_answer(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: without the fence it is another claim that changes."""
    frozen, other = join("a"), join("b")
    frozen.arrive("1.wav")
    late = frozen.claim()
    frozen.fall_silent()
    other.reap()
    (taken,) = other.claim()
    monkeypatch.setattr(Lease, "_require", lambda *_: None)
    number, frozen.ledger.lease.id = frozen.ledger.lease.id, None
    frozen.record(*late, confidence=1.0)
    assert other.ask()[0][2] == 1.0  # by a daemon that had nothing claimed any more
    frozen.ledger.lease.id = number
    other.record(taken, confidence=0.5)


def test_a_daemon_that_writes_in_time_keeps_what_it_claimed(join: Join) -> None:
    slow, other = join("a"), join("b")
    slow.arrive("1.wav")
    claims = slow.claim()
    slow.ledger.lease.beat({}, None)
    assert other.reap() == 0
    slow.record(*claims)
    slow.fall_silent()
    assert other.reap() == 1
    assert other.claim() == []
    assert other.ask() == [("done", 1, 0.75, slow.ledger.lease.id)]


def test_a_clock_that_went_back_does_not_make_a_lease_last_for_ever(join: Join) -> None:
    ahead, other = join("a"), join("b")
    with other.ledger.database.transaction() as connection:
        own = update(lease).where(lease.c.id == ahead.ledger.lease.id)
        connection.execute(own.values(lease_until=1e12))
    assert other.reap() == 1


def test_after_a_lost_lease_a_daemon_goes_on_and_no_attempt_is_counted_for_it(join: Join) -> None:
    frozen, other = join("a"), join("b")
    frozen.arrive("1.wav")
    (late,) = frozen.claim()
    frozen.fall_silent()
    other.reap()
    with pytest.raises(LeaseLost):
        frozen.claim()
    frozen.ledger.lease.take(frozen.holder, is_start=False)
    frozen.ledger.give_attempts_back([late.recording_id])
    (again,) = frozen.claim()
    assert again.attempts == 1


def test_an_answer_of_which_nobody_knows_whether_it_was_written_is_written_once(
    join: Join,
) -> None:
    member = join("a")
    member.arrive("1.wav")
    claims = member.claim()
    member.record(*claims, confidence=0.75)
    member.record(*claims, confidence=0.75)  # the commit's answer was lost with the connection
    assert member.ask() == [("done", 1, 0.75, member.ledger.lease.id)]


def test_a_claim_of_which_nobody_knows_is_given_back_with_its_attempt(join: Join) -> None:
    member = join("a")
    member.arrive("1.wav")
    (lost,) = member.claim()
    with member.ledger.database.transaction() as connection:
        at = connection.scalar(select(recording.c.claimed_at))
    member.ledger._unsure_at = at
    (again,) = member.claim()
    assert (again.recording_id, again.attempts) == (lost.recording_id, 1)


def test_a_daemon_that_starts_again_frees_what_it_had_before(join: Join) -> None:
    killed = join("a")
    killed.arrive("1.wav")
    killed.claim()
    assert join("b").claim() == []
    (again,) = join("a").claim()
    assert again.attempts == 2


def test_a_daemon_that_ends_leaves_all_to_the_others(join: Join) -> None:
    ending, other = join("a"), join("b")
    ending.arrive("1.wav")
    ending.claim()
    ending.ledger.lease.end()
    assert len(other.claim()) == 1


def test_a_shared_file_has_one_row_wherever_it_is_mounted(join: Join) -> None:
    here, there = join("a"), join("b", folder=Path("/media/card"))
    assert (here.arrive("1.wav"), there.arrive("1.wav")) == (1, 0)
    (claim,) = there.claim()
    assert (claim.inbox, claim.fingerprint) == (Path("/media/card"), "10:5")
    assert there.ledger.known(there.folder, [b"1.wav"]) == {b"1.wav": "10:5"}


def test_folders_of_two_machines_that_have_one_path_are_two_inboxes(join: Join) -> None:
    here, there = join("a", folder=Path("/data/in")), join("b", folder=Path("/data/in"))
    here.arrive("1.wav")
    assert (there.ledger.has_work(), there.claim()) == (False, [])
    assert there.arrive("1.wav") == 1
    with here.ledger.database.transaction() as connection:
        places = connection.scalars(select(inbox.c.place).order_by(inbox.c.place)).all()
    assert places == ["host:a", "host:b"]


def test_one_daemon_at_a_time_lists_a_shared_inbox(join: Join) -> None:
    first, second = join("a"), join("b")
    assert first.ledger.may_scan(CARD)
    assert not second.ledger.may_scan(CARD)
    first.fall_silent()
    second.reap()
    assert second.ledger.may_scan(CARD)


def test_hooks_are_told_what_their_own_daemon_wrote(join: Join) -> None:
    here, there = join("a"), join("b")
    for member, name in ((here, "1.wav"), (there, "2.wav")):
        member.arrive(name)
        member.record(*member.claim())
    with here.ledger.database.transaction() as connection:
        own = leases_of("host:b", "/home")
        found = answers_after(connection, Filters(), 0, by=own)
    assert [one.path for one in found] == ["2.wav"]


def test_everybody_sees_who_lives_and_who_reads_what(join: Join) -> None:
    here, there = join("a"), join("b")
    here.ledger.may_scan(CARD)
    there.ledger.lease.beat({"files/s": 5.0}, "c" * 64)
    there.fall_silent()
    here.reap()
    with here.ledger.database.transaction() as connection:
        lost, live = members(connection)
    assert (live.state, live.scans, live.host) == ("live", ["shared:north"], "host:a")
    assert (lost.state, lost.doing, lost.checkpoint) == ("lost", {"files/s": 5.0}, "c")
