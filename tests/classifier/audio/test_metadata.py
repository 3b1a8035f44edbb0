"""What files say of their recorders: device, place, temperature, battery and gain."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from audio_bytes import FMT, SILENCE, chunk, riff, write

from classifier.audio.decode import Segment, decode
from classifier.audio.metadata import recorded_at, recorder, time_expansion

AUDIOMOTH = (
    b"Recorded at 12:00:00 31/01/2026 (UTC) by AudioMoth 24F3190361CE4F0A at medium gain while "
    b"battery was 4.2V and temperature was -3.5C."
)
AUDIOMOTH_1_0 = (
    b"Recorded at 12:00:00 31/01/2026 by AudioMoth 0123456789ABCDEF at gain setting 2 while "
    b"battery state was 3.6V"
)
DEPLOYED = (
    b"Recorded at 12:00:00 31/01/2026 (UTC) during deployment 0123456789ABCDEF at low-medium gain "
    b"while battery was less than 2.5V and temperature was 21.0C."
)
WAMD = {
    0: b"\1\0",
    1: b"SM4\0",
    2: b"S4A02641",
    3: b"2.3.1",
    6: b"WGS84,52.10000,N,0.30000,W,12",
    0x15: b"12.3C",
}
GUANO = """GUANO|Version: 1.0
Make: Pettersson
Model:  D1000X
Loc Position: 37.1878 -86.1057
Temperature Int: 18.5
PET|Gain: 80
Note: Gain: 3
"""


def wamd(items: dict[int, bytes]) -> bytes:
    parts = (struct.pack("<HI", name, len(value)) + value for name, value in items.items())
    return b"".join(parts)


@pytest.mark.parametrize(
    ("name", "content", "facts"),
    [
        (
            b"LIST",
            b"INFO" + chunk(b"ICMT", AUDIOMOTH),
            {
                "model": "AudioMoth",
                "serial": "24F3190361CE4F0A",
                "gain": "medium",
                "battery": "4.2V",
                "temperature_c": -3.5,
            },
        ),
        (
            b"LIST",
            b"INFO" + chunk(b"ICMT", AUDIOMOTH_1_0),
            {"model": "AudioMoth", "serial": "0123456789ABCDEF", "gain": "2", "battery": "3.6V"},
        ),
        (
            b"LIST",
            b"INFO" + chunk(b"ICMT", DEPLOYED),
            {
                "deployment": "0123456789ABCDEF",
                "gain": "low-medium",
                "battery": "less than 2.5V",
                "temperature_c": 21.0,
            },
        ),
        (
            b"wamd",
            wamd(WAMD),
            {
                "model": "SM4",
                "serial": "S4A02641",
                "firmware": "2.3.1",
                "latitude": 52.1,
                "longitude": -0.3,
                "temperature_c": 12.3,
            },
        ),
        (b"wamd", wamd({6: b"WGS84,-52.1,0.3"}), {"latitude": -52.1, "longitude": 0.3}),
        (
            b"guan",
            GUANO.encode(),
            {
                "make": "Pettersson",
                "model": "D1000X",
                "latitude": 37.1878,
                "longitude": -86.1057,
                "temperature_c": 18.5,
                "gain": "80",
            },
        ),
    ],
)
def test_a_file_tells_of_its_recorder(
    tmp_path: Path, name: bytes, content: bytes, facts: dict[str, object]
) -> None:
    path = write(tmp_path / "a.wav", riff(FMT, chunk(b"data", SILENCE), chunk(name, content)))
    found = decode(Segment(os.fsencode(path), 8000, 8000, 8000, 1))
    assert json.loads(found.recorder or "null") == facts


@pytest.mark.parametrize(
    "note", [b"", b"Recorded by a fridge", b"Loc Position: north\nTemperature Int: nan\nModel: \n"]
)
def test_a_file_that_tells_nothing_has_nothing(note: bytes) -> None:
    assert recorder(dict.fromkeys((b"LIST", b"guan", b"wamd"), note)) is None


def test_whatever_the_bytes_of_a_note_they_are_read_or_left() -> None:
    random = np.random.RandomState(0)
    for base in (AUDIOMOTH, wamd(WAMD), GUANO.encode()):
        for _ in range(300):
            content = bytearray(base)
            for _ in range(5):
                content[random.randint(len(content))] = random.randint(256)
            note = dict.fromkeys((b"LIST", b"guan", b"wamd", b"bext"), bytes(content))
            json.loads(recorder(note) or "null")
            recorded_at(note)
            assert 1 <= time_expansion(note) < 2**16
