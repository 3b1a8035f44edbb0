"""`clfd bench`: what each stage costs, what the whole daemon does, and which settings are best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from classifier.inference.device import available_devices, choose_device
from classifier.model.checkpoint import parse_checkpoint
from classifier.model.starter import Starter, packaged_starter
from classifier.workers.process import usable_cores
from daemon.benchmark.advice import Advice, choices, seek
from daemon.benchmark.figures import Run
from daemon.benchmark.files import choose_files, copy_file, decodable
from daemon.benchmark.machine import describe_machine
from daemon.benchmark.run import run_once
from daemon.benchmark.sounds import SUBTYPES, make_sounds
from daemon.benchmark.stages import Bench, ModelFacts
from daemon.benchmark.table import Format
from daemon.benchmark.temp_home import throw_away_folder
from daemon.benchmark.trials import Trials
from daemon.errors import DaemonError, NothingToServe
from daemon.pipeline.scoring_setup import with_batches
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.mounts import mount_of
from storage.home.paths import Home
from storage.settings.schema import Settings

Say = Callable[[str], None]
Groups = list[tuple[str, list[Path]]]  # files by suffix, without its dot

# Shares of the time that is given; what is left of it goes into settings.
MAKING, DECODING, RUNNING = 0.06, 0.03, 0.1
LEAST_RUNNING_SECONDS = 5.0  # a slow machine needs two until its workers have begun
WHOLE_RUNS = 2  # formats with which the whole daemon is run
STAGE_FILES = 64  # of a format are enough for the stages


@dataclass(frozen=True)
class Benchmark:
    """`file_system` is the one that the throw-away ledgers lay on; `made` sounds are our own."""

    machine: str
    cores: int
    file_system: str
    made: bool
    files: int
    copies: int
    model: ModelFacts
    formats: list[Format]
    advice: Advice


def run_bench(
    home: Home, settings: Settings, paths: Sequence[Path], most: int, seconds: float, say: Say
) -> Benchmark:
    """Of the home it reads the active checkpoint, and what was compiled of it, no more.

    Raises DaemonError where there is nothing to measure with.
    """
    end = time.monotonic() + seconds
    served = checkpoint_to_measure(home)
    with throw_away_folder() as folder:
        session = Session(served, settings, home.compiled, folder, seconds, say)
        groups, copies = session.files(paths, most)
        formats = session.measure(groups)
        return Benchmark(
            machine=describe_machine(),
            cores=usable_cores(),
            file_system=mount_of(folder).kind,
            made=not paths,
            files=sum(len(files) for _, files in groups),
            copies=copies,
            model=session.bench.model_facts(),
            formats=formats,
            advice=session.advice(dict(groups)[formats[0].suffix], formats[0].run, end),
        )


def checkpoint_to_measure(home: Home) -> Starter:
    """The active checkpoint of the home, or else the starter."""
    shelf = CheckpointFolder(home.checkpoints)
    if active := shelf.active():
        return Starter(active, shelf.path(active).read_bytes())
    if starter := packaged_starter():
        return starter
    raise NothingToServe("no checkpoint is active in this home; make one with `clfd train`")


class Session:
    """One checkpoint and one set of settings, measured with several sets of files."""

    def __init__(
        self,
        served: Starter,
        settings: Settings,
        compiled: Path,
        folder: Path,
        seconds: float,
        say: Say,
    ) -> None:
        checkpoint = parse_checkpoint(served.name, served.data)
        self._served, self._settings = served, settings
        self._folder, self._seconds, self._say = folder, seconds, say
        self._clip_seconds = checkpoint.audio_format.clip_seconds
        most_seconds = max(RUNNING * seconds, LEAST_RUNNING_SECONDS)
        self._run = partial(
            run_once, served, checkpoint.labels, compiled=compiled, seconds=most_seconds
        )
        device = choose_device(settings.engine.device)
        self._engine = with_batches(settings, device.type).engine
        self.bench = Bench(checkpoint, device, self._engine, compiled)

    def files(self, paths: Sequence[Path], most: int) -> tuple[Groups, int]:
        """By suffix, those of which there are most first; and how many copies were left out."""
        if not paths:
            return self._made(most), 0
        chosen = choose_files(paths, self._settings, most)
        groups: dict[str, list[Path]] = {}
        for file in chosen.files:
            groups.setdefault(file.suffix.lower().removeprefix(".") or "wav", []).append(file)
        return sorted(groups.items(), key=lambda group: -len(group[1])), chosen.copies

    def measure(self, groups: Groups) -> list[Format]:
        """Groups of which nothing can be decoded are left out; DaemonError where that is all."""
        found = [self._measure(*group, n < WHOLE_RUNS) for n, group in enumerate(groups)]
        if formats := [each for each in found if each]:
            return formats
        raise DaemonError("none of the files can be decoded; try `clfd classify` on one of them")

    def _measure(self, suffix: str, files: list[Path], whole: bool) -> Format | None:
        self._say(f"{suffix}: each stage alone")
        ours = self._ours(suffix, files)
        costs = self.bench.costs(ours, DECODING * self._seconds) if ours else None
        if costs is None:
            return None
        if not whole:
            return Format(suffix, costs)
        self._say(f"{suffix}: the whole daemon on {len(files)} files")
        run = self._run(files, self._settings)
        return Format(suffix, costs, run, self.bench.starting_seconds)

    def advice(self, files: list[Path], present: Run | None, end: float) -> Advice:
        """`present` was made with the settings as they are."""
        trials = Trials(self._run, files, self._settings, self._say, end)
        worth_a_try = choices(self._engine, usable_cores(), available_devices())
        rate = present.clips_per_second if present else trials.rate({})
        return seek(worth_a_try, rate, trials.rate, trials.has_time_for)

    def _made(self, most: int) -> Groups:
        groups = []
        for suffix in SUBTYPES:
            self._say(f"making sounds: {suffix}")
            folder = self._folder / suffix
            folder.mkdir()
            deadline = time.monotonic() + MAKING * self._seconds
            groups.append((suffix, make_sounds(folder, suffix, most, self._clip_seconds, deadline)))
        return groups

    def _ours(self, suffix: str, files: list[Path]) -> list[Path]:
        """Copies of some that can be decoded, to be touched; made files are ours already."""
        if self._folder in files[0].parents:
            return files[:STAGE_FILES]
        folder = self._folder / f"stages-{suffix}"
        folder.mkdir()
        ours = [folder / f"{n:03}.{suffix}" for n in range(min(len(files), STAGE_FILES))]
        for theirs, copy in zip(files, ours, strict=False):
            copy_file(theirs, copy)
        return decodable(ours)
