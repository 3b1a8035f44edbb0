"""Alerts of clips: which ring, what they tell, and what a cool-down holds back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hook_receivers import FakeTarget
from house import house_settings
from ledger_rows import DOG, RAIN, SIREN, add_clips

from daemon.hooks.alerts import AlertRules
from daemon.hooks.dispatcher import MAX_TRIES, Hook, HookDispatcher, _hook
from daemon.hooks.targets import RefusedByTarget, TargetUnreachable
from storage.database.engine import open_database
from storage.home.paths import Home
from storage.labels.matching import write_labels
from storage.labels.tables.annotation_files import Annotation
from storage.ledger.ledger import Ledger
from storage.queries.result import Result, label_list
from storage.values.alert import Alert
from storage.values.timestamps import stamp

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
QUIET_SIREN = (0.45, 0.55, 0.0)
COOLDOWN = {"hooks.cooldown": "10m"}


class Site:
    """A ledger whose clock is in the test's hand, and hooks over it."""

    def __init__(self, home: Home) -> None:
        self.home, self.target, self.minutes = home, FakeTarget(), 0.0
        self.database_url = house_settings(home).database
        self.ledger = Ledger(open_database(self.database_url, "daemon"), self.stamp)
        self.reader = open_database(self.database_url, "reader")
        self.hook()  # so that others begin before what comes now

    def stamp(self) -> str:
        return stamp(NOON + timedelta(minutes=self.minutes))

    def hook(self, **settings: object) -> Hook:
        wanted = house_settings(self.home, **{"hooks.per": "clip", **settings})
        return _hook(self.home, wanted, "url", self.target, self.reader)  # type: ignore[arg-type]

    def add(self, name: str, *clips: tuple[float, ...], minutes: float | None = None) -> None:
        self.minutes = self.minutes if minutes is None else minutes
        add_clips(self.ledger, name, clips, recorded_at="2026-03-01T06:00:00Z")

    @property
    def sent_alerts(self) -> list[tuple[object, object]]:
        return [(alert["path"], alert["held_back"]) for alert in self.target.received]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    home = Home(tmp_path / "home")
    home.create()
    site = Site(home)
    yield site
    site.reader.close()
    site.ledger.close()


def work_off(hook: Hook) -> None:
    while not hook.step():
        pass
    hook.save()


def spans(site: Site) -> list[tuple[object, ...]]:
    return [(alert["label"], alert["start_s"], alert["end_s"]) for alert in site.target.received]


def test_a_siren_in_a_minute_of_rain_rings(site: Site) -> None:
    site.add("yard/a.wav", *[RAIN] * 6, SIREN, *[RAIN] * 5)
    work_off(site.hook(**{"hooks.labels": ["siren"], "hooks.min_confidence": 0.8}))
    (alert,) = site.target.received
    assert alert.pop("id")
    assert alert == {
        "label": "siren",
        "confidence": 0.875,
        "start_s": 30.0,
        "end_s": 35.0,
        "started_at": "2026-03-01T06:00:30.000Z",
        "site": "yard",
        "path": "yard/a.wav",
        "inbox": "/cards/inbox",
        "recording": 1,
        "digest": f"{1:064d}",
        "duration_s": 60.0,
        "recorded_at": "2026-03-01T06:00:00.000Z",
        "classified_at": "2026-03-04T12:00:00.000Z",
        "checkpoint": "c",
        "held_back": 0,
        "test": False,
    }
    assert {"id", *alert} == {field.name for field in fields(Alert)}


def test_neighbours_of_one_label_ring_once_with_the_confidence_of_the_surest(site: Site) -> None:
    site.add("a.wav", QUIET_SIREN, SIREN, DOG, SIREN, RAIN)
    work_off(site.hook(**{"hooks.labels": ["siren"]}))
    assert spans(site) == [("siren", 0.0, 10.0), ("siren", 15.0, 20.0)]
    assert [alert["confidence"] for alert in site.target.received] == [0.875, 0.875]


def test_a_label_that_a_person_gave_to_a_part_parts_no_run(site: Site) -> None:
    site.add("a.wav", SIREN, SIREN, SIREN)
    one = Annotation("siren", "a.wav", "a.wav", "", start_s=5.0, end_s=10.0)
    write_labels(site.ledger.database, [(one, f"{1:064d}", "set")], "ada")
    work_off(site.hook(**{"hooks.labels": ["siren"]}))
    assert spans(site) == [("siren", 0.0, 15.0)]


