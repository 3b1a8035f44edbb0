from __future__ import annotations

from pathlib import Path

from daemon.intake.stability import MAX_OPEN_SECONDS, Settling
from storage.ledger.outcomes import Arrival

INBOX = Path("/inbox")


def arrival(fingerprint: str = "1", path: bytes = b"a.wav") -> Arrival:
    return Arrival(INBOX, path, fingerprint, 10)


def test_a_file_that_was_just_seen_is_not_due() -> None:
    settling = Settling(2)
    settling.see(arrival(), now=10)
    assert settling.due(now=11.9) == []


def test_a_file_at_rest_is_due_after_the_settle_time() -> None:
    settling = Settling(2)
    settling.see(arrival(), now=10)
    assert settling.due(now=12) == [(INBOX, b"a.wav")]


def test_some_of_those_that_are_due_are_told_at_a_time_each_once() -> None:
    settling = Settling(2)
    for path in (b"a.wav", b"b.wav", b"c.wav"):
        settling.see(arrival(path=path), now=10)
    settling.complete(arrival(path=b"b.wav"))
    assert settling.due(now=12, max_files=2) == [(INBOX, b"b.wav"), (INBOX, b"a.wav")]
    assert len(settling.due(now=12)) == 3


def test_a_second_look_at_the_same_file_does_not_prolong_its_wait() -> None:
    settling = Settling(2)
    settling.see(arrival(), now=10)
    settling.see(arrival(), now=11)
    assert settling.has_settled(arrival(), now=12)


def test_a_half_copied_file_is_left_alone() -> None:
    settling = Settling(2)
    for second in range(60):
        settling.see(arrival(fingerprint=str(second)), now=second)
    assert settling.due(now=60) == []


def test_a_change_found_at_the_last_look_starts_the_wait_anew() -> None:
    settling = Settling(2)
    settling.see(arrival("1"), now=10)
    assert not settling.has_settled(arrival("2"), now=12)
    assert settling.has_settled(arrival("2"), now=14)


def test_a_file_that_changes_for_ever_does_not_hold_up_the_others() -> None:
    settling = Settling(2)
    settling.see(arrival("1", b"restless.wav"), now=0)
    settling.see(arrival("1", b"calm.wav"), now=1)
    settling.see(arrival("2", b"restless.wav"), now=2)
    assert settling.due(now=3) == [(INBOX, b"calm.wav")]


def test_it_says_when_to_look_again() -> None:
    settling = Settling(2)
    assert settling.next_due() is None
    settling.see(arrival(), now=10)
    assert settling.next_due() == 12


def test_the_rest_before_the_first_look_counts() -> None:
    settling = Settling(2)
    settling.see(arrival(path=b"old.wav"), 10, lambda _: 60)
    settling.see(arrival(path=b"new.wav"), 10, lambda _: 1.5)
    settling.see(arrival(path=b"unknown.wav"), 10)
    assert settling.due(now=10) == [(INBOX, b"old.wav")]
    assert settling.has_settled(arrival(path=b"old.wav"), now=10)
    settling.forget((INBOX, b"old.wav"))
    assert settling.next_due() == 10.5
    assert settling.due(now=10.5) == [(INBOX, b"new.wav")]


def test_a_file_that_changes_after_the_first_look_waits_its_whole_time() -> None:
    settling = Settling(2)
    settling.see(arrival("1"), 10, lambda _: 1)
    settling.see(arrival("2"), 10.5, lambda _: 60)
    assert settling.due(now=12.4) == []
    assert settling.due(now=12.5) == [(INBOX, b"a.wav")]


def test_a_file_at_rest_that_changed_by_the_last_look_waits() -> None:
    settling = Settling(2)
    settling.see(arrival("1"), 10, lambda _: 60)
    assert settling.due(now=10) == [(INBOX, b"a.wav")]
    assert not settling.has_settled(arrival("2"), now=10)
    assert settling.due(now=11.9) == []


def test_a_file_at_rest_whose_older_version_is_being_read_waits() -> None:
    settling = Settling(2)
    settling.see(arrival(), 10, lambda _: 60)
    assert settling.due(now=10) == [(INBOX, b"a.wav")]
    settling.restart((INBOX, b"a.wav"), now=10)
    assert settling.due(now=11.9) == []


def test_a_file_that_never_rests_is_named_and_one_that_came_to_rest_is_not() -> None:
    settling = Settling(2)
    for second in range(0, 700, 10):
        settling.see(arrival(str(second), b"restless.wav"), now=second)
    settling.see(arrival("1", b"calm.wav"), now=0)
    assert settling.unsettled(since=100) == [(INBOX, b"restless.wav")]
    settling.forget((INBOX, b"restless.wav"))
    assert settling.unsettled(since=100) == []


def test_a_file_that_was_closed_and_is_complete_need_not_wait() -> None:
    settling = Settling(2)
    settling.see(arrival(), now=10)
    settling.complete(arrival())
    assert settling.due(now=10) == [(INBOX, b"a.wav")]
    assert settling.has_settled(arrival(), now=10)


def test_a_file_that_changed_while_its_end_was_looked_for_waits() -> None:
    settling = Settling(2)
    settling.see(arrival("2"), now=10)
    settling.complete(arrival("1"))
    assert settling.due(now=11.9) == []
    assert settling.due(now=12) == [(INBOX, b"a.wav")]


def test_a_file_that_has_its_row_by_the_time_its_end_was_found_is_not_taken_again() -> None:
    settling = Settling(2)
    settling.see(arrival(), now=10)
    settling.forget((INBOX, b"a.wav"))
    settling.complete(arrival())
    assert settling.due(now=12) == []


def test_a_complete_file_that_is_written_to_again_waits_like_any_other() -> None:
    settling = Settling(2)
    settling.see(arrival("1"), now=10)
    settling.complete(arrival("1"))
    assert not settling.has_settled(arrival("2"), now=10)
    assert settling.due(now=11.9) == []
    assert settling.has_settled(arrival("2"), now=12)


def test_a_file_that_was_waiting_goes_at_once_when_its_writer_closes_it_complete() -> None:
    settling = Settling(2)
    settling.see(arrival("1"), now=10)
    settling.see(arrival("2"), now=11)
    settling.complete(arrival("2"))
    assert settling.has_settled(arrival("2"), now=11)


def test_a_complete_file_is_due_now_until_it_is_forgotten() -> None:
    settling = Settling(2)
    settling.see(arrival(), now=10)
    settling.complete(arrival())
    assert settling.has_settled(arrival(), now=10)  # and then the ledger was locked
    assert settling.next_due() < 10
    assert settling.has_settled(arrival(), now=11)
    settling.forget((INBOX, b"a.wav"))
    assert settling.next_due() is None


def test_a_complete_file_whose_older_version_is_being_read_waits() -> None:
    settling = Settling(2)
    settling.see(arrival(), now=10)
    settling.complete(arrival())
    settling.restart((INBOX, b"a.wav"), now=10)
    assert settling.due(now=11.9) == []
    assert settling.due(now=12) == [(INBOX, b"a.wav")]


def test_a_file_that_is_open_waits_again_but_not_for_ever() -> None:
    settling = Settling(2)
    settling.see(arrival(), now=0)
    assert settling.holds_open((INBOX, b"a.wav"), now=2)
    assert settling.due(now=3) == []
    assert settling.due(now=4) == [(INBOX, b"a.wav")]
    assert settling.awaited(since=2) == {(INBOX, b"a.wav")}
    assert not settling.holds_open((INBOX, b"a.wav"), now=MAX_OPEN_SECONDS)
