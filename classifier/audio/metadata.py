"""When a recording began, as its recorder wrote it into the file, and how slowly it is played.

AudioMoth's comment (`Recorded at 19:17:30 30/04/2024 (UTC+1) by AudioMoth`; firmware 1.0 without a
zone, which is UTC), Wildlife Acoustics' chunk (wa_meta-1.0), the Broadcast Wave chunk (EBU Tech
3285: OriginationDate and OriginationTime), and GUANO (`Timestamp:`, guano-md.org).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from classifier.audio.containers.riff import notes

_AUDIOMOTH = re.compile(
    rb"Recorded at (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d\d)/(\d\d)/(\d{4})"
    rb" (?:\(UTC(?:([+-])(\d{1,2})(?::(\d\d))?)?\)|by AudioMoth)"
)
_BROADCAST = re.compile(rb"(\d{4})\D(\d\d)\D(\d\d)(\d\d)\D(\d\d)\D(\d\d)")
_MOMENT = rb"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?) ?(Z|[+-]\d\d:?\d\d)?"
_GUANO = re.compile(rb"^Timestamp:[ \t]*" + _MOMENT, re.MULTILINE)
_WAMD = re.compile(_MOMENT)
_EXPANSION = re.compile(rb"^TE:[ \t]*(\d{1,2})(?:\.0*)?\s*$", re.MULTILINE)
_DATE_AT, _DATE_END = 320, 338  # in a Broadcast chunk: ten letters of a date, eight of a time
_ITEM = struct.Struct("<HI")  # of a `wamd` chunk: what it is, and how many bytes follow
_WAMD_START, _WAMD_EXPANSION = 0x05, 0x0F


def recorded_at(fd: int) -> str | None:
    """`2024-04-30T19:17:30` as the recorder's clock showed it, or in UTC with `Z`.

    None where the file does not say, or says nonsense. Raises OSError.
    """
    found = dict(notes(fd))
    moments = []
    for name, read in (
        (b"LIST", _audiomoth),
        (b"guan", _guano),
        (b"wamd", _wamd),
        (b"bext", _broadcast),
    ):
        if name in found and (moment := read(found[name])):
            moments.append(moment)
    moments.sort(key=lambda moment: not moment.endswith("Z"))
    return moments[0] if moments else None


def time_expansion(fd: int) -> int:
    """By which factor the file is played more slowly than the sound was."""
    found = dict(notes(fd))
    match = _EXPANSION.search(found.get(b"guan", b""))
    if match is not None:
        return int(match[1]) or 1
    factor = dict(_items(found.get(b"wamd", b""))).get(_WAMD_EXPANSION, b"")
    return int.from_bytes(factor, "little") or 1 if len(factor) == 2 else 1


def _items(note: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ITEM.size <= len(note):
        name, size = _ITEM.unpack_from(note, offset)
        offset += _ITEM.size
        yield name, note[offset : offset + size]
        offset += size


def _audiomoth(note: bytes) -> str | None:
    match = _AUDIOMOTH.search(note)
    if match is None:
        return None
    hour, minute, second, day, month, year = (int(part) for part in match.groups()[:6])
    sign, hours, minutes = match.groups()[6:]
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    with suppress(ValueError, OverflowError):
        wall = datetime(year, month, day, hour, minute, second)
        return f"{(wall + offset if sign == b'-' else wall - offset).isoformat()}Z"
    return None


def _broadcast(note: bytes) -> str | None:
    match = _BROADCAST.fullmatch(note[_DATE_AT:_DATE_END])
    with suppress(ValueError):
        if match is not None:
            return datetime(*(int(part) for part in match.groups())).isoformat()  # type: ignore[arg-type]
    return None


def _guano(note: bytes) -> str | None:
    return _moment(_GUANO.search(note))


def _wamd(note: bytes) -> str | None:
    return _moment(_WAMD.match(dict(_items(note)).get(_WAMD_START, b"")))


def _moment(match: re.Match[bytes] | None) -> str | None:
    with suppress(ValueError, OverflowError):
        if match is not None:
            day, time, zone = (part and part.decode() for part in match.groups())
            moment = datetime.fromisoformat(f"{day}T{time}{zone or ''}")
            if moment.tzinfo is None:
                return moment.isoformat(timespec="seconds")
            utc = moment.astimezone(UTC).replace(tzinfo=None)
            return f"{utc.isoformat(timespec='seconds')}Z"
    return None
