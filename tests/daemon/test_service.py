"""The whole daemon in one process, without sleeping: see fixtures/house.py."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile
from house import BEGINNING, House, HouseMaker

from classifier.errors import DecodingError, FileChanged


def test_a_file_that_is_there_at_start_gets_its_row(
    make_house: HouseMaker, audio_file: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "home" / "inbox").mkdir(parents=True)
    audio_file("home/inbox/a.wav")
    house = make_house()
    house.live()
    assert house.rows() == [("a.wav", "done")]


def test_files_dropped_later_in_folders_are_answered(
    house: House, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    for index, name in enumerate(["a.wav", "card 1/b.WAV", "card 2/deep/c.flac"]):
        house.drop(audio_file(f"x{Path(name).suffix.lower()}", noise(seed=index)), name)
    house.live()
    assert [state for _, state in house.rows()] == ["done"] * 3


def test_a_done_row_has_scores_that_sum_to_one(
    house: House, audio_file: Callable[..., Path]
) -> None:
    house.drop(audio_file(), "a.wav")
    house.live()
    [(scores, label, confidence)] = house.ask("SELECT scores, label, confidence FROM prediction")
    values = np.frombuffer(scores, "<f4")  # type: ignore[arg-type]
    assert values.sum() == pytest.approx(1)
    assert ("bell", "dog", "rain")[int(values.argmax())] == label
    assert values.max() == pytest.approx(confidence)


def test_a_long_recording_is_scored_clip_by_clip(
    house: House, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    house.drop(audio_file("long.wav", noise(seconds=200)), "long.wav")
    house.live()
    [(clip_scores, scores)] = house.ask("SELECT clip_scores, scores FROM prediction")
    clips = np.frombuffer(clip_scores, "<f2").reshape(-1, 3)  # type: ignore[arg-type]
    assert len(clips) == 400
    assert np.frombuffer(scores, "<f4") == pytest.approx(clips.mean(axis=0), abs=1e-3)  # type: ignore[arg-type]


def test_clips_overlap_where_a_setting_says_so(
    make_house: HouseMaker, audio_file: Callable[..., Path]
) -> None:
    house = make_house(**{"engine.overlap_seconds": 0.25})
    house.drop(audio_file(), "one-second.wav")
    house.live()
    [(clip_scores, hop_seconds)] = house.ask("SELECT clip_scores, clip_hop_seconds FROM prediction")
    assert len(clip_scores) == 3 * 3 * 2  # type: ignore[arg-type]
    assert hop_seconds == 0.25


def test_a_bad_file_costs_only_itself(house: House, audio_file: Callable[..., Path]) -> None:
    house.drop(audio_file(), "good.wav")
    (house.inbox / "bad.wav").write_bytes(os.urandom(1000))
    house.live()
    assert house.rows() == [("bad.wav", "failed"), ("good.wav", "done")]


def test_a_failed_row_carries_a_reason(house: House) -> None:
    (house.inbox / "empty.wav").touch()
    house.live()
    [(kind, reason)] = house.ask("SELECT error_class, error FROM recording")
    assert kind == "empty"
    assert "0 bytes" in str(reason)


def test_a_copy_shares_the_first_answer(house: House, audio_file: Callable[..., Path]) -> None:
    for name in ("a.wav", "b.wav", "c/a.wav"):
        house.drop(audio_file(), name)
    house.live()
    assert [state for _, state in house.rows()] == ["done"] * 3
    assert len(house.ask("SELECT id FROM prediction")) == 1


def test_a_copy_of_a_recording_that_vanished_half_way_is_heard_itself(
    house: House, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    long = audio_file("long.wav", noise(seconds=300))
    for name in (b"a.wav", b"b.wav"):
        house.drop(long, name)
        house.ledger.admit([house.look_at(name)])
    house.window.take(house.ledger.claim("test", 10, 3), house.model.served)
    house.ledger.record(house.window.step())
    (house.inbox / "a.wav").unlink()
    house.live()
    assert house.rows() == [("a.wav", "failed"), ("b.wav", "done")]


def test_copies_are_scored_one_by_one_where_a_setting_says_so(
    make_house: HouseMaker, audio_file: Callable[..., Path]
) -> None:
    house = make_house(**{"intake.duplicates": "score"})
    for name in ("a.wav", "b.wav"):
        house.drop(audio_file(), name)
    house.live()
    assert len(house.ask("SELECT id FROM prediction")) == 2


def test_a_touch_adds_no_row_and_no_answer(house: House, audio_file: Callable[..., Path]) -> None:
    path = house.drop(audio_file(), "a.wav")
    house.live()
    os.utime(path, (1, 1))
    house.live()
    assert house.rows() == [("a.wav", "done")]
    assert len(house.ask("SELECT id FROM prediction")) == 1


def test_new_content_under_an_old_name_supersedes_the_earlier_row(
    house: House, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    house.drop(audio_file("1.wav"), "a.wav")
    house.live()
    house.drop(audio_file("2.wav", noise()), "a.wav")
    house.live()
    assert house.rows() == [("a.wav", "done"), ("a.wav", "superseded")]


def test_a_file_that_changed_while_it_was_read_is_taken_again(
    house: House, audio_file: Callable[..., Path]
) -> None:
    house.drop(audio_file(), "a.wav")
    house.pool.next_error = FileChanged()
    house.live(80)
    assert house.rows() == [("a.wav", "done")]


def test_a_passing_fault_is_tried_again(house: House, audio_file: Callable[..., Path]) -> None:
    house.drop(audio_file(), "a.wav")
    house.pool.next_error = DecodingError("io", "the disk hiccuped", transient=True)
    house.live(seconds=7)
    assert house.ask("SELECT state, attempts FROM recording") == [("pending", 1)]
    house.live()
    assert house.ask("SELECT state, attempts, error FROM recording") == [("done", 2, None)]


def test_what_was_claimed_when_the_daemon_died_is_taken_up_again(
    make_house: HouseMaker, audio_file: Callable[..., Path]
) -> None:
    house = make_house()
    house.drop(audio_file(), "a.wav")
    house.live(3)
    house.ledger.claim("the dead", 10, 3)
    restarted = make_house()
    restarted.live()
    assert restarted.rows() == [("a.wav", "done")]


def test_what_never_comes_to_an_end_is_given_up_with_a_reason(
    make_house: HouseMaker, audio_file: Callable[..., Path]
) -> None:
    house = make_house()
    house.drop(audio_file(), "a.wav")
    house.ledger.admit([house.look_at(b"a.wav")])
    for _ in range(6):
        house.ledger.claim("the dead", 10, 99)
        house.ledger.reclaim()
    house.live()
    [(state, error)] = house.ask("SELECT state, error FROM recording")
    assert state == "failed"
    assert "tried 6 times" in str(error)


def test_a_stop_finishes_what_is_in_flight(house: House, audio_file: Callable[..., Path]) -> None:
    house.begin_to_decode(audio_file())
    house.service.request_stop()
    house.service.drain()
    assert house.rows() == [("a.wav", "done")]


def test_a_second_stop_request_leaves_the_rest_for_the_next_start(
    house: House, audio_file: Callable[..., Path]
) -> None:
    house.begin_to_decode(audio_file())
    house.service.request_stop()
    house.service.request_stop()
    house.service.drain()
    assert house.ask("SELECT state, attempts, claimed_by FROM recording") == [("pending", 0, None)]


def test_a_signal_leaves_a_word_and_takes_no_lock(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked() -> None:
        raise AssertionError("the interrupted thread may hold this lock")

    monkeypatch.setattr(house.wake, "set", locked)
    house.service.request_reload()
    house.service.request_stop()
    house.service.run()


def test_one_run_ends_when_every_file_has_a_row(
    house: House, audio_file: Callable[..., Path]
) -> None:
    house.drop(audio_file(), "a.wav")
    (house.inbox / "bad.wav").write_bytes(b"bad")
    house.live()
    assert house.service.is_done


def test_the_first_files_of_a_backlog_are_answered_before_the_last_have_their_rows(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.intake.intake.SETTLED_STEP", 2)
    for number in range(10):
        (house.inbox / f"{number}.wav").write_bytes(b"bad %d" % number)
    house.service.try_tick()
    house.now += house.settings.intake.settle_seconds
    while not any(state == "failed" for _, state in house.rows()):
        assert house.service.try_tick()
    assert len(house.rows()) < 10
    while house.service.try_tick():  # and goes on without a rest
        pass
    assert len(house.rows()) == 10


def test_listings_of_a_crowded_inbox_keep_their_distance(
    house: House,
    audio_file: Callable[..., Path],
    noise: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("daemon.intake.intake.NAME_SECONDS", 1.0)  # as if each name were thousands
    for number in range(10):
        house.drop(audio_file("a.wav", noise(0.1, seed=number)), f"{number}.wav")
    house.live(seconds=10)
    house.drop(audio_file("a.wav", noise(0.1, seed=11)), "unheard.wav")
    house.live(seconds=80)
    assert len(house.rows()) == 10
    house.live(seconds=30)
    assert len(house.rows()) == 11


def test_a_file_that_still_settles_keeps_one_run_going(
    house: House, audio_file: Callable[..., Path]
) -> None:
    house.live()
    house.watcher.ring(house.inbox, b"a.wav")
    house.drop(audio_file(), "a.wav")
    house.service.tick(house.now)
    assert not house.service.is_done


def test_a_file_that_changes_for_ever_is_named_and_starves_nobody(
    house: House,
    audio_file: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("daemon.intake.intake.UNSETTLED_SECONDS", 60.0)
    house.drop(audio_file(), "calm.wav")
    unsettled = house.drop(audio_file(), "restless.wav")
    for _ in range(70):
        unsettled.write_bytes(unsettled.read_bytes() + b"x")
        house.watcher.ring(house.inbox, b"restless.wav")
        house.live(seconds=1)
    assert house.rows() == [("calm.wav", "done")]
    assert house.statuses[-1]["restless"] == ["restless.wav"]
    assert sum("has been changing for 1 minutes" in line for line in caplog.messages) == 1


def test_a_huge_recording_does_not_hold_up_small_ones(
    make_house: HouseMaker, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    house = make_house(**{"engine.batch_clips": 8})
    house.drop(audio_file("huge.wav", noise(seconds=400)), "huge.wav")
    house.ledger.admit([house.look_at(b"huge.wav")])
    house.service.try_tick()  # the first to be claimed
    for index in range(5):
        house.drop(audio_file("small.wav", noise(seed=index)), f"{index}.wav")
        house.watcher.ring(house.inbox, f"{index}.wav".encode())
    while house.ask("SELECT count(*) FROM recording WHERE state = 'done'") < [(5,)]:
        house.service.try_tick()
        house.now += 0.1
    assert ("huge.wav", "pending") in house.rows()
    house.live()
    assert ("huge.wav", "done") in house.rows()


def test_a_file_that_changed_while_it_was_read_keeps_one_run_going(
    house: House, audio_file: Callable[..., Path]
) -> None:
    house.live()  # a scan of the empty inbox found nothing
    house.pool.next_error = FileChanged()
    house.begin_to_decode(audio_file())
    house.service.tick(house.now)
    assert house.rows() == []
    assert not house.service.is_done


def test_a_retry_of_a_file_that_was_replaced_hears_the_new_one(
    house: House, audio_file: Callable[..., Path]
) -> None:
    (house.inbox / "a.wav").write_bytes(b"bad")
    house.live()
    house.drop(audio_file(), "a.wav")
    house.ledger.admit([house.look_at(b"a.wav")])
    assert house.ledger.requeue_failed() == 1
    house.live()
    assert house.rows() == [("a.wav", "done"), ("a.wav", "superseded")]
    assert not house.ledger.has_work()


def test_a_full_disk_does_not_stop_the_daemon_that_cannot_write_its_status(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(house.service._report, "write", full)
    house.drop(audio_file(), "a.wav")
    house.live()
    assert house.rows() == [("a.wav", "done")]


def test_the_status_counts_what_it_says(house: House, audio_file: Callable[..., Path]) -> None:
    house.drop(audio_file(), "a.wav")
    (house.inbox / "notes.txt").touch()
    (house.inbox / "bad.wav").write_bytes(b"bad")
    house.live()
    status = house.statuses[-1]
    assert [status[key] for key in ("done", "failed", "pending", "ignored")] == [1, 1, 0, 1]
    assert str(status["last_error"]).startswith("bad.wav: not an audio file")


def test_samples_far_out_of_range_fail_with_a_reason(house: House, tmp_path: Path) -> None:
    samples = np.full(4000, 3e38, np.float32)
    soundfile.write(tmp_path / "x.wav", samples, 8000, subtype="FLOAT")
    house.drop(tmp_path / "x.wav", "x.wav")
    house.live()
    assert house.ask("SELECT state, error_class FROM recording") == [("failed", "not_finite")]


def test_a_daemon_that_was_frozen_for_minutes_catches_up(
    house: House, audio_file: Callable[..., Path]
) -> None:
    house.drop(audio_file(), "before.wav")
    house.live(1)
    house.drop(audio_file(), "meanwhile.wav")
    house.now += 300
    house.live()
    assert house.rows() == [("before.wav", "done"), ("meanwhile.wav", "done")]


def test_a_file_that_is_half_written_at_the_start_settles_first(
    make_house: HouseMaker, audio_file: Callable[..., Path], tmp_path: Path
) -> None:
    whole = audio_file().read_bytes()
    inbox = tmp_path / "home" / "inbox"
    inbox.mkdir(parents=True)
    (inbox / "a.wav").write_bytes(whole[:1000])
    house = make_house()
    for end in (3000, 9000, len(whole)):
        house.live(1.5)
        with (inbox / "a.wav").open("r+b") as file:
            file.write(whole[:end])
    house.live()
    [(digest, state)] = house.ask("SELECT digest, state FROM recording")
    assert (digest, state) == (hashlib.sha256(whole).hexdigest(), "done")


@pytest.mark.parametrize("year", [1970, 2099])
def test_the_date_of_a_file_means_nothing(
    house: House, audio_file: Callable[..., Path], year: int
) -> None:
    path = house.drop(audio_file(), "a.wav")
    moment = datetime(year, 1, 2, tzinfo=UTC).timestamp()
    os.utime(path, (moment, moment))
    house.live()
    assert house.rows() == [("a.wav", "done")]


@pytest.mark.parametrize("days", [-365, 365])
def test_a_clock_that_jumps_stalls_nothing(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    house.drop(audio_file(), "a.wav")
    house.pool.next_error = DecodingError("io", "it passes", transient=True)
    house.live(3)  # postponed now, by the clock as it is
    monkeypatch.setattr("house.BEGINNING", BEGINNING + timedelta(days=days))
    house.drop(audio_file(), "b.wav")
    house.live()
    assert house.rows() == [("a.wav", "done"), ("b.wav", "done")]


def test_many_names_and_links_of_one_content_have_a_row_each_and_one_answer(
    house: House, audio_file: Callable[..., Path]
) -> None:
    path = house.drop(audio_file(), "0.wav")
    for number in range(1, 40):
        if number % 2:
            os.link(path, house.inbox / f"{number}.wav")
        else:
            house.drop(path, f"{number}.wav")
    house.live()
    assert [state for _, state in house.rows()] == ["done"] * 40
    assert len(house.ask("SELECT id FROM prediction")) == 1


def test_one_name_with_ever_new_content_has_a_row_for_each(
    house: House, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    for number in range(10):
        house.drop(audio_file("next.wav", noise(seconds=0.1, seed=number)), "a.wav")
        house.watcher.ring(house.inbox, b"a.wav")
        house.live(4)
    assert house.rows() == [("a.wav", "done")] + [("a.wav", "superseded")] * 9
