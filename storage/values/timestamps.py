"""Times: the ledger's stamps, as people write them, and when a recording began.

The latter is kept as the recorder's clock showed it, `2026-01-31T12:00:00`, or with `Z` where its
zone is known. Recorders seldom tell their zone, so the setting `results.time_zone` does, whenever
it is asked for.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_CLOCK = re.compile(r"(?:(\d+):(?=[0-5]\d:))?(\d+):([0-5]\d(?:\.\d+)?)", re.ASCII)
# What recorders call their files (docs/audio.md has a table with sources). A digit beside a moment
# would make it something else. Without a colon an offset follows ISO 8601's T only; elsewhere it
# might be a number of the recorder's, but behind a fraction of a second.
_USUAL = re.compile(
    r"(?<!\d)(\d{4})[-_.]?(\d\d)[-_.]?(\d\d)"
    r"(?:(?P<iso>T)|[T_ $-]+|-birdnet-(?:\w+-)?| at )"
    r"(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)(?:(?P<fraction>[.,]\d+)|[-_]\d{3}(?=Z))?"
    r"(?P<zone>_?(?:Z|UTC)(?![^\W_]|[+-]\d)"
    r"|[+-](?:0\d|1[0-4])(?:[:-]|(?(iso)|(?(fraction)|(?!))))(?:00|15|30|45)(?!\.?\d)"
    r"|(?(iso)[+-](?:0\d|1[0-4]|\d(?:00|15|30|45))|(?!)))?(?!\d|[ \u202f]?[AP]M)",
    re.ASCII,
)
_TWELVE_HOURS = re.compile(
    r"(?<!\d)(\d{4})-(\d\d)-(\d\d)(?P<iso>)(?: at)? "
    r"(\d{1,2})\.(\d\d)\.(\d\d)[ \u202f]?(?P<half>[AP])M(?P<zone>Z)?",
)
_NAMES = (
    _USUAL,
    _TWELVE_HOURS,
    re.compile(
        r"(?<!\d)(\d{4})(\d\d)(\d\d)(?P<iso>)(\d\d)(\d\d)(\d\d)(?P<zone>Z)?(?!\d)", re.ASCII
    ),
    # SoundTrap: the number of the device, and a moment with two digits of the year.
    re.compile(
        r"(?<=\d\.)(\d\d)(\d\d)(\d\d)(?P<iso>)(\d\d)(\d\d)(\d\d)(?P<zone>Z)?(?!\d)", re.ASCII
    ),
    # Zoom and HARP.
    re.compile(
        r"(?<!\d)(\d\d)(\d\d)(\d\d)(?P<iso>)[-_](\d\d)(\d\d)(\d\d)(?P<zone>Z)?(?!\d)", re.ASCII
    ),
)
# AudioMoth with firmware 1.0: seconds since 1970 in hexadecimal, in capitals, with some letter.
_HEXADECIMAL = re.compile(r"(?:^|_)(?=[0-9]*[A-F])([0-9A-F]{8})(?:\.|$)")
_HEXADECIMAL_YEARS = range(2014, 2038)  # before there was one, and when 31 bits are used up
_BETWEEN = re.compile(r"[-_]{1,2}(?:E|to[-_])?")  # a beginning and an end
_FIRST_YEAR, _LAST_YEAR = 1980, 2199


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


def parse_duration(text: str) -> float:
    """The seconds of `90s`, `10m`, `2h`, `1d`. Raises ValueError saying what is understood."""
    with suppress(OverflowError):
        if (duration := _duration(text)) is not None:
            return duration.total_seconds()
    raise ValueError(f"{text!r} is no length of time; write 90s, 10m, 2h or 1d")


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
        if (ago := _duration(text)) is not None:
            return now - ago
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):  # the latter before the year 1
        raise ValueError(
            f"{text!r} is no time; write 2h, 3d, today, yesterday or 2026-01-31T12:00"
        ) from None


def _duration(text: str) -> timedelta | None:
    match = _DURATION.fullmatch(text.strip().lower())
    return timedelta(**{_UNITS[match[2]]: float(match[1])}) if match else None


def parse_seconds(text: str) -> float:
    """`200`, `3:20` or `0:03:20.5`. Raises ValueError saying what is understood."""
    clock = _CLOCK.fullmatch(text.strip())
    try:
        if clock is None:
            return float(text.replace("_", " "))  # Python takes 1_0 for ten
        hours, minutes, seconds = clock.groups()
        return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write seconds, m:ss or h:mm:ss") from None


def seconds_text(seconds: float) -> str:
    """To the microsecond, which is what the ledger keeps."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


