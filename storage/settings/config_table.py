"""`clfd config show`: the effective settings as a table, as TOML to copy from, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TextIO

from storage.export.text_formats import write_table
from storage.settings.loading import EffectiveSetting


def write_settings(stream: TextIO, settings: Sequence[EffectiveSetting], format: str) -> None:
    """`format` is json, toml or table."""
    match format:
        case "json":
            values = {s.key: {"value": s.value, "source": s.source} for s in settings}
            stream.write(json.dumps(values, ensure_ascii=False, indent=2) + "\n")
        case "toml":
            stream.writelines(f"{line}\n" for line in _toml_lines(settings))
        case _:
            rows = [(s.key, _plain(s.value), s.source) for s in settings]
            write_table(stream, ("setting", "value", "source"), rows)


def _toml_lines(settings: Sequence[EffectiveSetting]) -> Iterator[str]:
    for section, members in groupby(settings, key=lambda s: s.key.rpartition(".")[0]):
        if section:
            yield f"\n[{section}]"
        for setting in members:
            # JSON's texts, numbers and lists are TOML's as well.
            value = json.dumps(setting.value, ensure_ascii=False)
            yield f"{setting.key.rpartition('.')[2]} = {value}  # {setting.source}"


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
