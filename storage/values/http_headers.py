"""Headers of HTTP, as settings write them. Their values may be secrets, and stand in no message."""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "(hidden)"
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x1f\x7f]*)")
_OF_THE_BODY = frozenset(("content-length", "transfer-encoding"))


def headers_of(texts: Sequence[str]) -> dict[str, str]:
    """Of `Authorization: Bearer TOKEN` and the like, each name once.

    Raises ValueError saying what is expected.
    """
    found: dict[str, str] = {}
    for number, text in enumerate(texts, start=1):
        match = _HEADER.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"number {number} is no header; write NAME: VALUE, like Title: siren")
        name = match[1]
        if name.lower() in {*_OF_THE_BODY, *map(str.lower, found)}:
            raise ValueError(f"{name} stands there twice, or is of the body alone; leave it out")
        found[name] = match[2].strip()
    return found


def hidden(text: str) -> str:
    """The name alone."""
    name, colon, _ = text.partition(":")
    return f"{name}: {HIDDEN}" if colon else HIDDEN
