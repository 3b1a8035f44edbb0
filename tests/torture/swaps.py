"""Ways to another checkpoint while a daemon works, and how soon and how smoothly it got there."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from running_house import RunningHouse
from sounds import wav

from classifier.audio.decode import Segment, decode
from classifier.inference.predictor import Predictor
from classifier.inference.prepare import load_predictor
from classifier.model.checkpoint import Checkpoint
from storage.database.sqlite import driver
from storage.home.checkpoint_folder import CheckpointFolder

NEAR_SECONDS = 3.0  # after its activation a swap is over, or too late
MOST_CLIPS = 99
FLOOD, FLOOD_SECONDS = 400, 10.0  # files at once, and how long each of them is
FIRST_OF_FLOODS = 10**6  # numbers of sounds, which the stream does not reach
TOLERANCE = 2e-3  # clip scores are kept as float16, and batches add up in other orders


class Swap(NamedTuple):
    """A checkpoint that had to be served from `at` (seconds since the epoch) on."""

    name: str
    at: float


class Answer(NamedTuple):
    path: Path
    at: float
    digest: str
    clip_scores: np.ndarray  # (C, L)


@dataclass
class Publisher:
    """Puts checkpoints on the shelf of a running house and has them served by every way there is.

    `swaps` and `refused` (name to words of the reason) are what must have come of it.
    """

    house: RunningHouse
    published: int = 0
    swaps: list[Swap] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def checkpoint_folder(self) -> CheckpointFolder:
        return CheckpointFolder(self.house.home.checkpoints)

    def put(self, content: bytes) -> str:
        self.published += 1
        name = f"20990101T000000Z-{self.published:08x}"
        self.checkpoint_folder.put(name, content)
        return name

    def flood(self) -> None:
        """More than can be scored until the next checkpoint is ready: its clips and the old one's
        are in the window together. All come to rest at once, since they are moved in together.
        """
        aside = self.house.home.root.with_name(f"flood {self.published}")
        aside.mkdir()
        for number in range(FLOOD):
            content = wav(FIRST_OF_FLOODS * self.published + number, FLOOD_SECONDS)
            (aside / f"{number}.wav").write_bytes(content)
        aside.rename(self.house.home.inbox / aside.name)
        self.house.wait_until(lambda: pending(self.house) > FLOOD // 2)

    def activate_and_wait(self, checkpoint: bytes) -> None:
        name = self.put(checkpoint)
        done = self.house.clfd("checkpoints", "activate", name, "--wait")
        assert done.returncode == 0, done.stderr
        assert f"the daemon serves {name}" in done.stderr
        self.note_swap(name)

    def link_and_signal(self, checkpoint: bytes) -> None:
        """What `systemctl reload` does, after a link that was set by something else than clfd."""
        name = self.put(checkpoint)
        self.flood()
        self.checkpoint_folder.activate(name)
        self.house.daemon.send_signal(signal.SIGHUP)
        self.note_swap(name)
        self.house.wait_until(lambda: self.told("served_checkpoint") == name)

    def link_and_reload(self, checkpoint: bytes) -> None:
        name = self.put(checkpoint)
        self.flood()
        self.checkpoint_folder.activate(name)
        self.note_swap(name)
        done = self.house.clfd("reload")
        assert done.returncode == 0, done.stderr
        assert f"serving {name}" in done.stderr

    def roll_back(self) -> None:
        served, name = self.told("served_checkpoint"), self.checkpoint_folder.previous()
        done = self.house.clfd("checkpoints", "rollback")
        assert done.returncode == 0, done.stderr
        assert name == self.checkpoint_folder.active()
        self.house.wait_until(lambda: self.told("served_checkpoint") == name)
        if name != served:
            self.note_swap(name)

    def train(self, sounds: Path, *options: str) -> None:
        done = self.house.clfd("train", str(sounds), "--promote", "always", *options)
        assert done.returncode == 0, done.stderr
        name = done.stdout.strip()
        self.house.wait_until(lambda: self.told("served_checkpoint") == name)
        self.note_swap(name)

    def be_refused(self, checkpoint: bytes, why: str) -> None:
        """By the command, which leaves the link; then by the daemon, when something else set it."""
        name, active, served = (
            self.put(checkpoint),
            self.checkpoint_folder.active(),
            self.told("served_checkpoint"),
        )
        done = self.house.clfd("checkpoints", "activate", name, "--wait")
        assert done.returncode == 1
        assert why in done.stderr
        assert self.checkpoint_folder.active() == active
        self.checkpoint_folder.activate(name)
        self.await_refusal(name, why, served)
        self.roll_back()

    def be_refused_by_the_daemon(self, checkpoint: bytes, why: str) -> None:
        """What only its network betrays: the command waits for the daemon's word."""
        name, served = self.put(checkpoint), self.told("served_checkpoint")
        done = self.house.clfd("checkpoints", "activate", name, "--wait")
        assert done.returncode == 1
        assert f"{served} goes on, {name} is not served" in done.stderr
        assert why in done.stderr
        self.await_refusal(name, why, served)
        self.roll_back()

    def await_refusal(self, name: str, why: str, served: str) -> None:
        self.house.wait_until(
            lambda: self.told("checkpoint") == name and why in self.told("checkpoint_refused")
        )
        assert self.told("served_checkpoint") == served
        self.refused[name] = why

    def told(self, key: str) -> str:
        return str(self.house.status().get(key))

    def note_swap(self, name: str) -> None:
        link = self.house.home.checkpoints / "active"
        self.swaps.append(Swap(name, link.lstat().st_mtime))


