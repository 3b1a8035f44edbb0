"""An alert, which hooks send of an answer or a part of one, and templates for its text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import cycle
from string import Template

from storage.values.text import nearest, visible

JSON_TYPE, TEXT_TYPE = "application/json", "text/plain; charset=utf-8"
_JSON_TEXTS = re.compile(r'("(?:[^"\\]|\\.)*")', re.DOTALL)


@dataclass(frozen=True)
class Alert:
    """Its fields are the keys of an alert in JSON, and the fields of a template."""

    id: str  # the same whenever the same alert is sent again
    label: str | None
    confidence: float | None  # of the surest clip
    start_s: float
    end_s: float | None
    started_at: str | None  # UTC; of `start_s` by the recorder's clock
    site: str
    path: str
    inbox: str
    recording: int  # the `id` of the results
    digest: str | None
    duration_s: float | None
    recorded_at: str | None
    classified_at: str | None
    checkpoint: str | None
    held_back: int = 0  # alerts of label and site that the cool-down held back before this one
    test: bool = False


FIELDS = tuple(field.name for field in fields(Alert))


class BodyTemplate:
    """A text with `$field` or `${field}` in it, and `$$` for a dollar sign.

    One that begins with `{` is JSON, and so is a list. In JSON, a field in quotes is escaped; one
    that stands alone is a whole value: a text in quotes, a number, true, false or null.
    """

    def __init__(self, text: str) -> None:
        """Raises ValueError for a field that there is not, and for JSON that is none."""
        self.text = text
        _check_fields(text)
        self.is_json = text.lstrip()[:1] in ("{", "[")
        try:
            if self.is_json:
                json.loads(self._json(dict.fromkeys(FIELDS)))
        except ValueError as error:
            if text.lstrip().startswith("{"):
                raise ValueError(f"begins like JSON and is none: {error}") from error
            self.is_json = False

    @property
    def content_type(self) -> str:
        return JSON_TYPE if self.is_json else TEXT_TYPE

    def fill(self, values: Mapping[str, object]) -> str:
        """In a text that is not JSON control characters are escaped: names may hold them."""
        if self.is_json:
            return self._json(values)
        return Template(self.text).substitute(
            {name: visible(_as_text(value)) for name, value in values.items()}
        )

    def _json(self, values: Mapping[str, object]) -> str:
        alone = {name: json.dumps(value) for name, value in values.items()}
        in_quotes = {name: json.dumps(_as_text(value))[1:-1] for name, value in values.items()}
        parts = zip(_JSON_TEXTS.split(self.text), cycle((alone, in_quotes)), strict=False)
        return "".join(Template(part).substitute(filling) for part, filling in parts)


def _check_fields(text: str) -> None:
    template = Template(text)
    if not template.is_valid():
        raise ValueError("has a `$` without a field; write $$ for the sign itself")
    for name in template.get_identifiers():
        if name not in FIELDS:
            near = nearest(name, FIELDS)
            hint = f"; did you mean ${near[0]}?" if near else ""
            known = ", ".join(FIELDS)
            raise ValueError(f"there is no field ${name}{hint} (there are {known})")


def _as_text(value: object) -> str:
    """What is not known is empty."""
    if isinstance(value, float):
        value = round(value, 2)
    return "" if value is None else str(value)
