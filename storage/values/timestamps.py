"""Words for time: stamps as the ledger keeps them, and times as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def stamp(moment: datetime) -> str:
    """UTC ISO 8601 with milliseconds and Z, so that stamps sort as text."""
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="milliseconds") + "Z"


def utc_now() -> str:
    """The stamp of this moment."""
    return stamp(datetime.now(UTC))


def from_stamp(text: str) -> datetime:
    return datetime.fromisoformat(text)


def later(text: str, seconds: float) -> str:
    """The stamp so many seconds after that of `text`."""
    return stamp(from_stamp(text) + timedelta(seconds=seconds))


def parse_when(text: str, now: datetime) -> datetime:
    """`2h`, `3d`, `now`, `today`, `yesterday` or ISO 8601; a time without a zone is local.

    `now` must carry a zone. Raises ValueError saying what is understood.
    """
    word = text.strip().lower()
    midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if word in named:
        return named[word]
    try:
        if ago := _AGO.fullmatch(word):
            return now - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):  # the latter before the year 1
        raise ValueError(
            f"{text!r} is no time; write 2h, 3d, today, yesterday or 2026-01-31T12:00"
        ) from None
