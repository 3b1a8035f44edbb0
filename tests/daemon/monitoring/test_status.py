from __future__ import annotations

from collections.abc import Mapping

import pytest

from daemon.monitoring.status import Progress, Rates, StatusReport


def rates(*points: Progress) -> Rates:
    rates = Rates()
    for point in points:
        rates.add(point)
    return rates


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    points = [Progress(float(second), 10 * second, second) for second in range(100)]
    standstill = [Progress(100.0 + second, 990, 99) for second in range(31)]
    assert rates(*points).clips_per_s == pytest.approx(10)
    assert rates(*points, *standstill).clips_per_s == 0


def test_the_time_left_counts_the_clips_of_a_long_recording() -> None:
    a_long_one = Progress(10.0, 100, 0, in_flight=1, clips_left=500)
    assert rates(Progress(0.0, 0, 0), a_long_one).seconds_left(pending=1) == pytest.approx(50)


def test_recordings_that_wait_are_taken_to_be_as_long_as_the_others() -> None:
    after_ten = Progress(10.0, 100, 10, in_flight=0, clips_left=0)
    assert rates(Progress(0.0, 0, 0), after_ten).seconds_left(pending=20) == pytest.approx(20)


def test_recordings_of_which_nothing_is_read_yet_count_as_others_do() -> None:
    unread = Progress(10.0, 100, 10, in_flight=4, clips_left=0, n_unread=4)
    assert rates(Progress(0.0, 0, 0), unread).seconds_left(pending=4) == pytest.approx(4)


def test_no_time_is_promised_while_nobody_knows_how_long_a_recording_is() -> None:
    stream = Progress(10.0, 100, 10, in_flight=1, clips_left=None)
    assert rates(Progress(0.0, 0, 0), stream).seconds_left(pending=1) is None


def test_no_time_is_promised_while_nothing_moves() -> None:
    assert rates(Progress(0.0, 0, 0), Progress(1.0, 0, 0)).seconds_left(pending=5) is None


def test_rows_are_counted_as_often_as_counting_is_cheap() -> None:
    now, counted, written = [0.0], [], []

    def count() -> Mapping[str, int]:
        counted.append(now[0])
        now[0] += 0.1  # counting takes a tenth of a second
        return {"done": 1}

    report = StatusReport(written.append, count, lambda: None, lambda: now[0])
    for n_done in range(20):
        report.update(Progress(now[0], n_done, n_done), {})
        now[0] += 1
    assert len(written) == 20
    assert len(counted) == 4


def test_at_rest_rows_are_hardly_counted() -> None:
    now, counted = [0.0], []

    def count() -> Mapping[str, int]:
        counted.append(now[0])
        return {"done": 1}

    report = StatusReport(lambda _: None, count, lambda: None, lambda: now[0])
    for now[0] in range(30):
        report.update(Progress(now[0], clips=int(now[0] >= 5), recordings=0), {})
    assert counted == [0, 5, 15, 25]
