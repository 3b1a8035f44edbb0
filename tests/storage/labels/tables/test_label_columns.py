"""By which names the columns of a labels table are known, and which are asked about."""

from __future__ import annotations

import pytest

from storage.labels.tables.label_columns import LabelColumns, find_columns


def columns_of(header: str) -> LabelColumns:
    columns, problems = find_columns(header.split(","), needs_path=True)
    assert problems == []
    return columns


def times_of(header: str) -> dict[str, str]:
    columns = columns_of(f"path,label,{header}")
    times = ("start", "end", "duration", "file_offset")
    return {ours: columns.name(ours) for ours in times if ours in columns.positions}


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("start", "end"),
        ("start_time", "end_time"),
        ("onset", "offset"),
        ("Start (s)", "End (s)"),
        ("start_seconds", "end_seconds"),
        ("start_s", "end_s"),
        ("Begin Time (s)", "End Time (s)"),
        ("startTime", "stopTime"),
        ("t_start", "t_end"),
        ("begin", "finish"),
        ("Start time in seconds", "End time in seconds"),
    ],
)
def test_a_part_has_many_names(start: str, end: str) -> None:
    assert times_of(f"{start},{end}") == {"start": start, "end": end}


def test_an_offset_with_a_duration_is_where_the_part_starts() -> None:
    assert times_of("OFFSET,DURATION") == {"start": "OFFSET", "duration": "DURATION"}


def test_our_own_name_counts_before_that_of_another_program() -> None:
    header = "species,start_time,start,label,Common Name,Begin Path,path"
    columns = columns_of(header)
    assert [columns.name(ours) for ours in ("label", "start", "path")] == ["label", "start", "path"]


def test_the_times_of_urbansound8k_are_of_another_recording() -> None:
    columns = columns_of("slice_file_name,fsID,start,end,salience,fold,classID,class")
    assert set(columns.positions) == {"path", "label", "group", "fold"}


@pytest.mark.parametrize("header", ["start_time,start_s", "begin,onset", "end_s,stop"])
def test_two_columns_for_one_time_are_refused(header: str) -> None:
    _, [problem] = find_columns(["path", "label", *header.split(",")], needs_path=True)
    assert problem.endswith("mean the same; keep one of them")


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("start_ms", "500"),
        ("Begin Sample (samples)", "500"),
        ("start_hms", "0:00:05"),
        ("clip_start", "0,5"),
        ("tmin", "1"),
        ("from", "1"),
        ("time", "0.5"),
        ("Time (s)", "0.5"),
        ("start,end_ms", "1"),
        ("start,length", "1"),
        ("start,offset", "1"),
        ("end,begin_frame", "1"),
        ("beg", "0.5"),
        ("Beginn", "0,5"),
        ("début", "0,5"),
        ("start,Ende", "1"),
        ("xmin", "0.5"),
        ("on", "0.5"),
        ("Timestamp", "1.5"),
        ("timestamp_s", "1"),
        ("Begin Clock Time", "06:00:01"),
    ],
)
def test_a_time_that_is_not_understood_is_named(header: str, cell: str) -> None:
    columns = columns_of(f"path,label,{header}")
    name = header.split(",")[-1]
    cells = ["a.wav", "dog", *["1"] * header.count(","), cell]
    assert columns.not_understood(cells).startswith(f"row 1: column {name} looks like a time")


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("duration", "5.0"),
        ("time", "06:30:00"),
        ("time", "0630"),
        ("date", "20240501"),
        ("recording_start", "6:30"),
        ("start_latitude", "47.1"),
        ("start_ms", ""),
        ("gender", "1"),
        ("Low Freq (Hz)", "0.0"),
        ("start,end,Begin Clock Time", "6:30:00"),
        ("start,end,start_ms", "500"),
        ("timestamp", "1714540000.5"),
        ("timestamp", "2024-05-01 06:30:00"),
        ("fine_label", "3"),
    ],
)
def test_what_says_nothing_of_a_part_is_left_alone(header: str, cell: str) -> None:
    columns = columns_of(f"path,label,{header}")
    cells = ["a.wav", "dog", *["1"] * header.count(","), cell]
    assert columns.not_understood(cells) == ""
