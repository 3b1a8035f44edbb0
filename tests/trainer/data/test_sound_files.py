"""Which file a row means, on another system than that of its table, and in known downloads."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.labels.tables.label_tables import open_label_table
from trainer.data.sound_files import SoundFiles


def found(table: Path, text: str) -> str:
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(text)
    with open_label_table(table) as opened:
        row = next(opened.rows)
    path = SoundFiles(table.parent, (".wav", ".flac")).find(row)
    return path.resolve().relative_to(table.parent.parent.resolve()).as_posix()


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize("path", ["sub/é.wav", "SUB\\É.WAV", ".\\sub\\e\u0301.wav", "Sub/é"])
def test_a_table_of_windows_or_macos_finds_the_one_file_that_is_meant(
    tmp_path: Path, path: str
) -> None:
    touch(tmp_path / "x", "Sub/É.wav")
    assert found(tmp_path / "x/l.csv", f"path,label\n{path},dog\n") == "x/Sub/É.wav"


def test_a_file_that_is_called_just_so_counts_before_its_likes(tmp_path: Path) -> None:
    touch(tmp_path / "x", "a.wav", "A.WAV")
    assert found(tmp_path / "x/l.csv", "path,label\na.wav,dog\n") == "x/a.wav"
    with pytest.raises(ValueError, match=r"A\.wav may be .*A\.WAV or .*a\.wav; write it as one"):
        found(tmp_path / "x/l.csv", "path,label\nA.wav,dog\n")


@pytest.mark.parametrize("path", ["b.wav", "../x", ".", "a.wav/b", "\0"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, path: str) -> None:
    touch(tmp_path / "x", "a.wav")
    with pytest.raises(ValueError, match="no such file"):
        found(tmp_path / "x/l.csv", f"path,label\n{path},dog\n")


@pytest.mark.parametrize(
    ("table", "text", "sound"),
    [
        (
            "meta/esc50.csv",
            "filename,fold,target,category,esc10,src_file,take\n1-1-A-0.wav,1,0,dog,T,1,A\n",
            "audio/1-1-A-0.wav",
        ),
        (
            "metadata/UrbanSound8K.csv",
            "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
            "1-3-0-0.wav,1,0.0,0.3,1,5,3,dog\n",
            "audio/fold5/1-3-0-0.wav",
        ),
        ("x/night.txt", "0\t1\tdog\n", "x/Night.wav"),
        ("x/d.BirdNET.results.txt", "0\t1\tX_Y\t0.9\n", "x/d.flac"),
        (
            "x/all.selections.txt",
            "Selection\tBegin Time (s)\tEnd Time (s)\tBegin Path\tSpecies\n"
            "1\t0\t1\tD:\\card\\d.flac\tdog\n",
            "x/d.flac",
        ),
        (
            "x/k.csv",
            "INDIR,FOLDER,IN FILE,OFFSET,DURATION,MANUAL ID\nD:\\card,roof,b.wav,0,1,dog\n",
            "x/roof/b.wav",
        ),
    ],
)
def test_tables_find_their_sounds_as_they_lie(
    tmp_path: Path, table: str, text: str, sound: str
) -> None:
    touch(tmp_path, sound)
    assert found(tmp_path / table, text) == sound
