"""What a labels file may look like, and which message names what is wrong."""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.data.examples import LabelSet
from trainer.data.labels import TaskChoice, read_labels
from trainer.errors import LabelsError, NoTable, SoundsMissing

SUFFIXES = (".wav", ".flac")

Write = Callable[..., Path]


@pytest.fixture
def labels_csv(tmp_path: Path) -> Write:
    """`labels_csv(text, encoding)`: a labels file beside the empty files a.wav to d.wav."""
    for name in "abcd":
        (tmp_path / f"{name}.wav").touch()

    def write(text: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


def read(path: Path, skip_bad: bool = False) -> LabelSet:
    return read_labels(path, SUFFIXES, skip_bad)


def problems_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(LabelsError) as refused:
        read(path)
    return refused.value.problems


@pytest.mark.parametrize("path_column", ["path", "file", "filename", "File_Name"])
@pytest.mark.parametrize("label_column", ["label", "category", "class"])
def test_columns_have_aliases_in_any_case(
    labels_csv: Write, path_column: str, label_column: str
) -> None:
    labels = read(labels_csv(f"{label_column},{path_column}\nx,a.wav\ny,b.wav\n"))
    assert [(example.path.name, example.label) for example in labels.examples] == [
        ("a.wav", "x"),
        ("b.wav", "y"),
    ]


def test_every_column_is_read(labels_csv: Write) -> None:
    path = labels_csv(
        "path,label,start,end,fold,src_file,split\na.wav,x,1.5,3,2.0,g,val\nb.wav,y,,,,,train\n"
    )
    first, second = read(path).examples
    assert (first.start_seconds, first.end_seconds, first.fold) == (1.5, 3.0, 2)
    assert (first.group, first.split, first.row) == ("g", "val", 2)
    assert (second.start_seconds, second.end_seconds, second.fold) == (0.0, math.inf, None)


def test_a_file_without_a_group_is_its_own(labels_csv: Write) -> None:
    path = labels_csv("path,label,end,group\na.wav,x,5,\n./a.wav,x,,\nb.wav,y,,g\n")
    found = [(example.group, example.grouped) for example in read(path).examples]
    assert found == [("a.wav", False), ("a.wav", False), ("g", True)]


def test_words_such_as_none_and_nan_are_labels(labels_csv: Write) -> None:
    labels = read(labels_csv("path,label\na.wav,NA\nb.wav,None\n"))
    assert [example.label for example in labels.examples] == ["NA", "None"]


def test_a_label_guarded_against_formulas_is_read_without_the_guard(
    labels_csv: Write,
) -> None:
    found = read(labels_csv("path,label\na.wav,'=dog\nb.wav,'til dawn\n"))
    assert [one.label for one in found.examples] == ["=dog", "'til dawn"]


def test_a_byte_order_mark_and_blank_lines_do_no_harm(labels_csv: Write) -> None:
    labels = read(labels_csv("path,label\n\na.wav, x\n\nb.wav,y\n", "utf-8-sig"))
    assert [(example.label, example.row) for example in labels.examples] == [("x", 3), ("y", 5)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("o.csv", "file,start_time,end_time,annotation\na.wav,0.5,1,x\na.wav,1,2,y\n"),
        ("d.csv", "filename,onset,offset,event_label\na.wav,0.5,1,x\na.wav,1,2,y\n"),
        ("a.txt", "0,5\t1,0\tx\n1\t2\ty\n"),
        (
            "r.txt",
            "Begin Time (s)\tEnd Time (s)\tBegin File\tSpecies\n.5\t1\ta.wav\tx\n1\t2\ta.wav\ty\n",
        ),
        ("k.csv", "IN FILE,OFFSET,DURATION,MANUAL ID\nA.WAV,0.5,0.5,x\nA.WAV,1,1,y\n"),
    ],
)
def test_parts_that_other_programs_marked_are_read(
    labels_csv: Write, tmp_path: Path, name: str, text: str
) -> None:
    labels_csv("").rename(tmp_path / name)
    (tmp_path / name).write_text(text)
    found = [
        (example.path.name, example.label, example.start_seconds, example.end_seconds)
        for example in read(tmp_path / name).examples
    ]
    assert found == [("a.wav", "x", 0.5, 1.0), ("a.wav", "y", 1.0, 2.0)]


