"""Figures for Prometheus: what they say, and where they can be had."""

from __future__ import annotations

import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from house import House
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from running_house import RunningHouse

from daemon.component import StageTimers
from daemon.monitoring.metrics_server import (
    MAX_READERS,
    READER_SECONDS,
    keep_written,
    served_metrics,
)
from daemon.monitoring.prometheus import METRICS, StatusCollector
from storage.errors import ConfigurationError, SettingsError
from storage.home.paths import Home
from storage.settings.loading import load_settings
from storage.settings.schema import MetricsSettings

NOW = datetime(2026, 3, 4, 0, 1, tzinfo=UTC)
SAMPLE = re.compile(r"([a-z_]+)(\{.*\})? (\S+)")


def samples(text: str) -> dict[str, float]:
    """Value by name and labels; fails on a line that is none of Prometheus's."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("# "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            found[match[1] + (match[2] or "")] = float(match[3])
    return found


def exposition(status: Mapping[str, object]) -> str:
    collector = StatusCollector(lambda: NOW)
    collector.publish(status)
    return generate_latest(collector).decode()


def metrics(**status: object) -> dict[str, float]:
    return samples(exposition(status))


def test_recordings_are_counted_by_status() -> None:
    found = metrics(pending=3, done=2, failed=1, superseded=0)
    assert found['clfd_recordings{status="pending"}'] == 3
    assert found['clfd_recordings{status="superseded"}'] == 0


def test_each_stage_has_a_sample() -> None:
    found = metrics(figures={"stage_seconds": {"score": 1.5, "write": 0.25}})
    assert found['clfd_stage_seconds_total{stage="score"}'] == 1.5
    assert found['clfd_stage_seconds_total{stage="write"}'] == 0.25


def test_the_age_of_what_waits_longest_is_that_of_now() -> None:
    assert (
        metrics(oldest_pending_at="2026-03-04T00:00:00.000Z")["clfd_oldest_pending_seconds"] == 60
    )


def test_what_nobody_knows_is_left_out() -> None:
    text = exposition({"oldest_pending_at": None, "device_memory_bytes": None})
    assert "oldest_pending" not in text
    assert "device_memory" not in text


def test_labels_cannot_break_the_format() -> None:
    text = exposition({"served_checkpoint": 'a"b\\c\nd'})
    assert 'name="a\\"b\\\\c\\nd"' in text


def test_each_metric_has_its_help_and_type_once() -> None:
    text = exposition({"done": 1, "failed": 2, "faults": ["x"], "paused": True})
    heads = re.findall(r"^# TYPE (\S+)", text, re.M)
    assert len(heads) == len(set(heads))
    assert heads == re.findall(r"^# HELP (\S+)", text, re.M)
    assert samples(text)["clfd_paused"] == samples(text)["clfd_faults"] == 1


def test_the_documentation_names_each_metric() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operation.md").read_text()
    assert [name for name in METRICS if not re.search(rf"`{name}[{{`]", page)] == []


def test_each_hook_has_a_sample() -> None:
    found = metrics(hooks={"url": {"told": 3, "given_up": 1, "held_back": 2, "failing": True}})
    assert found['clfd_hook_told_total{hook="url"}'] == 3
    assert found['clfd_hook_held_back_total{hook="url"}'] == 2
    assert found['clfd_hook_failing{hook="url"}'] == 1


def test_the_metrics_of_a_daemon_say_what_it_did(
    house: House, audio_file: Callable[..., Path]
) -> None:
    house.drop(audio_file(), "a.wav")
    (house.inbox / "bad.wav").write_bytes(b"bad")
    house.live()
    found = samples(exposition(house.statuses[-1]))
    assert found['clfd_recordings{status="done"}'] == 1
    assert found["clfd_finished_recordings_total"] == 2
    assert found["clfd_clips_total"] == found["clfd_last_batch_clips"] == 2
    assert found["clfd_batches_total"] == 1
    assert found["clfd_last_error_timestamp_seconds"] > 1.7e9
    assert {'clfd_stage_seconds_total{stage="score"}', "clfd_in_flight_recordings"} <= set(found)


def test_swaps_and_refusals_are_counted(house: House, second_checkpoint: Path) -> None:
    house.live(1)
    for content in (b"no checkpoint", second_checkpoint.read_bytes()):
        source = house.home.root / "candidate"
        source.write_bytes(content)
        house.publish(source, f"20990101T000000Z-{len(content):08x}")
        house.live(1)
        assert house.model._candidate is not None
        house.model._candidate[1].exception(timeout=60)
        house.live(2)
    found = samples(exposition(house.statuses[-1]))
    assert found["clfd_checkpoint_swaps_total"] == 1
    assert found["clfd_checkpoint_refusals_total"] == 1


def test_a_stage_that_fails_is_measured_all_the_same() -> None:
    now = iter((1.0, 3.0))
    timers = StageTimers(lambda: next(now))
    with pytest.raises(OSError), timers.measure("write"):
        raise OSError
    assert timers.figures()["stage_seconds"] == {"write": 2.0}


def test_what_waits_longest_is_found_by_the_queues_index(house: House) -> None:
    assert house.ledger.oldest_pending() is None
    for name in ("a.wav", "b.wav"):
        (house.inbox / name).write_bytes(b"bad")
        house.ledger.admit([house.look_at(name.encode())])
        house.now += 60
    [(first,)] = house.ask("SELECT first_seen_at FROM recording WHERE path_text = 'a.wav'")
    assert house.ledger.oldest_pending() == first
    plan = house.ask(
        "EXPLAIN QUERY PLAN SELECT first_seen_at FROM recording WHERE"
        " (state = 'pending' OR requeued IS NOT NULL) AND requeued IS NULL ORDER BY id LIMIT 1"
    )
    assert "ix_recording_queue" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


# --- where they can be had


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_reader_may_ask_for_openmetrics() -> None:
    listen = f"127.0.0.1:{free_port()}"
    with served_metrics(MetricsSettings(listen=listen)) as publish:
        publish({"done": 1, "figures": {"batches": 2}})
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        request = urllib.request.Request(f"http://{listen}/metrics", headers=accept)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["clfd_batches"].samples[0].name == "clfd_batches_total"
    assert families["clfd_recordings"].samples[0].value == 1


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return str(answer.read().decode())


def test_a_page_has_the_newest_status() -> None:
    listen = f"127.0.0.1:{free_port()}"
    with served_metrics(MetricsSettings(listen=listen)) as publish:
        publish({"done": 1})
        publish({"done": 2})
        assert samples(get(f"http://{listen}/metrics"))['clfd_recordings{status="done"}'] == 2
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(f"http://{listen}/")


def test_a_reader_who_never_finishes_asking_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.monitoring.metrics_server.READER_SECONDS", 0.2)
    port = free_port()
    with (
        served_metrics(MetricsSettings(listen=f"127.0.0.1:{port}")),
        socket.create_connection(("127.0.0.1", port), timeout=0.05) as slow,
    ):
        slow.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert any(is_cut_off(slow) for _ in range(60))


def test_readers_who_never_finish_asking_do_not_keep_the_collector_out() -> None:
    port = free_port()
    listen = f"127.0.0.1:{port}"
    with served_metrics(MetricsSettings(listen=listen)) as publish, ExitStack() as readers:
        publish({"done": 1})
        places = [("127.0.0.1", port)] * (2 * MAX_READERS)
        slow = [readers.enter_context(socket.create_connection(place, 10)) for place in places]
        for reader in slow:
            with suppress(OSError):  # cut off already
                reader.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        asked_at = time.monotonic()
        assert "clfd_recordings" in get(f"http://{listen}/metrics")
        assert time.monotonic() - asked_at < READER_SECONDS / 2
        assert is_cut_off(slow[0])  # the longest reader made room


def is_cut_off(slow: socket.socket) -> bool:
    """After one more letter, and some patience for an answer."""
    try:
        slow.sendall(b"a")
        return slow.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_port_that_is_taken_is_a_wrong_setting() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=r"choose another port") as refusal:
            served_metrics(MetricsSettings(listen=listen)).__enter__()
    assert "metrics.listen" in str(refusal.value)
    assert refusal.value.exit_code == 78


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:9464", "192.168.1.2:9464", "9464", "127.0.0.1", "127.0.0.1:99999", "here:1"]
)
def test_a_page_is_for_this_machine_alone(tmp_path: Path, listen: str) -> None:
    with pytest.raises(SettingsError, match=r"metrics\.listen .*of this machine alone"):
        load_settings(Home(tmp_path), {"metrics.listen": listen}, environ={})


@pytest.mark.parametrize("listen", ["127.0.0.1:9464", "localhost:9464", "[::1]:9464"])
def test_loopback_has_several_names(tmp_path: Path, listen: str) -> None:
    settings = load_settings(Home(tmp_path), {"metrics.listen": listen}, environ={})
    assert settings.metrics.listen == listen


def test_a_file_is_whole_and_for_everybody(tmp_path: Path) -> None:
    file = tmp_path / "clfd.prom"
    with served_metrics(MetricsSettings(textfile=str(file))) as publish:
        publish({"done": 5})
    assert samples(file.read_text())['clfd_recordings{status="done"}'] == 5
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_cannot_be_written_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    waits = iter((False, False, True))  # the third finds that it is to stop
    keep_written(tmp_path / "none" / "clfd.prom", CollectorRegistry(), lambda _: next(waits))
    assert len(caplog.messages) == 1
    assert "metrics.textfile" in caplog.messages[0]


def test_a_file_lies_in_the_home_if_not_said_otherwise(tmp_path: Path) -> None:
    settings = load_settings(Home(tmp_path), {"metrics.textfile": "clfd.prom"}, environ={})
    assert settings.metrics.textfile == str(tmp_path / "clfd.prom")


@pytest.fixture
def running(tmp_path: Path, checkpoint_file: Path) -> Iterator[RunningHouse]:
    listen = f"127.0.0.1:{free_port()}"
    house = RunningHouse(tmp_path / "home", checkpoint_file, {"CLFD_METRICS__LISTEN": listen})
    yield house
    house.close()


def test_a_real_daemon_shows_its_page(running: RunningHouse) -> None:
    running.start()
    found = samples(get(f"http://{running.environ['CLFD_METRICS__LISTEN']}/metrics"))
    assert found["clfd_uptime_seconds"] >= 0
    assert found["process_resident_memory_bytes"] > 2**20
    assert running.stop() == 0
