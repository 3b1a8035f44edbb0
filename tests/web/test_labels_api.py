"""Labels through the page: written once, undone, and never over what somebody else said."""

from __future__ import annotations

from typing import Any

import pytest
from page_client import page_of
from starlette.testclient import TestClient

from storage.home.paths import Home


def recordings(page: TestClient, **query: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.get("/api/v1/recordings", params=query).json()["items"]
    return found


def event(number: int, digest: str, say: str = "label", **more: object) -> dict[str, object]:
    return {"id": f"event-{number:04d}", "digest": digest, "say": say, **more}


def write(page: TestClient, *events: dict[str, object]) -> dict[str, Any]:
    answer = page.post("/api/v1/labels", json={"events": events})
    assert answer.status_code == 200, answer.text
    outcome: dict[str, Any] = answer.json()
    return outcome


def human_label(page: TestClient, digest: str) -> object:
    (found,) = [one["human_label"] for one in recordings(page) if one["digest"] == digest]
    return found


@pytest.fixture
def digest(page: TestClient) -> str:
    return str(recordings(page)[0]["digest"])


def test_a_label_is_seen_in_results_and_undone(page: TestClient, digest: str) -> None:
    written = write(page, event(1, digest, label="owl"))
    assert human_label(page, digest) == "owl"
    ids = [one["id"] for one in written["written"]]
    page.post("/api/v1/labels/undo", json={"ids": ids})
    assert human_label(page, digest) is None


def test_an_event_that_comes_twice_is_written_once(page: TestClient, digest: str) -> None:
    first = write(page, event(1, digest, label="owl"))
    assert write(page, event(1, digest, label="owl"))["written"] == first["written"]


def test_undo_goes_back_step_by_step(page: TestClient, digest: str) -> None:
    for number, label in enumerate(("owl", "fox", "cat")):
        write(page, event(number, digest, label=label))
    seen = []
    for number in (2, 1, 0):
        page.post("/api/v1/labels/undo", json={"ids": [f"event-{number:04d}"]})
        seen.append(human_label(page, digest))
    assert seen == ["fox", "owl", None]


def test_two_people_at_one_sound_meet_in_a_conflict(
    page: TestClient, home: Home, digest: str
) -> None:
    with page_of(home, author="bob") as other:
        seen = page.get("/api/v1/queue").json()["items"][0]["seen"]
        write(other, event(1, digest, label="owl", seen=seen))
        outcome = write(page, event(2, digest, label="fox", seen=seen))
    assert outcome["written"] == []
    (conflict,) = outcome["conflicts"]
    assert (conflict["author"], conflict["label"]) == ("bob", "owl")
    assert conflict["mine"]["label"] == "fox"
    assert human_label(page, digest) == "owl"
    write(page, event(3, digest, label="fox", seen=conflict["number"]))
    assert human_label(page, digest) == "fox"


def test_what_somebody_else_said_since_is_not_undone(
    page: TestClient, home: Home, digest: str
) -> None:
    write(page, event(1, digest, label="owl"))
    with page_of(home, author="bob") as other:
        write(other, event(2, digest, label="fox"))
    undone = page.post("/api/v1/labels/undo", json={"ids": ["event-0001"]}).json()
    assert undone["written"] == [] and len(undone["conflicts"]) == 1
    assert human_label(page, digest) == "fox"


@pytest.mark.parametrize("say", ["not", "unsure"])
def test_what_nobody_can_tell_is_not_asked_again(page: TestClient, digest: str, say: str) -> None:
    label = {"label": "dog"} if say == "not" else {}
    write(page, event(1, digest, say, **label))
    for kind in ("suggested", "guess", "filter"):
        items = page.get("/api/v1/queue", params={"kind": kind}).json()["items"]
        assert items and digest not in [one["digest"] for one in items]
    assert human_label(page, digest) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"say": "label"},
        {"say": "label", "label": " "},
        {"say": "unsure", "label": "dog"},
        {"say": "label", "label": "dog", "start_s": 5, "end_s": 4},
        {"say": "label", "label": "dog", "start_s": -1},
        {"say": "shout", "label": "dog"},
        {"say": "label", "label": "dog", "digest": "../../etc/passwd"},
        {"say": "label", "label": "dog", "id": "x"},
        {"say": "label", "label": "do\ng"},
    ],
)
def test_an_event_that_makes_no_sense_is_refused(
    page: TestClient, digest: str, wrong: dict[str, object]
) -> None:
    answer = page.post("/api/v1/labels", json={"events": [event(1, digest) | wrong]})
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert human_label(page, digest) is None


def test_a_queue_gives_whole_short_recordings_and_the_surest_clip_of_long_ones(
    page: TestClient,
) -> None:
    items = page.get("/api/v1/queue", params={"kind": "filter"}).json()["items"]
    parts = {(one["part_start_s"], one["part_end_s"]) for one in items}
    assert parts <= {(0, 0), (0, 5), (5, 8)} and len(parts) > 1


def test_the_table_for_training_leaves_out_files_that_are_gone(
    page: TestClient, digest: str
) -> None:
    write(page, event(1, digest, label="owl"))
    table = page.get("/api/v1/labels.csv").text.splitlines()
    assert [line.split(",")[:2] for line in table] == [["path", "label"]]
