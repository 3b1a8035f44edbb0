"""Telling a command or a URL, and what their answers mean."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hook_receivers import Receiver, running_receiver

from daemon.hooks.targets import CommandTarget, RefusedByTarget, TargetUnreachable, UrlTarget
from storage.errors import ConfigurationError, SettingsError
from storage.home.paths import Home
from storage.settings.loading import load_settings

RESULT = b'{"path": "a.wav"}'


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., CommandTarget]:
    """`command(program, seconds)`: a line of Python."""

    def make(program: str, seconds: float = 30.0) -> CommandTarget:
        return CommandTarget([sys.executable, "-c", program], seconds, tmp_path)

    return make


def test_a_command_gets_the_result_on_its_stdin(
    tmp_path: Path, command: Callable[..., CommandTarget]
) -> None:
    command("import sys; open('received', 'w').write(sys.stdin.read())").send(RESULT)
    assert (tmp_path / "received").read_bytes() == RESULT


def test_a_command_that_does_not_read_gets_it_all_the_same(
    command: Callable[..., CommandTarget],
) -> None:
    command("pass").send(b"x" * 2**20)


def test_a_command_that_fails_is_quoted(command: Callable[..., CommandTarget]) -> None:
    program = "import sys; print('no room\\nleft', file=sys.stderr); sys.exit(3)"
    with pytest.raises(RefusedByTarget, match="ended with exit status 3: no room left"):
        command(program).send(RESULT)


def test_of_many_words_the_last_are_quoted(command: Callable[..., CommandTarget]) -> None:
    program = "import sys; print('words ' * 10000 + 'at last', file=sys.stderr); sys.exit(1)"
    with pytest.raises(RefusedByTarget, match="at last") as error:
        command(program).send(RESULT)
    assert len(str(error.value)) < 400


def test_a_command_that_prints_without_end_fills_neither_memory_nor_disk(
    command: Callable[..., CommandTarget], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "no folder for files"))
    program = "import sys; [sys.stderr.write('x' * 2**16) for _ in range(500)]; sys.exit(1)"
    with pytest.raises(RefusedByTarget, match=r"x{300}$") as error:
        command(program).send(RESULT)
    assert len(str(error.value)) < 400


def test_a_command_that_leaves_a_writer_behind_is_not_waited_for(
    command: Callable[..., CommandTarget], tmp_path: Path
) -> None:
    program = (
        "import subprocess, sys; child = subprocess.Popen(['sleep', '1000'], stdin=-3);"
        "open('child', 'w').write(str(child.pid)); sys.exit('no room')"
    )
    with pytest.raises(RefusedByTarget, match="no room"):
        command(program).send(RESULT)
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_a_command_that_takes_too_long_is_killed_with_all_that_it_started(
    tmp_path: Path, command: Callable[..., CommandTarget]
) -> None:
    program = (
        "import subprocess, time;"
        "open('child', 'w').write(str(subprocess.Popen(['sleep', '1000']).pid)); time.sleep(1000)"
    )
    with pytest.raises(RefusedByTarget, match="took longer than 2 s and was killed"):
        command(program, 2.0).send(RESULT)
    assert ends(int((tmp_path / "child").read_text()))


def test_what_a_command_left_behind_with_its_stdin_is_killed_too(
    tmp_path: Path, command: Callable[..., CommandTarget]
) -> None:
    program = (
        "import subprocess, sys;"
        "child = subprocess.Popen(['sleep', '1000'], stdin=sys.stdin, stderr=subprocess.DEVNULL);"
        "open('child', 'w').write(str(child.pid))"
    )
    with pytest.raises(RefusedByTarget, match="took longer than 2 s and was killed"):
        command(program, 2.0).send(b"x" * 2**20)
    assert ends(int((tmp_path / "child").read_text()))


def ends(pid: int, seconds: float = 30.0) -> bool:
    """Whether the process is gone, or a zombie, before the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


def test_a_command_is_given_up_where_the_daemon_stops(
    command: Callable[..., CommandTarget],
) -> None:
    target = command("import time; time.sleep(1000)", 1000.0)
    began = time.monotonic()

    def abort() -> None:
        while target._process is None:
            time.sleep(0.01)
        target.abort()

    threading.Thread(target=abort).start()
    with pytest.raises(TargetUnreachable, match="stopped with the daemon"):
        target.send(RESULT)
    assert time.monotonic() - began < 60


