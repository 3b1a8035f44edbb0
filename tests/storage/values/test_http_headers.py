"""Headers as settings write them."""

from __future__ import annotations

import pytest

from storage.values.http_headers import headers_of, hidden


def test_a_header_is_a_name_and_a_value() -> None:
    texts = ["Authorization: Bearer a:b", "Tags:warning, skull "]
    assert headers_of(texts) == {"Authorization": "Bearer a:b", "Tags": "warning, skull"}


NO_HEADERS = (
    ["secret"],
    ["a b: secret"],
    ["A: secret\r\nB: c"],
    ["A: secret", "a: b"],
    ["Content-Length: 1"],
)


@pytest.mark.parametrize("texts", NO_HEADERS)
def test_what_is_no_header_is_refused_without_its_value(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"header|leave it out") as refusal:
        headers_of(texts)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(("text", "shown"), [("A: secret", "A: (hidden)"), ("secret", "(hidden)")])
def test_of_a_header_the_name_is_shown(text: str, shown: str) -> None:
    assert hidden(text) == shown
