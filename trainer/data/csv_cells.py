"""What one cell of a labels file may say. Each function raises ValueError with the reason."""

from __future__ import annotations

import math
import re
import unicodedata

SPLITS = ("train", "val")
JOINERS = "\u200c\u200d"  # Persian, Indic scripts and emoji are written with them
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, directions, halves of characters, line breaks
SPREADSHEET_ERRORS = ("#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!")
SHORTENED = re.compile(r"\d\.\d+E\+\d\d", re.ASCII)  # how a spreadsheet shows a long number


def read_text(cell: str) -> str:
    if not cell:
        raise ValueError("it is empty")
    return cell


def read_name(cell: str) -> str:
    """A name in any script, as it is to be compared: NFC, one plain space between words.

    What looks the same must be the same. "é" is one character or two, as its keyboard will have
    it, and a space may be one that does not break.
    """
    if any(unicodedata.category(char) in UNSEEN and char not in JOINERS for char in cell):
        raise ValueError(f"{cell!r} holds a line break or a control character")
    if cell in SPREADSHEET_ERRORS:
        raise ValueError(f"{cell!r} is an error of the spreadsheet")
    return unicodedata.normalize("NFC", " ".join(read_text(cell).split()))


def read_group(cell: str) -> str:
    """An empty cell is no group. Numbers that lost their last digits would merge groups."""
    if SHORTENED.fullmatch(cell):
        raise ValueError(
            f"{cell!r} is a number that a spreadsheet has shortened; format the column as text"
        )
    return read_name(cell) if cell else ""


def read_seconds(cell: str, default: float) -> float:
    if not cell:
        return default
    try:
        seconds = float(cell)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{cell!r} is no time in seconds")
    return seconds


def read_fold(cell: str) -> int | None:
    """Spreadsheets write 1 as 1.0; an empty fold trains in every round."""
    if not cell:
        return None
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not number.is_integer():
        raise ValueError(f"{cell!r} is no whole number")
    return int(number)


def read_split(cell: str) -> str:
    if cell.lower() not in SPLITS:
        raise ValueError(f"{cell!r} is neither {' nor '.join(SPLITS)}")
    return cell.lower()
