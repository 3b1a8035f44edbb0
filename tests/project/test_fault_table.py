"""The table of forty faults names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TABLE = TESTS / "torture" / "README.md"
ROW = re.compile(r"^\| (\d+) \| [^|]+ \| (.+) \|$", re.MULTILINE)
NAME = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
ROWS = ROW.findall(TABLE.read_text(encoding="utf-8"))


def names_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_there_are_forty_faults() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, 41))


@pytest.mark.parametrize(("number", "cell"), ROWS, ids=[number for number, _ in ROWS])
def test_a_fault_is_held_by_tests_that_exist(number: str, cell: str) -> None:
    names = NAME.findall(cell)
    assert names, f"fault {number} names no test"
    assert [name for file, name in names if name not in names_in(file)] == []


def test_the_sizes_in_the_table_are_those_the_tests_ask_for() -> None:
    asked = set()
    for file in (TESTS / "torture").glob("*.py"):
        asked.update(re.findall(r'\bsize\("(\w+)"', file.read_text(encoding="utf-8")))
    printed = set(re.findall(r"`TORTURE_(\w+)`", TABLE.read_text(encoding="utf-8")))
    assert printed - {"SEED", "SECONDS", "MUTATIONS", "FFMPEG_MUTATIONS"} == asked
