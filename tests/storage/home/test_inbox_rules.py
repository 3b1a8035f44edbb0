from __future__ import annotations

from collections import Counter

import pytest

from storage.home.inbox_rules import (
    MAX_SUFFIXES,
    MAX_TOLD,
    FileKind,
    count_ignored,
    file_kind,
    ignored_text,
    is_system_folder,
)

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


def counted(*names: bytes) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name in names:
        count_ignored(counts, name, SUFFIXES)
    return counts


def test_files_are_counted_by_the_suffix_for_which_they_are_left_out() -> None:
    names = (b"a.wav", b"b.M4A", b"c.m4a", b"d.wav.part", b"README", b".DS_Store", b"a.wav~")
    assert counted(*names) == {".m4a": 2, ".part": 1, "no suffix": 1}


def test_endings_that_are_no_suffix_and_too_many_of_them_are_counted_together() -> None:
    assert counted(b"a.no suffix", b"b.\xff") == {"other": 2}
    many = counted(*(b"a.%d" % number for number in range(1000)))
    assert len(many) == MAX_SUFFIXES + 1
    assert many.total() == 1000


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, ""),
        ({".xyz": 1}, "1 file ignored: .xyz"),
        ({".a": 1, ".b": 2}, "3 files ignored: .b 2, .a 1"),
    ],
)
def test_they_are_told_in_one_line(counts: dict[str, int], text: str) -> None:
    assert ignored_text(counts) == text


def test_the_rarest_of_many_suffixes_are_not_listed() -> None:
    text = ignored_text({f".{number}": 1 for number in range(MAX_TOLD + 2)})
    assert text.endswith(" and 2 more suffixes")
