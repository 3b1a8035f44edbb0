"""`clfd init`: a home that a daemon can run in, made without touching what is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import groupby
from typing import TYPE_CHECKING

from classifier.model.starter import Starter, packaged_starter
from storage.database.engine import is_outdated, local_file
from storage.home.atomic_write import write_whole
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.daemon_lock import DaemonLock
from storage.home.paths import FILE_MODE, Home
from storage.ledger.ledger import open_ledger
from storage.settings.loading import described_settings
from storage.settings.schema import Settings
from storage.values.decision import NONE, is_negative

if TYPE_CHECKING:
    from classifier.model.checkpoint import Checkpoint


def initialise(
    home: Home,
    settings: Settings,
    find_starter: Callable[[], Starter | None] = packaged_starter,
) -> Iterator[str]:
    """Makes what is missing; yields a line about each step."""
    home.create()
    yield f"home        {home.root}"
    is_kept = home.settings_file.exists()
    if not is_kept:
        write_whole(home.settings_file, default_settings_text().encode(), FILE_MODE)
    yield f"settings    {home.settings_file}{' (kept)' if is_kept else ''}"
    # A daemon of the older version would go on writing into the tables of this one.
    url = settings.database
    lock = DaemonLock.acquire(home, local_file(url)) if is_outdated(url) else nullcontext()
    with lock, open_ledger(url, "writer") as ledger:
        n_done = ledger.counts().get("done", 0)
    yield f"ledger      {url} ({n_done} recordings done)"
    for inbox in settings.inboxes:
        yield f"inbox       {inbox}{'' if inbox.is_dir() else ' (missing: make or mount it)'}"
    yield from _checkpoint(CheckpointFolder(home.checkpoints), find_starter)


def _checkpoint(
    folder: CheckpointFolder, find_starter: Callable[[], Starter | None]
) -> Iterator[str]:
    """The starter goes where nothing is served; it never replaces what a person has chosen."""
    served = folder.active() or folder.previous()
    starter = None if served else find_starter()
    if starter is not None:
        from classifier.model.checkpoint import parse_checkpoint  # torch: seconds

        checkpoint = parse_checkpoint(starter.name, starter.data)
        folder.put(starter.name, starter.data)
        folder.activate(starter.name)
        yield f"checkpoint  {starter.name}, the starter that comes with clfd"
        yield from _introduction(checkpoint)
    elif served is None:
        yield "checkpoint  none yet: make one with `clfd train LABELS.csv`"
        return
    else:
        yield f"checkpoint  {served}"
    yield "next        clfd run, and drop audio files into the inbox"


def _introduction(checkpoint: Checkpoint) -> Iterator[str]:
    """What the starter knows, and what it says of anything else."""
    facts = checkpoint.description.training
    labels = [label for label in checkpoint.labels if not is_negative(label)]
    yield f"recognises  {', '.join(labels)} ({len(labels)} labels)"
    if len(labels) < len(checkpoint.labels):
        yield f"            and mostly says {NONE!r} of any other sound;"
    else:
        yield "            and nothing else: any other sound is given one of these labels too;"
    yield "            teach it your own with `clfd train LABELS.csv`"
    if (accuracy := facts.get("mean_accuracy")) is not None:
        yield f"accuracy    {accuracy:.1%}, cross-validated on recordings of these sounds"
    if attribution := facts.get("attribution"):
        yield f"learned     from {attribution}"


def default_settings_text() -> str:
    """Every setting, commented out, with its reason: a file to edit."""
    lines = ["# clfd's settings; each line shows the default. `clfd config show` tells what holds."]
    for section, group in groupby(described_settings(), lambda each: each.key.rpartition(".")[0]):
        lines += ["", f"[{section}]"] if section else [""]
        for setting in group:
            # JSON's texts, numbers and lists are TOML's as well.
            value = json.dumps(setting.default, ensure_ascii=False, default=str)
            lines += [f"# {setting.description}", f"# {setting.key.rpartition('.')[2]} = {value}"]
    return "\n".join(lines) + "\n"