def test_no_command_starts_once_the_daemon_stops(
    command: Callable[..., CommandTarget], tmp_path: Path
) -> None:
    target = command("open('started', 'w')")
    target.abort()
    with pytest.raises(TargetUnreachable, match="the daemon stops"):
        target.send(RESULT)
    assert not (tmp_path / "started").exists()


def test_a_command_hears_nothing_of_the_service_manager(
    tmp_path: Path, command: Callable[..., CommandTarget], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody")
    monkeypatch.setenv("WATCHDOG_USEC", "1")
    command("import json, os; json.dump(dict(os.environ), open('seen', 'w'))").send(RESULT)
    seen = json.loads((tmp_path / "seen").read_text())
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(seen)


def test_a_command_that_vanished_is_out_of_reach(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    target = CommandTarget([str(program)], 30.0, tmp_path)
    program.unlink()
    with pytest.raises(TargetUnreachable, match="cannot be started: No such file"):
        target.send(RESULT)


def test_a_command_is_a_name_or_a_whole_path() -> None:
    with pytest.raises(ConfigurationError, match="write its whole path"):
        CommandTarget(["./true"], 1.0)


def test_a_command_that_was_never_there_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"hooks\.command: there is no program") as refusal:
        CommandTarget([str(tmp_path / "none")], 30.0, tmp_path)
    assert refusal.value.exit_code == 78


# --- a URL


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_url_is_sent_the_result(receiver: Receiver, status: int) -> None:
    UrlTarget(f"{receiver.url}/{status}", 10).send(RESULT)
    assert receiver.bodies == [RESULT]
    assert receiver.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 422])
def test_these_answers_refuse_the_result(receiver: Receiver, status: int) -> None:
    with pytest.raises(RefusedByTarget, match=f"127.0.0.1:.* answers {status}"):
        UrlTarget(f"{receiver.url}/{status}", 10).send(RESULT)
    assert len(receiver.bodies) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_these_answers_say_later(receiver: Receiver, status: int) -> None:
    with pytest.raises(TargetUnreachable, match=f"answers {status}"):
        UrlTarget(f"{receiver.url}/{status}", 10).send(RESULT)


def test_nobody_there_is_out_of_reach_and_what_may_be_a_secret_is_not_shown() -> None:
    with running_receiver() as gone:
        pass
    with pytest.raises(TargetUnreachable, match=r"refused") as error:
        UrlTarget(f"{gone.url}/secret", 10).send(RESULT)
    assert "secret" not in str(error.value)


def test_headers_are_sent_and_take_the_place_of_our_own(receiver: Receiver) -> None:
    headers = {"content-type": "text/csv", "Authorization": "Bearer s", "Title": "Möwe"}
    UrlTarget(receiver.url, 10, headers).send(RESULT)
    (received,) = receiver.headers
    assert received.get_all("Content-Type") == ["text/csv"]
    assert received["Authorization"] == "Bearer s"
    assert received["Title"].encode("latin-1").decode() == "Möwe"


def test_a_command_is_not_told_the_secrets_of_a_url(
    tmp_path: Path, command: Callable[..., CommandTarget], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLFD_HOOKS__HEADERS", "Authorization: Bearer s")
    command("import json, os; json.dump(dict(os.environ), open('seen', 'w'))").send(RESULT)
    assert "CLFD_HOOKS__HEADERS" not in json.loads((tmp_path / "seen").read_text())


# --- settings


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "host/x", "http://", "http://me:secret@host/", "http://host/a b"]
)
def test_a_url_that_cannot_be_sent_to_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match=r"hooks\.url"):
        load_settings(Home(tmp_path), {"hooks.url": url}, environ={})


def test_one_text_is_a_command_with_its_arguments(tmp_path: Path) -> None:
    variables = {"CLFD_HOOKS__COMMAND": "notify-send --title 'a new sound'"}
    settings = load_settings(Home(tmp_path), environ=variables)
    assert settings.hooks.command == ("notify-send", "--title", "a new sound")


def test_a_quote_without_its_end_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"hooks\.command"):
        load_settings(Home(tmp_path), {"hooks.command": "say 'hello"}, environ={})
