"""The values of a labels table's cells; each function raises ValueError with the reason."""

from __future__ import annotations

import math
import re

from storage.labels.label_names import read_name
from storage.values.timestamps import parse_seconds

SPLITS = ("train", "val")
_SHORTENED = re.compile(r"\d[.,]\d+E\+\d\d", re.ASCII)  # how a spreadsheet shows a long number
_DECIMAL_COMMA = re.compile(r"(\d+:)*\d+,\d+", re.ASCII)
_THOUSANDS = re.compile(r"[1-9]\d{0,2},\d{3}", re.ASCII)


def read_group(cell: str) -> str:
    """An empty cell is no group. Numbers that lost their last digits would merge groups."""
    if _SHORTENED.fullmatch(cell):
        raise ValueError(
            f"{cell!r} is a number that a spreadsheet has shortened; format the column as text"
        )
    return read_name(cell) if cell else ""


def read_seconds(cell: str, delimiter: str) -> float | None:
    """Where commas stand between cells, `1,250` in quotes may be a thousand: it is refused."""
    if not cell:
        return None
    is_thousand = delimiter == "," and _THOUSANDS.fullmatch(cell)
    try:
        seconds = math.nan if is_thousand else parse_seconds(_with_point(cell))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{cell!r} is no time in seconds, m:ss or h:mm:ss")
    return seconds


def number(cell: str) -> float:
    """Also with a decimal comma; not a number where it is none, such as `1_0`."""
    try:
        return math.nan if "_" in cell else float(_with_point(cell))
    except ValueError:
        return math.nan


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell


def read_fold(cell: str) -> int | None:
    """Spreadsheets write 1 as 1.0; without a fold an example always trains."""
    if not cell:
        return None
    fold = number(cell)
    if not fold.is_integer():
        raise ValueError(f"{cell!r} is no whole number")
    return int(fold)


def read_split(cell: str) -> str:
    if cell.lower() not in SPLITS:
        raise ValueError(f"{cell!r} is neither {' nor '.join(SPLITS)}")
    return cell.lower()
