"""What people say that recordings are: set, imported, suggested, exported, and found wrong."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest
from label_commands import ask, call, exported, message, suggested, write, wrong
from ledger_rows import DOG, RAIN, add_clips

from storage.commands.results import results
from storage.errors import StorageError
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger


def test_a_file_that_lies_elsewhere_is_known_by_its_content(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.wav"
    copy.write_bytes(b"sound")
    digest = hashlib.sha256(b"sound").hexdigest()
    url = f"sqlite:///{home.ledger_file}"
    with open_ledger(url, "daemon") as ledger, ledger.database.transaction() as connection:
        renamed = f"UPDATE recording SET digest = '{digest}' WHERE path_text = 'a.wav'"
        connection.exec_driver_sql(renamed)
    monkeypatch.chdir(tmp_path)
    ask(home, "set", "copy.wav", "dog")
    ask(home, "import", write(tmp_path, "l.csv", "path,label,end\ncopy.wav,siren,1\n"))
    assert message(home) == [
        ("/cards/inbox/a.wav", "dog", "", ""),
        ("/cards/inbox/a.wav", "siren", "0", "1"),
    ]


def test_two_spellings_of_one_path_are_both_understood(home: Home, tmp_path: Path) -> None:
    rows = "path,label,start\na.wav,dog,1\n/cards/inbox/a.wav,dog,2\n"
    ask(home, "import", write(tmp_path, "l.csv", rows))
    assert len(message(home)) == 2


def test_a_label_like_a_formula_comes_back_as_it_was(home: Home, tmp_path: Path) -> None:
    ask(home, "set", "a.wav", "=dog")
    file = tmp_path / "l.csv"
    ask(home, "export", "--all", "-o", file)
    assert "0 new labels, 0 changed" in ask(home, "import", file).stderr


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("d\0g", r"row 3, column label: .*a control character"),
        ("d" * 300, "row 3, column label: .*has 300"),
    ],
)
def test_a_label_that_is_no_name_is_refused_with_its_row(
    home: Home, tmp_path: Path, label: str, reason: str
) -> None:
    file = write(tmp_path, "l.csv", f"path,label\na.wav,rain\na.wav,{label}\n")
    with pytest.raises(StorageError, match=reason):
        ask(home, "import", file)
    assert exported(home) == []
    refused = ask(home, "set", "a.wav", label)
    assert (refused.exit_code, exported(home)) == (2, [])


def test_a_table_that_goes_on_for_ever_is_not_read_to_its_end(home: Home) -> None:
    with pytest.raises(StorageError, match=r"/dev/zero: it cannot be read \(it is no file"):
        ask(home, "import", "/dev/zero")


def test_a_label_that_is_set_stands_beside_the_predicted_one(home: Home) -> None:
    ask(home, "set", "a.wav", "dog")
    (found,) = json.loads(call(home, results, "--format", "json", "--path", "a.wav").stdout)
    assert (found["label"], found["human_label"]) == ("rain", "dog")


def test_only_those_of_another_label_are_wrong(home: Home) -> None:
    ask(home, "set", "a.wav", "dog")
    ask(home, "set", "yard/b.wav", "rain")
    assert wrong(home) == ["a.wav"]


@pytest.mark.parametrize("words", [(), ("--limit", "5"), ("--history",), ("--sort", "path")])
def test_the_wrong_ones_are_found_in_every_way_of_asking(home: Home, words: tuple[str]) -> None:
    ask(home, "set", "a.wav", "dog")
    assert wrong(home, *words) == ["a.wav"]


def test_the_wrong_ones_can_be_counted(home: Home) -> None:
    ask(home, "set", "a.wav", "dog")
    printed = call(home, results, "--wrong", "--count-by", "label", "--format", "csv").stdout
    assert printed == "label,count\nrain,1\n"


def test_of_two_labels_the_last_counts(home: Home) -> None:
    ask(home, "set", "a.wav", "dog")
    ask(home, "set", "a.wav", "siren")
    assert [row["label"] for row in exported(home)] == ["siren"]


def test_a_label_can_be_cleared(home: Home) -> None:
    ask(home, "set", "a.wav", "dog")
    ask(home, "set", "a.wav", "--clear")
    assert exported(home) == []


def test_a_part_of_a_recording_has_a_label_of_its_own(home: Home) -> None:
    ask(home, "set", "a.wav", "dog", "--end", 5)
    assert message(home) == [("/cards/inbox/a.wav", "dog", "0", "5")]
    assert wrong(home) == []  # as its clip was answered


def test_a_label_that_no_answer_has_is_reported(home: Home) -> None:
    assert "no answer is whale so far" in ask(home, "set", "a.wav", "whale").stderr


def test_a_path_that_is_no_recording_is_refused_by_name(home: Home) -> None:
    with pytest.raises(StorageError, match=r"^no recording that was read is nowhere\.wav; `clfd"):
        ask(home, "set", "nowhere.wav", "dog")


def test_a_name_of_two_recordings_is_refused(home: Home) -> None:
    with pytest.raises(StorageError, match="name of 2 recordings"):
        ask(home, "set", "b.wav", "dog")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("l.csv", "path,label\n/cards/inbox/yard/b.wav,dog\n", ("yard/b.wav", "dog", "", "")),
        ("l.csv", "file,class,start,end\na.wav,dog,1.5,3\n", ("a.wav", "dog", "1.5", "3")),
        ("l.csv", f"digest,path,label\n{2:064d},else.wav,dog\n", ("yard/b.wav", "dog", "", "")),
        ("a.wav.txt", "0.000000\t5.000000\tdog\n", ("a.wav", "dog", "0", "5")),
        ("a.txt", "0.5\t2\tdog\n\\\t100\t200\n", ("a.wav", "dog", "0.5", "2")),
        (
            "a.Table.1.selections.txt",
            "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n1\t5.0\t7.5\tdog\n",
            ("a.wav", "dog", "5", "7.5"),
        ),
        (
            "all.txt",
            "Begin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tLabel\n"
            "25.0\t30.0\ta.wav\t10.0\tdog\n",
            ("a.wav", "dog", "10", "15"),
        ),
        ("a.BirdNET.results.txt", "0,0\t0,5\tdog\t0.81\n", ("a.wav", "dog", "0", "0.5")),
        (
            "l.csv",
            "sep=;\nfile;onset;offset;label\na.wav;1,5;3;dog\n",
            ("a.wav", "dog", "1.5", "3"),
        ),
        (
            "k.csv",
            "INDIR,FOLDER,IN FILE,OFFSET,DURATION,AUTO ID,MANUAL ID\n"
            "/x,roof,b.wav,5.0,5.0,rain,dog\n/x,,a.wav,0,5,rain,\n",
            ("roof/b.wav", "dog", "5", "10"),
        ),
    ],
    ids=[
        *("path", "part", "digest", "audacity", "audacity spectral", "raven", "ravens"),
        *("birdnet", "excel", "kaleido"),
    ],
)
def test_files_of_other_programs_are_understood(
    home: Home, tmp_path: Path, name: str, text: str, expected: tuple[str, ...]
) -> None:
    ask(home, "import", write(tmp_path, name, text))
    assert message(home) == [(f"/cards/inbox/{expected[0]}", *expected[1:])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path,label\nA.WAV,dog\n", "a.wav"),
        ("path,label\nYard\\B.wav,dog\n", "yard/b.wav"),
    ],
)
def test_a_name_in_another_case_is_of_the_one_recording_that_it_can_be(
    home: Home, tmp_path: Path, text: str, expected: str
) -> None:
    ask(home, "import", write(tmp_path, "l.csv", text))
    assert [one[0] for one in message(home)] == [f"/cards/inbox/{expected}"]
    with pytest.raises(StorageError, match="nothing imported"):
        ask(home, "import", write(tmp_path, "l.csv", "path,label\nB.WAV,dog\n"))


def test_a_path_of_another_machine_is_of_its_namesake_but_a_file_that_is_here_is_not(
    home: Home, tmp_path: Path
) -> None:
    table = "Begin Time (s)\tEnd Time (s)\tBegin Path\tLabel\n0\t5\t{}\tdog\n"
    (tmp_path / "a.wav").write_bytes(b"another sound")
    with pytest.raises(StorageError, match="nothing imported"):
        ask(home, "import", write(tmp_path, "l.txt", table.format(tmp_path / "a.wav")))
    ask(home, "import", write(tmp_path, "l.txt", table.format("D:\\card\\a.wav")))
    assert message(home) == [("/cards/inbox/a.wav", "dog", "0", "5")]


def test_a_fold_and_a_split_are_for_training_only(home: Home, tmp_path: Path) -> None:
    text = "path,label,fold,split\na.wav,dog,one,test\n"
    assert "1 new labels" in ask(home, "import", write(tmp_path, "l.csv", text)).stderr


@pytest.fixture
def namesakes(home: Home) -> Home:
    """`b.wav` in the inbox itself, besides those in `yard` and `roof`."""
    with open_ledger(f"sqlite:///{home.ledger_file}", "daemon") as ledger:
        add_clips(ledger, "b.wav", [DOG, DOG])
    return home


RAVEN = "Begin Time (s)\tEnd Time (s)\tBegin File\tLabel\n5.0\t7.5\tb.wav\tdog\n"
NAMELESS = RAVEN.replace("\tBegin File", "").replace("\tb.wav", "")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("t/inbox/yard/b.wav.txt", "0\t5\tdog\n", "yard/b.wav"),
        ("t/roof/b.txt", "0\t5\tdog\n", "roof/b.wav"),
        ("t/inbox/b.wav.txt", "0\t5\tdog\n", "b.wav"),
        ("yard/b.Table.1.selections.txt", NAMELESS, "yard/b.wav"),
        ("yard/all.txt", RAVEN, "yard/b.wav"),
        ("k.csv", "INDIR,FOLDER,IN FILE,MANUAL ID\n/mnt/card,yard,b.wav,dog\n", "yard/b.wav"),
        ("k.csv", "INDIR,FOLDER,IN FILE,MANUAL ID\nD:\\x\\roof\\,,b.wav,dog\n", "roof/b.wav"),
        ("k.csv", "INDIR,FOLDER,IN FILE,MANUAL ID\n/cards/inbox,,b.wav,dog\n", "b.wav"),
    ],
)
def test_of_namesakes_the_one_in_such_a_folder_is_meant(
    namesakes: Home, tmp_path: Path, name: str, text: str, expected: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    ask(namesakes, "import", write(tmp_path, name, text))
    assert [one[0] for one in message(namesakes)] == [f"/cards/inbox/{expected}"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t/b.wav.txt", "0\t5\tdog\n"),
        ("all.txt", RAVEN),
        ("k.csv", "INDIR,FOLDER,IN FILE,MANUAL ID\n/cards/inbox,cellar,b.wav,dog\n"),
        ("k.csv", "INDIR,FOLDER,IN FILE,MANUAL ID\n/mnt,cellar,b.wav,dog\n"),
    ],
)
def test_a_name_that_might_be_of_several_labels_none_of_them(
    namesakes: Home, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    with pytest.raises(StorageError, match="nothing imported"):
        ask(namesakes, "import", write(tmp_path, name, text))
    assert message(namesakes) == []


def test_a_part_behind_the_end_of_the_recording_is_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"20 s is behind the end of a\.wav, 15 s"):
        ask(home, "set", "a.wav", "dog", "--start", 5, "--end", 20)
    file = write(tmp_path, "a.wav.txt", "14\t15.05\tdog\n14\t20\tdog\n")
    assert "1 left out" in ask(home, "import", file, "--skip-unmatched").stderr


def test_a_row_that_names_no_recording_is_reported(home: Home, tmp_path: Path) -> None:
    file = write(tmp_path, "l.csv", "path,label\n,dog\n")
    printed = ask(home, "import", file, "--skip-unmatched").stderr
    assert "row 2: neither path nor digest" in printed


def test_a_label_of_a_moment_is_left_out_and_counted(home: Home, tmp_path: Path) -> None:
    file = write(tmp_path, "a.wav.txt", "0\t0\tdog\n3\t3\tdog\n0\t5\train\n")
    printed = ask(home, "import", file).stderr
    assert "1 new labels, 0 changed, 2 of a moment without length left out" in printed
    assert [one[1] for one in message(home)] == ["rain"]


def test_an_empty_label_track_says_nothing(home: Home, tmp_path: Path) -> None:
    assert "0 new labels" in ask(home, "import", write(tmp_path, "a.wav.txt", "")).stderr


def test_two_labels_of_one_part_are_reported(home: Home, tmp_path: Path) -> None:
    file = write(tmp_path, "l.csv", "path,label\na.wav,dog\na.wav,rain\n")
    assert "1 overruled by a later one" in ask(home, "import", file).stderr


def test_text_of_two_bytes_a_character_is_understood(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "l.csv"
    file.write_text("path,label,start_s,end_s\na.wav,dog,1,2\n", encoding="utf-16")
    ask(home, "import", file)
    assert message(home) == [("/cards/inbox/a.wav", "dog", "1", "2")]


def test_a_path_as_it_is_printed_is_understood(home: Home, tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{home.ledger_file}", "daemon") as ledger:
        add_clips(ledger, "caf\udce9.wav", [DOG])
    ask(home, "import", write(tmp_path, "l.csv", "path,label\ncaf\\xe9.wav,rain\n"))
    assert message(home) == [("/cards/inbox/caf\\xe9.wav", "rain", "", "")]


def test_a_file_here_that_nobody_read_is_not_its_namesake_in_the_inbox(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.wav").write_bytes(b"else")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match="no recording that was read"):
        ask(home, "set", "a.wav", "dog")


@pytest.mark.parametrize("start", ["nan", "inf"])
def test_seconds_are_finite(home: Home, start: str) -> None:
    assert "no finite number" in ask(home, "set", "a.wav", "dog", "--start", start).stderr


def test_a_part_is_forgotten_alone(home: Home) -> None:
    ask(home, "set", "a.wav", "rain")
    ask(home, "set", "a.wav", "dog", "--start", 1.123456, "--end", 2)
    assert message(home)[1][2:] == ("1.123456", "2")
    ask(home, "set", "a.wav", "--clear", "--start", 1.123456, "--end", 2)
    assert [one[1] for one in message(home)] == ["rain"]


def test_labels_that_training_would_refuse_are_left_out_and_counted(
    home: Home, tmp_path: Path
) -> None:
    with open_ledger(f"sqlite:///{home.ledger_file}", "daemon") as ledger:
        add_clips(ledger, "here.wav", [DOG, DOG], inbox=str(tmp_path))
    (tmp_path / "here.wav").write_bytes(b"")
    ask(home, "set", "here.wav", "dog")
    ask(home, "set", "here.wav", "rain", "--end", 5)
    ask(home, "set", "a.wav", "dog")
    printed = ask(home, "export")
    assert [row["label"] for row in csv.DictReader(printed.stdout.splitlines())] == ["rain"]
    assert "left out 1 of a file that is gone" in printed.stderr
    assert "left out 1 of a sound that has another label" in printed.stderr


def test_of_two_labels_of_one_recording_the_later_is_exported(home: Home, tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{home.ledger_file}", "daemon") as ledger:
        add_clips(ledger, "here.wav", [DOG, DOG], inbox=str(tmp_path))
    (tmp_path / "here.wav").write_bytes(b"")
    for label, words in (("dog", ()), ("rain", ("--start", 0, "--end", 10)), ("siren", ())):
        ask(home, "set", "here.wav", label, *words)
        printed = list(csv.DictReader(ask(home, "export").stdout.splitlines()))
        assert [row["label"] for row in printed] == [label]


def test_a_file_of_which_a_row_is_of_no_recording_imports_nothing(
    home: Home, tmp_path: Path
) -> None:
    file = write(tmp_path, "l.csv", "path,label\na.wav,dog\nnowhere.wav,dog\n")
    with pytest.raises(StorageError, match="nothing imported: 1 row cannot"):
        ask(home, "import", file)
    assert exported(home) == []


def test_rows_without_a_label_are_counted(home: Home, tmp_path: Path) -> None:
    file = write(tmp_path, "l.csv", "path,label\na.wav,dog\nyard/b.wav,\n")
    assert "0 changed, 1 without a label left out" in ask(home, "import", file).stderr


def test_an_imported_label_that_nothing_had_is_told_with_the_one_that_is_near(
    home: Home, tmp_path: Path
) -> None:
    file = write(tmp_path, "l.csv", "path,label\na.wav,dog_brak\nyard/b.wav,whale\n")
    ask(home, "set", "a.wav", "dog_bark", "--new")
    told = ask(home, "import", file).stderr
    assert "no label so far: dog_brak (dog_bark?), whale" in told


def test_rows_of_no_recording_can_be_left_out(home: Home, tmp_path: Path) -> None:
    file = write(tmp_path, "l.csv", "path,label\na.wav,dog\nnowhere.wav,dog\n")
    assert (
        "1 new labels, 0 changed, 1 left out"
        in ask(home, "import", file, "--skip-unmatched").stderr.splitlines().pop()
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,sound\na.wav,dog\n", "no column label or category or class; it has path, sound"),
        ("label\ndog\n", "no column path or file"),
        ("path,label,start\na.wav,dog,soon\n", "row 2, column start: 'soon' is no time in seconds"),
        ("path,label,start,end\na.wav,dog,5,4\n", "row 2, column end: 4 s does not lie behind"),
        ("", "it is empty"),
        ('path,label\na.wav,"dog\n', "it is not a CSV file"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_row_and_reason(
    home: Home, tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(StorageError, match=reason):
        ask(home, "import", write(tmp_path, "l.csv", text))


def test_what_is_exported_comes_back_the_same(home: Home, tmp_path: Path) -> None:
    ask(home, "set", "a.wav", "dog")
    ask(home, "set", "a.wav", "siren", "--start", 5, "--end", 10)
    ask(home, "set", "roof/b.wav", "siren", "--start", 1)
    before = message(home)
    file = tmp_path / "labels.csv"
    ask(home, "export", "--all", "-o", file)
    for path in ("a.wav", "roof/b.wav"):
        ask(home, "set", path, "--clear")
    ask(home, "import", file)
    assert message(home) == before


@pytest.mark.parametrize("shape", ["raven", "audacity"])
def test_selections_come_back_as_they_were_exported(home: Home, tmp_path: Path, shape: str) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    call(home, results, "--format", shape, "--path", "a.wav", "-o", folder)
    ask(home, "import", *folder.rglob("*.txt"))
    printed = [("dog", "0", "5"), ("siren", "5", "10"), ("siren", "10", "15")]
    assert message(home) == [("/cards/inbox/a.wav", *one) for one in printed]


def test_groups_are_exported_where_there_are_any(home: Home, tmp_path: Path) -> None:
    assert "group" not in ask(home, "export").stdout
    ask(home, "import", write(tmp_path, "l.csv", "path,label,group\na.wav,dog,night 1\n"))
    assert [row["group"] for row in exported(home)] == ["night 1"]


def test_the_folders_take_turns_in_what_is_suggested(home: Home) -> None:
    with open_ledger(f"sqlite:///{home.ledger_file}", "daemon") as ledger:
        for number in range(5):
            add_clips(ledger, f"yard/{number}.wav", [RAIN])
    assert {Path(path).parent.name for path in suggested(home, 3)} == {"", "yard", "roof"}


def test_what_has_a_human_label_is_not_suggested(home: Home) -> None:
    ask(home, "set", "a.wav", "dog")
    assert sorted(suggested(home, 9)) == ["roof/b.wav", "yard/b.wav"]


def test_what_checkpoints_disagree_over_is_suggested_with_that_reason(home: Home) -> None:
    url = f"sqlite:///{home.ledger_file}"
    with open_ledger(url, "daemon") as ledger, ledger.database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO checkpoint (digest, name, labels, facts, verdict, seen_at)"
            " VALUES ('d', 'd', '[]', '{}', 'accepted', '')"
        )
        connection.exec_driver_sql(
            "INSERT INTO prediction (recording_id, checkpoint_id, label, confidence, scores,"
            " clip_scores, clip_seconds, clip_hop_seconds, classified_at)"
            " SELECT id, 2, 'dog', 0.5, x'', x'', 5, 5, '' FROM recording"
            " WHERE path_text LIKE 'roof/%'"
        )
    found = json.loads(ask(home, "suggest", "--json", "--n", "2").stdout)
    reasons = {one["path"]: one["reason"] for one in found}
    assert reasons["roof/b.wav"] == "checkpoints disagree"


def test_what_is_suggested_and_exported_is_told_as_results_tell_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLFD_RESULTS__UNKNOWN_BELOW", "0.95")
    found = json.loads(ask(home, "suggest", "--json").stdout)
    assert {one["label"] for one in found} == {"unknown"}
    ask(home, "set", "a.wav", "dog")
    assert [row["predicted"] for row in exported(home)] == ["unknown"]


def test_several_labels_of_one_part_are_kept_in_alphabetical_order(
    home: Home, tmp_path: Path
) -> None:
    ask(home, "set", "a.wav", "rain; dog;rain")
    assert [one[1] for one in message(home)] == ["dog;rain"]
    file = tmp_path / "l.csv"
    ask(home, "export", "--all", "-o", file)
    assert "0 new labels, 0 changed" in ask(home, "import", file).stderr
    assert [one[1] for one in message(home)] == ["dog;rain"]


def test_a_selection_table_has_a_row_for_each_label_of_a_part(home: Home, tmp_path: Path) -> None:
    file = write(tmp_path, "a.wav.txt", "0\t5\train\n0\t5\tdog\n5\t10\tdog\n")
    ask(home, "import", file)
    assert sorted(one[1] for one in message(home)) == ["dog", "dog;rain"]


def test_what_says_something_and_nothing_is_refused(home: Home, tmp_path: Path) -> None:
    assert ask(home, "set", "a.wav", "dog;none").exit_code == 2
    with pytest.raises(StorageError, match=r"row 2: 'dog;none' says that there is something"):
        ask(home, "import", write(tmp_path, "l.csv", "path,label\na.wav,dog;none\n"))


def test_labels_are_listed_by_any_of_several(home: Home) -> None:
    ask(home, "set", "a.wav", "dog;rain")
    assert "dog;rain" in ask(home, "list", "--label", "rain").stdout
    assert "dog;rain" not in ask(home, "list", "--label", "ra").stdout
