"""`clfd classify` says of named files what `clfd results` says of those in an inbox."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from house import House
from swapped_folders import put_link_in_place_of, rights_of_an_ordinary_user

from classifier.inference.scoring_process import (
    RemotePredictor,
    ScoringProcessDied,
    ScoringProcesses,
)
from classifier.model.starter import starter_name
from daemon.errors import DaemonError
from daemon.pipeline import classify_files
from daemon.pipeline.classify_files import classify_frame, classify_paths
from storage.errors import StorageError, UnknownFormat
from storage.home.paths import Home
from storage.queries.result import COLUMNS
from storage.settings.loading import load_settings

Classify = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def card(tmp_path: Path, audio_file: Callable[..., Path]) -> Path:
    """A recorder's card: one recording in a folder, and one that a program has written."""
    sound = audio_file()
    card = tmp_path / "card"
    for name in ("yard/20260131_120000.wav", "yard/preview_a.wav"):
        (card / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sound, card / name)
    return card


@pytest.fixture
def classify(make_house: Callable[[], House], capsys: pytest.CaptureFixture[str]) -> Classify:
    home = make_house().home

    def classify(path: Path, **changed: object) -> list[dict[str, Any]]:
        wanted = {key.replace("__", "."): value for key, value in changed.items()}
        settings = load_settings(home, wanted, environ={})
        classify_paths(home, settings, [path], "active", "json", None, show_progress=False)
        found: list[dict[str, Any]] = json.load(io.StringIO(capsys.readouterr().out))
        return found

    return classify


def test_every_column_has_what_is_known(classify: Classify, card: Path) -> None:
    found = classify(card, results__time_zone="UTC", intake__ignore=["preview_*"])
    (row,) = found
    assert list(row) == [*COLUMNS, "scores"]
    assert row["path"] == f"{card}/yard/20260131_120000.wav"
    assert (row["site"], row["channels"]) == ("yard", 1)
    assert row["recorded_at"] == "2026-01-31T12:00:00.000Z"
    assert row["rms_dbfs"] <= row["peak_dbfs"] <= 0.0
    assert row["clipped"] == 0.0
    assert row["inbox"] is None
    assert row["scores"][row["label"]] == row["confidence"]
    assert np.isclose(sum(row["scores"].values()), 1.0, atol=1e-4)


