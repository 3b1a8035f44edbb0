"""`clfd clips`: clips cut out of recordings, by label."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from house import House

from storage.commands.context import Invocation
from storage.home.paths import Home
from storage.queries.filters import Filters
from trainer.clips.clip_selection import Cut, select_cuts
from trainer.commands.clips import clips
from trainer.errors import TrainerError

CUT = Cut("siren", 0.9, 1, "yard/a.wav", "ab" * 32, 8000, 2.5, 3.0, None, "20260101T000000Z-x")


@pytest.fixture
def scored(house: House, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]) -> Home:
    """A home with a recording of four clips of half a second, and one of one clip."""
    for name, seconds in (("20260131_120000.wav", 2.0), ("short.wav", 0.5)):
        shutil.copy(audio_file(name, noise(seconds=seconds, seed=len(name))), house.inbox / name)
    house.live()
    return house.home


def call(home: Home, *arguments: str) -> Result:
    """Raises what the command raises."""
    return CliRunner().invoke(
        clips, arguments, obj=Invocation(home.root), catch_exceptions=False, standalone_mode=False
    )


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_clip_is_a_file_with_a_row_that_training_takes(scored: Home, tmp_path: Path) -> None:
    call(scored, "-o", str(tmp_path / "out"))
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 5
    assert len({row["group"] for row in rows}) == 2
    for row in rows:
        sound = soundfile.SoundFile(tmp_path / "out" / row["path"])
        assert (sound.samplerate, sound.channels, sound.frames) == (8000, 1, 4000)
        assert Path(row["path"]).parts[0] == row["label"]
        assert f"_{float(row['confidence']):.3f}_" in row["path"]


def test_a_clip_has_the_sound_of_its_place(scored: Home, tmp_path: Path) -> None:
    call(scored, "-o", str(tmp_path / "out"), "--path", "2026*", "--format", "wav")
    whole, _ = soundfile.read(scored.inbox / "20260131_120000.wav")
    for row in rows_of(tmp_path / "out"):
        clip, _ = soundfile.read(tmp_path / "out" / row["path"])
        begin = round(float(row["cut_from"]) * 8000)
        np.testing.assert_allclose(clip, whole[begin : begin + 4000], atol=2 / 2**15)


def test_a_clip_bears_the_time_at_which_it_was_recorded(scored: Home, tmp_path: Path) -> None:
    call(scored, "-o", str(tmp_path / "out"), "--path", "2026*")
    last = rows_of(tmp_path / "out")[-1]
    assert last["clip_at"].endswith("01.500Z")
    assert soundfile.SoundFile(tmp_path / "out" / last["path"]).date == last["clip_at"]


def test_sound_around_a_clip_ends_with_the_recording(scored: Home, tmp_path: Path) -> None:
    call(scored, "-o", str(tmp_path / "out"), "--path", "2026*", "--pad", "0.25")
    rows = rows_of(tmp_path / "out")
    assert [(row["cut_from"], row["cut_to"]) for row in rows] == [
        *(("0.0", "0.75"), ("0.25", "1.25"), ("0.75", "1.75"), ("1.25", "2.0"))
    ]


def test_the_surest_are_chosen(house: House, scored: Home) -> None:
    with house.ledger.database.transaction() as connection:
        every = select_cuts(connection, Filters())
        surest = select_cuts(connection, Filters(), top=2)
        of_each = select_cuts(connection, Filters(), per_label=1)
    assert {cut.confidence for cut in surest} == {*sorted(cut.confidence for cut in every)[-2:]}
    assert len(of_each) == len({cut.label for cut in every})


def test_a_dry_run_writes_nothing(scored: Home, tmp_path: Path) -> None:
    printed = call(scored, "-o", str(tmp_path / "out"), "--dry-run")
    assert "5 clips of 2 recordings" in printed.stderr
    assert not (tmp_path / "out").exists()


def test_nothing_that_is_there_is_replaced(scored: Home, tmp_path: Path) -> None:
    call(scored, "-o", str(tmp_path / "out"))
    (tmp_path / "out" / "labels.csv").rename(tmp_path / "kept.csv")
    with pytest.raises(TrainerError, match="none of 5 clips"):
        call(scored, "-o", str(tmp_path / "out"))
    with pytest.raises(TrainerError, match=r"labels\.csv is there already; name another folder"):
        call(scored, "-o", str(tmp_path / "out"))


def test_a_recording_with_another_content_by_now_is_left_out(scored: Home, tmp_path: Path) -> None:
    shutil.copy(scored.inbox / "20260131_120000.wav", scored.inbox / "short.wav")
    printed = call(scored, "-o", str(tmp_path / "out"))
    assert "left out 1 whose file has another content by now" in printed.stderr
    assert len(rows_of(tmp_path / "out")) == 4


@pytest.mark.parametrize("label", ["a/b", "../up", ".", "né", "x" * 300, "\x1b[31m"])
def test_a_label_of_any_kind_makes_a_name_below_the_folder(label: str) -> None:
    cut = Cut(**{**CUT.__dict__, "label": label, "path": "y" * 300 + ".wav"})
    folder, name = Path(cut.name).parts
    assert folder not in (".", "..")
    assert len(f"{name}.flac".encode()) < 255
