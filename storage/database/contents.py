"""Many recordings, and a content of each, in one question: a table of what was asked.

It travels as JSON, in one parameter: SQLite goes through it and finds each version by an index.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import Integer, String, bindparam, func

PARAMETER = "contents"

ASKED = func.json_each(bindparam(PARAMETER, type_=String)).table_valued("value", name="asked")
ASKED_ID = func.json_extract(ASKED.c.value, "$[0]", type_=Integer)
ASKED_DIGEST = func.json_extract(ASKED.c.value, "$[1]", type_=String)


def contents_of(asked: Iterable[tuple[int, str | None]]) -> str:
    """The parameter: ids of recordings with digests."""
    return json.dumps([(id, digest) for id, digest in asked if digest is not None])