# --- when a recording began


def moment_in_name(path: str) -> str | None:
    """The last one in the name of the file, or where it is an end, the beginning before it.

    Its folders do not count.
    """
    name = path.rpartition("/")[2]
    for pattern in _NAMES:
        found = [(each, moment) for each in pattern.finditer(name) if (moment := _moment(each))]
        if len(found) > 1:
            (first, begin), (second, end) = found[-2:]
            if begin <= end and _BETWEEN.fullmatch(name[first.end() : second.start()]):
                return begin
        if found:
            return found[-1][1]
    if match := _HEXADECIMAL.search(name):
        when = datetime.fromtimestamp(int(match[1], 16), UTC).replace(tzinfo=None)
        return f"{when.isoformat()}Z" if when.year in _HEXADECIMAL_YEARS else None
    return None


def choose_recorded_at(in_file: str | None, in_name: str | None) -> str | None:
    """What the file says with its zone, else its name, else what the file says.

    A recorder whose clock was never set says a year in which there were no recorders.
    """
    if in_file is not None and not _FIRST_YEAR <= int(in_file[:4]) <= _LAST_YEAR:
        in_file = None
    if in_file is not None and in_file.endswith("Z"):
        return in_file
    return in_name or in_file


def as_stamp(moment: str | None, zone_name: str) -> str | None:
    """In UTC, as the ledger's stamps are; wall time is that of the zone. None for no real time."""
    with suppress(ValueError, OverflowError):  # at the ends of the calendar
        if moment is not None:
            return stamp(from_stamp(moment) if moment.endswith("Z") else _at(zone_name, moment))
    return None


def to_local_time(stamp_utc: str, zone_name: str) -> str:
    """What a clock of the zone shows at a stamp."""
    moment = from_stamp(stamp_utc)
    with suppress(OverflowError):  # at the ends of the calendar
        moment = moment.astimezone(_zone(zone_name))
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")


def is_zone(name: str) -> bool:
    try:
        _zone(name)
    except (ValueError, OSError, LookupError):  # the latter for a name that nobody knows
        return False
    return True


def _moment(match: re.Match[str]) -> str | None:
    try:
        year, month, day, *time = (int(part) for part in match.group(1, 2, 3, 5, 6, 7))
        if half := match.groupdict().get("half"):
            time[0] = time[0] % 12 + (12 if half == "P" else 0)
        century = 2000 if len(match[1]) == 2 else 0
        moment = datetime(century + year, month, day, *time)  # type: ignore[arg-type]
    except ValueError:
        return None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        return None
    zone = match["zone"]
    if zone is None:
        return moment.isoformat()
    return f"{(moment - _offset(zone)).isoformat()}Z"


def _offset(zone: str) -> timedelta:
    if zone.endswith(("Z", "UTC")):
        return timedelta(0)
    digits = re.sub(r"\D", "", zone)
    digits = {2: digits + "00", 3: "0" + digits}.get(len(digits), digits)
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset


def _at(zone_name: str, wall: str) -> datetime:
    moment = datetime.fromisoformat(wall)
    zone = _zone(zone_name)
    return moment.astimezone() if zone is None else moment.replace(tzinfo=zone)


@lru_cache
def _zone(name: str) -> tzinfo | None:
    """None is the machine's own. Raises ValueError, OSError or LookupError for no zone."""
    if name == "local":
        return None
    if name.upper() in ("UTC", "Z"):
        return UTC
    if re.fullmatch(r"[+-]\d\d:\d\d", name):
        return timezone(_offset(name))
    return ZoneInfo(name)
