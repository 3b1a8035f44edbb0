"""Pausing, scanning, retrying and rescoring through the page."""

from __future__ import annotations

import pytest
from in_process import Commands
from sqlalchemy import select
from starlette.testclient import TestClient

from storage.database.tables import recording
from storage.home.paths import Home
from storage.ledger.ledger import Ledger

pytestmark = pytest.mark.usefixtures("commands")


def failed(page: TestClient) -> dict[str, int]:
    """Numbers by path."""
    rows = page.get("/api/v1/recordings", params={"status": "failed"}).json()["items"]
    return {one["path"]: one["id"] for one in rows}


def retried(ledger: Ledger) -> list[str]:
    with ledger.database.transaction() as connection:
        rows = connection.execute(select(recording.c.path_text, recording.c.requeued))
        return [path for path, purpose in rows if purpose == "retry"]


def test_the_intake_is_paused_and_resumed(page: TestClient, home: Home) -> None:
    told = page.post("/api/v1/daemon/pause").json()
    assert "is held now" in told["lines"][0]
    assert home.pause_file.exists()
    page.post("/api/v1/daemon/resume")
    assert not home.pause_file.exists()


def test_a_scan_says_what_a_run_would_take(page: TestClient, home: Home) -> None:
    (home.inbox / "new.wav").write_bytes(b"RIFF")
    lines = page.post("/api/v1/daemon/scan").json()["lines"]
    assert any("new.wav" in line for line in lines)


def test_without_a_daemon_nothing_is_reloaded(page: TestClient) -> None:
    answer = page.post("/api/v1/daemon/reload")
    assert (answer.status_code, "no daemon runs" in answer.json()["detail"]) == (409, True)


def test_what_failed_is_tried_again_by_filters(page: TestClient, ledger: Ledger) -> None:
    told = page.post("/api/v1/retry", json={"filters": {"path": "yard/*"}}).json()
    assert told == {"lines": ["queued 1 again"]}
    assert retried(ledger) == ["yard/bad.wav"]


def test_what_failed_is_tried_again_by_number(page: TestClient, ledger: Ledger) -> None:
    page.post("/api/v1/retry", json={"ids": [failed(page)["bad.wav"]]})
    assert retried(ledger) == ["bad.wav"]


@pytest.mark.parametrize("body", [{}, {"ids": [10**6]}, {"filters": {"path": "none/*"}}])
def test_nothing_that_fits_is_told(page: TestClient, body: dict[str, object]) -> None:
    assert page.post("/api/v1/retry", json=body).status_code == 409


def test_a_recording_with_an_answer_is_not_retried(page: TestClient, ledger: Ledger) -> None:
    rows = page.get("/api/v1/recordings").json()["items"]
    answer = page.post("/api/v1/retry", json={"ids": [one["id"] for one in rows]})
    assert answer.status_code == 409


def test_answers_are_queued_for_another_score(page: TestClient, commands: Commands) -> None:
    told = page.post("/api/v1/rescore", json={"label": ["siren"]}).json()
    assert told["lines"][0] == "queued 1 again"
