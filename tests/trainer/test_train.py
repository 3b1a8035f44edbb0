"""Training gives way to a daemon on the same machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from storage.home.daemon_lock import DaemonLock
from storage.home.paths import Home
from storage.settings.schema import TrainingSettings
from trainer.train import lower_priority


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home; the number of threads is put back afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    home = Home(tmp_path)
    home.create()
    yield home
    torch.set_num_threads(threads)


@pytest.fixture
def priorities(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the priority was set to; it cannot be raised again, so these tests do not lower it."""
    asked: list[int] = []
    monkeypatch.setattr(os, "setpriority", lambda which, who, priority: asked.append(priority))
    return asked


def test_all_threads_are_taken_where_no_daemon_runs(home: Home, priorities: list[int]) -> None:
    lower_priority(home, TrainingSettings())
    assert torch.get_num_threads() == 4


def test_half_of_them_while_a_daemon_serves_the_home(home: Home, priorities: list[int]) -> None:
    with DaemonLock.acquire(home):
        lower_priority(home, TrainingSettings())
    assert torch.get_num_threads() == 2


def test_a_setting_says_how_many_threads(home: Home, priorities: list[int]) -> None:
    with DaemonLock.acquire(home):
        lower_priority(home, TrainingSettings(threads=3))
    assert torch.get_num_threads() == 3


def test_the_priority_is_lowered_by_a_setting(home: Home, priorities: list[int]) -> None:
    lower_priority(home, TrainingSettings(nice=19))
    assert priorities == [19]


def test_a_priority_that_is_lower_already_stays(
    home: Home, priorities: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpriority", lambda which, who: 15)
    lower_priority(home, TrainingSettings(nice=10))
    assert priorities == [15]
