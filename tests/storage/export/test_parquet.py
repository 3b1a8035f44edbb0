"""`clfd results --format parquet`: the same rows, with types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result
from ledger_rows import add
from sqlalchemy import insert

from storage.commands.context import Invocation
from storage.commands.results import results
from storage.database.tables import embedding
from storage.errors import StorageError, UnknownFormat
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger
from storage.settings.loading import load_settings

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """`call("--status", "all")`: `clfd results` with these words, on three recordings."""
    home = Home(tmp_path / "home")
    home.create()
    with open_ledger(load_settings(home, environ={}).database, "daemon") as ledger:
        add(ledger, "yard/a.wav", "dog", 0.9)
        add(ledger, "b.wav", "siren", 0.6, warning="cut off")
        add(ledger, "broken.wav", None)

    def call(*words: str) -> Result:
        return CliRunner().invoke(results, words, obj=Invocation(home.root))

    return call


@pytest.mark.parametrize("more", [["--status", "all"], ["--clips"], ["--label", "owl"]])
def test_it_holds_what_json_says(call: Call, tmp_path: Path, more: list[str]) -> None:
    file = tmp_path / "night.parquet"
    assert call("-o", str(file), *more).exit_code == 0
    rows = pyarrow.parquet.read_table(file).to_pylist()
    printed = json.loads(call("--format", "json", *more).stdout)
    for row, as_json in zip(rows, printed, strict=True):
        row["scores"] = row["scores"] and dict(row["scores"])
        as_json["classified_at"] = datetime.fromisoformat(as_json["classified_at"])
        assert row == as_json


def test_its_schema_is_the_same_with_rows_and_without(call: Call, tmp_path: Path) -> None:
    schemas = []
    for label in ("owl", "dog"):
        call("--label", label, "-o", str(tmp_path / f"{label}.parquet"))
        schemas.append(pyarrow.parquet.read_schema(tmp_path / f"{label}.parquet"))
    assert schemas[0] == schemas[1]
    assert str(schemas[0].field("classified_at").type) == "timestamp[ms, tz=UTC]"
    assert str(schemas[0].field("scores").type).startswith("map<string, double")


def test_chosen_columns_are_all_it_holds(call: Call, tmp_path: Path) -> None:
    call("--columns", "label,path", "-o", str(tmp_path / "a.parquet"))
    assert pyarrow.parquet.read_schema(tmp_path / "a.parquet").names == ["label", "path"]


KEPT = {"yard/a.wav": [[0.5, -2.0, 3.0], [1.0, 0.0, 65504.0]], "b.wav": None, "broken.wav": None}


@pytest.fixture
def keeping(call: Call, tmp_path: Path) -> Call:
    """The same, with embeddings of one of them."""
    url = load_settings(Home(tmp_path / "home"), environ={}).database
    packed = np.array(KEPT["yard/a.wav"], "<f2").tobytes()
    with open_ledger(url, "daemon") as ledger, ledger.database.transaction() as connection:
        connection.execute(insert(embedding).values(prediction_id=1, features=packed))
    return call


@pytest.mark.parametrize("more", [["--limit", "3"], ["--sort", "path"], ["--history"]])
def test_embeddings_are_the_last_column_where_they_are_asked_for(
    keeping: Call, tmp_path: Path, more: list[str]
) -> None:
    file = tmp_path / "a.parquet"
    status = [] if "--history" in more else ["--status", "all"]
    assert keeping("--embeddings", "-o", str(file), *status, *more).exit_code == 0
    table = pyarrow.parquet.read_table(file)
    assert table.schema.names[-2:] == ["scores", "embeddings"]
    assert str(table.schema.field("embeddings").type).count("list<") == 2
    found = {row["path"]: row["embeddings"] for row in table.to_pylist()}
    assert found == {path: KEPT[path] for path in found} and "yard/a.wav" in found


def test_embeddings_stand_behind_chosen_columns(keeping: Call, tmp_path: Path) -> None:
    keeping("--columns", "path", "--embeddings", "-o", str(tmp_path / "a.parquet"))
    assert pyarrow.parquet.read_schema(tmp_path / "a.parquet").names == ["path", "embeddings"]


def test_nothing_grows_where_nobody_asks_for_embeddings(keeping: Call, tmp_path: Path) -> None:
    keeping("-o", str(tmp_path / "a.parquet"))
    assert "embeddings" not in pyarrow.parquet.read_schema(tmp_path / "a.parquet").names
    assert "embeddings" not in keeping("--format", "json").stdout


def test_a_group_holds_no_more_embeddings_than_fit(
    keeping: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.export.parquet.GROUP_BYTES", 12)
    keeping("--sort", "path", "--embeddings", "-o", str(tmp_path / "a.parquet"))
    groups = pyarrow.parquet.ParquetFile(tmp_path / "a.parquet").num_row_groups
    assert groups == 1  # it is the last one by path
    keeping("--sort", "oldest", "--embeddings", "-o", str(tmp_path / "b.parquet"))
    assert pyarrow.parquet.ParquetFile(tmp_path / "b.parquet").num_row_groups == 2


@pytest.mark.parametrize(
    "words", [["--format", "csv"], [], ["--format", "raven"], ["--format", "parquet", "--clips"]]
)
def test_only_parquet_has_embeddings_and_not_of_clips(call: Call, words: list[str]) -> None:
    refused = call("--embeddings", *words)
    assert refused.exit_code == click.UsageError.exit_code
    assert "--embeddings is a column of Parquet" in refused.output


def test_groups_follow_each_other(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.export.parquet.GROUP_ROWS", 1)
    call("--status", "all", "-o", str(tmp_path / "a.parquet"))
    assert pyarrow.parquet.ParquetFile(tmp_path / "a.parquet").num_row_groups == 3


def test_bytes_go_to_a_pipe_and_not_to_a_terminal(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("--format", "parquet").stdout_bytes[:4] == b"PAR1"
    monkeypatch.setattr("storage.export.parquet._is_terminal", lambda: True)
    assert isinstance(call("--format", "parquet").exception, UnknownFormat)


def test_without_pyarrow_it_says_what_to_install(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install pyarrow" in str(call("--format", "parquet").exception)


def test_a_folder_that_is_not_there_leaves_nothing_behind(call: Call, tmp_path: Path) -> None:
    refused = call("-o", str(tmp_path / "nowhere" / "a.parquet")).exception
    assert isinstance(refused, StorageError)
    assert "No such file or directory" in str(refused)


@pytest.mark.parametrize("words", [["--count-by", "label"], ["--follow"]])
def test_what_is_no_table_of_rows_is_written_otherwise(call: Call, words: list[str]) -> None:
    refused = call("--format", "parquet", *words)
    assert refused.exit_code == click.UsageError.exit_code


@pytest.mark.sqlite
def test_a_reader_that_leaves_is_no_error(call: Call, tmp_path: Path) -> None:
    call()
    clfd = [sys.executable, "-m", "clfd", "--home", str(tmp_path / "home")]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        command = [*clfd, "results", "--format", "parquet"]
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
