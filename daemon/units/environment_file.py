"""The environment file of the service, as systemd reads it for `EnvironmentFile=`.

Read are `KEY=value` lines, with quotes around the whole value or without, and comments: what
`clfd.env` shows. systemd.exec(5) knows more (backslashes, values of several lines or of several
quoted parts); lines with that are left out here.
"""

from __future__ import annotations

import re

_LINE = re.compile(
    r"""\s* (?P<key>[A-Za-z_][A-Za-z0-9_]*) \s* = \s*
    (?: '(?P<single>[^'\\]*)' | "(?P<double>[^"\\]*)" | (?P<bare>(?!['"])[^\\]*?) ) \s*""",
    re.VERBOSE,
)


def parse_environment_file(text: str) -> dict[str, str]:
    """The variables; of two lines with one key the later counts."""
    lines = filter(None, map(_LINE.fullmatch, text.split("\n")))
    return {line["key"]: line["single"] or line["double"] or line["bare"] or "" for line in lines}
