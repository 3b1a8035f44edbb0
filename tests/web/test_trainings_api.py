"""Trainings that the page starts: one at a time, seen while they run, and stopped as by Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from in_process import Commands
from page_client import page_of
from starlette.testclient import TestClient

from storage.home.paths import Home
from storage.trainings.training_folder import all_trainings

# In place of `clfd train`: says that it has begun, and waits for a signal.
TRAINS = """
import os, sys, time
from socket import gethostname
from pathlib import Path
from storage.trainings.training_folder import TrainingFolder
from storage.trainings.training_progress import ProgressFile, TrainingProgress
folder = Path(next(w for w in sys.argv if w.startswith("--folder=")).partition("=")[2])
print(*sys.argv[1:], flush=True)
now = "2026-01-31T12:00:00.000Z"
began = TrainingProgress(began_at=now, pid=os.getpid(), host=gethostname())
progress = ProgressFile(TrainingFolder(folder).progress_file, began, print)
try:
    time.sleep(60)
except KeyboardInterrupt:
    progress.update(state="stopped")
"""


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, home: Home) -> Iterator[None]:
    """`clfd train` as a process that does nothing, and is ended with the test."""

    def command(_: Home, words: list[str]) -> list[str]:
        return [sys.executable, "-c", TRAINS, *words]

    monkeypatch.setattr("web.server.training_starts.command", command)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    yield
    for training in all_trainings(home):
        if training.is_running() and (pid := wait_for(lambda t=training: t.progress().pid)):
            os.kill(pid, 9)
            wait_for(lambda t=training: not t.is_running())


@pytest.fixture
def labelled(page: TestClient, commands: Commands, trained: None) -> TestClient:
    """A page with one label to learn from."""
    commands.answers["labels export"] = "1 labels"
    return page


def begun(page: TestClient, **options: object) -> str:
    """The training's id, when it has begun."""
    id = str(page.post("/api/v1/trainings", json=options).json()["id"])
    assert wait_for(lambda: training(page, id)["pid"])
    return id


def training(page: TestClient, id: str) -> dict[str, Any]:
    found: dict[str, Any] = page.get(f"/api/v1/trainings/{id}").json()
    return found


def wait_for(ask: Callable[[], object], seconds: float = 20.0) -> object:
    deadline = time.monotonic() + seconds
    while not (found := ask()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_a_training_is_seen_from_its_first_moment(labelled: TestClient) -> None:
    id = labelled.post("/api/v1/trainings", json={}).json()["id"]
    (shown,) = labelled.get("/api/v1/trainings").json()["items"]
    assert (shown["id"], shown["state"]) == (id, "running")


def test_its_options_are_those_of_the_command(labelled: TestClient) -> None:
    options = {"epochs": 3, "start": "active", "task": "multi", "precision": 0.9}
    id = begun(labelled, **options, promote="never", skip_bad=True)
    log = labelled.get(f"/api/v1/trainings/{id}/log").text
    words = "--epochs=3 --from=active --task=multi --precision=0.9 --promote=never --skip-bad"
    assert words in log


def test_it_outlives_the_page(home: Home, labelled: TestClient) -> None:
    pid = training(labelled, begun(labelled))["pid"]
    assert os.getsid(pid) == pid
    with page_of(home) as another:
        assert another.get("/api/v1/trainings").json()["items"][0]["state"] == "running"


def test_a_second_one_is_refused_while_it_runs(labelled: TestClient) -> None:
    id = begun(labelled)
    answer = labelled.post("/api/v1/trainings", json={})
    assert answer.status_code == 409
    assert answer.json()["detail"] == f"training {id} runs; wait for it, or stop it first"


def test_it_is_stopped_as_by_ctrl_c(labelled: TestClient) -> None:
    id = begun(labelled)
    assert labelled.delete(f"/api/v1/trainings/{id}").status_code == 202
    assert wait_for(lambda: training(labelled, id)["state"] == "stopped")
    assert training(labelled, id)["error"] is None
    assert labelled.delete(f"/api/v1/trainings/{id}").status_code == 409


def test_one_that_is_killed_does_not_run_any_more(labelled: TestClient) -> None:
    id = begun(labelled)
    os.kill(training(labelled, id)["pid"], signal.SIGKILL)
    assert wait_for(lambda: training(labelled, id)["state"] == "stopped")
    assert training(labelled, id)["error"] == "it was killed"


def test_without_a_label_nothing_is_trained(labelled: TestClient, commands: Commands) -> None:
    commands.answers["labels export"] = "0 labels"
    answer = labelled.post("/api/v1/trainings", json={})
    assert (answer.status_code, "no label to train from" in answer.json()["detail"]) == (409, True)
    assert labelled.get("/api/v1/trainings").json()["items"] == []


def test_where_a_service_waits_for_labels_the_page_only_writes_them(
    home: Home, labelled: TestClient
) -> None:
    file = home.root / "labels" / "labels.csv"
    with page_of(home, labels_file=file) as page:
        started = page.post("/api/v1/trainings", json={}).json()
        shown = page.get("/api/v1/trainings").json()
    assert (started["id"], "clfd-train.path" in started["lines"][-1]) == (None, True)
    assert shown == {"labels_file": str(file), "items": []}


@pytest.mark.parametrize(
    "options",
    [{"epochs": 0}, {"epochs": "1; ls"}, {"start": "/etc/passwd"}, {"precision": 1}, {"task": "x"}],
)
def test_options_that_make_no_sense_start_nothing(
    labelled: TestClient, options: dict[str, object]
) -> None:
    assert labelled.post("/api/v1/trainings", json=options).status_code == 422
    assert labelled.get("/api/v1/trainings").json()["items"] == []


def test_a_page_that_only_shows_starts_and_stops_nothing(home: Home, labelled: TestClient) -> None:
    id = begun(labelled)
    with page_of(home, read_only=True) as page:
        answers = page.post("/api/v1/trainings", json={}), page.delete(f"/api/v1/trainings/{id}")
        assert [answer.status_code for answer in answers] == [405, 405]
    assert training(labelled, id)["state"] == "running"