def test_a_run_that_is_less_sure_in_between_rings_once(site: Site) -> None:
    site.add("a.wav", SIREN, QUIET_SIREN, SIREN, RAIN, QUIET_SIREN)
    work_off(site.hook(**{"hooks.labels": ["siren"], "hooks.min_confidence": 0.8}))
    assert spans(site) == [("siren", 0.0, 15.0)]


def test_what_a_threshold_leaves_unknown_rings_only_by_name(site: Site) -> None:
    site.add("a.wav", SIREN, QUIET_SIREN, DOG)
    thresholds = {"results.thresholds": ["siren=0.8"]}
    by_name = site.hook(**thresholds, **{"hooks.labels": ["unknown"]})
    work_off(site.hook(**thresholds))
    assert spans(site) == [("siren", 0.0, 5.0), ("dog", 10.0, 15.0)]
    site.target.received.clear()
    work_off(by_name)
    assert spans(site) == [("unknown", 5.0, 10.0)]


def test_without_a_clock_of_the_recorder_there_is_no_time_of_day(site: Site) -> None:
    add_clips(site.ledger, "a.wav", [SIREN])
    work_off(site.hook())
    assert site.target.received[0]["started_at"] is None


def test_each_alert_has_an_id_and_keeps_it_when_it_is_sent_again(site: Site) -> None:
    site.add("a.wav", SIREN, DOG, SIREN)
    site.add("b.wav", SIREN)
    killed, again = site.hook(), site.hook()
    for hook in (killed, again):
        while not hook.step():  # and was killed before it kept its place
            pass
    ids = [alert["id"] for alert in site.target.received]
    assert len(set(ids)) == 4
    assert ids[:4] == ids[4:]


def test_alerts_of_a_recording_wait_for_a_target_out_of_reach(site: Site) -> None:
    site.add("a.wav", SIREN, DOG, RAIN)
    hook = site.hook()
    hook.step()
    site.target.errors = [TargetUnreachable("connection refused")] * 3
    assert all(hook.step() for _ in range(3))
    work_off(hook)
    assert [label for label, *_ in spans(site)] == ["siren", "dog", "rain"]


def test_an_alert_that_is_refused_does_not_keep_the_next_of_its_recording(site: Site) -> None:
    site.add("a.wav", SIREN, DOG)
    hook = site.hook()
    site.target.errors = [RefusedByTarget("exit status 3")] * MAX_TRIES
    for _ in range(MAX_TRIES):
        hook.step()
    work_off(hook)
    assert [label for label, *_ in spans(site)] == ["dog"]


def test_other_rules_hold_for_what_is_in_memory_too(site: Site) -> None:
    site.add("a.wav", SIREN, DOG)
    site.add("b.wav", SIREN, DOG)
    hook = site.hook(**{"hooks.labels": ["siren"]})
    hook.step()
    wanted = {"hooks.per": "clip", "hooks.labels": ["dog"]}
    HookDispatcher([hook]).change_settings(house_settings(site.home, **wanted))
    work_off(hook)
    assert [alert["label"] for alert in site.target.received] == ["siren", "dog"]


# --- the cool-down


def test_within_a_cooldown_alerts_of_label_and_site_are_counted_and_told_in_the_next(
    site: Site,
) -> None:
    for minute in (0, 3, 9, 10):
        site.add(f"yard/{minute}.wav", SIREN, minutes=minute)
    hook = site.hook(**COOLDOWN)
    work_off(hook)
    assert site.sent_alerts == [("yard/0.wav", 0), ("yard/10.wav", 2)]
    assert hook.status()["held_back"] == 2


@pytest.mark.parametrize(("per", "told"), [("clip", 3), ("recording", 2)])
def test_other_labels_and_sites_ring_meanwhile(site: Site, per: str, told: int) -> None:
    settings = {**COOLDOWN, "hooks.per": per, "results.site_pattern": "(?P<site>yard|roof)"}
    site.add("yard/a.wav", SIREN, DOG)
    site.add("yard/b.wav", SIREN, DOG)
    site.add("roof/a.wav", SIREN)
    hook = site.hook(**settings)
    work_off(hook)
    assert len(site.target.received) == told


def test_a_cooldown_outlives_a_restart(site: Site) -> None:
    site.add("a.wav", SIREN)
    work_off(site.hook(**COOLDOWN))
    site.add("b.wav", SIREN, minutes=1)
    work_off(site.hook(**COOLDOWN))
    site.add("c.wav", SIREN, minutes=11)
    work_off(site.hook(**COOLDOWN))
    assert site.sent_alerts == [("a.wav", 0), ("c.wav", 1)]


