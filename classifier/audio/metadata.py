"""What a recorder wrote into its file: when it began, where, on which device, and how slowly.

AudioMoth's comment (`Recorded at 19:17:30 30/04/2024 (UTC+1) by AudioMoth`; firmware 1.0 without a
zone, which is UTC), Wildlife Acoustics' chunk (wa_meta-1.0), the Broadcast Wave chunk (EBU Tech
3285: OriginationDate and OriginationTime), and GUANO (`Timestamp:`, guano-md.org).
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from classifier.audio.containers.riff import notes

Notes = Mapping[bytes, bytes]  # chunks by their names

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

# What is told of the recorder, by its key, and where it stands.
_WAMD_FIELDS = {1: "model", 2: "serial", 3: "firmware", 0x15: "temperature_c", 0x16: "outside_c"}
_WAMD_PLACES = (0x06, 0x14)  # at the beginning; as it was last set
_GUANO_FIELDS = {
    "Make": "make",
    "Model": "model",
    "Serial": "serial",
    "Firmware Version": "firmware",
    "Temperature Int": "temperature_c",
    "Temperature Ext": "outside_c",
    "Battery Voltage": "battery",
    "Gain": "gain",
}
_AUDIOMOTH_FIELDS = {
    "serial": re.compile(rb"by AudioMoth ([0-9A-F]{16})"),
    "deployment": re.compile(rb"during deployment ([0-9A-F]{16})"),
    "gain": re.compile(rb"at (?:gain setting (\d)|([a-z-]+) gain)"),
    "battery": re.compile(rb"battery (?:state )?was ((?:less than |greater than |[<>] ?)?[\d.]+V)"),
    "temperature_c": re.compile(rb"temperature was (-?[\d.]+)C"),
}
_NUMBERS = ("temperature_c", "outside_c")
MAX_TEXT = 100  # letters of one fact


def read_notes(fd: int) -> Notes:
    """Raises OSError."""
    return dict(notes(fd))


def recorded_at(found: Notes) -> str | None:
    """`2024-04-30T19:17:30` as the recorder's clock showed it, or in UTC with `Z`.

    None where the file does not say, or says nonsense.
    """
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


def recorder(found: Notes) -> str | None:
    """Device, place, temperature, battery and gain, as JSON; None where the file tells nothing."""
    facts: dict[str, object] = {}
    facts |= _valid(_audiomoth_facts(found.get(b"LIST", b"")))
    facts |= _valid(_wamd_facts(found.get(b"wamd", b"")))
    facts |= _valid(_guano_facts(found.get(b"guan", b"")))
    return json.dumps(facts, sort_keys=True) if facts else None


def _valid(facts: Iterator[tuple[str, str]]) -> Iterator[tuple[str, object]]:
    for key, text in facts:
        text = text.strip("\0 \t\r\n")[:MAX_TEXT]
        if key in (*_NUMBERS, "latitude", "longitude"):
            with suppress(ValueError):
                if math.isfinite(number := float(text)):
                    yield key, number
        elif text:
            yield key, text


def _audiomoth_facts(note: bytes) -> Iterator[tuple[str, str]]:
    if b"AudioMoth" in note or b"Recorded at" in note:
        for key, pattern in _AUDIOMOTH_FIELDS.items():
            if match := pattern.search(note):
                yield key, (match[match.lastindex or 1]).decode("ascii", "replace")
        if b"AudioMoth" in note:
            yield "model", "AudioMoth"


def _wamd_facts(note: bytes) -> Iterator[tuple[str, str]]:
    for name, value in _items(note):
        text = value.decode("utf-8", "replace")
        if name in _WAMD_FIELDS:
            key = _WAMD_FIELDS[name]
            yield key, text.strip("\0 ").removesuffix("C") if key in _NUMBERS else text
        elif name in _WAMD_PLACES:
            yield from _place(text.strip("\0 ").split(",")[1:])


def _guano_facts(note: bytes) -> Iterator[tuple[str, str]]:
    for line in note.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        known = key.strip().rpartition("|")[2]  # a maker's own names are behind a bar
        if known in _GUANO_FIELDS:
            yield _GUANO_FIELDS[known], value
        elif known == "Loc Position":
            yield from _place(value.split())


def _place(parts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`52.1 -0.3`, or `52.1,N,0.3,W`, each with more behind it or not."""
    signs = {"N": "", "E": "", "S": "-", "W": "-"}
    coordinates = [part.strip() for part in parts]
    if len(coordinates) >= 4 and coordinates[1] in signs and coordinates[3] in signs:
        coordinates = [
            signs[coordinates[1]] + coordinates[0],
            signs[coordinates[3]] + coordinates[2],
        ]
    yield from zip(("latitude", "longitude"), coordinates, strict=False)


def time_expansion(found: Notes) -> int:
    """By which factor the file is played more slowly than the sound was."""
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
