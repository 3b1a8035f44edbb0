"""kill -9 while alerts are sent: each arrives at least once, under one id, with the same words."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hook_receivers import running_receiver
from running_house import RunningHouse
from sounds import wav

from daemon.hooks.alerts import AlertRules
from storage.database.engine import open_database
from storage.queries.filters import Filters
from storage.queries.results import answers_after
from storage.settings.loading import load_settings
from storage.values.alert import Alert

FILES_A_KILL = 20
MAX_ALIVE_SECONDS = 2.0
ANSWER_SECONDS = 0.05  # of the receiver, so that kills meet alerts under way
# Clips below it are `unknown`, which parts the runs of one file.
SETTINGS = {"CLFD_HOOKS__PER": "clip", "CLFD_RESULTS__UNKNOWN_BELOW": "0.4"}


def all_alerts(house: RunningHouse) -> list[Alert]:
    """What the answers of the ledger make, in their order."""
    settings = load_settings(house.home, environ=house.environ)
    rules = AlertRules(settings)
    filters = Filters(rules=rules.display)
    with (
        open_database(settings.database, "reader") as database,
        database.transaction() as connection,
    ):
        answers = answers_after(connection, filters, 0, with_clips=True)
    return [alert for answer in answers for alert in rules.alerts_of(answer)]


@pytest.mark.parametrize("cooldown", ["", "3s"])
def test_no_alert_is_lost_by_kills_nor_decided_twice(
    make_running: Callable[..., RunningHouse],
    chance: random.Random,
    size: Callable[[str, int], int],
    cooldown: str,
) -> None:
    n_kills = size("ALERT_KILLS", 12)
    with running_receiver(ANSWER_SECONDS) as receiver:
        hooks = {**SETTINGS, "CLFD_HOOKS__URL": receiver.url, "CLFD_HOOKS__COOLDOWN": cooldown}
        house = make_running(**hooks)
        assert house.clfd("run", "--once").returncode == 0  # hooks begin with what comes now
        for kill in range(n_kills):
            house.launch()
            for number in range(kill * FILES_A_KILL, (kill + 1) * FILES_A_KILL):
                (house.home.inbox / f"{number}.wav").write_bytes(wav(number, seconds=6.0))
            house.wait_until(house.is_running)
            time.sleep(chance.uniform(0, MAX_ALIVE_SECONDS))
            os.killpg(house.daemon.pid, signal.SIGKILL)
            house.daemon.wait()
        assert house.clfd("run", "--once").returncode == 0
        bodies = Counter(receiver.bodies)
    told = {str(json.loads(body)["id"]): json.loads(body) for body in bodies}
    expected = {alert.id: alert for alert in all_alerts(house)}
    print(f"{n_kills} kills, {bodies.total()} sent, {len(told)} alerts of {len(expected)}")
    assert len(expected) > n_kills * FILES_A_KILL
    assert len(told) == len(bodies), "an alert was sent with other words again"
    if not cooldown:
        assert told.keys() == expected.keys()
        return
    assert told.keys() <= expected.keys()
    waiting = json.loads(house.home.hook_file("url").read_text())["cooldown"]
    n_waiting = sum(held_back for _, held_back in waiting.values())
    n_held_back = sum(alert["held_back"] for alert in told.values()) + n_waiting
    assert len(told) + n_held_back == len(expected)
