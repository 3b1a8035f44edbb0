"""The whole loop as a newcomer sees it: training, daemon, hot swap, all real."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# The same demo of fewer labels and recordings; its network is as wide.
SMALLER = """
from trainer.demo import demo

demo.FIRST = demo.TrainingRound("first-round", ("dog_bark", "siren"), 1)
demo.SECOND = demo.TrainingRound("second-round", ("dog_bark", "siren", "dog_bark;siren", "none"), 2)
demo.TRAIN_PER_LABEL, demo.TEST_PER_LABEL = 12, 2
demo.POLL_SECONDS = 1.5
demo.SMALL += ("--mels", "32", "--batch-size", "8", "--epochs", "6")
demo.run_demo()
"""

Shown = subprocess.CompletedProcess[str]


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Shown]:
    """`shown("-m", "clfd", "demo")`: what Python showed; temporary files go to tmp_path."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    # Set where a test before this one loaded PyTorch's compiler.
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)

    def run(*words: str) -> Shown:
        return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("-c", SMALLER), id="smaller", marks=pytest.mark.torture),
        pytest.param(("-m", "clfd", "demo"), id="whole", marks=pytest.mark.torture),
    ],
)
def test_the_demo_shows_the_loop_and_leaves_nothing_behind(
    words: tuple[str, ...], shown: Callable[..., Shown], tmp_path: Path
) -> None:
    demo = shown(*words)
    assert demo.returncode == 0, demo.stderr
    assert "without a restart" in demo.stdout
    answers = demo.stdout.partition("without a restart")[2]
    assert "dog_bark+siren-000-0" in answers and "none-000-0" in answers
    assert list(tmp_path.iterdir()) == []
