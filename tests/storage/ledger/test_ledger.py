"""The ledger: every content version of every file ends as exactly one row."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, update

from storage.database.engine import open_database
from storage.database.tables import prediction, recording
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Changed, Claim, Failed, Linked, Scored
from storage.ledger.tallies import tally_errors

INBOX = Path("/inbox")
LABELS = ("dog", "siren")


class LedgerUser:
    """A ledger and the words in which these tests speak about it."""

    def __init__(self, folder: Path) -> None:
        self.ticks = 0
        database = open_database(f"sqlite:///{folder / 'clfd.db'}", "daemon")
        self.ledger = Ledger(database, self._tick)
        self.checkpoint = self.register("a")

    def _tick(self) -> str:
        self.ticks += 1
        return f"2026-01-01T00:{self.ticks // 60:02d}:{self.ticks % 60:02d}.000Z"

    def register(self, letter: str) -> int:
        name = f"20260101T000000Z-{letter * 8}"
        return self.ledger.register_checkpoint(letter * 64, name, LABELS, 5.0, {})

    def arrive(self, name: str = "a.wav", fingerprint: str = "f1") -> int:
        return self.ledger.admit([Arrival(INBOX, name.encode(), fingerprint, 10)])

    def claim(self, limit: int = 10, max_attempts: int = 3) -> list[Claim]:
        return self.ledger.claim("me", limit, max_attempts)

    def take(self, name: str = "a.wav", fingerprint: str = "f1") -> int:
        self.arrive(name, fingerprint)
        (claim,) = self.claim()
        return claim.recording_id

    def scored(self, recording_id: int, content: str = "bark", **other: Any) -> Scored:
        values: dict[str, Any] = {
            "checkpoint_id": self.checkpoint,
            "label": "dog",
            "confidence": 0.75,
            "scores": struct.pack("<2f", 0.75, 0.25),
            "clip_scores": struct.pack("<4e", 0.5, 0.5, 1, 0),
            "clip_seconds": 5.0,
            "clip_hop_seconds": 5.0,
        }
        return Scored(recording_id, facts(content), **(values | other))

    def answer(self, name: str = "a.wav", fingerprint: str = "f1", content: str = "bark") -> int:
        recording_id = self.take(name, fingerprint)
        self.ledger.record([self.scored(recording_id, content)])
        return recording_id

    def fail(self, name: str = "a.wav", digest: str | None = None) -> int:
        recording_id = self.take(name)
        self.ledger.record([Failed(recording_id, "decode", "no audio in it", digest)])
        return recording_id

    def requeue_for_rescore(self, recording_id: int) -> None:
        requeued = update(recording).where(recording.c.id == recording_id)
        with self.ledger.database.transaction() as connection:
            connection.execute(requeued.values(requeued="rescore"))

    def rows(self) -> list[Any]:
        with self.ledger.database.transaction() as connection:
            return list(connection.execute(select(recording).order_by(recording.c.id)))

    def row(self, recording_id: int) -> Any:
        return next(row for row in self.rows() if row.id == recording_id)

    def states(self) -> list[str]:
        return [row.state for row in self.rows()]

    def predictions(self) -> list[Any]:
        with self.ledger.database.transaction() as connection:
            return list(connection.execute(select(prediction).order_by(prediction.c.id)))


def digest_of(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def facts(content: str) -> AudioFacts:
    return AudioFacts(digest_of(content), 10.0, 44100, 1)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[LedgerUser]:
    user = LedgerUser(tmp_path)
    yield user
    assert user.ledger.database.problems() == []
    assert list(tally_errors(user.ledger.database)) == []
    user.ledger.close()


# --- intake


def test_an_arrival_waits_as_pending(user: LedgerUser) -> None:
    assert user.arrive() == 1
    assert user.states() == ["pending"]
    assert user.ledger.known(INBOX, [b"a.wav", b"b.wav"]) == {b"a.wav": "f1"}


def test_the_same_arrival_twice_is_one_row(user: LedgerUser) -> None:
    user.arrive()
    assert user.arrive() == 0
    assert len(user.rows()) == 1


def test_a_version_nobody_has_read_gives_way_to_the_next(user: LedgerUser) -> None:
    user.arrive(fingerprint="f1")
    user.arrive(fingerprint="f2")
    assert [row.fingerprint for row in user.rows()] == ["f2"]


def test_a_version_that_is_being_read_keeps_its_row(user: LedgerUser) -> None:
    recording_id = user.take(fingerprint="f1")
    assert user.arrive(fingerprint="f2") == 0
    user.ledger.record([user.scored(recording_id)])
    assert user.arrive(fingerprint="f2") == 1
    assert user.states() == ["done", "pending"]


def test_a_failed_unread_version_is_tried_anew_when_the_file_changes(user: LedgerUser) -> None:
    user.fail()
    user.arrive(fingerprint="f2")
    (row,) = user.rows()
    assert (row.state, row.attempts, row.error) == ("pending", 0, None)


def test_odd_file_names_are_kept_byte_by_byte(user: LedgerUser) -> None:
    name = b"\xff\x1b[31m\n.wav"
    user.ledger.admit([Arrival(INBOX, name, "f", 1)])
    assert user.claim()[0].path == name
    assert user.rows()[0].path_text == "\\xff\x1b[31m\n.wav"


def test_many_paths_are_known_at_once(user: LedgerUser) -> None:
    paths = [f"{number}.wav".encode() for number in range(1201)]
    user.ledger.admit([Arrival(INBOX, path, "f", 1) for path in paths])
    assert len(user.ledger.known(INBOX, paths)) == 1201


# --- work


def test_claimed_work_is_not_given_twice(user: LedgerUser) -> None:
    user.arrive()
    assert [claim.attempts for claim in user.claim()] == [1]
    assert user.claim() == []


def test_a_file_that_came_to_rest_is_admitted_and_claimed_in_one_commit(user: LedgerUser) -> None:
    commits: list[object] = []
    event.listen(user.ledger.database._engine, "commit", commits.append)
    (claim,) = user.ledger.claim("me", 10, 3, (), [Arrival(INBOX, b"a.wav", "f1", 10)])
    assert (claim.path, claim.attempts, len(commits)) == (b"a.wav", 1, 1)


def test_the_oldest_work_is_claimed_first_and_no_more_than_asked(user: LedgerUser) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        user.arrive(name)
    assert [claim.path for claim in user.claim(limit=2)] == [b"a.wav", b"b.wav"]


def test_a_retry_goes_before_new_work_and_new_work_before_a_rescore(user: LedgerUser) -> None:
    answered = user.answer("a.wav")
    user.fail("b.wav")
    user.requeue_for_rescore(answered)
    user.ledger.requeue_failed()
    user.arrive("c.wav")
    assert [claim.purpose for claim in user.claim()] == ["retry", "new", "rescore"]


def test_an_attempt_survives_a_crash(user: LedgerUser) -> None:
    user.take()
    assert user.ledger.reclaim() == 1
    assert [claim.attempts for claim in user.claim()] == [2]


def test_what_was_tried_too_often_is_left_for_a_try_all_alone(user: LedgerUser) -> None:
    user.take()
    user.ledger.reclaim()
    assert user.claim(max_attempts=1) == []
    (suspect,) = user.ledger.claim_suspect("me", max_attempts=1)
    assert suspect.attempts == 2


def test_released_work_has_not_been_tried(user: LedgerUser) -> None:
    user.ledger.release([user.take()])
    assert [claim.attempts for claim in user.claim()] == [1]


def test_only_work_that_is_left_counts_as_work(user: LedgerUser) -> None:
    assert not user.ledger.has_work()
    recording_id = user.take()
    assert user.ledger.has_work()
    user.ledger.record([user.scored(recording_id)])
    assert not user.ledger.has_work()


# --- answers


def test_done_and_its_prediction_come_together(user: LedgerUser) -> None:
    row = user.row(user.answer())
    (answer,) = user.predictions()
    assert (row.state, row.prediction_id, row.claimed_by) == ("done", answer.id, None)
    assert (answer.checkpoint_id, answer.label) == (user.checkpoint, "dog")
    assert (row.digest, row.duration_s) == (digest_of("bark"), 10.0)


def test_a_failure_that_was_stamped_in_the_future_hides_no_later_one(
    user: LedgerUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording_id = user.take("future.wav")
    with monkeypatch.context() as wrong:
        wrong.setattr(user.ledger, "_clock", lambda: "2036-01-01T00:00:00.000Z")
        user.ledger.record([Failed(recording_id, "decode", "no audio in it")])
    user.fail("now.wav")
    assert (user.ledger.last_failure() or ())[0] == "now.wav"


def test_a_failure_says_why(user: LedgerUser) -> None:
    row = user.row(user.fail())
    assert (row.state, row.error_class, row.error) == ("failed", "decode", "no audio in it")
    assert user.ledger.last_failure() == ("a.wav", "no audio in it", row.answered_at)


def test_a_touched_file_adds_no_row(user: LedgerUser) -> None:
    first = user.answer(fingerprint="f1")
    second = user.take(fingerprint="f2")
    assert user.ledger.known_answers([(second, digest_of("bark"), user.checkpoint)], True) == [
        first
    ]
    user.ledger.record([Linked(second, facts("bark"), user.checkpoint, first)])
    (row,) = user.rows()
    assert (row.id, row.state, row.fingerprint) == (first, "done", "f2")


def test_a_touched_file_keeps_its_answer_under_a_new_checkpoint(user: LedgerUser) -> None:
    first = user.answer(fingerprint="f1")
    answered_at = user.row(first).answered_at
    second = user.take(fingerprint="f2")
    user.ledger.record([user.scored(second, checkpoint_id=user.register("b"))])
    assert user.row(first).answered_at == answered_at
    assert len(user.predictions()) == 1


def test_new_content_supersedes_the_old(user: LedgerUser) -> None:
    user.answer(fingerprint="f1", content="bark")
    user.answer(fingerprint="f2", content="siren")
    assert user.states() == ["superseded", "done"]


def test_the_old_answer_stands_until_the_new_one_is_there(user: LedgerUser) -> None:
    user.answer(fingerprint="f1")
    user.take(fingerprint="f2")
    assert user.states() == ["done", "pending"]


def test_content_that_comes_back_has_its_answer_again(user: LedgerUser) -> None:
    first = user.answer(fingerprint="f1", content="bark")
    user.answer(fingerprint="f2", content="siren")
    third = user.take(fingerprint="f3")
    user.ledger.record([Linked(third, facts("bark"), user.checkpoint, first)])
    assert user.states() == ["done", "superseded"]
    assert user.row(first).fingerprint == "f3"


def test_failed_content_that_comes_back_is_answered_where_it_failed(user: LedgerUser) -> None:
    first = user.fail(digest=digest_of("bark"))
    user.answer(fingerprint="f2", content="siren")
    third = user.take(fingerprint="f3")
    user.ledger.record([user.scored(third, "bark")])
    assert user.states() == ["done", "superseded"]
    assert user.row(first).error is None


def test_a_copy_shares_the_first_answer(user: LedgerUser) -> None:
    leader = user.answer("a.wav")
    copy = user.take("b.wav")
    assert user.ledger.known_answers([(copy, digest_of("bark"), user.checkpoint)], True) == [leader]
    user.ledger.record([Linked(copy, facts("bark"), user.checkpoint, leader)])
    assert user.row(copy).prediction_id == user.row(leader).prediction_id
    assert user.row(copy).state == "done"


def test_a_copy_is_as_loud_as_what_is_heard_anew_after_it_in_the_same_transaction(
    user: LedgerUser,
) -> None:
    leader = user.answer("a.wav")
    copy = user.take("b.wav")
    user.requeue_for_rescore(leader)
    louder = replace(facts("bark"), rms_dbfs=-20.0, peak_dbfs=-3.0, clipped=0.0)
    link = Linked(copy, replace(louder, rms_dbfs=-90.0), user.checkpoint, leader)
    user.ledger.record([link, replace(user.scored(leader, "bark"), facts=louder)])
    assert user.row(copy).rms_dbfs == user.row(leader).rms_dbfs == -20.0


def test_a_copy_may_share_an_answer_of_the_same_transaction(user: LedgerUser) -> None:
    user.arrive("a.wav")
    user.arrive("b.wav")
    leader, copy = (claim.recording_id for claim in user.claim())
    link = Linked(copy, facts("bark"), user.checkpoint, leader)
    user.ledger.record([user.scored(leader), link])
    assert user.states() == ["done", "done"]
    assert len(user.predictions()) == 1


def test_a_copy_is_scored_by_itself_when_links_are_off_or_of_another_checkpoint(
    user: LedgerUser,
) -> None:
    user.answer("a.wav")
    copy = user.take("b.wav")
    digest = digest_of("bark")
    assert user.ledger.known_answers([(copy, digest, user.checkpoint)], link=False) == [None]
    assert user.ledger.known_answers([(copy, digest, user.register("b"))], link=True) == [None]


def test_many_are_asked_for_at_once(user: LedgerUser) -> None:
    contents = [f"{number}" for number in range(1201)]
    first, last = user.answer("a.wav", content="0"), user.answer("b.wav", content="1200")
    asked = [(10_000 + at, digest_of(name), user.checkpoint) for at, name in enumerate(contents)]
    found = user.ledger.known_answers(asked, link=True)
    assert (found[0], found[-1], set(found[1:-1])) == (first, last, {None})


def test_a_content_of_many_names_is_found_once_it_was_scored(user: LedgerUser) -> None:
    for number in range(5):
        user.fail(f"{number}.wav", digest_of("bark"))
    asked = [(10_000, digest_of("bark"), user.checkpoint)]
    assert user.ledger.known_answers(asked, link=True) == [None]
    answered = user.answer("b.wav")
    assert user.ledger.known_answers(asked, link=True) == [answered]


def test_a_link_whose_leader_has_no_answer_goes_back_to_the_queue(user: LedgerUser) -> None:
    leader = user.fail("a.wav", digest_of("bark"))
    copy = user.take("b.wav")
    user.ledger.record([Linked(copy, facts("bark"), user.checkpoint, leader)])
    assert [(claim.recording_id, claim.attempts) for claim in user.claim()] == [(copy, 1)]


def test_done_is_not_answered_again(user: LedgerUser) -> None:
    recording_id = user.answer()
    user.ledger.record([Failed(recording_id, "decode", "late")])
    user.ledger.record([user.scored(recording_id, checkpoint_id=user.register("b"))])
    assert (user.row(recording_id).state, len(user.predictions())) == ("done", 1)


def test_a_rescore_moves_the_answer_and_keeps_the_old_prediction(user: LedgerUser) -> None:
    recording_id = user.answer()
    user.requeue_for_rescore(recording_id)
    user.claim()
    user.ledger.record([user.scored(recording_id, checkpoint_id=user.register("b"))])
    old, new = user.predictions()
    row = user.row(recording_id)
    assert (row.prediction_id, row.requeued) == (new.id, None)
    assert old.recording_id == new.recording_id == recording_id


def test_a_rescore_that_fails_leaves_the_answer_and_says_so(user: LedgerUser) -> None:
    recording_id = user.answer()
    user.requeue_for_rescore(recording_id)
    user.claim()
    user.ledger.record([Failed(recording_id, "vanished", "the file is gone")])
    row = user.row(recording_id)
    assert (row.state, row.requeued) == ("done", None)
    assert row.warning == "rescoring failed: the file is gone"


def test_a_rescore_does_not_take_its_own_answer_for_a_known_one(user: LedgerUser) -> None:
    recording_id = user.answer()
    new = user.register("b")
    assert user.ledger.known_answers([(recording_id, digest_of("bark"), new)], True) == [None]


def test_a_file_that_changed_while_it_was_read_waits_for_the_next_scan(user: LedgerUser) -> None:
    recording_id = user.take(fingerprint="f1")
    user.ledger.record([Changed(recording_id)])
    assert user.claim() == []
    assert user.arrive(fingerprint="f2") == 1
    assert [claim.attempts for claim in user.claim()] == [1]


def test_a_rescore_of_a_file_touched_meanwhile_is_not_forgotten(user: LedgerUser) -> None:
    first = user.answer(fingerprint="f1")
    user.requeue_for_rescore(first)
    user.claim()
    user.ledger.record([Changed(first)])
    assert user.claim() == []
    touched = user.take(fingerprint="f2")
    user.ledger.record([Linked(touched, facts("bark"), user.checkpoint, first)])
    assert [claim.purpose for claim in user.claim()] == ["rescore"]


def test_an_outcome_for_a_superseded_version_changes_nothing(user: LedgerUser) -> None:
    first = user.answer(fingerprint="f1")
    user.requeue_for_rescore(first)
    user.claim()
    user.answer(fingerprint="f2", content="siren")
    user.ledger.record([user.scored(first, checkpoint_id=user.register("b"))])
    assert user.states() == ["superseded", "done"]


@pytest.mark.parametrize(
    "bad",
    [{"confidence": float("nan")}, {"label": None}, {"scores": "text"}, {"checkpoint_id": 99}],
)
def test_a_bad_value_costs_only_its_own_recording(user: LedgerUser, bad: dict[str, Any]) -> None:
    user.arrive("a.wav")
    user.arrive("b.wav")
    first, second = (claim.recording_id for claim in user.claim())
    user.ledger.record([user.scored(first, **bad), user.scored(second, "siren")])
    assert user.states() == ["failed", "done"]
    assert user.row(first).error_class == "internal"


def test_an_error_about_an_odd_name_can_be_stored(user: LedgerUser) -> None:
    recording_id = user.take()
    user.ledger.record([Failed(recording_id, "decode", "cannot read \udcff.wav")])
    assert user.row(recording_id).error == "cannot read \\udcff.wav"


# --- retry


def test_a_retry_has_all_its_attempts_and_stays_failed_until_answered(user: LedgerUser) -> None:
    recording_id = user.fail()
    assert user.ledger.requeue_failed() == 1
    assert user.states() == ["failed"]
    (claim,) = user.claim()
    assert (claim.purpose, claim.attempts) == ("retry", 1)
    user.ledger.record([user.scored(recording_id)])
    assert user.states() == ["done"]


@pytest.mark.parametrize(
    ("pattern", "queued"),
    [
        (b"yard/a.wav", 1),
        (b"yard", 2),
        (b"yard/", 2),
        (b"*.wav", 3),
        (b"/inbox/yard/*", 2),
        (b"/inbox/yard/b.wav", 1),
        (b"yard/[a].wav", 1),
        (b"done.wav", 0),
    ],
)
def test_a_retry_may_name_files_folders_and_globs(
    user: LedgerUser, pattern: bytes, queued: int
) -> None:
    for name in ("yard/a.wav", "yard/b.wav", "roof.wav"):
        user.fail(name)
    user.answer("done.wav")
    assert user.ledger.requeue_failed([pattern]) == queued


# --- checkpoints and figures


def test_a_checkpoint_is_registered_once(user: LedgerUser) -> None:
    assert user.register("a") == user.checkpoint


def test_a_refused_checkpoint_may_be_accepted_later(user: LedgerUser) -> None:
    user.ledger.refuse_checkpoint("20260101T000000Z-bbbbbbbb", "b" * 64, "no labels")
    assert user.register("b") != user.checkpoint


def test_counts_are_per_state_and_of_what_is_left(user: LedgerUser) -> None:
    user.answer("a.wav")
    user.fail("b.wav")
    user.ledger.requeue_failed()
    user.arrive("c.wav")
    assert user.ledger.counts() == {
        "pending": 1,
        "done": 1,
        "failed": 1,
        "superseded": 0,
        "queued": 2,
    }


@pytest.mark.sqlite
def test_whether_anything_was_archived_is_no_question_to_the_whole_ledger(user: LedgerUser) -> None:
    asked: list[tuple[str, Any]] = []

    def note(*event_facts: Any) -> None:
        asked.append((event_facts[2], event_facts[3]))

    engine = user.ledger.database._engine
    event.listen(engine, "before_cursor_execute", note)
    assert not user.ledger.moves.has_archived(Path("/archive"))
    event.remove(engine, "before_cursor_execute", note)
    [(statement, values)] = [one for one in asked if one[0].startswith("SELECT")]
    with user.ledger.database.transaction() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
    assert "ix_recording_archive_path" in str(plan)
