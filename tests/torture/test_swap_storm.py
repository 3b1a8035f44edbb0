"""Ten checkpoints, good ones and bad ones, one after another, while files stream in."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile
import stream
import torch
from checkpoint_files import forge_checkpoint
from oracle import contents, is_healthy, judge, require
from running_house import RunningHouse
from swaps import (
    Answer,
    Publisher,
    answers_of,
    around_changes,
    delays,
    digests_of,
    pauses,
    predictors_of,
    says,
    verdicts_of,
)
from tones import RATE_HZ, tone

HEAD = "network.head.2.weight"
STREAM_SECONDS = 45.0  # at least; it goes on until the last checkpoint was served or refused
DEADLINE_SECONDS = 300.0
MAX_DELAY_SECONDS = 2.0
MAX_PAUSE_SECONDS = 1.0  # on a machine that others use as well; the figure is printed
SAMPLED, NEAR_CHANGE = 1000, 30  # answers that are looked at: anywhere, and at each swap
TRAINING = (
    *("--width", "4", "--mels", "16", "--clip-seconds", "0.5", "--sample-rate", str(RATE_HZ)),
    *("--epochs", "12", "--batch-size", "8", "--lr", "0.01", "--device", "cpu"),
)


@contextmanager
def streaming(house: RunningHouse, n_files: int) -> Iterator[None]:
    """Files keep coming, by a process of their own; on leaving, all have been written."""
    enough = house.home.root.with_name("stream") / "enough"
    enough.parent.mkdir()
    inbox, pace = str(house.home.inbox), (str(n_files), str(STREAM_SECONDS))
    command = [sys.executable, stream.__file__, inbox, *pace, str(enough)]
    with subprocess.Popen(command) as writer:
        try:
            yield
            enough.touch()
            assert writer.wait(DEADLINE_SECONDS) == 0
        finally:
            writer.kill()


def publish_ten(
    publisher: Publisher, good: Path, make: Callable[..., Path], sounds: Path, aside: Path
) -> None:
    forged = aside / "forged.safetensors"

    def forge(**changes: object) -> bytes:
        return forge_checkpoint(good, forged, **changes).read_bytes()  # type: ignore[arg-type]

    publisher.activate_and_wait(make(1).read_bytes())
    publisher.be_refused(good.read_bytes()[:-1], "not a whole safetensors file")
    publisher.link_and_signal(make(2, clip_seconds=0.8).read_bytes())
    nan = {HEAD: torch.full((3, 32), torch.nan)}
    publisher.be_refused(forge(tensors=nan), f"tensor {HEAD} holds values that are no numbers")
    publisher.activate_and_wait(make(3, labels=("wren", "rail")).read_bytes())
    publisher.be_refused(pickle.dumps([1.0] * 1000), "not a whole safetensors file")
    publisher.link_and_reload(make(4).read_bytes())
    publisher.roll_back()  # to the one before, which is served once more
    publisher.be_refused(forge(format_version=2), "field format_version")
    publisher.be_refused_by_the_daemon(forge(tensors={HEAD: torch.zeros(3, 32)}), "canary")
    publisher.train(sounds, *TRAINING)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A folder for each of two labels: low and high tones."""
    for label, first_hz in (("low", 300), ("high", 1500)):
        folder = tmp_path / "sounds" / label
        folder.mkdir(parents=True)
        for number in range(12):
            soundfile.write(folder / f"{number}.wav", tone(first_hz + 25 * number) / 2, RATE_HZ)
    return tmp_path / "sounds"


def test_ten_checkpoints_taken_over_under_load_mix_and_lose_nothing(
    make_running: Callable[..., RunningHouse],
    checkpoint_file: Path,
    make_checkpoint: Callable[..., Path],
    sounds: Path,
    tmp_path: Path,
    chance: random.Random,
    size: Callable[[str, int], int],
) -> None:
    house = make_running()
    house.start()
    publisher = Publisher(house)
    with streaming(house, size("SWAP_FILES", 1500)):
        publish_ten(publisher, checkpoint_file, make_checkpoint, sounds, tmp_path)
    there = contents(house.home.inbox)
    house.wait_until(lambda: house.status().get("done") == len(there), DEADLINE_SECONDS)
    assert is_healthy(house.home, house.daemon.pid) is None
    assert house.stop() == 0
    require(judge(house.home, untouched=there, may_fail={}))
    refusals_are_told(house, publisher)
    answers = answers_of(house)
    names = {checkpoint_file.stem} | {swap.name for swap in publisher.swaps}
    anywhere = chance.sample(answers, min(SAMPLED, len(answers)))
    answers_are_of_one_each(house, names, [*around_changes(answers, NEAR_CHANGE), *anywhere])
    swaps_were_soon_and_smooth(house, publisher, answers)


def refusals_are_told(house: RunningHouse, publisher: Publisher) -> None:
    """By the ledger and the log, and by nothing else; status was asked while it told them."""
    verdicts, log = verdicts_of(house), house.log.read_text()
    assert {name for name, (word, _) in verdicts.items() if word == "refused"} == set(
        publisher.refused
    )
    for name, why in publisher.refused.items():
        assert why in verdicts[name][1]
        assert any(name in line and why in line for line in log.splitlines()), name
    assert "Traceback" not in log


def answers_are_of_one_each(house: RunningHouse, accepted: set[str], sample: list[Answer]) -> None:
    """Every clip has the scores of the one checkpoint that its row names, and of no other."""
    predictors = predictors_of(house, accepted)
    others = 0
    for answer in sample:
        assert says(predictors[answer.digest], answer), answer.path
        others += sum(
            says(predictor, answer)
            for digest, predictor in predictors.items()
            if digest != answer.digest
        )
    assert others < len(sample) / 20, "the checkpoints are too alike to be told apart"
    assert {answer.digest for answer in sample} == set(predictors), "some were hardly served"


def swaps_were_soon_and_smooth(
    house: RunningHouse, publisher: Publisher, answers: list[Answer]
) -> None:
    digests = digests_of(house)
    waited = delays(publisher.swaps, answers, digests)
    written = [answer.path.stat().st_mtime for answer in answers]
    near, far = pauses([answer.at for answer in answers], publisher.swaps)
    supply, _ = pauses(written, publisher.swaps)
    print(
        f"{len(answers)} files, {len(publisher.swaps)} swaps, {len(publisher.refused)} refused;"
        f" first answer after {min(waited):.2f} to {max(waited):.2f} s; longest pause"
        f" {1000 * near:.0f} ms around a swap, {1000 * far:.0f} ms elsewhere, files"
        f" {1000 * supply:.0f} ms apart around a swap; load {os.getloadavg()[0]:.1f}"
    )
    assert max(waited) < MAX_DELAY_SECONDS
    assert near < MAX_PAUSE_SECONDS
