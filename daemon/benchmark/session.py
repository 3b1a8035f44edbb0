"""`clfd bench`: what each stage costs, and what the whole daemon does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from classifier.inference.device import choose_device
from classifier.model.checkpoint import parse_checkpoint
from classifier.model.starter import Starter, packaged_starter
from classifier.workers.process import temporary_folder, usable_cores
from daemon.benchmark.files import SUBTYPES, choose_files, copy_file, decodable, make_sounds
from daemon.benchmark.report import Benchmark, Format, describe_machine
from daemon.benchmark.run import Run, run_once
from daemon.benchmark.stages import StageBenchmark
from daemon.errors import DaemonError, NothingToServe
from daemon.pipeline.scoring_setup import with_batches
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.mounts import mount_of
from storage.home.paths import Home
from storage.home.temp_home import temporary_home
from storage.settings.schema import Settings

Say = Callable[[str], None]
Groups = list[tuple[str, list[Path]]]  # files by suffix, without its dot

# Shares of the time that is given, for each format.
MAKING, DECODING, RUNNING = 0.06, 0.03, 0.1
LEAST_RUNNING_SECONDS = 5.0  # a slow machine needs two until its workers have begun
WHOLE_RUNS = 2  # formats with which the whole daemon is run
STAGE_FILES = 64  # of a format are enough for the stages


def run_bench(
    home: Home, settings: Settings, paths: Sequence[Path], most: int, seconds: float, say: Say
) -> Benchmark:
    """Measures with the active checkpoint of the home, of which nothing else is read or written.

    Raises DaemonError where there is nothing to measure with.
    """
    served = checkpoint_to_measure(home)
    checkpoint = parse_checkpoint(served.name, served.data)
    device = choose_device(settings.engine.device)
    with temporary_home(temporary_folder("clfd-bench")) as folder:
        if paths:
            groups, copies = _named(paths, settings, most)
        else:
            clip_seconds = checkpoint.audio_format.clip_seconds
            groups, copies = _made(folder, most, clip_seconds, MAKING * seconds, say), 0
        engine = with_batches(settings, device.type).engine
        stages = StageBenchmark(checkpoint, device, engine, home.compiled)

        def run(files: list[Path]) -> Run:
            most_seconds = max(RUNNING * seconds, LEAST_RUNNING_SECONDS)
            labels, compiled = checkpoint.labels, home.compiled
            return run_once(served, labels, files, settings, compiled, most_seconds)

        formats = list(_measured(groups, folder, stages, run, DECODING * seconds, say))
        if not formats:
            raise DaemonError(
                "none of the files can be decoded; try `clfd classify` on one of them"
            )
        return Benchmark(
            machine=describe_machine(),
            cores=usable_cores(),
            file_system=mount_of(folder).kind,
            made=not paths,
            files=sum(len(files) for _, files in groups),
            copies=copies,
            model=stages.model_facts(),
            formats=formats,
        )


def checkpoint_to_measure(home: Home) -> Starter:
    """The active checkpoint of the home, or else the starter."""
    folder = CheckpointFolder(home.checkpoints)
    if active := folder.active():
        return Starter(active, folder.path(active).read_bytes())
    if starter := packaged_starter():
        return starter
    raise NothingToServe("no checkpoint is active in this home; make one with `clfd train`")


def _named(paths: Sequence[Path], settings: Settings, most: int) -> tuple[Groups, int]:
    """By suffix, the largest group first; and the number of copies that were left out."""
    chosen = choose_files(paths, settings, most)
    groups: dict[str, list[Path]] = {}
    for file in chosen.files:
        groups.setdefault(file.suffix.lower().removeprefix(".") or "wav", []).append(file)
    return sorted(groups.items(), key=lambda group: -len(group[1])), chosen.copies


def _made(folder: Path, most: int, clip_seconds: float, seconds: float, say: Say) -> Groups:
    """In each format as many as can be made in `seconds`."""
    groups = []
    for suffix in SUBTYPES:
        say(f"making sounds: {suffix}")
        made = folder / suffix
        made.mkdir()
        deadline = time.monotonic() + seconds
        groups.append((suffix, make_sounds(made, suffix, most, clip_seconds, deadline)))
    return groups


def _copied(files: Sequence[Path], folder: Path) -> list[Path]:
    """Copies of some that can be decoded; the benchmark of the stages touches them."""
    folder.mkdir()
    copies = [folder / f"{n:03}{file.suffix}" for n, file in enumerate(files[:STAGE_FILES])]
    for file, copy in zip(files, copies, strict=False):
        copy_file(file, copy)
    return decodable(copies)


def _measured(
    groups: Groups,
    folder: Path,
    stages: StageBenchmark,
    run: Callable[[list[Path]], Run],
    seconds: float,
    say: Say,
) -> Iterator[Format]:
    """Groups of which nothing can be decoded are left out."""
    for number, (suffix, files) in enumerate(groups):
        say(f"{suffix}: each stage alone")
        copied = _copied(files, folder / f"stages-{suffix}")
        costs = stages.costs(copied, seconds) if copied else None
        if costs and number < WHOLE_RUNS:
            say(f"{suffix}: the whole daemon on {len(files)} files")
            yield Format(suffix, costs, run(files))
        elif costs:
            yield Format(suffix, costs)