def test_a_network_that_kills_its_process_is_told_in_a_line(
    classify: Classify, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = ScoringProcesses.load

    def load_and_die(scoring: ScoringProcesses, file: Path) -> RemotePredictor:
        predictor = load(scoring, file)
        os.kill(scoring.pid, signal.SIGKILL)
        return predictor

    monkeypatch.setattr(ScoringProcesses, "load", load_and_die)
    with pytest.raises(ScoringProcessDied, match="has died; see the system's log") as end:
        classify(card)
    assert end.value.exit_code == 1


def test_a_frame_has_what_the_command_prints(
    make_house: Callable[[], House], capsys: pytest.CaptureFixture[str], card: Path
) -> None:
    home = make_house().home
    frame = classify_frame([card, card / "yard/preview_a.wav"], home.root, scores=True)
    classify_paths(home, load_settings(home), [card], "active", "json", None, False)
    printed = json.loads(capsys.readouterr().out)
    assert list(frame.path) == [row["path"] for row in printed]
    assert list(frame.confidence) == [row["confidence"] for row in printed]
    assert frame.recorded_at.dt.tz is not None
    scores = frame[[name for name in frame if name.startswith("score_")]]
    assert np.allclose(scores.sum(axis=1), 1.0, atol=1e-4)


def test_a_frame_says_which_file_is_not_there(
    make_house: Callable[[], House], tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.wav"):
        classify_frame(tmp_path / "gone.wav", make_house().home.root)


def test_an_unsure_answer_is_unknown(
    classify: Classify, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = classify_files._outcomes

    def unsure(*args: Any) -> Iterator[Any]:
        return (replace(one, confidence=0.4, findings=None) for one in score(*args))

    monkeypatch.setattr(classify_files, "_outcomes", unsure)
    assert {row["label"] for row in classify(card, results__unknown_below=0.5)} == {"unknown"}


def test_ignored_files_of_a_folder_are_left_out(classify: Classify, card: Path) -> None:
    assert len(classify(card)) == 2
    assert len(classify(card, intake__ignore=["preview_*"])) == 1


def test_files_that_are_left_out_for_their_suffix_are_told(
    make_house: Callable[[], House], card: Path
) -> None:
    home, notes = make_house().home, list[str]()
    settings = load_settings(home, {}, environ={})
    (card / "memo.abc").write_bytes(b"x")
    classify_paths(home, settings, [card], "active", "json", None, False, notes.append)
    assert notes == ["1 file ignored: .abc"]
    with pytest.raises(DaemonError, match=r"no audio files in .* \(1 file ignored: \.abc\); name"):
        shutil.rmtree(card / "yard")
        classify_paths(home, settings, [card], "active", "json", None, False, notes.append)


def test_a_folder_that_becomes_a_link_before_the_decoding_leads_to_no_file(
    classify: Classify, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = classify_files._outcomes

    def exchange_first(*args: Any) -> Iterator[Any]:
        put_link_in_place_of(card / "yard")
        return score(*args)

    monkeypatch.setattr(classify_files, "_outcomes", exchange_first)
    assert {row["error"] for row in classify(card)} == {"the file was gone before it could be read"}


def test_files_that_cannot_be_looked_at_are_told(classify: Classify, card: Path) -> None:
    (card / "yard").chmod(0o644)
    with (
        rights_of_an_ordinary_user(),
        pytest.raises(DaemonError, match=r"files not seen: 2; yard/.* change the permissions"),
    ):
        classify(card)
    (card / "yard").chmod(0o755)


def test_a_named_file_is_taken_whatever_is_ignored(classify: Classify, card: Path) -> None:
    assert len(classify(card / "yard/preview_a.wav", intake__ignore=["preview_*"])) == 1


def test_a_file_of_a_format_that_is_no_text_is_refused_before_any_work(
    make_house: Callable[[], House], card: Path
) -> None:
    home = make_house().home
    with pytest.raises(UnknownFormat, match=r"answers\.parquet asks for a format"):
        classify_paths(
            home,
            load_settings(home, {}, environ={}),
            [card],
            "active",
            None,
            Path("answers.parquet"),
            False,
        )


def test_without_a_home_the_starter_answers_and_nothing_is_left_behind(
    tmp_path: Path, audio_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    home, notes = Home(tmp_path / "none"), list[str]()
    settings, sound = load_settings(home, {}, environ={}), audio_file()
    classify_paths(home, settings, [sound], "active", "json", None, False, notes.append)
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["status"], row["checkpoint"]) == ("done", starter_name())
    assert notes[0].startswith(f"no home at {home.root}: the starter that comes with clfd answers")
    assert not home.root.exists()


def test_a_home_without_a_checkpoint_gets_no_answer_of_the_starter(
    tmp_path: Path, audio_file: Callable[..., Path]
) -> None:
    home = Home(tmp_path / "home")
    home.create()
    with pytest.raises(StorageError, match="no checkpoint is active"):
        classify_paths(
            home, load_settings(home, {}, environ={}), [audio_file()], "active", "json", None, False
        )


def test_a_failure_is_told_once_in_its_row_and_counted(
    make_house: Callable[[], House],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    home, notes, bad = make_house().home, list[str](), tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    settings = load_settings(home, {}, environ={})
    classify_paths(home, settings, [bad], "active", "json", None, False, notes.append)
    assert capsys.readouterr().out.count("not an audio file") == 1
    assert caplog.text == ""
    assert notes == ["1 of 1 file failed; the column `error` says why"]


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_scored(
    make_house: Callable[[], House], card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(classify_files, "_outcomes", score)
    home, file = make_house().home, card / "no folder" / "a.csv"
    with pytest.raises(StorageError, match=f"cannot write {file}: No such file or directory; name"):
        classify_paths(
            home, load_settings(home, {}, environ={}), [card], "active", None, file, False
        )
