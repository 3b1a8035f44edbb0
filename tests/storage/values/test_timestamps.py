"""When recordings began: what names say, what recorders write, and which zone is meant."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from classifier.audio.metadata import read_notes, recorded_at
from storage.database.engine import open_database
from storage.ledger.ledger import Ledger, open_ledger
from storage.ledger.outcomes import Arrival
from storage.queries.filters import Filters
from storage.queries.results import results
from storage.values.decision import DisplayRules
from storage.values.timestamps import (
    as_stamp,
    choose_recorded_at,
    is_zone,
    moment_in_name,
    parse_seconds,
)

NOON = "2026-01-31T12:00:00"


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("20260131_120000.WAV", NOON),  # AudioMoth
        ("20260131_120000T.WAV", NOON),  # AudioMoth, triggered
        ("SMM01234_20260131_120000.wav", NOON),  # Song Meter
        ("SITE-A_+1_20260131_120000_000.wav", NOON),
        ("20260131T120000Z.flac", f"{NOON}Z"),
        ("2026-01-31T12-00-00.flac", NOON),
        ("2026-01-31 12.00.00.ogg", NOON),
        ("rec_2026-01-31T13:00:00+01:00.wav", f"{NOON}Z"),
        ("20260131T090000-0300.wav", f"{NOON}Z"),
        ("20260131_120000-0042.wav", NOON),  # a number of the recorder's
        ("20260131_120000+0200.wav", NOON),
        ("20260131T120000-1500.wav", NOON),
        ("cards/20250101_000000/20260131_120000.WAV", NOON),
        ("20250101_000000_copied_20260131_120000.wav", NOON),
        # Frontier Labs: the beginning and the end, with offsets of two, three and four digits.
        ("S20260131T220000.441825+1000_E20260131T231001.435000+1000_-12.34+78.98.wav", f"{NOON}Z"),
        ("20260131T220000+1000_20260131T230000+1000_REC.flac", f"{NOON}Z"),
        ("20260131T220000+10_REC.flac", f"{NOON}Z"),
        ("20260131T213000+930_REC.flac", f"{NOON}Z"),
        ("20260131T080000-0400[-12.34+45.6].flac", f"{NOON}Z"),
        ("20260131_120000_20260131_121000.wav", NOON),
        ("20260131T173000+05-30.wav", f"{NOON}Z"),  # a colon that the file system refused
        ("20260131T120000+10-30.5+150.1.wav", "2026-01-31T02:00:00Z"),  # an offset, and a place
        ("2026-01-31T12-00-00-123Z.webm", f"{NOON}Z"),  # toISOString with its marks replaced
        ("2026-01-31T12:00:00,123Z.wav", f"{NOON}Z"),
        ("SITE_20260131_120000_UTC.wav", f"{NOON}Z"),
        ("20260131_120000UTC.wav", f"{NOON}Z"),
        ("SITE_20260131_120000_UTC+2.wav", NOON),
        ("20260131_140000.123+0200_in_5551234.oga", f"{NOON}Z"),  # BCR
        ("Recording 2026-01-31 at 12.00.00.m4a", NOON),
        ("WhatsApp Audio 2026-01-31 at 12.00.00 PM.m4a", NOON),
        ("WhatsApp Audio 2026-01-31 at 1.00.00 AM.m4a", "2026-01-31T01:00:00"),
        ("2026-01-31 11.00.00\u202fPM.m4a", "2026-01-31T23:00:00"),
        ("SITE01_20260131$120000.wav", NOON),  # Song Meter with a GPS
        ("Queens_20260131_120000_Z.WAV", f"{NOON}Z"),  # Vesper
        ("Queens_20260131_120000_Zoo.WAV", NOON),
        ("2026-01-31-birdnet-12:00:00.wav", NOON),  # BirdNET-Pi
        ("Turdus_merula-85-2026-01-31-birdnet-RTSP_1-12:00:00.mp3", NOON),
        ("671379494.260131120000.wav", NOON),  # SoundTrap
        ("260131-120000.WAV", NOON),  # Zoom
        ("SOCAL32M_site_260131_120000.x.wav", NOON),  # HARP
        ("20260131120000.wav", NOON),
        ("5AE76B5A.WAV", "2018-04-30T19:15:38Z"),  # AudioMoth 1.0
        ("SITE_5AE76B5A.WAV", "2018-04-30T19:15:38Z"),
    ],
)
def test_names_of_recorders_tell_when(name: str, moment: str) -> None:
    assert moment_in_name(name) == moment


@pytest.mark.parametrize(
    "name",
    [
        "dog.wav",
        "1-100032-A-0.wav",
        "20261331_120000.wav",
        "20260131_250000.wav",
        "120260131_1200001.wav",
        "20250101_000000/a.wav",
        "00010101_000000.wav",
        "20240101.WAV",
        "5f3a9c1b.wav",
        "DEADBEEF.wav",
        "123456-654321.wav",
        "1234567890.123.wav",
    ],
)
def test_other_numbers_are_no_time(name: str) -> None:
    assert moment_in_name(name) is None


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", "2026-01-31T12:00:00.000Z"),
        ("+02:00", "2026-01-31T10:00:00.000Z"),
        ("-03:30", "2026-01-31T15:30:00.000Z"),
        ("Europe/Berlin", "2026-01-31T11:00:00.000Z"),
    ],
)
def test_the_zone_of_the_recorders_makes_it_utc(zone: str, expected: str) -> None:
    assert as_stamp(NOON, zone) == expected


def test_a_moment_with_its_zone_is_left_as_it_is() -> None:
    assert as_stamp(f"{NOON}Z", "+02:00") == "2026-01-31T12:00:00.000Z"


@pytest.mark.parametrize("never_set", ["0001-01-01T00:00:00", "9999-12-31T23:59:59Z"])
def test_a_clock_that_was_never_set_tells_nothing(never_set: str) -> None:
    assert choose_recorded_at(never_set, None) is None
    assert choose_recorded_at(never_set, NOON) == NOON


@pytest.mark.parametrize("zone", ["UTC", "+05:00", "-05:00"])
@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_a_moment_at_the_ends_of_the_calendar_stops_nothing(
    reading: Connection, moment: str, zone: str
) -> None:
    as_stamp(moment, zone)
    assert paths(reading, zone=zone, since=f"{moment}.000Z") in (set(), set(NAMES[:3]))


@pytest.mark.parametrize("name", ["Europe/Nowhere", "", "+2", "../etc/passwd", "2026"])
def test_other_words_are_no_zone(name: str) -> None:
    assert not is_zone(name)


def test_a_file_that_tells_its_zone_is_believed_before_its_name() -> None:
    assert choose_recorded_at(f"{NOON}Z", "2020-01-01T00:00:00") == f"{NOON}Z"
    assert choose_recorded_at("2020-01-01T00:00:00", NOON) == NOON
    assert choose_recorded_at(NOON, None) == NOON


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def comment(words: bytes) -> bytes:
    return chunk(b"LIST", b"INFO" + chunk(b"ICMT", words))


def broadcast(day: bytes, time: bytes) -> bytes:
    return chunk(b"bext", b"\0" * 320 + day + time + b"\0" * 264)


def wamd(start: bytes) -> bytes:
    items = ((0, b"\1\0"), (1, b"SM4"), (5, start), (0x15, b"12.3C"))
    content = (struct.pack("<HI", name, len(text)) + text for name, text in items)
    return chunk(b"wamd", b"".join(content))


@pytest.mark.parametrize(
    ("note", "moment"),
    [
        (comment(b"Recorded at 12:00:00 31/01/2026 (UTC) by AudioMoth 24F31"), f"{NOON}Z"),
        (comment(b"Recorded at 14:00:00 31/01/2026 (UTC+2) by AudioMoth"), f"{NOON}Z"),
        (comment(b"Recorded at 08:30:00.250 31/01/2026 (UTC-3:30) by"), f"{NOON}Z"),
        (comment(b"Recorded at 12:00:00 31/01/2026 by AudioMoth 0123456789ABCDEF at"), f"{NOON}Z"),
        (comment(b"Recorded at 12:00:00 31/01/2026 by a fridge"), None),
        (comment(b"Recorded at 12:00:00 31/13/2026 (UTC) by AudioMoth"), None),
        (broadcast(b"2026-01-31", b"12:00:00"), NOON),
        (broadcast(b"2026:01:31", b"12-00-00"), NOON),
        (broadcast(b"\0" * 10, b"\0" * 8), None),
        (chunk(b"guan", b"GUANO|Version: 1.0\nTimestamp: 2026-01-31T13:00:00+01:00\n"), f"{NOON}Z"),
        (chunk(b"guan", b"GUANO|Version: 1.0\nTimestamp: 2026-01-31 12:00:00\n"), NOON),
        (chunk(b"guan", b"Timestamp: 2026-01-31 13:00:00 +0100\n"), f"{NOON}Z"),
        (chunk(b"guan", b"Timestamp: 2026-01-31\n"), None),
        (wamd(b"2026-01-31 13:00:00+01:00"), f"{NOON}Z"),
        (wamd(b"2026-01-31 12:00:00.000"), NOON),
        (wamd(b"2026"), None),
        (chunk(b"wamd", bytes(5)), None),
        (
            chunk(b"guan", b"Timestamp: 2026-01-31 12:00:00") + wamd(b"2026-01-31 12:00:00Z"),
            f"{NOON}Z",
        ),
        (chunk(b"guan", b"Timestamp: soon\n"), None),
        (b"", None),
    ],
)
def test_what_recorders_write_into_files_tells_when(
    tmp_path: Path, note: bytes, moment: str | None
) -> None:
    body = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)) + note
    body += chunk(b"data", b"\0" * 64)
    file = tmp_path / "a.wav"
    file.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body)
    with file.open("rb") as opened:
        assert recorded_at(read_notes(opened.fileno())) == moment


NAMES = (
    "yard/20260131_115959.WAV",
    "yard/20260131_120000.WAV",
    "roof/20260131T120000Z.wav",
    "x.wav",
)


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Connection]:
    url = f"sqlite:///{tmp_path / 'clfd.db'}"
    with open_ledger(url, "daemon") as ledger:
        admit(ledger, *NAMES)
    with open_database(url, "reader") as database, database.transaction() as connection:
        yield connection


def admit(ledger: Ledger, *names: str) -> None:
    ledger.admit([Arrival(Path("/inbox"), name.encode(), name, 1) for name in names])


def paths(connection: Connection, limit: int = 0, zone: str = "UTC", **asked: str) -> set[str]:
    filters = Filters("pending", by_recorded=True, rules=DisplayRules(zone), **asked)
    return {row.path for row in results(connection, filters, limit=limit)}


@pytest.mark.parametrize("limit", [0, 10])
@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", {NAMES[1], NAMES[2]}),
        ("+01:00", {NAMES[2]}),  # noon there was an hour before
        ("-01:00", {NAMES[0], NAMES[1], NAMES[2]}),
    ],
)
def test_since_can_be_about_when_recordings_began(
    reading: Connection, zone: str, expected: set[str], limit: int
) -> None:
    since = "2026-01-31T12:00:00.000Z"
    assert paths(reading, limit, since=since, zone=zone) == expected


def test_until_can_be_about_when_recordings_began(reading: Connection) -> None:
    until = "2026-01-31T12:00:00.000Z"
    assert paths(reading, until=until, zone="UTC") == {NAMES[0]}


def test_the_first_folder_is_the_site(reading: Connection) -> None:
    sites = {row.path: row.site for row in results(reading, Filters("pending"))}
    assert [sites[name] for name in NAMES] == ["yard", "yard", "roof", ""]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("200", 200), ("0:20", 20), ("90:05.5", 5405.5), ("1:02:03", 3723), (" 3:20 ", 200)],
)
def test_seconds_may_be_written_as_a_clock_shows_them(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["0:2", "1:60", "1:60:00", ":20", "1:2:3", "soon", ""])
def test_what_no_clock_shows_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="write seconds, m:ss or h:mm:ss"):
        parse_seconds(text)
