"""What a checkpoint may ask for, told from its description."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifier.errors import CheckpointError
from classifier.model import memory
from classifier.model.audio_format import AudioFormat
from classifier.model.classifier import NetworkShape
from classifier.model.memory import check_memory, memory_bytes

LONG = AudioFormat(768_000, 60.0, hop_length=16)
SMALL = NetworkShape((4, 8, 16, 32), early_pooling=True)
BATS = AudioFormat(192_000, 10.0, max_hz=96_000.0)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_bytes", lambda: 16 * 2**30)


@pytest.mark.parametrize("audio", [AudioFormat(), BATS], ids=["reference", "bats"])
def test_what_people_use_fits(audio: AudioFormat) -> None:
    check_memory(audio, NetworkShape(), 100, 2)


@pytest.mark.parametrize(
    ("field", "audio", "shape", "n_labels"),
    [
        ("audio_format.hop_length", LONG, SMALL, 3),
        ("network.widths, over 2880001 frames of 128 bands", LONG, NetworkShape(), 3),
        ("audio_format.n_mels", AudioFormat(n_fft=65_536, n_mels=32_769), NetworkShape(), 3),
        ("network.widths", AudioFormat(), NetworkShape((8192,) * 4), 3),
        ("labels", AudioFormat(), NetworkShape(), 10**6),
    ],
)
def test_a_field_that_asks_for_too_much_is_named_with_estimate_and_limit(
    field: str, audio: AudioFormat, shape: NetworkShape, n_labels: int
) -> None:
    with pytest.raises(CheckpointError, match=rf"field {field}: .* GiB .* is 4\.0 GiB"):
        check_memory(audio, shape, n_labels, 2)


def test_of_a_small_machine_half_may_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_bytes", lambda: 2**30)
    with pytest.raises(CheckpointError, match=r"0\.9 GiB .* is 0\.5 GiB"):
        check_memory(BATS, NetworkShape(), 3, 2)


def test_the_least_limit_of_all_control_groups_counts(tmp_path: Path) -> None:
    service = tmp_path / "system.slice" / "clfd.service"
    service.mkdir(parents=True)
    (tmp_path / "system.slice" / "memory.max").write_text("268435456\n")
    (service / "memory.max").write_text("max\n")
    (tmp_path / "own").write_text("0::/system.slice/clfd.service\n")
    assert memory_bytes(tmp_path / "own", tmp_path) == 2**28
