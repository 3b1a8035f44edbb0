"""A file up, its answer down: by a process of its own, and without a trace."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from page_client import page_of
from starlette.testclient import TestClient

from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from web.server.guard import MAX_UPLOAD_BYTES
from web.server.problems import Problem

NAME = "20260131T120000Z-00000001"
CLASSIFY = "/api/v1/classify"


@pytest.fixture(autouse=True)
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where temporary files are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def page(home: Home, checkpoint_file: Path) -> Iterator[TestClient]:
    """Of a home without a ledger."""
    folder = CheckpointFolder(home.checkpoints)
    shutil.copyfile(checkpoint_file, folder.path(NAME))
    folder.activate(NAME)
    with page_of(home) as client:
        yield client


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """In place of the process: the words of the command."""
    words: list[str] = []

    def output_of(_: Home, asked: list[str], *__: object) -> str:
        words.extend(asked)
        return '[{"path": "x", "label": "dog"}]'

    monkeypatch.setattr("web.api.control.classify_api.output_of", output_of)
    yield words


def test_the_answer_is_that_of_the_command(
    page: TestClient, audio_file: Callable[..., Path], scratch: Path
) -> None:
    sound = audio_file().read_bytes()
    answer = page.post(CLASSIFY, params={"name": "../tone.wav"}, content=sound).json()
    assert (answer["path"], answer["status"], answer["checkpoint"]) == ("../tone.wav", "done", NAME)
    assert answer["label"] in ("bell", "dog", "rain")
    assert list(scratch.iterdir()) == []


def test_what_is_no_sound_gets_the_reason(page: TestClient, scratch: Path) -> None:
    answer = page.post(CLASSIFY, content=b"<html>").json()
    assert (answer["status"], "not an audio file" in answer["error"]) == ("failed", True)
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.ogg", ".ogg"), ("../../x.wav/..", ""), ("a.w\0v", ""), ("a.wav; ls", ""), ("-o", "")],
)
def test_a_name_is_never_a_path(
    page: TestClient, asked: list[str], scratch: Path, name: str, suffix: str
) -> None:
    assert page.post(CLASSIFY, params={"name": name}, content=b"x").json()["path"] == name
    file = Path(asked[1])
    assert (file.name, file.parent.parent) == (f"sound{suffix}", scratch)


def test_the_file_goes_when_the_command_fails(
    page: TestClient, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise Problem(503, "it takes too long")

    monkeypatch.setattr("web.api.control.classify_api.output_of", fail)
    assert page.post(CLASSIFY, content=b"x").status_code == 503
    assert list(scratch.iterdir()) == []


def test_a_second_file_waits(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ends = threading.Event(), threading.Event()

    def output_of(*_: object) -> str:
        begun.set()
        assert ends.wait(20)
        return "[{}]"

    monkeypatch.setattr("web.api.control.classify_api.output_of", output_of)
    first = threading.Thread(target=page.post, args=(CLASSIFY,), kwargs={"content": b"x"})
    first.start()
    assert begun.wait(20)
    answer = page.post(CLASSIFY, content=b"y")
    ends.set()
    first.join()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert page.post(CLASSIFY, content=b"z").status_code == 200


@pytest.mark.parametrize("is_told", [True, False])
def test_a_file_over_the_limit_is_refused_and_leaves_nothing(
    page: TestClient, asked: list[str], scratch: Path, is_told: bool
) -> None:
    piece = bytes(2**20)
    n_pieces = MAX_UPLOAD_BYTES // len(piece) + 1
    headers = {"Content-Length": str(MAX_UPLOAD_BYTES + 1)} if is_told else {}
    content = b"" if is_told else (piece for _ in range(n_pieces))
    answer = page.post(CLASSIFY, content=content, headers=headers)
    assert (answer.status_code, asked, list(scratch.iterdir())) == (413, [], [])
