"""Tables as spreadsheets and other programs write them, and the rows that are read of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from storage.labels.tables.label_tables import LabelRow, LabelTableError, open_label_table

RAVEN = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tSpecies\n"


def rows(file: Path) -> list[LabelRow]:
    with open_label_table(file) as table:
        return list(table.rows)


def rows_of(folder: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> list:
    file = folder / name
    file.write_bytes(text.encode(encoding))
    return rows(file)


def parts_of(folder: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> list:
    found = rows_of(folder, text, name, encoding)
    assert [one.problems for one in found] == [()] * len(found)
    return [(one.path or one.name, one.label, one.start_s, one.end_s) for one in found]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("path,label,start,end\r\na.wav,dog,0.5,1.5\r\n", "utf-8-sig"),
        ("sep=,\r\npath,label,start,end\r\na.wav,dog,0.5,1.5\r\n", "utf-8"),
        ('"sep=;"\r\npath;label;start;end\r\na.wav;dog;0,5;1,5\r\n', "utf-8-sig"),
        ("sep=:\npath:label:start:end\na.wav:dog:0.5:1,5\n", "utf-8"),
        ("SEP=|\npath|label|start|end\na.wav|dog|0.5|1.5\n", "utf-8"),
        ("path;label;start;end\r\na.wav;dog;0,5;1,5\r\n", "utf-8"),
        ("path\tlabel\tstart\tend\r\na.wav\tdog\t0,5\t1,5\r\n", "utf-16"),
        ("path,label,start,end\r\na.wav,dog,0.5,1.5\r\n", "utf-16"),
        ('path,label,start,end\ra.wav,dog,"0,5","1,500000"\r', "utf-8"),
        ('path;"a, b, c, d";label;start;end\na.wav;;dog;0.5;1.5\n', "utf-8"),
    ],
)
def test_a_table_of_excel_in_any_country_is_read(tmp_path: Path, text: str, encoding: str) -> None:
    assert parts_of(tmp_path, text, encoding=encoding) == [("a.wav", "dog", 0.5, 1.5)]


@pytest.mark.parametrize(
    ("start", "end", "part"),
    [
        ("0:20", "1:00:20.5", (20.0, 3620.5)),
        ('"0:20,5"', "20.75", (20.5, 20.75)),
        ("3:20", "", (200.0, math.inf)),
    ],
)
def test_times_may_be_written_as_in_options(
    tmp_path: Path, start: str, end: str, part: tuple[float, float]
) -> None:
    [row] = rows_of(tmp_path, f"path,label,start,end\na.wav,dog,{start},{end}\n")
    assert (row.start_s, row.end_s, row.problems) == (*part, ())


@pytest.mark.parametrize("time", ["0:60", "1:2", "1:60:00", "-0:20"])
def test_what_no_clock_shows_is_no_time(tmp_path: Path, time: str) -> None:
    [row] = rows_of(tmp_path, f"path,label,start\na.wav,dog,{time}\n")
    expected = f"row 2, column start: {time!r} is no time in seconds, m:ss or h:mm:ss"
    assert row.problems[0].line == expected


def test_what_may_be_a_thousand_is_no_time(tmp_path: Path) -> None:
    [row] = rows_of(tmp_path, 'path,label,start\na.wav,dog,"1,250"\n')
    expected = "row 2, column start: '1,250' is no time in seconds, m:ss or h:mm:ss"
    assert row.problems[0].line == expected


def test_a_time_with_an_underscore_is_no_number_of_a_spreadsheet(tmp_path: Path) -> None:
    [row] = rows_of(tmp_path, "path,label,start\na.wav,dog,1_0\n")
    expected = "row 2, column start: '1_0' is no time in seconds, m:ss or h:mm:ss"
    assert row.problems[0].line == expected


def test_a_shortened_number_is_no_group_in_any_country(tmp_path: Path) -> None:
    [row] = rows_of(tmp_path, "path;label;group\na.wav;dog;1,23457E+11\n")
    assert "a number that a spreadsheet has shortened" in row.problems[0].line


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_wide_text_that_does_not_say_so_is_refused_as_a_whole(
    tmp_path: Path, encoding: str
) -> None:
    with pytest.raises(LabelTableError, match="it is not UTF-8 text; save it as UTF-8"):
        rows_of(tmp_path, "path,label\na.wav,dog\n", encoding=encoding)


def test_a_label_track_that_is_named_after_no_sound_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(LabelTableError, match="no column path or file"):
        rows_of(tmp_path, "0.5\t1.0\tdog\n", "night.csv")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("night.txt", "0,100000\t0,400000\tdog\n", ("night", "dog", 0.1, 0.4)),
        ("a.BirdNET.results.txt", "0.0\t0.5\tX_Y\t0.81\n", ("a", "X_Y", 0.0, 0.5)),
        (
            "a.BirdNET.selection.table.txt",
            "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies Code\tCommon Name\n"
            "1\t0.0\t3.0\tx\tBlackbird\n",
            ("a", "Blackbird", 0.0, 3.0),
        ),
        (
            "a.wav.BirdNET.results.csv",
            "Start (s),End (s),Scientific name,Common name,Confidence\n0,3,T m,Blackbird,0.8\n",
            ("a.wav", "Blackbird", 0.0, 3.0),
        ),
        (
            "a.wav.csv",
            "Start (s);End (s);Scientific name;Common name;Confidence\n0,0;3,0;T m;Blackbird;0,8\n",
            ("a.wav", "Blackbird", 0.0, 3.0),
        ),
        ("a.selections.txt", f"{RAVEN}1\t0,1\t0,4\tb.wav\tdog\n", ("b.wav", "dog", 0.1, 0.4)),
        (
            "all.txt",
            "Begin Time (s)\tEnd Time (s)\tBegin Path\tFile Offset (s)\tSpecies\n"
            '25.0\t30.0\tC:\\x\\b.wav\t10.0\t"dog"\n',
            ("C:\\x\\b.wav", "dog", 10.0, 15.0),
        ),
        (
            "k.csv",
            "INDIR,FOLDER,IN FILE,DATE,TIME,OFFSET,DURATION,Dur,AUTO ID,MANUAL ID\n"
            "D:\\x,yard,b.wav,2024-05-01,06:30:00,5,2.5,3,rain,dog\n",
            ("yard/b.wav", "dog", 5.0, 7.5),
        ),
        (
            "o.csv",
            ",audio_file,annotation_file,annotation,start_time,end_time,low_f,high_f\n"
            "0,a.wav,a.txt,dog,0.5,1,100,200\n",
            ("a.wav", "dog", 0.5, 1.0),
        ),
        (
            "d.tsv",
            "filename\tonset\toffset\tevent_label\na.wav\t0.5\t1\tdog\n",
            ("a.wav", "dog", 0.5, 1.0),
        ),
        ("l.csv", "path,label,start,duration\na.wav,dog,1,2\n", ("a.wav", "dog", 1.0, 3.0)),
        ("l.csv", "path,label,duration\na.wav,dog,2\n", ("a.wav", "dog", 0.0, math.inf)),
        ("l.csv", "path,label,start,end,duration\na.wav,dog,1,2,9\n", ("a.wav", "dog", 1.0, 2.0)),
    ],
)
def test_tables_of_other_programs_are_read(
    tmp_path: Path, name: str, text: str, expected: tuple[object, ...]
) -> None:
    assert parts_of(tmp_path, text, name) == [expected]


def test_times_that_count_through_several_sounds_are_refused(tmp_path: Path) -> None:
    text = f"{RAVEN}1\t0.1\t0.3\ta.wav\tdog\n2\t0.7\t0.9\tb.wav\tdog\n"
    with pytest.raises(LabelTableError, match=r"a\.wav and b\.wav.*add the column File Offset"):
        rows_of(tmp_path, text)
    placed = text.replace("Species", "Species\tFile Offset (s)").replace("dog", "dog\t0.1")
    assert [one[2] for one in parts_of(tmp_path, placed)] == [0.1, 0.1]


def test_a_column_that_looks_like_a_time_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LabelTableError, match="column start_ms looks like a time"):
        rows_of(tmp_path, "path,label,start_ms\na.wav,dog,\nb.wav,dog,500\n")


def test_a_table_that_names_no_sound_is_of_the_one_it_is_named_after(tmp_path: Path) -> None:
    text = "Begin Time (s)\tEnd Time (s)\tSpecies\n0\t1\tdog\n"
    assert parts_of(tmp_path, text, "a.wav.Table.2.selections.txt")[0][0] == "a.wav"
    with pytest.raises(LabelTableError, match="no column path or file"):
        rows_of(tmp_path, text, "labels.csv")


def test_a_header_as_long_as_a_line_may_be_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(LabelTableError, match="it is not a CSV file"):
        rows_of(tmp_path, "x" * 200_000 + ",path,label\n")
