"""The writers of text formats."""

from __future__ import annotations

import csv
import io

import pytest

from storage.export.text_formats import write_csv


@pytest.mark.parametrize("name", ["a\r=1+1.wav", "a\n=1+1.wav", 'a"\r".wav', "a,\r\nb.wav", "\r"])
def test_a_row_stays_one_row_whatever_its_name_holds(name: str) -> None:
    stream = io.StringIO()
    write_csv(stream, ["error", "label"], [{"error": name, "label": None}])
    rows = list(csv.reader(io.StringIO(stream.getvalue(), newline="")))
    assert [row[0].removeprefix("'") for row in rows] == ["error", name]
