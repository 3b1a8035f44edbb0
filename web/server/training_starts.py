"""Trainings that the page starts: processes of their own, which outlive it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from storage.errors import StorageError, os_errors_as
from storage.home.paths import Home, make_folder
from storage.home.safe_open import create_plain, lock_folder
from storage.trainings.training_folder import TrainingFolder, all_trainings, new_training
from web.server.clfd_process import command, notes_of
from web.server.problems import Problem

EXPORT_SECONDS = 300.0


def write_labels(home: Home, file: Path) -> list[str]:
    """The human labels as a table to train from, and what is told of them.

    Raises Problem where there is none; the table that was there stays.
    """
    make_folder(file.parent)
    aside = file.with_name(f".{file.name}.new")
    try:
        notes = notes_of(home, ["labels", "export", f"--output={aside}"], EXPORT_SECONDS)
        if notes[0].startswith("0 labels"):
            raise Problem(409, f"there is no label to train from: {'; '.join(notes)}")
        aside.rename(file)
    finally:
        aside.unlink(missing_ok=True)
    return [note.replace(str(aside), str(file)) for note in notes]


def start_training(home: Home, options: Sequence[str]) -> tuple[TrainingFolder, list[str]]:
    """Of all human labels, and what is told of them. Raises Problem while another one runs."""
    make_folder(home.trainings)
    with os_errors_as(StorageError, f"cannot lock {home.trainings}", "ask who owns the home"):
        only_one = lock_folder(home.trainings)
    try:
        for other in all_trainings(home):
            if other.is_running():
                raise Problem(409, f"training {other.id} runs; wait for it, or stop it first")
        training = new_training(home)
        lock = training.lock(wait=True)
        assert lock is not None
        try:
            notes = write_labels(home, training.labels_file)
            _start(home, training, options, lock)
        except BaseException:
            shutil.rmtree(training.folder, ignore_errors=True)
            raise
        finally:
            os.close(lock)
        return training, notes
    finally:
        os.close(only_one)


def _start(home: Home, training: TrainingFolder, options: Sequence[str], lock: int) -> None:
    """Its lock is passed on: nobody may take it for ended before it has begun."""
    arguments = ["train", str(training.labels_file), f"--folder={training.folder}", *options]
    log = create_plain(training.log_file)
    try:
        process = subprocess.Popen(
            command(home, arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(lock,),
        )
    finally:
        os.close(log)
    threading.Thread(target=process.wait, daemon=True).start()  # it leaves no zombie


def stop_training(training: TrainingFolder, hurries: bool) -> None:
    """As Ctrl-C does, and, where it `hurries`, as SIGTERM does. Raises Problem."""
    progress = training.progress()
    if progress.state != "running":
        raise Problem(409, f"training {training.id} does not run")
    if progress.pid is None:
        raise Problem(409, f"training {training.id} is about to begin; try again in a moment")
    if progress.host != socket.gethostname():
        raise Problem(409, f"training {training.id} runs on {progress.host}; stop it there")
    try:
        os.kill(progress.pid, signal.SIGTERM if hurries else signal.SIGINT)
    except OSError as error:
        raise Problem(409, f"cannot stop process {progress.pid}: {error.strerror}") from error