def test_a_track_beside_no_sound_is_refused_with_the_sound_it_is_of(tmp_path: Path) -> None:
    (tmp_path / "night.txt").write_text("0\t1\tdog\n1\t2\tcat\n" * 3)
    [problem] = problems_of(tmp_path / "night.txt")
    assert problem.startswith(f"no such file: {tmp_path}/night; a table without a column path")


def test_a_column_that_looks_like_a_time_is_refused_as_a_whole(labels_csv: Write) -> None:
    [problem] = problems_of(labels_csv("path,label,start_ms\na.wav,x,5\nb.wav,y,5\n"))
    assert problem.startswith("row 1: column start_ms looks like a time, and is not understood")


def test_all_problems_are_listed_at_once_with_row_and_column(labels_csv: Write) -> None:
    path = labels_csv(
        "file,class,start,end,fold,split\n"
        "a.wav,x,0,1,1,train\n"
        "gone.wav,y,0,1,1,train\n"
        "b.wav,,0,1,1,train\n"
        "c.wav,y,2,1,one,test\n"
    )
    assert problems_of(path) == (
        f"row 3, column file: no such file: {path.parent / 'gone.wav'}",
        "row 4, column class: it is empty",
        "row 5, column end: 1 s does not lie behind the start, 2 s",
        "row 5, column fold: 'one' is no whole number",
        "row 5, column split: 'test' is neither train nor val",
    )


@pytest.mark.parametrize("start", ["-1", "nan", "inf", "soon"])
def test_a_start_is_a_time_in_seconds(labels_csv: Write, start: str) -> None:
    [problem] = problems_of(labels_csv(f"path,label,start\na.wav,x,{start}\nb.wav,y,0\n"))
    assert problem == f"row 2, column start: {start!r} is no time in seconds, m:ss or h:mm:ss"


def test_one_recording_cannot_have_two_labels(labels_csv: Write) -> None:
    path = labels_csv("path,class\na.wav,x\nb.wav,y\nc.wav,x\na.wav,y\n")
    assert problems_of(path) == (
        "row 2, column class: 'x', but row 5 is 'y' and holds the same sound",
        "row 5, column class: 'y', but row 2 is 'x' and holds the same sound",
    )
    assert [example.row for example in read(path, skip_bad=True).examples] == [3, 4]


def test_a_row_at_fault_does_not_spoil_another_of_the_same_file(labels_csv: Write) -> None:
    path = labels_csv("path,label,start\na.wav,x,soon\na.wav,y,\nb.wav,,\nb.wav,z,\n")
    labels = read(path, skip_bad=True)
    assert [(example.row, example.label) for example in labels.examples] == [(3, "y"), (5, "z")]


def test_the_reason_comes_before_the_rows_that_were_left_out(labels_csv: Write) -> None:
    path = labels_csv("path,label\na.wav,x\n" + "gone.wav,y\n" * 30)
    with pytest.raises(LabelsError) as refused:
        read(path, skip_bad=True)
    assert refused.value.listing()[0].startswith("it has only the label 'x'")


def test_a_missing_column_is_named_with_its_aliases(labels_csv: Write) -> None:
    [problem] = problems_of(labels_csv("sound,label\na.wav,x\nb.wav,y\n"))
    expected = "row 1: no column path or file or filename or file_name; it has sound, label"
    assert problem == expected


def test_two_columns_for_one_thing_are_refused(labels_csv: Write) -> None:
    [problem] = problems_of(labels_csv("path,label,category\na.wav,x,1\nb.wav,y,2\n"))
    assert problem == "row 1: columns label and category mean the same; keep one of them"


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("", "utf-8", "it is empty"),
        ("\npath,label\n", "utf-8", "it is empty, or begins with an empty row"),
        ('path,label\na.wav,x\nb.wav,"y\n', "utf-8", "it is not a CSV file (line 3: "),
        ("path,label\na.wav,Käfer\n", "latin-1", "it is not UTF-8 text; save it as UTF-8"),
        ("path,label\na.wav,x\nb.wav,x\n", "utf-8", "it has only the label 'x'"),
        ("path,label\n", "utf-8", "it has no usable example"),
    ],
)
def test_what_is_no_labels_file_is_refused_with_a_reason(
    labels_csv: Write, text: str, encoding: str, message: str
) -> None:
    [problem] = problems_of(labels_csv(text, encoding))
    assert problem.startswith(message)


