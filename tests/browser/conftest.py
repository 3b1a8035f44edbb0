"""What the tests of the page in a browser share. Without Chromium they are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from page_browser import CHROMIUM, browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    pytest.importorskip("playwright")
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium")
    with browser() as found:
        yield found
