"""The example of `clfd run --test-hook`, and the examples of docs/alerts.md, as they arrive."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hook_receivers import Receiver, running_receiver
from house import house_settings
from ledger_rows import RAIN, SIREN, add_clips

from daemon.commands.run import run
from daemon.errors import HookTestFailed
from daemon.hooks.dispatcher import _hook
from daemon.hooks.example import send_examples
from daemon.hooks.targets import targets_of
from storage.commands.context import Invocation
from storage.database.engine import open_database
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger
from storage.queries.result import COLUMNS
from storage.settings.schema import Settings
from storage.values.alert import Alert

PAGE = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text(encoding="utf-8")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    home.root.chmod(0o2750)
    return home


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


def typed(home: Home, *words: str) -> Result:
    return CliRunner().invoke(run, ["--test-hook", *words], obj=Invocation(home.root))


def write_settings(home: Home, hooks: Mapping[str, object]) -> None:
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in hooks.items()]
    home.settings_file.write_text("[hooks]\n" + "".join(lines))
    home.settings_file.chmod(0o640)


@pytest.mark.parametrize("per", ["recording", "clip"])
def test_an_example_is_marked_as_a_test_in_body_and_header(
    home: Home, receiver: Receiver, per: str
) -> None:
    write_settings(home, {"url": receiver.url, "per": per})
    printed = typed(home)
    assert (printed.exit_code, printed.stderr) == (0, "hook url took the example\n")
    body = json.loads(receiver.bodies[0])
    assert (body["label"], body["test"]) == ("test", True)
    assert receiver.headers[0]["Clfd-Test"] == "true"
    keys = {
        "recording": {"id", *COLUMNS, "scores", "test"},
        "clip": {field.name for field in fields(Alert)},
    }
    assert set(body) == keys[per]


def test_a_refusal_is_the_answer_in_a_line(home: Home, receiver: Receiver) -> None:
    write_settings(home, {"url": f"{receiver.url}/403"})
    refused = typed(home)
    assert isinstance(refused.exception, HookTestFailed)
    assert re.fullmatch(r"hook url: 127.0.0.1:\d+ answers 403 Forbidden", str(refused.exception))
    assert refused.exception.exit_code == 1


def test_each_hook_is_tried_whatever_the_one_before_it_says(home: Home, receiver: Receiver) -> None:
    write_settings(
        home, {"command": [sys.executable, "-c", "raise SystemExit('no')"], "url": receiver.url}
    )
    refused = typed(home)
    assert "hook command: ended with exit status 1: no" in str(refused.exception)
    assert refused.stderr == "hook url took the example\n"


def test_without_a_hook_there_is_nothing_to_test(home: Home) -> None:
    assert "set hooks.command or hooks.url" in str(typed(home).exception)


def test_a_test_is_no_run(home: Home) -> None:
    assert typed(home, "--once").exit_code == 2


# --- the examples of the page


def settings_of(home: Home, heading: str, **in_place: object) -> tuple[Mapping[str, Any], Settings]:
    """Those that stand below a heading of the page, some of them replaced."""
    found = re.search(rf"^## {heading}$.*?^```toml\n(.*?)^```$", PAGE, re.M | re.S)
    assert found
    hooks = tomllib.loads(found[1])["hooks"] | in_place
    write_settings(home, hooks)
    return hooks, house_settings(home)


def ring(home: Home, settings: Settings) -> None:
    """Four seconds of siren in a minute of rain, and a name that would add a header to a mail."""
    (name, target), *_ = targets_of(home, settings.hooks).items()
    with (
        open_ledger(settings.database, "daemon") as ledger,
        open_database(settings.database, "reader") as reader,
    ):
        hook = _hook(home, settings, name, target, reader)
        path = "yard/a\nBcc: all.wav"
        add_clips(ledger, path, [*[RAIN] * 5, SIREN, RAIN], recorded_at="2026-03-01T06:00:00Z")
        while not hook.step():
            pass
        assert hook.fault is None


def test_slack_gets_a_text_in_json(home: Home, receiver: Receiver) -> None:
    _, settings = settings_of(home, "Slack", url=receiver.url)
    ring(home, settings)
    (body,) = map(json.loads, receiver.bodies)
    assert list(body) == ["text"]
    assert body["text"].startswith("siren at yard, 2026-03-01T06:00:25.000Z (0.88). ")
    assert "from 25.0 to 30.0 s; 0 held back" in body["text"]


def test_ntfy_gets_a_text_with_headers(home: Home, receiver: Receiver) -> None:
    hooks, settings = settings_of(home, "ntfy", url=receiver.url)
    ring(home, settings)
    assert receiver.bodies[0].startswith(b"siren at yard, 2026-03-01T06:00:25.000Z (0.88)\n")
    (headers,) = receiver.headers
    assert [f"{name}: {headers[name]}" for name in ("Title", "Priority", "Tags")] == hooks[
        "headers"
    ][:3]
    assert headers["Authorization"] == "Bearer tk_0123"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"


def test_sendmail_gets_a_mail(home: Home, tmp_path: Path) -> None:
    sent, sendmail = tmp_path / "sent", tmp_path / "sendmail"
    sendmail.write_text(f'#!/bin/sh\n[ "$*" = "-t -i" ] && cat > {sent}\n')
    sendmail.chmod(0o755)
    _, settings = settings_of(home, "Mail", command=[str(sendmail), "-t", "-i"])
    ring(home, settings)
    mail = message_from_bytes(sent.read_bytes(), policy=default)
    assert dict(mail.items()) == {
        "To": "ranger@example.org",
        "Subject": "siren at yard",
        "Content-Type": 'text/plain; charset="utf-8"',
    }
    first, second, *_ = mail.get_content().splitlines()
    assert first == "siren at yard, 2026-03-01T06:00:25.000Z (0.88)"
    assert second.startswith(r"yard/a\nBcc: all.wav from 25.0 to 30.0 s")


@pytest.mark.parametrize("heading", ["Slack", "ntfy", "Mail"])
def test_an_example_tries_out_each_of_them(home: Home, receiver: Receiver, heading: str) -> None:
    in_place = {"command": ["cat"]} if heading == "Mail" else {"url": receiver.url}
    _, settings = settings_of(home, heading, **in_place)
    assert len(list(send_examples(home, settings))) == 1
    assert all(b"test at test" in body for body in receiver.bodies)


def test_the_page_names_the_fields_of_an_alert() -> None:
    table = PAGE.split("| field | |\n", 1)[1].split("\n\n", 1)[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.M)
    assert named == [field.name for field in fields(Alert)]