def test_sound_in_place_of_a_table_is_told_as_such(labels_csv: Write) -> None:
    with pytest.raises(NoTable, match=r"a\.wav: it is sound; name a table of labels, or a folder"):
        read(labels_csv("").with_name("a.wav"))


def test_where_no_example_is_left_the_rows_that_cost_them_come_first(labels_csv: Write) -> None:
    with pytest.raises(LabelsError) as refused:
        read(labels_csv("path,label\ngone.wav,x\nlost.wav,y\n"), skip_bad=True)
    *rows, last = refused.value.problems
    assert [row.partition(":")[0] for row in rows] == [f"row {n}, column path" for n in (2, 3)]
    assert last.startswith("it has no usable example")


def test_a_comma_too_many_costs_its_row_only(labels_csv: Write) -> None:
    [problem] = problems_of(labels_csv("path,label\na.wav,x\nb.wav,y,z\nc.wav,y\n"))
    expected = "row 3: it has 3 cells and the header 2; put a cell that holds a comma in quotes"
    assert problem == expected


def test_empty_columns_and_rows_of_a_spreadsheet_do_no_harm(labels_csv: Write) -> None:
    text = "path,label,,\r\na.wav,x,,\r\nb.wav,y,,,,\r\nc.wav,y\r\n,,,\r\n , ,,\r\n\r\n"
    assert [example.row for example in read(labels_csv(text, "utf-8-sig")).examples] == [2, 3, 4]


@pytest.mark.parametrize("label", ["夜鷹", "मोर", "می‌خواهم", "🏴‍☠️", "Käfer", "قطة", "snow owl"])
def test_labels_are_names_in_any_script(labels_csv: Write, label: str) -> None:
    assert read(labels_csv(f"path,label\na.wav,{label}\nb.wav,y\n")).examples[0].label == label


@pytest.mark.parametrize(
    "spelling",
    [unicodedata.normalize("NFD", "Käfer im Gras"), "Käfer\u00a0im Gras", "Käfer  im\u3000Gras"],
)
def test_spellings_that_look_alike_are_one_label(labels_csv: Write, spelling: str) -> None:
    path = labels_csv(f"path,label\na.wav,Käfer im Gras\nb.wav,{spelling}\nc.wav,y\n")
    assert {example.label for example in read(path).examples} == {"Käfer im Gras", "y"}


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("label", "#N/A", "'#N/A' is an error of the spreadsheet"),
        ("label", "si\u202eren", "'si\\u202eren' holds a line break or a control character"),
        ("group", "#REF!", "'#REF!' is an error of the spreadsheet"),
        ("group", '"a\tb"', "'a\\tb' holds a line break or a control character"),
        ("group", "1.23457E+11", "'1.23457E+11' is a number that a spreadsheet has shortened"),
        ("split", "", "'' is neither train nor val"),
    ],
)
def test_a_cell_that_means_nothing_is_named(
    labels_csv: Write, column: str, cell: str, message: str
) -> None:
    cells = {"path": "a.wav", "label": "x", "group": "g", "split": "val"} | {column: cell}
    row = ",".join(cells.values())
    [problem] = problems_of(labels_csv(f"path,label,group,split\n{row}\nb.wav,y,,val\n"))
    assert problem.startswith(f"row 2, column {column}: {message}")


def test_spellings_of_one_group_are_one_group(labels_csv: Write) -> None:
    other = unicodedata.normalize("NFD", "Käfer")
    path = labels_csv(f"path,label,source\na.wav,x,Käfer\nb.wav,y,{other}\n")
    assert len({example.group for example in read(path).examples}) == 1


def test_a_table_from_another_system_finds_its_files(labels_csv: Write, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / unicodedata.normalize("NFD", "é.wav")).touch()
    labels = read(labels_csv("path,label\nsub\\é.wav,x\nb.wav,y\n"))
    assert labels.examples[0].path.is_file()


