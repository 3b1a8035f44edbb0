"""Templates: what a text is made of, and what is refused."""

from __future__ import annotations

import json

import pytest

from storage.values.alert import FIELDS, BodyTemplate

VALUES = dict.fromkeys(FIELDS) | {
    "label": 'a "siren"\n',
    "confidence": 0.912345,
    "path": "yard/\u202ea.wav",
    "test": False,
}


def fill(template: str) -> str:
    return BodyTemplate(template).fill(VALUES)


def test_fields_in_quotes_are_escaped_and_fields_alone_are_values() -> None:
    body = fill('{"text": "$label at ${site}!", "n": $confidence, "l": $label, "s": $site}')
    assert json.loads(body) == {
        "text": 'a "siren"\n at !',
        "n": 0.912345,
        "l": 'a "siren"\n',
        "s": None,
    }


def test_a_number_within_a_text_is_short() -> None:
    assert fill("$confidence") == "0.91"


def test_a_name_cannot_begin_a_new_line_of_a_text() -> None:
    assert fill("Subject: $label\nTo: me") == 'Subject: a "siren"\\n\nTo: me'


def test_what_turns_the_writing_direction_is_shown() -> None:
    assert fill("$path") == r"yard/\u202ea.wav"


@pytest.mark.parametrize(
    ("template", "is_json"),
    [('{"a": $id}', True), ('[{"a": "$id"}]', True), ("[clfd] $label", False), ("$label", False)],
)
def test_what_begins_like_json_is_json(template: str, is_json: bool) -> None:
    assert BodyTemplate(template).is_json == is_json


def test_two_dollar_signs_are_one() -> None:
    assert fill("5 $$") == "5 $"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("$lable", r"no field \$lable; did you mean \$label\? \(there are id, label, .*, test\)"),
        ("5 $", r"`\$` without a field; write \$\$"),
        ('{"text": "$label}', "begins like JSON and is none: "),
    ],
)
def test_what_no_text_can_be_made_of_is_refused(template: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        BodyTemplate(template)