def test_after_a_kill_a_cooldown_decides_as_before(site: Site) -> None:
    for minute in (0, 1, 11):
        site.add(f"{minute}.wav", SIREN, DOG, SIREN, minutes=minute)
    killed, again = site.hook(**COOLDOWN), site.hook(**COOLDOWN)
    for hook in (killed, again):
        while not hook.step():  # and was killed before it kept its place
            pass
    n = len(site.target.received) // 2
    assert n == 4
    assert site.target.received[:n] == site.target.received[n:]


def test_a_stop_between_two_alerts_of_a_recording_counts_none_twice(site: Site) -> None:
    site.add("a.wav", SIREN, DOG, SIREN)
    stopped = site.hook(**COOLDOWN)
    stopped.step()
    stopped.save()
    work_off(site.hook(**COOLDOWN))
    assert [alert["label"] for alert in site.target.received] == ["siren", "siren", "dog"]
    site.add("b.wav", SIREN, minutes=30)
    work_off(site.hook(**COOLDOWN))
    assert site.target.received[-1]["held_back"] == 1


def test_alerts_that_waited_for_a_target_are_told_as_they_would_have_been(site: Site) -> None:
    hook = site.hook(**COOLDOWN)
    site.target.errors = [TargetUnreachable("connection refused")]
    for minute in (0, 5, 20, 25):
        site.add(f"{minute}.wav", SIREN, minutes=minute)
        hook.step()
    work_off(hook)
    assert site.sent_alerts == [("0.wav", 0), ("20.wav", 1)]


def test_a_clock_that_was_set_back_silences_no_alert(site: Site) -> None:
    site.add("future.wav", SIREN, minutes=60 * 24 * 365)
    site.add("now.wav", SIREN, minutes=0)
    work_off(site.hook(**COOLDOWN))
    assert [path for path, _ in site.sent_alerts] == ["future.wav", "now.wav"]


def test_an_alert_that_was_given_up_begins_no_cooldown(site: Site) -> None:
    site.add("a.wav", SIREN)
    site.add("b.wav", SIREN)
    hook = site.hook(**COOLDOWN)
    site.target.errors = [RefusedByTarget("exit status 3")] * MAX_TRIES
    for _ in range(MAX_TRIES):
        hook.step()
    work_off(hook)
    assert site.sent_alerts == [("b.wav", 0)]


def test_the_file_of_a_hook_stays_small_however_many_sites_there_are(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.hooks.cooldown.KEPT", 3)
    long = "/".join(["x" * 200] * 15)
    for number in range(5):
        site.add(f"{number}{long}.wav", SIREN)
    work_off(site.hook(**COOLDOWN, **{"results.site_pattern": "(?P<site>.*)"}))
    file = site.home.hook_file("url")
    assert len(json.loads(file.read_text())["cooldown"]) == 3
    assert file.stat().st_size < 400


def test_whole_recordings_are_told_as_before_and_with_a_cooldown_what_was_held_back(
    site: Site,
) -> None:
    site.add("a.wav", RAIN)
    site.add("b.wav", RAIN)
    site.add("c.wav", RAIN, minutes=10)
    work_off(site.hook(**COOLDOWN, **{"hooks.per": "recording"}))
    assert site.sent_alerts == [("a.wav", 0), ("c.wav", 1)]
    assert "scores" in site.target.received[0]


def test_a_template_takes_the_place_of_the_json(site: Site) -> None:
    site.add("yard/a.wav", RAIN, SIREN)
    body = '{"text": "$label at ${start_s} s", "started_at": $started_at}'
    work_off(site.hook(**{"hooks.labels": ["siren"], "hooks.body": body}))
    assert site.target.received == [
        {"text": "siren at 5.0 s", "started_at": "2026-03-01T06:00:05.000Z"}
    ]


def test_an_answer_with_several_labels_is_one_alert_of_the_surest_that_is_asked_for(
    site: Site,
) -> None:
    asked = {"hooks.labels": ["rain", "siren", "none"]}
    rules = AlertRules(house_settings(site.home, **asked))  # type: ignore[arg-type]
    several = label_list([("dog", 0.9), ("siren", 0.8), ("rain", 0.7)])
    (alert,) = rules.alerts_of(Result(1, "a.wav", "done", "dog", 0.9, labels=several))
    assert (alert.label, alert.confidence) == ("siren", 0.8)
    (alert,) = rules.alerts_of(Result(1, "a.wav", "done", "none", 0.1, labels=label_list([])))
    assert alert.label == "none"
    assert rules.alerts_of(Result(1, "a.wav", "done", "dog", 0.9, labels=several[:1])) == []
