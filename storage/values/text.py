"""Text that is safe to show: on terminals, in logs, in spreadsheets."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    """Text that every engine can store: what is no Unicode, and NUL, is escaped."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def printable_path(path: bytes) -> str:
    """The twin that people read; bytes that are no UTF-8 show as escapes."""
    return path.decode("utf-8", "backslashreplace")


def text_digest(text: str) -> str:
    """The SHA-256 of a text, which may be a file name of odd bytes."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def visible(text: str) -> str:
    """Names may hold control and direction characters; they are shown, never obeyed."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def without_formula(column: str, value: object) -> object:
    """A spreadsheet runs a cell that begins like a formula. `./` before it names the same file."""
    value = str(value) if isinstance(value, list) else value
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    return f"./{value}" if column == "path" else f"'{value}"


def without_guard(cell: str) -> str:
    """A cell as it was before it was kept from being run."""
    return cell[1:] if cell.startswith(tuple(f"'{sign}" for sign in _FORMULA)) else cell


def caseless(name: str) -> str:
    """Equal for file names that differ only in case, or in how their accents are written."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def nearest(name: str, names: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Those that were probably meant, the nearest first, whatever their case."""
    spellings = {caseless(one): one for one in names}
    return [spellings[one] for one in get_close_matches(caseless(name), spellings, most, cutoff)]


def counted(number: object, one: str, several: str = "") -> str:
    """`1 clip`, `2 clips`, `at least 1000 clips`."""
    return f"{number} {one if str(number) == '1' else several or f'{one}s'}"


def listed(names: Sequence[str], most: int = 10) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
