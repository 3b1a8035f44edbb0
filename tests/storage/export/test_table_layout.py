"""Tables on narrow and wide terminals."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from rich.console import Console

from storage.export.table_layout import shortened, table_lines

PLACES = (
    "pond/2026/january/card-A/SMM24F319055FE1_20260131_{}0000.wav",
    "riverside-north-meadow-03/deployment-07/SD-card-2/DATA/SMM24F319055FE1_20260201_{}0000.wav",
    "20260131_{}0000.WAV",
    "鳥/録音-東京-2026-01-31-深夜-{}.wav",
)
PATHS = [place.format(hour) for place in PLACES for hour in ("04", "22")]
REASON = "not an audio file: it begins with <!DOCTYPE html>; remove it or copy it from the card"
WIDTHS = (20, 40, 60, 80, 120, 200)


def lines(width: int, columns: list[str], rows: list[list[str]]) -> list[str]:
    console = Console(width=width, no_color=True)
    return [line.plain for line in table_lines(console, columns, rows)]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "extra", [{}, {"status": "superseded", "error": REASON}, {"human_label": "sea_waves" * 3}]
)
def test_no_line_is_wider_than_the_terminal_and_no_path_is_lost(
    width: int, extra: dict[str, str]
) -> None:
    columns = ["time", "path", "label", "confidence", *extra]
    rows = [["2026-01-31 12:00:00", path, "dog_bark", "0.5", *extra.values()] for path in PATHS]
    printed = lines(width, columns, rows)
    assert max(map(cell_len, printed)) <= width
    for path in PATHS:
        assert [line for line in printed if path[-7:] in line]


@pytest.mark.parametrize("width", [20, 24, 30, 60])
@pytest.mark.parametrize("path", PATHS)
def test_a_short_path_keeps_its_site_and_the_end_of_its_name(width: int, path: str) -> None:
    short = shortened(path, width)
    assert cell_len(short) <= width
    assert short[:1] == path[:1]
    assert short.endswith(path[-6:])
    if path.startswith("pond/"):
        assert short.startswith("pond/")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_path_has_20_characters_or_a_line_of_its_own(width: int) -> None:
    columns = ["time", "path", "status", "start_s", "end_s", "label", "confidence"]
    row = ["2026-01-31 12:00:00", PATHS[0], "done", "2380.0", "2385.0", "dog_bark", "0.975"]
    header, _, first, *below = lines(width, columns, [row])
    if "path" in header:
        start = header.index("path")
        assert cell_len(first[start:].split()[0]) >= 20
    else:
        assert below[0] == f"    {shortened(PATHS[0], width - 4)}"


def test_a_long_reason_stands_below_its_row() -> None:
    rows = [["a.wav", REASON], ["b.wav", ""]]
    assert lines(60, ["path", "error"], rows)[2:] == [
        "a.wav",
        "    error: not an audio file: it begins with <!DOCTYPE",
        "    html>; remove it or copy it from the card",
        "b.wav",
    ]


def test_a_short_reason_stands_in_its_row() -> None:
    assert lines(60, ["path", "error"], [["a.wav", "no audio"]])[2] == "a.wav   no audio"


def test_what_helps_least_stands_below_before_the_label_does() -> None:
    columns = ["time", "path", "label", "confidence", "human_label"]
    row = ["2026-01-31 12:00:00", "a/" * 40, "dog_bark", "0.500", "sea_waves"]
    header, _, _, *below = lines(64, columns, [row])
    assert header.split() == ["time", "path", "label", "confidence"]
    assert below == ["    human_label: sea_waves"]


def test_times_of_one_year_lose_it_where_there_is_no_room() -> None:
    columns = ["clip_at", "path", "start_s", "end_s", "label", "confidence"]
    row = ["2026-01-31 12:00:00", PATHS[0], "2380.0", "2385.0", "dog_bark", "0.975"]
    assert lines(78, columns, [row])[2].startswith("01-31 12:00:00  pond/…")
    assert lines(90, columns, [row])[2].startswith("2026-01-31 12:00:00  pond/…")
    other = ["2025-12-31 23:00:00", *row[1:]]
    assert "2025-12-31 23:00:00" in "\n".join(lines(78, columns, [row, other]))


def test_settings_fold_in_their_column() -> None:
    printed = lines(40, ["setting", "value", "source"], [["intake.suffixes", ".wav, " * 9, "file"]])
    assert len(printed) > 3
    assert all(line.startswith(" " * 15) for line in printed[3:])
