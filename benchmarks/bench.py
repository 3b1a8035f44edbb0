"""`make bench`: the daemon against its stages and against the plain pipeline, in one run.

make bench                      # prints; finds ESC-10 by ESC10_DIR, else makes its own sounds
make bench RECORD=1             # also appends to benchmarks/history/throughput.md

On the same files, and measured by what `clfd bench` measures with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from timeit import repeat

import click

from benchmarks import networks
from benchmarks.big_ledger import fill_ledger
from benchmarks.distinct import distinct
from benchmarks.recordings import long_recording, recordings
from classifier.inference.device import choose_device
from classifier.model.checkpoint import parse_checkpoint
from classifier.model.starter import Starter
from classifier.workers.cores import usable_cores
from daemon.benchmark.report import describe_machine, figures, model_line
from daemon.benchmark.run import run_once
from daemon.benchmark.stages import measure_stages
from daemon.pipeline.scoring_setup import with_batches
from storage.home.paths import Home
from storage.settings.loading import load_settings
from storage.settings.schema import Settings

RECORD = Path(__file__).parent / "history" / "throughput.md"
LONG_MINUTES = 90
SLOW_FILES, SLOW_RUN_FILES = 40, 200  # for the plain pipeline, and the daemon with its network
OTHER_FILES = 100  # in formats that take long to write
RUN_FILES = 2000  # of a whole daemon: with 400 its start was a tenth of what was measured
DECODING_SECONDS = 4.0
COMMANDS = ("--help", "results", "results --count-by label", "status")
COMMAND_REPEATS, LEDGER_ROWS = 7, 100_000


@dataclass(frozen=True)
class Entry:
    """A network, the formats it is measured with, and how many files of each a run has."""

    name: str
    make: Callable[[], Starter]
    formats: tuple[str, ...]
    files: int = RUN_FILES


ENTRIES = (
    Entry("The default network", networks.starter, ("wav", "ogg", "flac", "mp3")),
    Entry("A network of 0.64 GFLOP", networks.twice_as_wide, ("wav", "ogg")),
    Entry("The reference's network", networks.reference, ("ogg",), SLOW_RUN_FILES),
)


@click.command()
@click.option("--files", default=400, show_default=True, help="Recordings, in each format.")
@click.option("--record", is_flag=True, help="Append to history/throughput.md.")
def main(files: int, record: bool) -> None:
    """Measures this checkout on this machine."""
    lines = []
    for line in _lines(files):
        click.echo(line)
        lines.append(line)
    if record:
        with RECORD.open("a") as file:
            file.write("\n" + "\n".join(lines) + "\n")


def _lines(n_files: int) -> Iterator[str]:
    """The block for the record, line by line as it is measured."""
    yield f"## {datetime.now(UTC):%Y-%m-%d}, {describe_machine()}"
    yield from ("", f"`python -m benchmarks.bench {' '.join(sys.argv[1:])}`".replace(" `", "`"), "")
    yield from _commands()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = load_settings(Home(folder), environ={})
        sounds, what = recordings(folder, n_files, OTHER_FILES)
        plain = _plain_rate(sounds["ogg"][:SLOW_FILES])
        yield f"Plain librosa pipeline on {SLOW_FILES} of {what}, Ogg: {plain:.1f} files a second."
        for entry in ENTRIES:
            yield from ("", *_network(entry, sounds, settings, plain))
    yield from ("", *_long_recording())


def _commands() -> Iterator[str]:
    """How long light commands take on a ledger with many rows."""
    yield f"| command, on a ledger of {LEDGER_ROWS:,} rows | seconds, median of {COMMAND_REPEATS} |"
    yield "|---|---|"
    with tempfile.TemporaryDirectory() as name:
        home = Home(Path(name))
        home.create()
        fill_ledger(load_settings(home, environ={}), LEDGER_ROWS)
        for command in COMMANDS:
            words = [sys.executable, "-m", "clfd", "--home", name, *command.split()]
            run = partial(subprocess.run, words, capture_output=True)
            times = repeat(run, number=1, repeat=COMMAND_REPEATS + 1)
            yield f"| `clfd {command}` | {median(times[1:]):.2f} |"  # the first fills caches
    yield ""


def _network(
    entry: Entry, sounds: dict[str, list[Path]], settings: Settings, plain: float
) -> Iterator[str]:
    """Its formats side by side, and what follows from them."""
    served = entry.make()
    checkpoint = parse_checkpoint(served.name, served.data)
    device = choose_device(settings.engine.device)
    engine = with_batches(settings, device.type).engine
    columns = []
    for suffix in entry.formats:
        stages = measure_stages(checkpoint, device, engine, sounds[suffix], DECODING_SECONDS)
        with tempfile.TemporaryDirectory() as name:
            files = distinct(sounds[suffix], entry.files, Path(name, suffix))
            run = run_once(served, files, settings)
        if suffix == "ogg":
            ogg = run
        columns.append(figures(stages, run, usable_cores()))
    yield from (f"**{entry.name}**: {model_line(stages)}", "")
    yield f"| ms are core-milliseconds per clip | {' | '.join(entry.formats)} |"
    yield "|---|" + "---:|" * len(columns)
    for name in columns[0]:
        yield f"| {name} | {' | '.join(f'{column[name]:.2f}' for column in columns)} |"
    ratio = ogg.files_per_second / plain
    yield from ("", f"Ogg: {ratio:.1f} times the plain pipeline.")


def _long_recording() -> Iterator[str]:
    """With the largest network there is: memory must not notice."""
    served = networks.reference()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        long_recording(folder / "long.wav", LONG_MINUTES)
        settings = load_settings(Home(folder), environ={})
        run = run_once(served, [folder / "long.wav"], settings)
    yield (
        f"The reference's network, one WAV of {LONG_MINUTES} minutes:"
        f" {run.times_real_time:.0f} times real time, {run.peak_bytes / 1e6:.0f} MB at its peak."
    )


def _plain_rate(files: Sequence[Path]) -> float:
    """Files a second, without its start."""
    command = [sys.executable, "-m", "benchmarks.pipelines.plain_pipeline", *map(str, files)]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    answer = json.loads(output)
    return float(answer["files"] / answer["seconds"])


if __name__ == "__main__":
    main()
