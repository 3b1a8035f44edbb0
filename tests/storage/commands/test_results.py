"""The commands that answer questions: results, status, retry, config, db."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from ledger_rows import DOG, RAIN, SIREN, add, add_clips

from storage.commands.config import config
from storage.commands.config import show as config_show
from storage.commands.context import Invocation
from storage.commands.db import check as db_check
from storage.commands.db import db
from storage.commands.labels import suggest
from storage.commands.results import results
from storage.commands.retry import retry
from storage.commands.status import status
from storage.database.engine import open_database
from storage.database.sqlite import driver
from storage.errors import AlreadyRunning, LedgerInvalid, LedgerMissing, SettingsError, StorageError
from storage.export.results_request import ResultsRequest
from storage.export.results_source import LedgerSource
from storage.export.results_writer import follow, write_results
from storage.export.text_formats import FORMATS
from storage.home.daemon_lock import DaemonLock, write_status
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger
from storage.queries.clips import ClipOptions
from storage.queries.daemon_status import KEYS
from storage.queries.filters import Filters
from storage.values.timestamps import stamp

HEADER = (
    "path,status,label,confidence,duration_s,sample_rate_hz,checkpoint,classified_at,error,"
    "inbox,digest,checkpoint_digest,warning,archived_path"
)
LATER = ",human_label,recorded_at,site,channels,rms_dbfs,peak_dbfs,clipped,recorder,human_parts"


@pytest.fixture(scope="module")
def filled_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """It is only copied: a ledger that is made for each test takes five times as long."""
    home = Home(tmp_path_factory.mktemp("filled"))
    home.create()
    with open_ledger(url_of(home), "daemon") as ledger:
        add(ledger, "yard/a.wav", "dog", 0.9)
        add(ledger, "=b,\x1b[31m\n.wav", "siren", 0.6)
        add(ledger, "broken.wav", None)
    return home


@pytest.fixture
def home(filled_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in [name for name in os.environ if name.startswith("CLFD_")]:
        monkeypatch.delenv(name)
    return Home(Path(shutil.copytree(filled_home.root, tmp_path, dirs_exist_ok=True)))


@pytest.fixture
def long_home(tmp_path: Path) -> Home:
    """One recording of four clips, which is rain as a whole."""
    home = Home(tmp_path / "long")
    home.create()
    with open_ledger(url_of(home), "daemon") as ledger:
        add_clips(ledger, "long.wav", [DOG, SIREN, RAIN, RAIN])
    return home


def url_of(home: Home) -> str:
    return f"sqlite:///{home.ledger_file}"


def call(home: Home, command: click.Command, *arguments: str) -> Result:
    """Errors of ours come out as they are; the assembled command line makes lines of them."""
    done = CliRunner().invoke(command, arguments, obj=Invocation(home.root))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        ("csv", "label,path"),
        ("jsonl", '{"label": "dog", "path": "yard/a.wav"}'),
        ("table", "label   path"),
    ],
)
def test_only_the_chosen_columns_are_printed_in_their_order(
    home: Home, shape: str, first: str
) -> None:
    words = ("--columns", "label, path,label", "--sort", "confidence", "--format", shape)
    printed = call(home, results, *words, "--limit", "1").stdout
    assert printed.splitlines()[0].rstrip() == first


def test_chosen_times_and_numbers_are_readable_in_a_table(home: Home) -> None:
    printed = call(home, results, "--columns", "duration_s,confidence,classified_at").stdout
    assert re.search(r"^8 +0\.900 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", printed, re.M)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--columns", "lable"], "no column is called lable; there are path, status"),
        (["--columns", "start_s"], r"start_s; there are .* \(start_s, end_s and clip_at with"),
        (["--columns", "clip_at"], r"clip_at; there are .* with --clips\)"),
        (["--columns", ""], "--columns names none; leave it out to have all"),
        (["--columns", "label", "--count-by", "label"], "leave out --columns"),
    ],
)
def test_a_column_that_is_none_is_named(home: Home, words: list[str], message: str) -> None:
    refused = call(home, results, *words)
    assert refused.exit_code == 2
    assert re.search(message, refused.stderr, re.S)


def test_the_csv_header_is_the_contract(home: Home) -> None:
    printed = call(home, results, "--format", "csv").stdout
    assert printed.splitlines()[0] == f"{HEADER}{LATER},labels,novelty"
    assert len(list(csv.reader(io.StringIO(printed)))) == 3


def test_a_name_like_a_formula_does_nothing_in_a_spreadsheet_and_still_names_the_file(
    home: Home,
) -> None:
    rows = list(csv.DictReader(io.StringIO(call(home, results, "--format", "csv").stdout)))
    [odd] = [row for row in rows if row["label"] == "siren"]
    assert odd["path"] == "./=b,\x1b[31m\n.wav"
    assert os.path.normpath(odd["path"]) == "=b,\x1b[31m\n.wav"


def test_a_label_like_a_formula_does_nothing_in_a_spreadsheet(home: Home) -> None:
    with open_ledger(url_of(home), "daemon") as ledger:
        add(ledger, "c.wav", "@SUM(1)")
    printed = call(home, results, "--format", "csv").stdout
    assert ",'@SUM(1)," in printed


def test_clips_have_columns_of_their_own(home: Home) -> None:
    printed = call(home, results, "--format", "csv", "--clips", "--path", "yard/*").stdout
    assert printed.splitlines()[0] == f"{HEADER},start_s,end_s{LATER},clip_at,labels,novelty"
    assert len(printed.splitlines()) == 3


def test_json_is_one_array_with_id_and_scores(home: Home) -> None:
    (found,) = json.loads(call(home, results, "--format", "json", "--label", "dog").stdout)
    assert list(found) == ["id", *f"{HEADER}{LATER},labels,novelty".split(","), "scores"]
    assert found["scores"] == {"dog": 0.9, "siren": 0.1}
    assert found["classified_at"].endswith("Z")


def test_nothing_is_an_empty_array_and_a_hint(home: Home) -> None:
    printed = call(home, results, "--format", "json", "--label", "cat")
    assert json.loads(printed.stdout) == []
    assert "labels given so far: dog, siren" in printed.stderr


def test_json_lines_are_one_object_each(home: Home) -> None:
    lines = call(home, results, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["siren", "dog"]


def test_a_table_counts_what_it_leaves_out(home: Home) -> None:
    printed = call(home, results, "--limit", "1").stdout
    assert printed.splitlines()[-1] == "1 of 2 done (1 failed)"


def test_a_table_shows_warnings_where_there_are_any(home: Home) -> None:
    assert "warning" not in call(home, results).stdout
    with open_ledger(url_of(home), "daemon") as ledger:
        add(ledger, "cut.wav", "dog", warning="cut short: copy it again")
    printed = call(home, results).stdout
    assert "cut short: copy it again" in printed
    assert "warning" in printed


def test_control_characters_in_names_are_shown_and_not_obeyed(home: Home) -> None:
    printed = call(home, results).stdout
    assert r"=b,\x1b[31m\n.wav" in printed
    assert "\x1b" not in printed


def test_a_table_fits_its_width(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_ledger(url_of(home), "daemon") as ledger:
        add(ledger, "long/" * 40 + "end.wav", "dog")
    monkeypatch.setenv("COLUMNS", "70")
    printed = call(home, results).stdout
    assert max(map(len, printed.splitlines())) <= 70
    assert "…" in printed
    assert "end.wav" in printed


def test_columns_without_a_value_are_left_out(home: Home) -> None:
    header = call(home, results, "--status", "failed").stdout.splitlines()[0].split()
    assert header == ["time", "path", "status", "error"]


def test_the_foot_says_what_an_answer_over_many_clips_does_not_tell(
    home: Home, long_home: Home
) -> None:
    assert "clips" not in call(home, results).stdout
    printed = call(long_home, results).stdout
    assert printed.splitlines()[-1].startswith("answers are of up to 4 clips")
    clips = call(long_home, results, "--clips", "--label", "siren").stdout
    assert clips.splitlines()[-1] == "1 clip, 1 recording read"


def test_clips_that_are_looked_for_are_told_on_a_terminal(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("storage.values.progress._TICK_SECONDS", -1)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    filters, options = Filters(labels=("siren",)), ClipOptions()
    request = ResultsRequest(filters, clips=options, shows_progress=True)
    database = open_database(url_of(home), "reader")
    with database, database.transaction() as connection:
        write_results(LedgerSource(connection), request)
        assert "reading clips: 2 of 2 recordings" in capsys.readouterr().err
        write_results(LedgerSource(connection), replace(request, shows_progress=False))
    assert capsys.readouterr().err == ""


def test_clips_are_counted(home: Home) -> None:
    printed = call(home, results, "--clips", "--count-by", "site", "--format", "csv").stdout
    assert printed == "site,count\n,2\nyard,2\n"


def test_a_time_may_be_called_as_tables_call_it(home: Home) -> None:
    printed = call(home, results, "--columns", "time,path", "--format", "csv").stdout
    assert printed.startswith("classified_at,path\n")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--path", "yard"], "--path is a glob over the whole path; 'yard/*' is all that lies"),
        (["--path", "yard/"], "no path is yard/, and --path is a glob"),
        (["--path", "broken.wav"], "nothing found; other recordings: 1 failed"),
        (["--path", "yard/b*"], "no path fits yard/b*, and --path is a glob over the whole path"),
        (["--checkpoint", "2031"], "no checkpoint 2031 has answered; those that have: "),
        (["--since", "today", "--until", "yesterday"], "the period ends before it begins"),
        (["--label", "dog;siren"], "--label takes one of them, and may be repeated"),
        (["--label", "Background"], "what holds nothing is told as none"),
        (["--clips", "--label", "cat"], "no checkpoint knows cat; labels: dog, siren"),
        (["--clips", "--min-confidence", "1"], "no clip fits, in 2 recordings"),
    ],
)
def test_who_finds_nothing_is_told_why(home: Home, words: list[str], hint: str) -> None:
    assert hint in call(home, results, *words).stderr


def test_a_label_that_only_clips_may_have_is_told(long_home: Home) -> None:
    told = call(long_home, results, "--label", "siren").stderr
    assert told.startswith("nothing found: no recording is labelled siren; labels given so far:")
    assert "--clips asks their clips" in told


@pytest.mark.parametrize("command", [results, status, db_check, config_show, suggest])
def test_json_has_two_names(home: Home, command: click.Command) -> None:
    short = call(home, command, "--json").stdout
    assert json.loads(short) == json.loads(call(home, command, "--format", "json").stdout)


def test_help_tells_no_bound_where_there_is_none(home: Home) -> None:
    assert "None" not in call(home, results, "--help").stdout


def test_a_failure_says_why(home: Home) -> None:
    assert "no audio" in call(home, results, "--status", "failed").stdout


def test_a_file_appears_complete_and_its_suffix_chooses_the_format(home: Home) -> None:
    file = home.root / "out.csv"
    assert call(home, results, "-o", str(file)).stdout == ""
    assert file.read_text().startswith(HEADER)
    assert list(home.root.glob(".out*")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--count-by", "hour"),
        ("--count-by", "label", "--clips", "--follow"),
        ("--follow", "--format", "json"),
        ("--follow", "--limit", "3"),
        ("--follow", "--sort", "newest"),
        ("--follow", "--until", "now"),
        ("--min-level", "nan"),
        ("--min-confidence", "nan"),
        ("--clips", "--merge-gap", "inf"),
        ("--since", "soon"),
        ("--min-confidence", "2"),
        ("--status", "lost"),
    ],
)
def test_wrong_usage_ends_with_2(home: Home, arguments: tuple[str, ...]) -> None:
    assert call(home, results, *arguments).exit_code == 2


def test_answers_without_a_level_are_named_where_nothing_of_that_level_is_found(home: Home) -> None:
    assert "clfd rescore" in call(home, results, "--max-level", "-90").stderr


def test_counts_by_status_are_of_all_recordings(home: Home) -> None:
    printed = call(home, results, "--count-by", "status", "--format", "csv").stdout
    assert printed == "status,count\ndone,2\nfailed,1\n"


def test_a_home_without_a_ledger_names_init(tmp_path: Path) -> None:
    with pytest.raises(LedgerMissing, match="clfd init"):
        call(Home(tmp_path / "nowhere"), results)


def test_following_prints_rows_as_they_come(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    def arrive_then_stop(_seconds: float, waits: list[int] = []) -> None:  # noqa: B006
        waits.append(1)
        if len(waits) > 1:
            raise KeyboardInterrupt
        with open_ledger(url_of(home), "daemon") as ledger:
            add(ledger, "late.wav", "dog")

    with open_database(url_of(home), "reader") as database, pytest.raises(KeyboardInterrupt):
        follow(database, ResultsRequest(Filters(), format=FORMATS["jsonl"]), arrive_then_stop)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["path"] == "late.wav"


def test_following_since_a_time_begins_with_what_came_since_then(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    with open_database(url_of(home), "reader") as database, pytest.raises(KeyboardInterrupt):
        follow(database, ResultsRequest(Filters(since="2000-01-01"), format=FORMATS["jsonl"]), stop)
    printed = [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["dog", "siren"]


def run_results(home: Home, program: str) -> subprocess.CompletedProcess[str]:
    call_results = (
        "import sys; from pathlib import Path; from storage.commands.results import results;"
        "from storage.commands.context import Invocation;"
        f"results.main(['--format', 'jsonl'], obj=Invocation(Path({str(home.root)!r})),"
        " standalone_mode=False);"
    )
    command = [sys.executable, "-c", call_results + program]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_results_never_load_what_is_heavy(home: Home) -> None:
    heavy = "{'torch', 'librosa', 'pandas', 'numpy', 'pydantic', 'alembic', 'sqlalchemy.orm',"
    heavy += "'sqlalchemy.dialects.postgresql'}"
    done = run_results(home, f"sys.exit(str({heavy} & set(sys.modules)))")
    assert done.stderr.strip() == "set()"


def test_a_reader_that_leaves_early_is_no_error(home: Home) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # gone before the first row is written
    command = [sys.executable, "-m", "clfd", "--home", str(home.root), "results", "--format", "csv"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


# --- status


def told_status(home: Home) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(call(home, status, "--json").stdout)
    return printed


def test_without_a_daemon_the_ledger_gives_the_counts_and_exit_is_3(home: Home) -> None:
    assert call(home, status, "--json").exit_code == 3
    printed = told_status(home)
    assert list(printed)[: len(KEYS)] == list(KEYS)
    assert (printed["running"], printed["done"], printed["failed"]) == (False, 2, 1)
    assert printed["last_error"] == "broken.wav: no audio"


def test_without_a_ledger_status_still_answers(home: Home) -> None:
    home.ledger_file.unlink()
    assert "clfd init" in told_status(home)["ledger_error"]


def test_a_running_daemon_tells_its_own_figures(home: Home) -> None:
    with DaemonLock.acquire(home):
        now = stamp(datetime.now(UTC))
        write_status(home, {"pid": os.getpid(), "done": 7, "heartbeat_at": now, "waiting": 1})
        printed = told_status(home)
        assert call(home, status).exit_code == 0
    assert (printed["running"], printed["done"], printed["waiting"]) == (True, 7, 1)
    assert "silent_since" not in printed


def test_status_says_that_a_daemon_is_silent(home: Home) -> None:
    with DaemonLock.acquire(home):
        then = stamp(datetime.now(UTC) - timedelta(minutes=5))
        write_status(home, {"pid": os.getpid(), "heartbeat_at": then})
        assert f"not responding since {then}" in call(home, status).stdout


@pytest.mark.parametrize(
    ("stopping", "words"),
    [(False, "no, the last daemon crashed or was killed after {then}"), (True, "no")],
)
def test_status_says_whether_a_daemon_died_or_stopped(
    home: Home, stopping: bool, words: str
) -> None:
    then = stamp(datetime.now(UTC) - timedelta(minutes=5))
    write_status(home, {"pid": 1, "heartbeat_at": then, "stopping": stopping})
    first, *_ = call(home, status).stdout.splitlines()
    assert first.split(maxsplit=1) == ["running:", words.format(then=then)]
    assert told_status(home)["died_at"] == (None if stopping else then)


def test_figures_of_an_earlier_daemon_are_not_shown_as_live(home: Home) -> None:
    with DaemonLock.acquire(home):
        write_status(home, {"pid": os.getpid() + 1, "done": 7})
        assert told_status(home)["done"] is None


# --- retry, config, db


def test_retry_says_how_many_it_queued(home: Home) -> None:
    assert call(home, retry, "broken.wav").stderr == "queued 1 again\n"


def test_a_retry_of_nothing_is_an_error(home: Home) -> None:
    with pytest.raises(StorageError, match="no failed recording matches"):
        call(home, retry, "other.wav")


@pytest.mark.parametrize("arguments", [(), ("--failed", "a.wav")])
def test_a_retry_must_say_what(home: Home, arguments: tuple[str, ...]) -> None:
    assert call(home, retry, *arguments).exit_code == 2


def test_the_toml_page_is_a_settings_file(home: Home) -> None:
    before = call(home, config, "show", "--format", "json").stdout
    home.settings_file.write_text(call(home, config, "show", "--format", "toml").stdout)
    after = call(home, config, "show", "--format", "json").stdout
    assert after == before.replace('"default"', '"clfd.toml"')


def test_the_table_page_names_every_source(home: Home) -> None:
    assert "default" in call(home, config, "show").stdout


def test_a_bad_setting_stops_a_command(home: Home) -> None:
    home.settings_file.write_text("[engine]\ndevise = 'cpu'\n")
    with pytest.raises(SettingsError, match=r"engine\.device"):
        call(home, results)


def test_the_settings_file_has_a_place(home: Home) -> None:
    assert call(home, config, "path").stdout == f"{home.settings_file}\n"


def test_a_valid_ledger_passes_the_check(home: Home) -> None:
    assert "is sound" in call(home, db, "check").stderr


def test_an_upgrade_waits_for_the_daemon_to_stop(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.home.daemon_lock._TRIES", 1)
    with DaemonLock.acquire(home), pytest.raises(AlreadyRunning):
        call(home, db, "upgrade")
    assert "already at this version" in call(home, db, "upgrade").stderr


def test_an_upgrade_counts_anew_what_the_check_found_wrong(home: Home) -> None:
    with driver().connect(home.ledger_file) as connection:
        connection.execute("UPDATE tally SET n = n + 1")
    connection.close()
    with pytest.raises(LedgerInvalid, match=r"counts wrongly: .* `clfd db upgrade`"):
        call(home, db, "check")
    assert "counted anew" in call(home, db, "upgrade").stderr
    assert "is sound" in call(home, db, "check").stderr
