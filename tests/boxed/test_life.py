"""The service under a real systemd: start, work, swap, reload, stop, and how it gets up again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from service_box import HOME, ServiceBox

import clfd

START_SECONDS = 30.0
NAMES = [f"{n:02}.wav" for n in range(20)]
DAEMON = "$(systemctl show clfd --value --property=MainPID)"


def test_systemctl_start_returns_when_it_serves(
    box: ServiceBox, measured: Callable[[str, float], None]
) -> None:
    box.run(f"rm -rf {HOME}")
    for what in ("first start, which makes the home", "start"):
        began = time.monotonic()
        box.start()
        seconds = time.monotonic() - began
        measured(f"seconds from {what} to READY", seconds)
        box.wait_until(lambda: bool(box.status().get("served_checkpoint")))
        assert seconds < START_SECONDS
        box.run("systemctl stop clfd")


def test_files_of_every_kind_are_classified_behind_the_fences(serving: ServiceBox) -> None:
    names = ("tone.wav", "tone.flac", "tone.ogg", "tone.mp3", "tone.aiff")
    serving.drop(*names)
    assert {row["status"] for row in serving.wait_for(len(names)).values()} == {"done"}


def test_the_daemon_sees_and_changes_only_what_it_needs(serving: ServiceBox) -> None:
    inside = f"nsenter --target {DAEMON} --mount --net setpriv --reuid clfd --regid clfd"
    inside += " --clear-groups sh -c"
    for place in (f"{HOME}/inbox/x", "/etc/x", "/srv/x"):
        assert "Read-only file system" in serving.run(f"{inside} 'touch {place}'", False).stderr
    serving.run(f"{inside} 'touch {HOME}/x'")
    for place in ("/home", "/root"):
        assert "Permission denied" in serving.run(f"{inside} 'ls {place}'", check=False).stderr
    assert serving.says(f"{inside} 'grep -c : /proc/net/dev'") == "1"  # lo, and it is down
    assert "CapEff:\t0000000000000000" in serving.says(f"cat /proc/{DAEMON}/status")


def test_a_new_checkpoint_is_taken_over_without_a_restart(
    serving: ServiceBox, second_checkpoint: Path
) -> None:
    before = serving.shows("clfd", "MainPID")
    serving.path("/srv/new.safetensors").write_bytes(second_checkpoint.read_bytes())
    words = f"--home {HOME} checkpoints import /srv/new.safetensors --activate"
    name = serving.says(f"runuser -u clfd -- /opt/clfd/bin/clfd {words}")
    serving.wait_until(lambda: serving.status().get("served_checkpoint") == name)
    serving.drop("a.wav")
    assert serving.wait_for(1)["a.wav"]["checkpoint"] == name
    assert serving.shows("clfd", "MainPID") == before


@pytest.mark.skipif("reload" not in clfd.MODULES, reason="there is no `clfd reload` yet")
def test_a_reload_takes_new_settings_and_refuses_bad_ones(serving: ServiceBox) -> None:
    before = serving.shows("clfd", "MainPID")
    serving.write(f"{HOME}/clfd.toml", '[intake]\nsuffixes = [".wav"]\n')
    serving.run("systemctl reload clfd")
    serving.drop("a.flac", "a.wav")
    assert set(serving.wait_for(1)) == {"a.wav"}
    serving.write(f"{HOME}/clfd.toml", '[intake]\nsufixes = [".wav"]\n')
    assert serving.run("systemctl reload clfd", check=False).returncode
    assert "intake.suffixes" in serving.last_words()
    assert serving.shows("clfd", "MainPID") == before


def test_a_stop_loses_nothing_and_keeps_within_its_time(
    serving: ServiceBox, measured: Callable[[str, float], None]
) -> None:
    serving.drop(*NAMES)
    began = time.monotonic()
    serving.run("systemctl stop clfd")
    measured("seconds to stop with 20 files in flight", time.monotonic() - began)
    assert serving.shows("clfd", "Result") == "success"
    serving.start()
    assert {row["status"] for row in serving.wait_for(len(NAMES)).values()} == {"done"}


def test_it_is_started_again_after_a_kill_and_loses_nothing(
    serving: ServiceBox, measured: Callable[[str, float], None]
) -> None:
    serving.drop_in("soon", "[Service]\nRestartSec=1\n")
    serving.drop(*NAMES)
    began = time.monotonic()
    serving.run("systemctl kill --signal=KILL --kill-who=main clfd")
    serving.wait_until(lambda: serving.shows("clfd", "ActiveState,NRestarts") == "1\nactive")
    measured("seconds from kill -9 to READY, one of them waited", time.monotonic() - began)
    assert {row["status"] for row in serving.wait_for(len(NAMES)).values()} == {"done"}


def test_a_daemon_that_stands_still_is_started_again(serving: ServiceBox) -> None:
    serving.run("systemctl stop clfd")
    serving.drop_in("soon", "[Service]\nWatchdogSec=5\nRestartSec=1\n")
    serving.start()
    pings = serving.shows("clfd", "WatchdogTimestampMonotonic")
    serving.wait_until(lambda: serving.shows("clfd", "WatchdogTimestampMonotonic") != pings)
    serving.run("systemctl kill --signal=STOP --kill-who=main clfd")
    serving.wait_until(lambda: serving.shows("clfd", "ActiveState,NRestarts") == "1\nactive")
    assert "Watchdog timeout" in serving.journal("clfd")
    serving.drop("a.wav")
    assert serving.wait_for(1)["a.wav"]["status"] == "done"


def test_a_daemon_with_nothing_to_do_is_not_taken_for_a_hung_one(serving: ServiceBox) -> None:
    serving.run("systemctl stop clfd")
    serving.drop_in("soon", "[Service]\nWatchdogSec=3\n")
    serving.start()
    seen = {serving.shows("clfd", "WatchdogTimestampMonotonic")}
    while len(seen) < 6:  # each within half of WatchdogSec=, or it would be stopped
        serving.wait_until(lambda: serving.shows("clfd", "WatchdogTimestampMonotonic") not in seen)
        seen.add(serving.shows("clfd", "WatchdogTimestampMonotonic"))
    assert serving.shows("clfd", "NRestarts") == "0"


def test_a_bad_setting_is_told_by_systemctl_status_and_waits_for_a_person(box: ServiceBox) -> None:
    box.start()
    box.run("systemctl stop clfd")
    box.write(f"{HOME}/clfd.toml", "[engine]\ndevise = 'cpu'\n")
    assert box.run("systemctl start clfd", check=False).returncode
    assert (box.shows("clfd", "ActiveState"), box.shows("clfd", "NRestarts")) == ("failed", "0")
    box.wait_until(lambda: "is not started again" in box.last_words())
    printed = box.last_words()
    assert "did you mean engine.device?" in printed
    assert "its configuration is wrong" in printed
    assert "systemctl reset-failed clfd.service; systemctl start clfd.service" in printed


def test_what_fails_again_and_again_is_given_up_with_a_last_word(box: ServiceBox) -> None:
    box.drop_in(
        "failing",
        "[Unit]\nStartLimitBurst=3\n[Service]\nRestartSec=0\nExecStart=\nExecStart=/bin/false\n",
    )
    box.run("systemctl start clfd", check=False)
    box.wait_until(lambda: "is not started again" in box.last_words())
    assert "failed again and again" in box.last_words()
    assert box.shows("clfd", "ActiveState") == "failed"


def test_a_line_of_the_journal_is_an_event(serving: ServiceBox) -> None:
    serving.write(f"{HOME}/inbox/broken.wav", "<html>404</html>")
    serving.drop("sound.wav")
    serving.wait_for(2)
    serving.run("systemctl stop clfd")
    message = serving.journal("clfd")
    assert message.count("broken.wav") == 1
    assert "serving checkpoint" in message
    assert "stopped: 1 done, 1 failed, 0 pending" in message
    assert "Traceback" not in message
