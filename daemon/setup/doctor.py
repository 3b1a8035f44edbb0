"""`clfd doctor`: does everything that the daemon needs work?"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import soundfile
import torch

from classifier.audio.containers.formats import readable_formats
from classifier.audio.decode import DecodedAudio, Segment
from classifier.errors import ClassifierError
from classifier.inference.device import available_devices, describe_device, open_device
from classifier.inference.prepare import load_predictor
from classifier.model.checkpoint import read_checkpoint
from classifier.workers.pool import DecodePool
from classifier.workers.process import temporary_folder
from daemon.app import ledger_remark
from storage.database.sqlite import driver
from storage.errors import SettingsError, StorageError
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.daemon_lock import holder
from storage.home.inbox_rules import ignored_text
from storage.home.mounts import mount_of
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger
from storage.queries.ignored_files import ignored_now
from storage.settings.loading import refuse_overlapping_folders
from storage.settings.named_labels import unknown_labels
from storage.settings.schema import Settings

FIRST_SAFE_SQLITE = (3, 51, 3)  # older ones may corrupt a write-ahead log under two writers
MIN_FREE_BYTES = 2**30
PROBE_CLIPS = 8


@dataclass(frozen=True)
class Finding:
    """`level` is ok, note or fault; `text` says what is so and, if it is not ok, what to do."""

    level: str
    subject: str
    text: str


def examine(home: Home, settings: Settings) -> Iterator[Finding]:
    """One finding after the other, the cheap ones first."""
    yield from _home(home)
    yield from (_inbox(inbox) for inbox in settings.inboxes)
    if ignored := ignored_text(ignored_now(settings)):
        yield Finding("note", "inbox", f"{ignored} (clfd scan)")
    try:
        refuse_overlapping_folders(settings)
    except SettingsError as error:
        yield Finding("fault", "settings", str(error))
    if settings.archive is not None:
        yield _archive(settings.archive, settings.inboxes, home)
    yield _events()
    yield _sqlite()
    yield _finding_of("ledger", lambda: _ledger(settings))
    yield _finding_of("decoding", lambda: _decoding(settings))
    yield _finding_of("device", lambda: _device(settings))
    yield _finding_of("checkpoint", lambda: _checkpoint(home, settings))
    yield from _labels(home, settings)


def show_findings(findings: Iterator[Finding]) -> bool:
    """Prints each as it comes; True when there is no fault among them."""
    import click

    colours = {"ok": "green", "note": "yellow", "fault": "red"}
    is_working = True
    for finding in findings:
        level = click.style(f"{finding.level:5}", fg=colours[finding.level])
        click.echo(f"{level}  {finding.subject:<11} {finding.text}")
        is_working = is_working and finding.level != "fault"
    return is_working


def _finding_of(subject: str, examine_it: Callable[[], Finding]) -> Finding:
    try:
        return examine_it()
    except (ClassifierError, StorageError) as error:
        return Finding("fault", subject, str(error))


def _home(home: Home) -> Iterator[Finding]:
    if not os.access(home.root, os.W_OK | os.X_OK):
        remedy = "change its permissions" if home.root.exists() else "`clfd init` makes it"
        yield Finding("fault", "home", f"{home.root} cannot be written; {remedy}")
        return
    running = holder(home)
    state = f"served by a daemon, pid {running.pid}" if running else "no daemon runs"
    yield Finding("ok", "home", f"{home.root} ({state})")
    free = shutil.disk_usage(home.root).free
    level = "ok" if free >= MIN_FREE_BYTES else "fault"
    yield Finding(level, "disk", f"{free / 2**30:.1f} GiB free for the ledger and checkpoints")


def _inbox(inbox: Path) -> Finding:
    if not os.access(inbox, os.R_OK | os.X_OK):
        return Finding(
            "fault",
            "inbox",
            f"{inbox} is missing or cannot be read; make or mount it, or change its permissions",
        )
    mount = mount_of(inbox)
    if mount.is_network:
        return Finding(
            "note",
            "inbox",
            f"{inbox} is on {mount.kind}: others' changes give no events, scans find them",
        )
    return Finding("ok", "inbox", f"{inbox} ({mount.kind})")


def _archive(archive: Path, inboxes: tuple[Path, ...], home: Home) -> Finding:
    if not archive.is_dir():
        if archive.is_relative_to(home.root):
            return Finding("ok", "archive", f"{archive} is made when the first file goes there")
        return Finding("fault", "archive", f"{archive} is missing; make it, or mount it")
    for folder in (archive, *inboxes):
        if not os.access(folder, os.W_OK | os.X_OK):
            text = f"{folder} cannot be written, so no file can be archived; change its permissions"
            return Finding("fault", "archive", text)
    free = shutil.disk_usage(archive).free
    # Judged by the folders: below them other file systems may be mounted.
    is_one_file_system = all(inbox.stat().st_dev == archive.stat().st_dev for inbox in inboxes)
    way = (
        "files are renamed"
        if is_one_file_system
        else "files are copied there, then deleted in the inbox"
    )
    text = f"{archive} ({mount_of(archive).kind}): {way}; {free / 2**30:.1f} GiB free"
    return Finding("ok" if free >= MIN_FREE_BYTES else "fault", "archive", text)


def _events() -> Finding:
    limits = Path("/proc/sys/fs/inotify")
    try:
        watches = int((limits / "max_user_watches").read_text())
        queue = int((limits / "max_queued_events").read_text())
    except OSError:
        return Finding("note", "events", "no inotify here; scans find new files")
    return Finding("ok", "events", f"inotify: {watches} folders, queue of {queue} events")


def _sqlite() -> Finding:
    module = driver()
    version = tuple(int(part) for part in module.sqlite_version.split("."))
    if version >= FIRST_SAFE_SQLITE:
        return Finding("ok", "sqlite", f"{module.sqlite_version} ({module.__name__})")
    return Finding(
        "note",
        "sqlite",
        f"{module.sqlite_version} may corrupt its log under two writers; pip install pysqlite3",
    )


def _ledger(settings: Settings) -> Finding:
    with open_ledger(settings.database, "reader") as ledger:
        counts = ledger.counts()
    text = f"{settings.database}: " + ", ".join(f"{n} {state}" for state, n in counts.items())
    if remark := ledger_remark(settings):
        return Finding("note", "ledger", f"{text}; {remark}")
    return Finding("ok", "ledger", text)


def _decoding(settings: Settings) -> Finding:
    """A real file through a real worker process."""
    with temporary_folder("clfd-doctor") as folder:
        path = Path(folder, "probe.flac")
        soundfile.write(path, np.zeros(44_100, np.float32), 44_100)
        segment = Segment(os.fsencode(path), 22_050, 22_050, 22_050, 1)
        with DecodePool[str](1, settings.engine.decode_timeout_seconds) as pool:
            pool.submit("probe", segment)
            _, answer = pool.wait()
    if isinstance(answer, DecodedAudio):
        decoders = f"libsndfile {soundfile.__libsndfile_version__}, PyAV {metadata.version('av')}"
        return Finding("ok", "decoding", f"{readable_formats()}; {decoders}")
    return Finding("fault", "decoding", f"a FLAC file of ours was not decoded: {answer}")


def _device(settings: Settings) -> Finding:
    """Proof by work: a matrix product on the device."""
    device = open_device(settings.engine.device, settings.engine.threads)
    matrix = torch.rand(512, 512, device=device)
    (matrix @ matrix).sum().item()
    text = f"{describe_device(device)}, torch {torch.__version__}; there is: "
    return Finding("ok", "device", text + ", ".join(available_devices()))


def _checkpoint(home: Home, settings: Settings) -> Finding:
    folder = CheckpointFolder(home.checkpoints)
    active = folder.active()
    if active is None and (previous := folder.previous()):
        text = f"none is active, the daemon would serve {previous}; clfd checkpoints activate"
        return Finding("note", "checkpoint", text)
    if active is None:
        return Finding("fault", "checkpoint", "none is active; clfd init or clfd train brings one")
    engine = settings.engine
    device = open_device(engine.device, engine.threads)
    predictor = load_predictor(folder.path(active), device, engine.precision)
    n_samples = predictor.checkpoint.audio_format.clip_samples
    clips = np.zeros((PROBE_CLIPS, n_samples), np.float32)
    began = time.perf_counter()
    predictor.score(clips)
    rate = PROBE_CLIPS / (time.perf_counter() - began)
    labels = len(predictor.checkpoint.labels)
    return Finding("ok", "checkpoint", f"{active}: {labels} labels, {rate:.0f} clips/s when scored")


def _labels(home: Home, settings: Settings) -> Iterator[Finding]:
    """Those that settings name and the checkpoint that is to be served does not know."""
    folder = CheckpointFolder(home.checkpoints)
    if name := folder.active() or folder.previous():
        with suppress(ClassifierError):  # a finding by itself
            labels = read_checkpoint(folder.path(name)).labels
            for warning in unknown_labels(settings, name, labels):
                yield Finding("note", "labels", warning)
