"""What people corrected shows wherever answers do, and what is new is told from what is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from label_commands import ask, call, exported, message, suggested, write, wrong
from ledger_rows import DOG, SIREN, add_clips

from storage.commands.context import Invocation
from storage.commands.labels import labels
from storage.commands.results import results
from storage.errors import UnknownLabel
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger


def test_a_part_that_was_answered_otherwise_makes_its_recording_wrong(home: Home) -> None:
    ask(home, "set", "a.wav", "dog", "--start", 5, "--end", 10)
    ask(home, "set", "yard/b.wav", "rain", "--start", 5, "--end", 10)
    assert wrong(home) == ["a.wav"]
    printed = call(home, results, "--wrong").stdout
    assert "5-10 s: dog" in printed
    (found,) = json.loads(call(home, results, "--wrong", "--format", "json").stdout)
    assert found["human_parts"] == [{"start_s": 5.0, "end_s": 10.0, "label": "dog"}]


def test_of_clips_only_the_one_is_wrong_of_which_a_person_says_something_else(home: Home) -> None:
    ask(home, "set", "a.wav", "dog", "--start", 5, "--end", 10)
    columns = "path,start_s,label,human_label"
    printed = call(home, results, "--clips", "--columns", columns, "--format", "csv", "--wrong")
    assert printed.stdout.splitlines()[1:] == ["a.wav,5.0,siren,dog"]


def test_a_clip_is_wrong_also_in_a_part_that_was_answered_rightly(home: Home) -> None:
    with open_ledger(f"sqlite:///{home.ledger_file}", "daemon") as ledger:
        add_clips(ledger, "long.wav", [DOG, DOG, SIREN])
    ask(home, "set", "long.wav", "dog", "--start", 0, "--end", 15)
    assert wrong(home) == []
    assert wrong(home, "--clips") == ["long.wav"]
    assert wrong(home, "--clips", "--top", "2") == ["long.wav"] * 2  # both labels of that clip


def test_a_clip_tells_what_a_person_says_of_its_part_or_else_of_all(home: Home) -> None:
    ask(home, "set", "a.wav", "dog", "--start", 9, "--end", 9.5)
    ask(home, "set", "a.wav", "rain")
    printed = call(
        home, results, "--clips", "--path", "a.wav", "--columns", "human_label", "--format", "csv"
    )
    assert printed.stdout.split()[1:] == ["rain", "dog", "rain"]
    assert wrong(home, "--clips") == ["a.wav"]  # the part; of the whole it was answered rightly


@pytest.mark.parametrize("shape", ["raven", "audacity", "kaleidoscope"])
def test_corrections_survive_another_program_and_back(
    home: Home, tmp_path: Path, shape: str
) -> None:
    with open_ledger(f"sqlite:///{home.ledger_file}", "daemon") as ledger:
        add_clips(ledger, "odd.wav", [DOG, SIREN], seconds=8.123457)
    words = ("--format", shape, "--path", "odd.wav")
    ask(home, "set", "odd.wav", "rain", "--start", 0.123, "--end", 2)
    file = tmp_path / ("odd.wav.txt" if shape == "audacity" else "table.csv")
    table = call(home, results, *words).stdout
    old, new = ("0.8750,", "0,whale") if shape == "kaleidoscope" else ("siren", "whale")
    file.write_text(table.replace(old, new, 1))
    ask(home, "import", file)
    first = call(home, results, *words).stdout
    assert first.count("whale") == 1
    file.write_text(first)
    assert "0 new labels" in ask(home, "import", file).stderr
    assert call(home, results, *words).stdout == first
    assert [row["label"] for row in exported(home)] == ["rain", "whale"]


def test_a_part_is_named_where_it_is_set(home: Home) -> None:
    printed = ask(home, "set", "a.wav", "siren", "--start", "0:05", "--end", "0:00:10").stderr
    assert printed == "5 to 10 s of a.wav: siren; no answer is siren so far, but rain\n"
    again = ask(home, "set", "a.wav", "siren", "--start", 5, "--end", 10).stderr
    assert again.startswith("5 to 10 s of a.wav: siren already")
    assert ask(home, "set", "a.wav", "rain", "--start", 10).stderr == (
        "10 s to the end of a.wav: rain\n"
    )
    assert ask(home, "set", "a.wav", "rain").stderr == "a.wav: rain\n"


@pytest.mark.parametrize("label", ["rian", "Rain", "rains"])
def test_a_label_that_is_nearly_a_known_one_is_asked_about(home: Home, label: str) -> None:
    with pytest.raises(UnknownLabel, match=r"did you mean rain\? add --new"):
        ask(home, "set", "a.wav", label)
    assert exported(home) == []
    ask(home, "set", "a.wav", label, "--new")
    assert [row["label"] for row in exported(home)] == [label]
    assert label in ask(home, "set", "yard/b.wav", label).stderr  # known now


def test_at_a_terminal_the_known_label_is_taken_where_it_was_meant(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.commands.labels._is_terminal", lambda: True)
    CliRunner().invoke(labels, ["set", "a.wav", "rian"], input="y\n", obj=Invocation(home.root))
    assert [row["label"] for row in exported(home)] == ["rain"]


def shown(home: Home, *words: object) -> list[str]:
    words = (*words, "--columns", "path", "--format", "csv", "--sort", "path")
    return call(home, results, *words).stdout.splitlines()[1:]


def test_results_can_be_of_what_is_labelled_by_anybody_by_somebody_or_not(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(home, "set", "a.wav", "dog", "--start", 5, "--end", 10)
    monkeypatch.setattr("storage.values.users.user_name", lambda uid: "ann")
    ask(home, "set", "yard/b.wav", "rain")
    assert shown(home, "--labelled") == ["a.wav", "yard/b.wav"]
    assert shown(home, "--author", "ann") == ["yard/b.wav"]
    assert shown(home, "--unlabelled") == ["roof/b.wav"]
    assert set(shown(home, "--labelled", "--clips")) == {"a.wav", "yard/b.wav"}
    counted = call(home, results, "--unlabelled", "--count-by", "label", "--format", "csv").stdout
    assert counted.splitlines()[1:] == ["rain,1"]


def test_what_is_unlabelled_has_no_author(home: Home) -> None:
    printed = CliRunner().invoke(
        results, ["--unlabelled", "--author", "ann"], obj=Invocation(home.root)
    )
    assert printed.exit_code == 2
    assert "does not go with" in printed.stderr


def test_what_is_not_a_label_and_what_nobody_can_tell_is_not_suggested_again(home: Home) -> None:
    ask(home, "set", "a.wav", "rain", "--not")
    ask(home, "set", "yard/b.wav", "--unsure", "--start", 0, "--end", 2)
    assert sorted(suggested(home, 9)) == ["roof/b.wav", "yard/b.wav"]
    ask(home, "set", "yard/b.wav", "--unsure")
    assert suggested(home, 9) == ["roof/b.wav"]
    assert exported(home) == []


def test_an_import_is_undone_as_one_act_and_then_what_was_said_before(
    home: Home, tmp_path: Path
) -> None:
    ask(home, "set", "a.wav", "dog")
    ask(home, "import", write(tmp_path, "l.csv", "path,label\na.wav,rain\nyard/b.wav,rain\n"))
    assert ask(home, "undo").stderr == "took back what you said of 2 sounds\n"
    assert [(one["path"], one["label"], one["way"]) for one in listed(home)] == [
        ("a.wav", "dog", "command")
    ]
    ask(home, "undo", "--n", 5)
    assert listed(home) == []


def test_marks_are_listed_on_demand(home: Home) -> None:
    ask(home, "set", "a.wav", "dog", "--not")
    ask(home, "set", "yard/b.wav", "--unsure", "--start", 5, "--end", 10)
    assert listed(home) == []
    marks = {one["path"]: (one["label"], one["start"]) for one in listed(home, "--marks")}
    assert marks == {"a.wav": ("not dog", None), "yard/b.wav": ("unsure", 5.0)}


def listed(home: Home, *words: object) -> list[dict[str, object]]:
    return list(json.loads(ask(home, "list", "--json", *words).stdout))


def test_what_people_said_is_listed_with_what_was_answered(home: Home) -> None:
    ask(home, "set", "a.wav", "dog", "--start", 5, "--end", 10)
    ask(home, "set", "yard/b.wav", "rain")
    found = {one["path"]: one for one in listed(home)}
    part, whole = found["a.wav"], found["yard/b.wav"]
    assert (part["start"], part["end"], part["label"], part["predicted"]) == (5, 10, "dog", "siren")
    assert (whole["start"], whole["end"], whole["predicted"]) == (None, None, "rain")
    assert part["inbox"] == "/cards/inbox"


def test_an_exported_part_has_what_was_answered_there(home: Home) -> None:
    ask(home, "set", "a.wav", "dog", "--start", 5, "--end", 10)
    ask(home, "set", "a.wav", "rain")
    assert [row["predicted"] for row in exported(home)] == ["rain", "siren"]


def test_the_newest_label_is_listed_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(f"2026-01-0{day}T12:00:00.000Z" for day in (1, 3, 2))
    monkeypatch.setattr("storage.labels.label_events.utc_now", lambda: next(moments))
    for path in ("a.wav", "yard/b.wav", "roof/b.wav"):
        ask(home, "set", path, "dog")
    assert [one["path"] for one in listed(home)] == ["yard/b.wav", "roof/b.wav", "a.wav"]
    assert len(listed(home, "--limit", 1)) == 1


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        (("--label", "dog"), ["a.wav"]),
        (("--path", "yard/*"), ["yard/b.wav"]),
        (("--origin", "set"), ["a.wav"]),
        (("--origin", "l.csv", "--label", "dog"), []),
    ],
)
def test_a_list_of_labels_is_filtered(
    home: Home, tmp_path: Path, words: tuple[str, ...], paths: list[str]
) -> None:
    ask(home, "set", "a.wav", "dog")
    ask(home, "import", write(tmp_path, "l.csv", "path,label\nyard/b.wav,rain\n"))
    assert [one["path"] for one in listed(home, *words)] == paths


def test_a_list_of_labels_fits_eighty_columns(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with open_ledger(f"sqlite:///{home.ledger_file}", "daemon") as ledger:
        add_clips(ledger, "long/" * 20 + "end.wav", [DOG])
    ask(home, "set", "long/" * 20 + "end.wav", "fire_crackling", "--end", 2.5)
    printed = ask(home, "list").stdout
    assert max(map(len, printed.splitlines())) <= 80
    assert "end.wav" in printed
    assert "1 of 1 label" in printed
    assert "no label that fits" in ask(home, "list", "--label", "whale").stderr


def test_an_import_says_what_differs_and_takes_only_that_if_asked(
    home: Home, tmp_path: Path
) -> None:
    rows = "path,label,start,end\na.wav,dog,0,5\na.wav,whale,5,10\nyard/b.wav,rain,,\n"
    printed = ask(home, "import", "--only-changed", write(tmp_path, "l.csv", rows)).stderr
    assert printed == (
        "no label so far: whale\n1 new labels, 0 changed, 2 that say what is known left out;"
        " 1 differ from the answers, 2 repeat them\n"
    )
    assert [one[1:] for one in message(home)] == [("whale", "5", "10")]


def test_who_takes_a_correction_back_has_changed_something(home: Home, tmp_path: Path) -> None:
    ask(home, "set", "yard/b.wav", "dog")
    table = write(tmp_path, "l.csv", "path,label\nyard/b.wav,rain\n")
    assert "0 new labels, 1 changed" in ask(home, "import", "--only-changed", table).stderr


def test_a_labelled_part_leaves_the_rest_of_a_long_recording_to_suggest(home: Home) -> None:
    ask(home, "set", "a.wav", "dog", "--end", 5)
    assert "a.wav" in suggested(home, 9)
    ask(home, "set", "a.wav", "siren", "--start", 10)
    assert "a.wav" not in suggested(home, 9)
