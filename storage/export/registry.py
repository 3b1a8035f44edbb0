"""The formats of `clfd results`: one row each, which says what it can do and what writes it.

The command line, `clfd classify` and the writers read this table. It imports nothing, since the
command line loads it for every `--help`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from storage.errors import UnknownFormat


@dataclass(frozen=True)
class Format:
    """`writer` is MODULE:FUNCTION of storage.export, loaded when it is needed."""

    name: str
    writer: str
    is_text: bool = False  # of records with any columns: counts and `clfd classify` too
    is_flat: bool = False  # has columns only; others tell `id` and `scores` as well
    is_followed: bool = False  # can be written row by row as they come
    # Has columns of its own, for the clips of done recordings, and no file's suffix asks for it.
    is_of_clips: bool = False
    suffix_beside: str | None = None  # where -o is a folder, of a file for each recording

    def load(self) -> Callable[..., Any]:
        module, _, function = self.writer.partition(":")
        writer: Callable[..., Any] = getattr(import_module(f"storage.export.{module}"), function)
        return writer


def _of_clips(name: str, suffix_beside: str | None = None) -> Format:
    writer = f"annotation_formats:write_{name}"
    return Format(name, writer, is_of_clips=True, suffix_beside=suffix_beside)


TABLE = Format("table", "text_formats:write_table", is_text=True, is_followed=True)
FORMATS = {
    format.name: format
    for format in (
        TABLE,
        Format("csv", "text_formats:write_csv", is_text=True, is_flat=True, is_followed=True),
        Format("json", "text_formats:write_json", is_text=True),
        Format("jsonl", "text_formats:write_jsonl", is_text=True, is_followed=True),
        Format("parquet", "parquet:write_parquet"),
        _of_clips("raven", ".Table.1.selections.txt"),
        _of_clips("audacity", ".txt"),
        _of_clips("kaleidoscope"),
    )
}
TEXT_FORMATS = tuple(format.name for format in FORMATS.values() if format.is_text)
FOLLOWED_FORMATS = tuple(format.name for format in FORMATS.values() if format.is_followed)


def format_of(file: Path | None) -> str:
    """The format that a file's suffix asks for; a table where it has none, or `.txt`.

    Raises UnknownFormat for a suffix that means something else.
    """
    suffix = file.suffix.removeprefix(".").lower() if file else ""
    if suffix in ("", "txt"):
        return TABLE.name
    known = [format.name for format in FORMATS.values() if not format.is_of_clips]
    if suffix not in known:
        raise UnknownFormat(
            f"{file} asks for a format clfd does not write; choose one by --format: "
            + ", ".join(known)
        )
    return suffix