def pending(house: RunningHouse) -> int:
    with closing(driver().connect(house.home.ledger_file)) as ledger:
        query = "SELECT count(*) FROM recording WHERE state = 'pending'"
        return int(ledger.execute(query).fetchone()[0])


def answers_of(house: RunningHouse) -> list[Answer]:
    """In the order in which they were written."""
    query = (
        "SELECT r.path, p.classified_at, c.digest, p.clip_scores, json_array_length(c.labels)"
        " FROM prediction p JOIN recording r ON r.id = p.recording_id"
        " JOIN checkpoint c ON c.id = p.checkpoint_id ORDER BY p.id"
    )
    with closing(driver().connect(house.home.ledger_file)) as ledger:
        return [
            Answer(
                house.home.inbox / path.decode(),
                datetime.fromisoformat(at).timestamp(),
                digest,
                np.frombuffer(scores, "<f2").reshape(-1, n_labels),
            )
            for path, at, digest, scores, n_labels in ledger.execute(query)
        ]


def around_changes(answers: list[Answer], n: int) -> list[Answer]:
    """Those up to `n` places before and after each that has another checkpoint than the last."""
    changes = [at for at, (a, b) in enumerate(pairwise(answers), 1) if a.digest != b.digest]
    near = {place for at in changes for place in range(at - n, at + n)}
    return [answer for place, answer in enumerate(answers) if place in near]


def digests_of(house: RunningHouse) -> dict[str, str]:
    """Checkpoint name to digest."""
    with closing(driver().connect(house.home.ledger_file)) as ledger:
        return dict(ledger.execute("SELECT name, digest FROM checkpoint"))


def verdicts_of(house: RunningHouse) -> dict[str, tuple[str, str]]:
    """Checkpoint name to verdict and reason."""
    with closing(driver().connect(house.home.ledger_file)) as ledger:
        query = "SELECT name, verdict, reason FROM checkpoint"
        return {name: (verdict, reason or "") for name, verdict, reason in ledger.execute(query)}


def predictors_of(house: RunningHouse, names: set[str]) -> dict[str, Predictor]:
    """Digest to what it names."""
    checkpoint_folder, device = CheckpointFolder(house.home.checkpoints), torch.device("cpu")
    loaded = [load_predictor(checkpoint_folder.path(name), device) for name in sorted(names)]
    return {predictor.checkpoint.digest: predictor for predictor in loaded}


def says(predictor: Predictor, answer: Answer) -> bool:
    """Whether this checkpoint alone gives every clip of the recording these scores."""
    alone = predictor.score(clips_of(answer.path, predictor.checkpoint))
    found = answer.clip_scores
    return alone.shape == found.shape and np.allclose(found, alone, atol=TOLERANCE)


def clips_of(path: Path, checkpoint: Checkpoint) -> np.ndarray:
    audio = checkpoint.audio_format
    n_samples = audio.clip_samples
    stretch = Segment(bytes(path), audio.sample_rate_hz, n_samples, n_samples, MOST_CLIPS)
    return decode(stretch).clips.copy()


def delays(swaps: list[Swap], answers: list[Answer], digests: Mapping[str, str]) -> list[float]:
    """Seconds from each activation to the first answer by that checkpoint."""
    return [
        min(
            (
                answer.at - swap.at
                for answer in answers
                if answer.digest == digests[swap.name] and answer.at >= swap.at
            ),
            default=float("inf"),
        )
        for swap in swaps
    ]


def pauses(moments: list[float], swaps: list[Swap]) -> tuple[float, float]:
    """The longest between two moments in a row, in seconds: around a swap, and elsewhere."""
    near, far = 0.0, 0.0
    for earlier, later in pairwise(sorted(moments)):
        if any(earlier < swap.at + NEAR_SECONDS and later > swap.at for swap in swaps):
            near = max(near, later - earlier)
        else:
            far = max(far, later - earlier)
    return near, far
