"""The note of what the daemon was trying when it was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.home.trial_file import TrialFile

NAME, OTHER = "20260102T030405Z-00000001", "20260203T030405Z-00000002"


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "trial.json"


def kill(note: Path, boot: str = "today", name: str = NAME) -> TrialFile:
    """What is on the disk after a kill in the middle of a try."""
    trials = TrialFile(note, lambda: boot)
    with trials.of(name):
        left = note.read_bytes()
    note.write_bytes(left)
    return trials


def test_a_try_that_ended_leaves_nothing(note: Path) -> None:
    trials = TrialFile(note)
    with pytest.raises(KeyboardInterrupt), trials.of(NAME):
        raise KeyboardInterrupt
    assert (trials.n_kills(NAME), list(note.parent.iterdir())) == (0, [])


def test_a_killed_try_is_known_to_the_next_start(note: Path) -> None:
    kill(note)
    trials = TrialFile(note, lambda: "today")
    assert (trials.n_kills(NAME), trials.n_kills(OTHER)) == (1, 0)


def test_after_a_power_cut_there_is_one_more_try(note: Path) -> None:
    kill(note, "yesterday")
    assert TrialFile(note, lambda: "today").n_kills(NAME) == 0


def test_two_killed_tries_are_no_power_cut(note: Path) -> None:
    kill(note, "yesterday")
    kill(note, "today")
    assert TrialFile(note, lambda: "tomorrow").n_kills(NAME) == 2


def test_what_one_checkpoint_did_outlasts_the_tries_of_another(note: Path) -> None:
    trials = kill(note)
    with trials.of(OTHER):
        pass
    assert trials.n_kills(NAME) == 1


def test_what_is_forgotten_is_tried_as_if_for_the_first_time(note: Path) -> None:
    trials = kill(note)
    trials.forget(NAME)
    assert (trials.n_kills(NAME), note.exists()) == (0, False)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1]", b"[" * 5000, b"7", b'{"a": 1}', b'{"a": {"tries": "1"}}', b"\xff"]
)
def test_an_unreadable_note_keeps_nobody_from_starting(note: Path, text: bytes) -> None:
    note.write_bytes(text)
    trials = TrialFile(note)
    with trials.of(NAME):
        assert trials.n_kills(NAME) == 1
    assert not note.exists()


def test_a_full_disk_keeps_nobody_from_starting(
    note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("no space")

    monkeypatch.setattr("storage.home.trial_file.write_whole", refuse)
    with TrialFile(note).of(NAME):
        assert not note.exists()
