"""What sequences of events are made of: files and what happens to them, and what all share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from house import House, house_settings
from hypothesis import strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from promise import File, Promise, Worth
from sounds import not_audio, wav, wav_header

from classifier.audio.decode import Segment, decode
from classifier.errors import DecodingError
from classifier.inference.predictor import Predictor
from classifier.inference.prepare import load_predictor
from storage.database.sqlite import driver
from storage.home.paths import Home

NAMES = (b"a.wav", b"b.WAV", b"n\xff.flac", b"d/a.wav", b"d/e/c.wav", b".hidden.wav", b"c.wav.part")
FOLDERS = (b"d", b"moved")
GOOD = ("20260101T000000Z-0000000a", "20260101T000000Z-0000000b")
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # nothing is flushed to a disk

names = strategies.sampled_from(NAMES)
heard = strategies.booleans()


def contents() -> strategies.SearchStrategy[bytes]:
    """A few sounds, so that copies are common: short, of several stretches, cut short, and none."""
    whole = strategies.builds(wav, strategies.integers(0, 3), strategies.sampled_from((0.4, 2.6)))
    cut = strategies.builds(lambda n: wav_header(8000) + wav(n)[44:], strategies.integers(0, 1))
    return whole | cut | strategies.builds(not_audio, strategies.integers(0, 1))


class Alone(Mapping[tuple[str, str], Worth]):
    """What a content is worth by itself: decoded at once, scored at once, remembered."""

    def __init__(self, predictors: dict[str, Predictor]) -> None:
        self._predictors = predictors
        self._contents: dict[str, bytes] = {}
        self._known: dict[tuple[str, str], Worth] = {}

    def learn(self, file: File) -> None:
        self._contents[file.digest] = file.content

    def __getitem__(self, key: tuple[str, str]) -> Worth:
        if key not in self._known:
            self._known[key] = self._find_out(*key)
        return self._known[key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def _find_out(self, digest: str, checkpoint: str) -> Worth:
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            file.write(self._contents[digest])
            file.flush()
            try:
                decoded = decode(Segment(os.fsencode(file.name), 8000, 4000, 4000, 1000))
            except DecodingError as error:
                return error.kind
        if checkpoint == "any":
            return "nothing"
        scores: np.ndarray = self._predictors[checkpoint].score(decoded.clips.copy()).mean(axis=0)
        return scores


class World:
    """What all sequences share: two good checkpoints, a bad one, and a home to begin with."""

    def __init__(self, folder: Path, checkpoints: list[Path]) -> None:
        self.beginning = folder / "beginning"
        self.good = dict(zip(GOOD, checkpoints, strict=True))
        self.bad = folder / "bad.safetensors"
        self.bad.write_bytes(checkpoints[0].read_bytes()[:-1000])
        home = Home(self.beginning)
        home.create()
        house = House(home, house_settings(home))
        house.publish(self.good[GOOD[0]], GOOD[0])
        house.close()
        loaded = [load_predictor(file, torch.device("cpu")) for file in checkpoints]
        self.alone = Alone({predictor.checkpoint.digest: predictor for predictor in loaded})


class FileSequence(RuleBasedStateMachine):
    """Everything that can happen to files, told to the model as well."""

    world: World
    rest_seconds: float

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sequence-", dir=MEMORY))
        self.promise = Promise(self.rest_seconds)
        self.published = 0
        self.is_bad_active = False

    @property
    def inbox(self) -> Path:
        return self.folder / "home" / "inbox"

    def copy_beginning(self) -> None:
        shutil.copytree(self.world.beginning, self.folder / "home", symlinks=True)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def ring(self, name: bytes, rings: bool) -> None:
        """Events may come, or be lost."""

    def excused(self) -> tuple[str, ...]:
        """What a failure may be called but for what the content is worth."""
        return ("vanished",)

    # --- files

    def at(self, name: bytes) -> bytes:
        return os.path.join(os.fsencode(self.inbox), name)

    def existing(self, name: bytes) -> bytes | None:
        """A name that is there, whichever was drawn."""
        there = sorted(self.promise.names)
        return there[NAMES.index(name) % len(there)] if there else None

    def make_room(self, name: bytes) -> bool:
        """The folder of this name; False where something else stands there."""
        path = self.at(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return not os.path.islink(path)

    @rule(name=names, content=contents(), rings=heard)
    def create(self, name: bytes, content: bytes, rings: bool) -> None:
        if not self.make_room(name):
            return
        file = self.promise.names.get(name)
        with open(self.at(name), "wb") as handle:  # in place, where there is one
            handle.write(content)
        if file is None:
            file = File(content)
            self.promise.put(name, file)
        file.content = content
        self.stir(file)
        self.ring(name, rings)

    def stir(self, file: File) -> None:
        self.world.alone.learn(file)
        self.promise.stir(file)

    @rule(name=names, content=contents(), rings=heard)
    def replace(self, name: bytes, content: bytes, rings: bool) -> None:
        if not self.make_room(name):
            return
        aside = self.folder / "aside"
        aside.write_bytes(content)
        aside.rename(os.fsdecode(self.at(name)))
        file = File(content)
        self.promise.put(name, file)
        self.stir(file)
        self.ring(name, rings)

    @rule(name=names, n_bytes=strategies.integers(1, 5000), rings=heard)
    def append(self, name: bytes, n_bytes: int, rings: bool) -> None:
        found = self.existing(name)
        if found is None:
            return
        more = bytes(n_bytes % 251 for _ in range(n_bytes))
        with open(self.at(found), "ab") as handle:
            handle.write(more)
        file = self.promise.names[found]
        file.content += more
        self.stir(file)
        self.ring(found, rings)

    @rule(old=names, new=names, rings=heard)
    def rename(self, old: bytes, new: bytes, rings: bool) -> None:
        found = self.existing(old)
        if found is None or not self.make_room(new):
            return
        files = self.promise.names
        if files.get(new) is files[found]:
            return  # two names of one file: the kernel does nothing
        os.rename(self.at(found), self.at(new))
        self.promise.put(new, self.promise.drop(found))
        self.ring(new, rings)

    @rule(old=names, new=names, rings=heard)
    def link(self, old: bytes, new: bytes, rings: bool) -> None:
        found = self.existing(old)
        if found is None or new in self.promise.names or not self.make_room(new):
            return
        os.link(self.at(found), self.at(new))
        self.promise.put(new, self.promise.names[found])
        self.ring(new, rings)

    @rule(name=names, rings=heard)
    def delete(self, name: bytes, rings: bool) -> None:
        found = self.existing(name)
        if found is None:
            return
        os.unlink(self.at(found))
        file = self.promise.drop(found)
        self.promise.stir(file)  # its other names see another link count
        self.ring(found, rings)

    @rule(name=names)
    def touch(self, name: bytes) -> None:
        found = self.existing(name)
        if found is None:
            return
        os.utime(self.at(found))
        self.promise.stir(self.promise.names[found])

    @rule(old=strategies.sampled_from(FOLDERS), new=strategies.sampled_from(FOLDERS))
    def move_folder(self, old: bytes, new: bytes) -> None:
        if os.path.isdir(self.at(old)) and not os.path.exists(self.at(new)):
            os.rename(self.at(old), self.at(new))
            self.promise.move_folder(old, new)

    @rule(name=names)
    def symlink(self, name: bytes) -> None:
        """A link beside, to a file of the inbox: never followed, never answered."""
        found = self.existing(name)
        path = self.at(b"link-" + os.path.basename(name))
        if found is not None and not os.path.lexists(path):
            os.symlink(self.at(found), path)

    # --- the verdict

    def rows(self) -> list[tuple[Any, ...]]:
        query = (
            "SELECT r.path, r.digest, r.state, r.error_class, p.scores, c.digest FROM recording r"
            " LEFT JOIN prediction p ON p.id = r.prediction_id"
            " LEFT JOIN checkpoint c ON c.id = p.checkpoint_id"
        )
        with closing(driver().connect(self.folder / "home" / "clfd.db")) as ledger:
            return ledger.execute(query).fetchall()

    @invariant()
    def nothing_is_answered_wrongly(self) -> None:
        found = self.promise.complaints(self.rows(), self.world.alone, self.excused())
        assert not found, "\n".join(found)
