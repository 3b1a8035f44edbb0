"""An environment file as systemd reads it for `EnvironmentFile=`.

Much like a shell, but for what a shell would expand: nothing is. Source: systemd.exec(5).
"""

from __future__ import annotations

import re

_BLANKS = " \t\r"
# A comment, or a line with a key. Quotes count at the beginning of a value, and may hold newlines.
_ENTRY = re.compile(
    r"""
    \s*
    (?: [#;] (?: \\. | [^\n\\] )*
      | (?P<key> [^=\n]* )
        (?: = (?P<value>
                (?: [ \t\r]* (?: '[^']*(?:'|\Z) | "(?: \\. | [^"\\] )*(?:"|\Z) ) )*
                (?: \\. | [^\n\\] )*
              )
        )?
    )
    (?: \n | \\?\Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(r"""[ \t\r]*(?:'([^']*)'?|"((?:\\.|[^"\\])*)"?)""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse_environment_file(text: str) -> dict[str, str]:
    """The variables; lines that systemd leaves out, as those without `=`, are left out here too."""
    found: dict[str, str] = {}
    for entry in _ENTRY.finditer(text):
        key, value = (entry["key"] or "").strip(), entry["value"]
        if value is not None and _NAME.fullmatch(key):
            found[key] = _meaning(value)
    return found


def _meaning(value: str) -> str:
    """Without quotes and backslashes."""
    parts, at = [], 0
    while quoted := _QUOTED.match(value, at):
        single, double = quoted.groups()
        parts.append(_ESCAPED.sub(_in_quotes, double) if single is None else single)
        at = quoted.end()
    rest = re.sub(rf"(?<!\\)[{_BLANKS}]+\Z", "", value[at:].lstrip(_BLANKS))
    return "".join([*parts, _ESCAPED.sub(_bare, rest)])


def _bare(escaped: re.Match[str]) -> str:
    return "" if escaped[1] == "\n" else escaped[1]


def _in_quotes(escaped: re.Match[str]) -> str:
    return _bare(escaped) if escaped[1] in '"\\`$\n' else escaped[0]
