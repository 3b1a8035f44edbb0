"""`clfd bench`: what the whole daemon does, and what each stage costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from classifier.inference.device import choose_device
from classifier.model.checkpoint import parse_checkpoint
from classifier.model.starter import Starter, packaged_starter
from classifier.workers.cores import usable_cores
from classifier.workers.process import temporary_folder
from daemon.benchmark.files import choose_files, make_sounds
from daemon.benchmark.report import Benchmark, describe_machine
from daemon.benchmark.run import bench_home, run_daemon, scored_files
from daemon.benchmark.stages import measure_stages
from daemon.errors import NothingToServe
from daemon.pipeline.scoring_setup import with_batches
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.mounts import mount_of
from storage.home.paths import Home
from storage.home.temp_home import temporary_home
from storage.settings.schema import Settings

RUNNING, DECODING = 0.5, 0.1  # shares of the time that is given
LEAST_RUNNING_SECONDS = 5.0  # a slow machine needs two until its workers have begun


def run_bench(
    home: Home,
    settings: Settings,
    paths: Sequence[Path],
    max_files: int,
    seconds: float,
    print_line: Callable[[str], None],
) -> Benchmark:
    """Measures with the active checkpoint of the home, of which nothing else is read or written.

    Without `paths`, WAV files of one clip are made. Raises DaemonError where there is nothing to
    measure with.
    """
    served = checkpoint_to_measure(home)
    checkpoint = parse_checkpoint(served.name, served.data)
    device = choose_device(settings.engine.device)
    engine = with_batches(settings, device.type).engine
    with temporary_home(temporary_folder("clfd-bench")) as folder:
        if paths:
            files, copies = choose_files(paths, settings, max_files)
        else:
            print_line("making sounds")
            clip_seconds = checkpoint.audio_format.clip_seconds
            files, copies = make_sounds(folder, "wav", max_files, clip_seconds), 0
        with bench_home(served, files, home.compiled) as temp_home:
            print_line(f"the whole daemon on {len(files)} files")
            run = run_daemon(temp_home, settings, max(RUNNING * seconds, LEAST_RUNNING_SECONDS))
            print_line("each stage alone")
            scored = scored_files(temp_home)
            stages = measure_stages(
                checkpoint, device, engine, scored, DECODING * seconds, home.compiled
            )
        file_system = mount_of(folder).kind
    return Benchmark(
        describe_machine(), usable_cores(), file_system, len(files), copies, stages, run
    )


def checkpoint_to_measure(home: Home) -> Starter:
    """The active checkpoint of the home, or else the starter."""
    folder = CheckpointFolder(home.checkpoints)
    if active := folder.active():
        return Starter(active, folder.path(active).read_bytes())
    if starter := packaged_starter():
        return starter
    raise NothingToServe("no checkpoint is active in this home; make one with `clfd train`")