def test_a_path_with_control_characters_is_shown_not_obeyed(labels_csv: Write) -> None:
    [problem] = problems_of(labels_csv('path,label\na.wav,x\nb.wav,y\n"\x1b[31m.wav",y\n'))
    assert problem.endswith("\\x1b[31m.wav")


def test_bad_rows_can_be_left_out(labels_csv: Write) -> None:
    labels = read(labels_csv("path,label\na.wav,x\ngone.wav,x\nb.wav,y\n"), skip_bad=True)
    assert [example.path.name for example in labels.examples] == ["a.wav", "b.wav"]
    assert len(labels.skipped) == 1


def test_many_problems_are_listed_up_to_twenty() -> None:
    listing = LabelsError(Path("labels.csv"), [f"row {n}" for n in range(25)]).listing()
    assert (len(listing), listing[-1]) == (21, "and 5 more")


def test_a_refusal_is_one_line_that_says_what_to_do() -> None:
    problems = ["row 2, column label: it is empty", "row 3, column label: it is empty"]
    error = LabelsError(Path("labels.csv"), problems, of_rows=True)
    assert str(error) == (
        "labels.csv: 2 problems, the first: row 2, column label: it is empty; "
        "correct the labels, or leave such rows out with --skip-bad"
    )


def test_a_fault_of_the_whole_file_cannot_be_left_out() -> None:
    assert str(LabelsError(Path("a.csv"), ["it is empty"])) == (
        "a.csv: it is empty; correct the labels"
    )


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_of_folders_is_a_labels_file(tmp_path: Path) -> None:
    touch(tmp_path, "dog/1.WAV", "dog/deep/2.wav", "rain/3.flac", "rain/notes.txt", "notes.txt")
    touch(tmp_path, "rain/.5.wav", "rain/@eaDir/6.wav", ".trash/7.wav")
    found = [(example.group, example.label) for example in read(tmp_path).examples]
    assert found == [("dog/1.WAV", "dog"), ("dog/deep/2.wav", "dog"), ("rain/3.flac", "rain")]


def test_all_problems_of_a_folder_are_listed_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "dog/1.wav", "rain/2.wav", "3.wav", "si\x1bren/4.wav")
    (tmp_path / "dog" / "gone.wav").symlink_to("nowhere")
    assert problems_of(tmp_path) == (
        f"{tmp_path}/3.wav: it is in no sub-folder, and so has no label",
        f"{tmp_path}/dog/gone.wav: no such file, or no regular one",
        f"{tmp_path}/si\\x1bren: 'si\\x1bren' holds a line break or a control character; "
        "rename the folder",
    )
    assert len(read(tmp_path, skip_bad=True).examples) == 2


def test_a_folder_whose_name_no_checkpoint_can_hold_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, os.fsdecode(b"d\xf6g/1.wav"), "rain/1.wav")
    [problem] = problems_of(tmp_path)
    assert problem.endswith("not UTF-8 and so no name for a label; rename the folder")


