from __future__ import annotations

import pytest

from storage.home.inbox_rules import FileKind, file_kind, is_system_folder

SUFFIXES = (b".wav", b".flac")


@pytest.mark.parametrize("name", [b"a.wav", b"20260131_120000.WAV", b"x.y.Flac", b"\xff\n.wav"])
def test_audio_is_told_by_its_suffix_in_any_case(name: bytes) -> None:
    assert file_kind(name, SUFFIXES) is FileKind.AUDIO


@pytest.mark.parametrize("name", [b"a.wav.part", b"a.wav.crdownload", b"a.TMP", b"b.wav.filepart"])
def test_a_copy_under_way_is_told_by_its_name(name: bytes) -> None:
    assert file_kind(name, SUFFIXES) is FileKind.PARTIAL


@pytest.mark.parametrize(
    "name", [b"notes.txt", b"wav", b".wav", b"._a.wav", b".a.wav.Xy12", b"a.wav~"]
)
def test_other_and_hidden_files_are_ignored(name: bytes) -> None:
    assert file_kind(name, SUFFIXES) is FileKind.IGNORED


@pytest.mark.parametrize("name", [b"@eaDir", b".stfolder", b"__MACOSX", b".Trash-1000"])
def test_system_folders_are_skipped(name: bytes) -> None:
    assert is_system_folder(name)


def test_a_folder_named_by_a_person_is_not_a_system_folder() -> None:
    assert not is_system_folder(b"card 7 @ river")
