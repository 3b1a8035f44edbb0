"""`clfd demo`: the whole loop on sounds it makes itself, through the same commands a user types.

Explanations go to stderr, output of the commands and results to stdout.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from classifier.workers.process import temporary_folder
from storage.home.temp_home import temporary_home
from storage.values.decision import NONE, SEPARATOR, written
from trainer.demo.synthesis import make_set
from trainer.errors import TrainerError

Row = dict[str, Any]


@dataclass(frozen=True)
class TrainingRound:
    """The labels to train on, and the seed of the test recordings that are dropped afterwards.

    `a;b` is of recordings in which both sound, `none` of such as hold only background.
    """

    name: str
    labels: tuple[str, ...]
    test_seed: int


FIRST = TrainingRound(
    "first-round", ("dog_bark", "drilling", "engine_idling", "siren", "street_music"), 1
)
TOGETHER = ("dog_bark;siren", "engine_idling;street_music")
SECOND = TrainingRound("second-round", (*FIRST.labels, "car_horn", *TOGETHER, NONE), 2)
TRAIN_SEED = 0
TRAIN_PER_LABEL = 32
TEST_PER_LABEL = 6
EPOCHS = 8
# A narrow network on short clips learns these sounds in seconds on two cores.
SMALL = ("--width", "8", "--mels", "40", "--clip-seconds", "1", "--epochs", str(EPOCHS))
NOT_AUDIO = "download-failed.wav"
# Far below what the sounds allow: less means that something is broken, not unlucky.
MIN_ACCURACY = 0.7

COMMAND_SECONDS = 600
DAEMON_SECONDS = 90
STOP_SECONDS = 30
POLL_SECONDS = 0.5
NO_DAEMON_RUNS = 3
LOG_LINES = 15


class DemoError(TrainerError):
    """A step of the demo failed."""


def run_demo(*, quiet: bool = False) -> None:
    """Make a home, train, serve, train on one label more while serving, stop; leave nothing behind.

    `quiet` leaves the explanations out. Raises DemoError naming the step that failed.
    """
    began = time.monotonic()
    console = Console(stderr=True, quiet=quiet, soft_wrap=True, highlight=False)
    with (
        temporary_home(temporary_folder("clfd-demo")) as folder,
        closing(Demo(folder, console)) as demo,
    ):
        demo.make_home()
        demo.make_sounds(FIRST)
        first = demo.train("learn: clfd train labels.csv publishes a checkpoint and judges it")
        demo.start_daemon()
        demo.drop_and_check(FIRST, first)
        demo.show_answers()
        demo.train_while_serving()
        demo.stop_daemon()
    seconds = time.monotonic() - began
    click.echo(f"The whole loop worked, in {seconds:.0f} s. Your turn: clfd init, then clfd run.")


class Demo:
    """One throw-away home, the commands run on it, and its daemon."""

    def __init__(self, folder: Path, console: Console) -> None:
        self._home = folder / "home"
        self._sounds = folder / "sounds"
        self._test_folder = folder / "unheard"
        self._log = folder / "daemon.log"
        self._compiler_cache = folder / "compiler-cache"
        self._console = console
        self._step = 0
        self._daemon: subprocess.Popen[str] | None = None

    def make_home(self) -> None:
        self._announce("make a home: the one folder that holds inbox, checkpoints and results")
        self._clfd("init")

    def make_sounds(self, training_round: TrainingRound) -> None:
        count = len(training_round.labels) * TRAIN_PER_LABEL
        self._announce(
            f"make {count} labelled recordings ({', '.join(training_round.labels)}) and the"
            " labels.csv that names them; of your own sounds clfd needs no more"
        )
        with self._console.status("synthesising"):
            make_set(self._sounds, training_round.labels, TRAIN_PER_LABEL, TRAIN_SEED)

    def train(self, purpose: str) -> str:
        """Train on the sounds; returns the name of the checkpoint, which is now active."""
        self._announce(purpose)
        with self._console.status("training a small network"):
            report = self._ask("train", str(self._sounds / "labels.csv"), *SMALL, "--json")
        if not report["promoted"]:
            raise DemoError(
                f"checkpoint {report['checkpoint']} was not promoted: {report['promotion_reason']};"
                " run `clfd demo` again and report it if it stays so"
            )
        how = ", several at once or none," if report["task"] == "multi" else ""
        click.echo(
            f"Learned {len(report['labels'])} labels{how} in {report['seconds']:.0f} s,"
            f" {report['val_accuracy']:.0%} right on recordings kept aside: {report['checkpoint']}"
        )
        return str(report["checkpoint"])

    def start_daemon(self) -> None:
        self._announce("start the daemon: clfd run watches the inbox, as the service would")
        with self._log.open("w") as log:
            self._daemon = self._start("run", stdout=log, stderr=subprocess.STDOUT)
        with self._console.status("starting"):
            self._await_status("running", True, "the daemon to start")
        self._console.print(f"It runs as process {self._daemon.pid}.")

    def drop_and_check(self, training_round: TrainingRound, checkpoint: str) -> None:
        """Drop recordings the network was not trained on; every one must get its row."""
        # Under another seed than those of training; a name begins with the label.
        folder = make_set(
            self._test_folder / training_round.name,
            training_round.labels,
            TEST_PER_LABEL,
            training_round.test_seed,
        ).parent
        truth = {
            file.name: file.name.rsplit("-", 2)[0].replace("+", SEPARATOR)
            for file in folder.glob("*-*")
        }
        self._announce(
            f"drop {len(truth)} unheard recordings and a file that is no audio into the inbox"
        )
        # Half are copied, which takes a while, half renamed, which is done at once.
        copied = self._home / "inbox" / training_round.name / "copied"
        renamed = copied.with_name("renamed")
        copied.mkdir(parents=True)
        renamed.mkdir()
        (copied / NOT_AUDIO).write_text("<html><title>404 Not Found</title></html>\n")
        for number, name in enumerate(sorted(truth)):
            if number % 2:
                shutil.copyfile(folder / name, copied / name)
            else:
                (folder / name).rename(renamed / name)
        rows = self._await_rows(training_round, len(truth) + 1)
        _check_recordings(rows, truth, checkpoint)
        _check_broken_file(rows)

    def show_answers(self) -> None:
        self._announce("ask what was heard, and how the daemon is doing")
        click.echo(self._clfd("results", "--limit", "10"))
        click.echo(self._clfd("status"))

    def train_while_serving(self) -> None:
        """Train with one label more; the same process must go over to the new checkpoint."""
        before = self._status()["pid"]
        self.make_sounds(SECOND)
        checkpoint = self.train(
            "learn car_horn too, two sounds at once, and none, while the daemon goes on serving"
        )
        with self._console.status("waiting for the daemon to take the new checkpoint over"):
            what = f"the daemon to take {checkpoint} over"
            self._await_status("served_checkpoint", checkpoint, what)
        self.drop_and_check(SECOND, checkpoint)
        after = self._status()["pid"]
        if after != before:
            raise DemoError(
                f"process {after} serves where {before} did; a restart was not asked for"
            )
        click.echo(f"Process {after} took {checkpoint} over without a restart.")
        self._announce("ask what was heard in a recording of two sounds, and in one of nothing")
        for name in (TOGETHER[0].replace(SEPARATOR, "+"), NONE):
            wanted = "--path", f"{SECOND.name}/*/{name}-000-0.*"
            click.echo(self._clfd("results", *wanted, "--columns", "path,label,labels"))

    def stop_daemon(self) -> None:
        self._announce("stop the daemon: it finishes what it has begun, then leaves")
        exit_code = self.close()
        if exit_code != 0:
            self._fail(f"the daemon ended with exit code {exit_code} when asked to stop")
        self._console.print("It stopped cleanly (exit 0); its home is removed.")

    def close(self) -> int:
        """Ends the daemon; returns its exit code."""
        return 0 if self._daemon is None else _end(self._daemon)

    def _announce(self, line: str) -> None:
        self._step += 1
        self._console.print(
            f"\n{self._step}. {line[0].upper()}{line[1:]}.", style="bold", markup=False
        )

    def _await_rows(self, training_round: TrainingRound, expected: int) -> list[Row]:
        asked = ("--status", "all", "--path", f"{training_round.name}/*", "--format", "json")
        with self._console.status(f"waiting for {expected} answers"):
            for _ in self._polls(f"all {expected} files of {training_round.name} to get their row"):
                rows = self._ask("results", *asked, "--limit", "0")
                finished = [row for row in rows if row["status"] in ("done", "failed")]
                if len(finished) == expected:
                    break
        return finished

    def _await_status(self, key: str, value: object, awaited: str) -> None:
        for _ in self._polls(awaited):
            if self._status()[key] == value:
                return

    def _polls(self, awaited: str) -> Iterator[None]:
        """Once every while until the deadline; raises DemoError after it or with a dead daemon."""
        deadline = time.monotonic() + DAEMON_SECONDS
        while time.monotonic() < deadline:
            if self._daemon is None or self._daemon.poll() is not None:
                self._fail(f"the daemon died while the demo waited for {awaited}")
            yield
            time.sleep(POLL_SECONDS)
        self._fail(f"waited {DAEMON_SECONDS} s in vain for {awaited}")

    def _fail(self, what: str) -> NoReturn:
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        click.echo("\n".join(["The daemon's last lines:", *lines]), err=True)
        raise DemoError(f"{what}; its last lines are above, `clfd doctor` looks for the cause")

    def _status(self) -> Row:
        status: Row = self._ask("status", "--json", allowed=(0, NO_DAEMON_RUNS))
        return status

    def _ask(self, *arguments: str, allowed: Sequence[int] = (0,)) -> Any:
        return json.loads(self._clfd(*arguments, allowed=allowed))

    def _clfd(self, *arguments: str, allowed: Sequence[int] = (0,)) -> str:
        """Run one command to its end and return its stdout."""
        with self._start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                answer, complaint = process.communicate(timeout=COMMAND_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise DemoError(
                    f"`clfd {arguments[0]}` took more than {COMMAND_SECONDS} s;"
                    " run the demo on a machine with less to do"
                ) from error
            finally:
                _end(process)
        if process.returncode not in allowed:
            reason = (complaint.strip().splitlines() or ["it gave no reason"])[-1]
            raise DemoError(f"`clfd {arguments[0]}` ended with {process.returncode}: {reason}")
        return answer

    def _start(self, *arguments: str, stdout: Any, stderr: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "clfd", "--home", str(self._home), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            # PyTorch makes this folder when it trains, and nobody would remove it from elsewhere.
            env=_environment() | {"TORCHINDUCTOR_CACHE_DIR": str(self._compiler_cache)},
            # A group of its own: Ctrl-C reaches the demo alone, which then ends what it started.
            start_new_session=True,
        )


def _check_recordings(rows: Sequence[Row], truth: dict[str, str], checkpoint: str) -> None:
    answers = {Path(row["path"]).name: row for row in rows if row["status"] == "done"}
    unanswered = sorted(truth.keys() - answers.keys())
    if unanswered:
        raise DemoError(f"{len(unanswered)} sound recordings failed, the first is {unanswered[0]}")
    others = {row["checkpoint"] for row in answers.values()} - {checkpoint}
    if others:
        raise DemoError(f"{', '.join(sorted(others))} answered instead of {checkpoint}")
    right = sum(_told(answers[name]) == labels for name, labels in truth.items())
    click.echo(f"{right} of {len(truth)} unheard recordings were right, all by {checkpoint}.")
    if right < MIN_ACCURACY * len(truth):
        raise DemoError(f"only {right} of {len(truth)} recordings were right; run the demo again")


def _told(row: Row) -> str:
    return written(one["label"] for one in row["labels"]) or str(row["label"])


def _check_broken_file(rows: Sequence[Row]) -> None:
    row = next(row for row in rows if Path(row["path"]).name == NOT_AUDIO)
    if row["status"] != "failed":
        raise DemoError(f"{row['path']} is no audio but was answered with {row['label']!r}")
    click.echo(f"{row['path']} is a web page and failed, alone: {row['error']}")


def _environment() -> dict[str, str]:
    """The user's own settings stay out of it: CLFD_DATABASE would point at their real ledger."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("CLFD_")}
    return inherited | {
        # The commands find clfd where this process did, whatever folder the user stands in.
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONSAFEPATH": "1",
        "COLUMNS": str(shutil.get_terminal_size().columns),
    }


def _end(process: subprocess.Popen[str]) -> int:
    """Ask first, for a killed process leaves its semaphores behind; then kill its whole group."""
    try:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
