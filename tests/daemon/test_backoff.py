from __future__ import annotations

from daemon.backoff import WAITS_SECONDS, wait_seconds


def test_waits_grow_and_the_last_one_goes_on() -> None:
    waits = [wait_seconds(n) for n in range(1, 6)]
    assert waits == [*WAITS_SECONDS, WAITS_SECONDS[-1], WAITS_SECONDS[-1]]
