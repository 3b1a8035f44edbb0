"""Checkpoints through the page: what the commands say and do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from in_process import Commands
from page_client import page_of
from starlette.testclient import TestClient

from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home

OLD, NEW = "20260130T120000Z-00000001", "20260131T120000Z-00000002"


@pytest.fixture
def folder(home: Home, checkpoint_file: Path, second_checkpoint: Path) -> CheckpointFolder:
    """Two checkpoints, of which the old one is active."""
    folder = CheckpointFolder(home.checkpoints)
    shutil.copyfile(checkpoint_file, folder.path(OLD))
    shutil.copyfile(second_checkpoint, folder.path(NEW))
    folder.activate(OLD)
    return folder


@pytest.fixture
def page(folder: CheckpointFolder, commands: Commands, page: TestClient) -> TestClient:
    return page


def states(page: TestClient) -> dict[str, str | None]:
    found = page.get("/api/v1/checkpoints").json()
    return {one["checkpoint"]: one["state"] for one in found}


def test_the_list_is_that_of_the_command_with_what_serves(page: TestClient) -> None:
    found = page.get("/api/v1/checkpoints").json()
    assert [(one["checkpoint"], one["state"]) for one in found] == [(NEW, None), (OLD, "active")]
    assert [(one["labels"], one["served"], one["has_report"]) for one in found] == [
        (3, False, False)
    ] * 2


def test_a_damaged_one_says_why_it_is_refused(page: TestClient, folder: CheckpointFolder) -> None:
    folder.path(NEW).write_bytes(b"no checkpoint")
    refused = {one["checkpoint"]: one["refused"] for one in page.get("/api/v1/checkpoints").json()}
    assert NEW in str(refused[NEW])
    assert refused[OLD] is None


def test_the_command_is_asked_once_until_something_changes(
    page: TestClient, commands: Commands
) -> None:
    for _ in range(3):
        states(page)
    assert commands.names == ["checkpoints list"]
    page.post(f"/api/v1/checkpoints/{NEW}/activate")
    states(page)
    assert commands.names == ["checkpoints list", "checkpoints activate", "checkpoints list"]


def test_one_is_activated_and_rolled_back(page: TestClient) -> None:
    told = page.post(f"/api/v1/checkpoints/{NEW}/activate").json()
    assert told == {"lines": [f"{NEW} is active now; `clfd checkpoints rollback` undoes it"]}
    assert states(page) == {NEW: "active", OLD: "previous"}
    page.post("/api/v1/checkpoints/rollback")
    assert states(page) == {NEW: "previous", OLD: "active"}


def test_a_refusal_is_the_command_s_own_sentence(page: TestClient) -> None:
    answer = page.post("/api/v1/checkpoints/rollback")
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("no checkpoint is previous")


@pytest.mark.parametrize("name", ["--help", "..", "%2e%2e%2fclfd.db", "a%00", "x" * 5000, "ä"])
def test_what_is_no_name_goes_to_no_command(
    page: TestClient, commands: Commands, name: str
) -> None:
    answers = [
        page.get(f"/api/v1/checkpoints/{name}"),
        page.post(f"/api/v1/checkpoints/{name}/activate"),
        page.get(f"/api/v1/compare?a={name}&b=active"),
    ]
    assert {answer.status_code for answer in answers} <= {404, 405}
    assert commands.names == []


def test_two_trainings_stand_side_by_side(page: TestClient) -> None:
    found = page.get(f"/api/v1/compare?a=active&b={NEW}&training=true").json()
    assert (found["a"]["checkpoint"], found["different"]) == (OLD, ["checkpoint", "digest"])


def test_a_fact_that_is_no_number_is_null(
    page: TestClient, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.answers["checkpoints show"] = json.dumps({"loss": float("nan")})
    assert page.get(f"/api/v1/checkpoints/{NEW}").json() == {"loss": None}


def test_a_report_is_shown_in_a_sandbox(page: TestClient, home: Home) -> None:
    (home.reports / NEW).mkdir()
    (home.reports / NEW / "report.html").write_text("<script>alert(1)</script>")
    answer = page.get(f"/api/v1/checkpoints/{NEW}/report")
    assert answer.text == "<script>alert(1)</script>"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script" not in policy


def test_a_report_that_is_a_link_is_none(page: TestClient, home: Home, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (home.reports / NEW).mkdir()
    (home.reports / NEW / "report.html").symlink_to(tmp_path / "secret")
    assert page.get(f"/api/v1/checkpoints/{NEW}/report").status_code == 404


def test_a_page_that_only_shows_activates_nothing(
    home: Home, folder: CheckpointFolder, ledger: object
) -> None:
    with page_of(home, read_only=True) as page:
        assert page.post(f"/api/v1/checkpoints/{NEW}/activate").status_code in (404, 405)
    assert folder.active() == OLD