def test_folders_whose_names_look_alike_are_one_label(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD")]
    touch(tmp_path, *(f"{name}/1.wav" for name in names), "rain/1.wav")
    assert {example.label for example in read(tmp_path).examples} == {"Käfer", "rain"}


def test_one_label_is_enough_for_an_evaluation(tmp_path: Path) -> None:
    (tmp_path / "siren").mkdir()
    (tmp_path / "siren" / "1.wav").touch()
    with pytest.raises(LabelsError, match="needs 2 labels"):
        read_labels(tmp_path, (".wav",))
    assert len(read_labels(tmp_path, (".wav",), min_labels=1).examples) == 1


def test_a_label_as_long_as_a_file_is_refused_in_one_short_line(labels_csv: Write) -> None:
    first, second = problems_of(labels_csv(f"path,label\na.wav,{'x' * 300}\n{'b' * 5000},y\n"))
    assert first.startswith("row 2, column label: 'xxxx")
    assert first.endswith("... has 300 characters; a label has 200 at most")
    assert second == "row 3, column path: it has 5000 characters, 4096 at most"


@pytest.mark.parametrize("endless", ["/dev/zero", "/dev/urandom"])
def test_a_labels_file_without_end_is_refused(tmp_path: Path, endless: str) -> None:
    (tmp_path / "labels.csv").symlink_to(endless)
    [problem] = problems_of(tmp_path / "labels.csv")
    assert problem == "it cannot be read (it is no file, but a folder, a device or a pipe)"


@pytest.mark.parametrize("folder", ["sounds", "../cards", ".."])
def test_a_table_in_the_wrong_folder_is_refused_in_one_line_with_the_likely_one(
    tmp_path: Path, folder: str
) -> None:
    table = tmp_path / "table" / "labels.csv"
    table.parent.mkdir()
    sounds = (table.parent / folder).resolve()
    sounds.mkdir(exist_ok=True)
    for number in range(9):
        (sounds / f"{number}.wav").touch()
    table.write_text("path,label\n" + "".join(f"{n}.wav,{n % 2}\n" for n in range(9)))
    with pytest.raises(SoundsMissing) as refused:
        read(table, skip_bad=True)
    assert f"none of its 9 files is there, such as 0.wav, 1.wav, 2.wav; they lie in {sounds};" in (
        str(refused.value)
    )


def test_a_table_whose_sounds_are_nowhere_says_from_where_paths_count(labels_csv: Write) -> None:
    path = labels_csv("path,label\n" + "".join(f"x{n}.wav,{n}\n" for n in range(5)))
    with pytest.raises(SoundsMissing, match="paths count from the folder of the table: move it to"):
        read(path)


AUTO = TaskChoice("auto", ("none", "background"))


def labels_of(path: Path, task: TaskChoice = AUTO) -> list[tuple[str, ...]]:
    return [example.labels for example in read_labels(path, SUFFIXES, task=task).examples]


def test_rows_of_one_part_are_one_example_of_several_labels(labels_csv: Write) -> None:
    path = labels_csv("path,label\na.wav,y\nb.wav,z\na.wav,x\nc.wav,none\n")
    assert labels_of(path) == [("x", "y"), ("z",), ()]


def test_one_cell_may_hold_several_labels(labels_csv: Write) -> None:
    path = labels_csv("path,label\na.wav,y; x;y\nb.wav,BACKGROUND\n")
    assert labels_of(path) == [("x", "y"), ()]


def test_other_parts_of_a_file_make_no_task_of_several_labels(labels_csv: Write) -> None:
    path = labels_csv("path,label,start,end\na.wav,x,0,1\na.wav,y,1,2\nb.wav,none,,\n")
    labels = read_labels(path, SUFFIXES, task=AUTO)
    assert (labels.task, len(labels.examples)) == ("single", 3)


def test_a_label_with_a_semicolon_stays_one_where_one_is_asked_for(labels_csv: Write) -> None:
    path = labels_csv("path,label\na.wav,y;x\nb.wav,z\n")
    assert labels_of(path, TaskChoice("single")) == [("y;x",), ("z",)]


def test_a_label_beside_none_is_refused(labels_csv: Write) -> None:
    path = labels_csv("path,label\na.wav,x;none\nb.wav,x\nc.wav,y\n")
    with pytest.raises(LabelsError, match="row 2, column label: 'x;none' is a label and none"):
        read_labels(path, SUFFIXES, task=AUTO)


def test_a_cell_of_separators_names_no_label(labels_csv: Write) -> None:
    path = labels_csv("path,label\na.wav,;\nb.wav,x;y\nc.wav,y\n")
    with pytest.raises(LabelsError, match="row 2, column label: ';' names no label"):
        read_labels(path, SUFFIXES, task=AUTO)


def test_what_is_a_label_in_one_row_and_none_in_another_is_refused(labels_csv: Write) -> None:
    path = labels_csv("path,label\na.wav,x\na.wav,Background\nb.wav,y;x\n")
    with pytest.raises(LabelsError) as refused:
        read_labels(path, SUFFIXES, task=AUTO)
    assert refused.value.problems == (
        "row 2, column label: 'x', but row 3 is 'Background' and holds the same sound",
        "row 3, column label: 'Background', but row 2 is 'x' and holds the same sound",
    )


def test_one_label_and_none_are_enough_for_several(labels_csv: Write) -> None:
    path = labels_csv("path,label\na.wav,x\nb.wav,none\n")
    assert labels_of(path, TaskChoice("multi", ("none",))) == [("x",), ()]
