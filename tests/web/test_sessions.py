"""A link begins one session, and a session lasts a month."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.home.paths import Home
from storage.values.users import current_user
from web.server.sessions import LINK_SECONDS, SESSION_SECONDS, Session, Sessions


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        import time

        return time.time() + self.ahead


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(home: Home, clock: Clock) -> Sessions:
    return Sessions(home, clock)


def test_a_link_begins_the_session_of_whoever_made_it(sessions: Sessions) -> None:
    begun = sessions.begin(sessions.new_link())
    assert begun is not None
    secret, session = begun
    assert sessions.of(secret) == session
    assert session.author == current_user()


def test_a_link_works_once(sessions: Sessions) -> None:
    code = sessions.new_link()
    assert sessions.begin(code) is not None
    assert sessions.begin(code) is None


@pytest.mark.parametrize("code", ["", "nothing", "../sessions", "a" * 10_000])
def test_what_is_no_link_begins_nothing(sessions: Sessions, code: str) -> None:
    sessions.new_link()
    assert sessions.begin(code) is None


def test_a_link_of_an_hour_ago_begins_nothing(sessions: Sessions, clock: Clock) -> None:
    code = sessions.new_link()
    clock.ahead = LINK_SECONDS + 5
    assert sessions.begin(code) is None


def test_a_session_ends_after_a_month_or_when_it_is_ended(sessions: Sessions, clock: Clock) -> None:
    secret, session = sessions.new_session("ada")
    other, _ = sessions.new_session("bob")
    sessions.end(session)
    assert sessions.of(secret) is None
    assert sessions.of(other) is not None
    clock.ahead = SESSION_SECONDS + 5
    assert sessions.of(other) is None


def test_the_files_do_not_hold_the_secrets(home: Home, sessions: Sessions) -> None:
    secrets = [sessions.new_link(), sessions.new_session("ada")[0]]
    files = [file for file in home.web.rglob("*") if file.is_file()]
    assert len(files) == 2
    kept = "".join(f"{file}{file.read_text()}" for file in files)
    assert [secret for secret in secrets if secret in kept] == []


def test_old_files_go(home: Home, sessions: Sessions, clock: Clock) -> None:
    sessions.new_link()
    clock.ahead = LINK_SECONDS + 5
    sessions.new_link()
    assert len(list(home.web.joinpath("links").iterdir())) == 1


def test_a_session_of_a_proxy_has_nothing_to_end(sessions: Sessions) -> None:
    secret, session = sessions.new_session("ada")
    sessions.end(Session("", "bob"))
    assert sessions.of(secret) == session
