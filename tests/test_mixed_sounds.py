"""Several labels from a table to the answers of a running daemon: two tones, both, and neither."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import Result
from running_house import RunningHouse

RATE_HZ = 8000
CLIP_SECONDS = 0.25
SMALL = (
    *("--width", "4", "--mels", "16", "--clip-seconds", str(CLIP_SECONDS), "--epochs", "24"),
    *("--sample-rate", str(RATE_HZ), "--batch-size", "8", "--lr", "0.01", "--device", "cpu"),
)
LOW, HIGH, BOTH, NEITHER = range(4)
LABELS = ("low", "high", "low;high", "none")


def sound(kind: int, number: int = 0) -> np.ndarray:
    time = np.arange(int(CLIP_SECONDS * RATE_HZ)) / RATE_HZ
    low = np.sin(6.28 * (300 + 10 * number) * time)
    high = np.sin(6.28 * (1500 + 40 * number) * time)
    noise = np.random.RandomState(number).randn(len(time))
    return ((low, high, low + high, noise)[kind] + 0.05 * noise) / 8  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alerts") / "alerts.jsonl"


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, checkpoint_file: Path, alerts: Path
) -> Iterator[RunningHouse]:
    """A daemon that serves a checkpoint of one label, then one of several, then the first again."""
    settings = {
        "CLFD_HOOKS__COMMAND": f"sh -c 'cat >> {alerts}; echo >> {alerts}'",
        "CLFD_HOOKS__LABELS": "high",
    }
    root = tmp_path_factory.mktemp("mixed")
    house = RunningHouse(root / "home", checkpoint_file, settings)
    house.start()
    drop(house, "before.wav", sound(BOTH))
    train(house, root / "sounds")
    drop(house, "both.wav", sound(BOTH, 5))
    drop(house, "high.wav", sound(HIGH, 3))
    drop(house, "nothing.wav", sound(NEITHER, 40))
    drop(house, "long.wav", *[sound(LOW, 12)] * 5, sound(HIGH, 12))
    succeeded(house.typed("checkpoints", "activate", checkpoint_file.stem))
    house.wait_until(lambda: house.status()["served_checkpoint"] == checkpoint_file.stem)
    drop(house, "after.wav", sound(BOTH, 6))
    yield house
    house.close()


def succeeded(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def drop(house: RunningHouse, name: str, *parts: np.ndarray) -> None:
    soundfile.write(house.home.inbox / name, np.concatenate(parts), RATE_HZ)
    house.wait_until(lambda: house.states().get(name) == "done")


def train(house: RunningHouse, folder: Path) -> None:
    folder.mkdir()
    rows = ["path,label,fold"]
    for number in range(32):
        soundfile.write(folder / f"{number}.wav", sound(number % 4, number), RATE_HZ)
        rows.append(f"{number}.wav,{LABELS[number % 4]},{number // 4 % 2 + 1}")
    (folder / "labels.csv").write_text("\n".join(rows))
    words = (*SMALL, "--cross-validate", "--json")
    trained = json.loads(succeeded(house.typed("train", str(folder / "labels.csv"), *words)))
    assert (trained["task"], trained["promoted"]) == ("multi", True), trained
    house.wait_until(lambda: house.status()["served_checkpoint"] == trained["checkpoint"])


def in_csv(house: RunningHouse, *filters: str) -> dict[str, dict[str, str]]:
    printed = succeeded(house.typed("results", "--format", "csv", *filters))
    return {row["path"]: row for row in csv.DictReader(io.StringIO(printed))}


def test_what_sounds_together_is_told_together_and_nothing_as_none(house: RunningHouse) -> None:
    rows = in_csv(house)
    told = {path: set(row["labels"].split(";")) for path, row in rows.items()}
    assert told["both.wav"] == {"low", "high"}
    assert told["high.wav"] == {"high"}
    assert (rows["nothing.wav"]["label"], rows["nothing.wav"]["labels"]) == ("none", "")


def test_a_tone_in_one_clip_of_a_long_recording_is_found(house: RunningHouse) -> None:
    assert set(in_csv(house)["long.wav"]["labels"].split(";")) == {"low", "high"}
    printed = succeeded(house.typed("results", "--clips", "--label", "high", "--format", "json"))
    starts = {row["start_s"] for row in json.loads(printed) if row["path"] == "long.wav"}
    assert starts == {5 * CLIP_SECONDS}


def test_a_swap_between_tasks_and_back_leaves_each_answer_to_its_checkpoint(
    house: RunningHouse, checkpoint_file: Path
) -> None:
    rows = in_csv(house)
    single = {path for path, row in rows.items() if row["checkpoint"] == checkpoint_file.stem}
    assert single == {"before.wav", "after.wav"}
    for path in single:
        assert rows[path]["label"] == rows[path]["labels"] in ("bell", "dog", "rain")


def test_json_has_the_probability_of_each_label(house: RunningHouse) -> None:
    rows = json.loads(succeeded(house.typed("results", "--format", "json", "--label", "low")))
    both = next(row for row in rows if row["path"] == "both.wav")
    assert [set(each) for each in both["labels"]] == [{"label", "probability"}] * 2
    assert both["confidence"] == max(each["probability"] for each in both["labels"])


def test_a_recording_counts_once_for_each_of_its_labels(house: RunningHouse) -> None:
    words = ("--count-by", "label", "--format", "json", "--path", "[!ab]*")
    counts = json.loads(succeeded(house.typed("results", *words)))
    assert {row["label"]: row["count"] for row in counts} == {"high": 2, "low": 1, "none": 1}
    assert set(in_csv(house, "--label", "none")) == {"nothing.wav"}


def test_an_alert_rings_for_any_of_its_labels_and_not_for_none(
    house: RunningHouse, alerts: Path
) -> None:
    def rung() -> set[str]:
        lines = alerts.read_text().splitlines() if alerts.exists() else []
        return {json.loads(line)["path"] for line in lines if line.strip()}

    house.wait_until(lambda: len(rung()) == 3)
    assert rung() == {"both.wav", "high.wav", "long.wav"}


def test_a_person_is_contradicted_by_sets(house: RunningHouse) -> None:
    succeeded(house.typed("labels", "set", "both.wav", "high;low"))
    succeeded(house.typed("labels", "set", "long.wav", "low"))
    succeeded(house.typed("labels", "set", "nothing.wav", "none"))
    assert set(in_csv(house, "--wrong")) == {"long.wav"}


def test_a_file_without_the_daemon_has_the_same_answer(house: RunningHouse, tmp_path: Path) -> None:
    file = tmp_path / "both.wav"
    soundfile.write(file, sound(BOTH, 5), RATE_HZ)
    name = in_csv(house)["both.wav"]["checkpoint"]
    succeeded(house.typed("checkpoints", "activate", name))
    (row,) = json.loads(succeeded(house.typed("classify", str(file), "--format", "json")))
    assert {each["label"] for each in row["labels"]} == {"low", "high"}
    heads, _, cells, *_ = succeeded(house.typed("classify", str(file))).splitlines()
    assert heads.split() == ["path", "label", "confidence", "labels"]
    assert set(cells.split()[-1].split(";")) == {"low", "high"}
