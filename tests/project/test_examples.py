"""The example of every command's help, typed by a user who has files of those names."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bulk_work import BulkWork
from command_tree import every_command, example_of
from house import House, house_settings
from typed_commands import typed

from storage.home.paths import Home

NAMED = "20260131T120000Z-1a2b3c4d"  # the checkpoint that examples name
EARLIER = "20260130T120000Z-00000001"
OLD = "20260129T120000Z-00000002"  # neither active nor previous
BROUGHT = "20260130T120000Z-5e6f7a8b"  # a file that was copied from another machine
LABELS = ("dog", "rain")  # two of those that the checkpoint knows

# The earlier checkpoint has scored the same recordings.
ANSWERED_BEFORE = (
    "INSERT INTO checkpoint (digest, name, labels, facts, verdict, seen_at)"
    " SELECT :name, :name, labels, facts, verdict, seen_at FROM checkpoint WHERE name <> :name",
    "INSERT INTO prediction (recording_id, checkpoint_id, label, confidence, scores, clip_scores,"
    " clip_seconds, clip_hop_seconds, classified_at) SELECT recording_id,"
    " (SELECT id FROM checkpoint WHERE name = :name), label, confidence, scores, clip_scores,"
    " clip_seconds, clip_hop_seconds, classified_at FROM prediction",
)

EXAMPLES = dict.fromkeys(example_of(command) for _, command in every_command())
EXIT_CODES = {"clfd status --json": 3, "clfd service status": 3, "clfd reload": 1}  # no daemon runs
# Training a wide network takes long, so the examples train a narrow one;
# the last word on epochs counts.
NARROW = " --epochs 2 --width 2 --mels 16 --clip-seconds 0.5 --sample-rate 8000"
THEN = " --since 2026-03-01 --until 2026-04-01"  # when the daemon of this home ran
# Have tests of their own.
ELSEWHERE = (
    "clfd demo",
    "clfd web --open",
    "clfd db copy postgresql+psycopg://clfd@db.example.org/clfd",
)


@pytest.fixture(scope="module")
def filled_folder(
    tmp_path_factory: pytest.TempPathFactory,
    checkpoint_file: Path,
    noise: Callable[..., np.ndarray],
) -> Path:
    """A recording, labels, a checkpoint file, an inbox, a home in use, and what bulk scored."""
    folder = tmp_path_factory.mktemp("folder")
    (folder / "sounds").mkdir()
    names = [f"{label}-{take}.wav" for label in LABELS for take in range(3)]
    for seed, name in enumerate(names):
        soundfile.write(folder / "sounds" / name, noise(0.5, seed=seed), 8000)
    rows = [f"{name},{name.partition('-')[0]}\n" for name in names]
    (folder / "sounds" / "labels.csv").write_text("path,label\n" + "".join(rows))
    (folder / "corrections.csv").write_text("path,label\na.wav,rain\n")
    soundfile.write(folder / "recording.wav", noise(seed=9), 8000)
    shutil.copyfile(checkpoint_file, folder / f"{BROUGHT}.safetensors")
    fill_home(folder, checkpoint_file)
    bulk = BulkWork(folder, checkpoint_file, archive="sounds")
    bulk.list()
    bulk.write(bulk.rows().values())
    return folder


def fill_home(folder: Path, checkpoint_file: Path) -> None:
    """Three checkpoints, an answered recording, a failed one, and one that nobody looked at."""
    home = Home(folder / "home")
    home.create()
    with House(home, house_settings(home)) as house:
        for name in (OLD, EARLIER, NAMED):
            house.publish(checkpoint_file, name)
        house.drop(folder / "recording.wav", "a.wav")
        house.inbox.joinpath("yard").mkdir()
        house.inbox.joinpath("yard", "broken.flac").write_text("<html>404</html>")
        house.service.start()
        house.live(5)
        with house.ledger.database.transaction() as connection:
            for statement in ANSWERED_BEFORE:
                connection.exec_driver_sql(statement, {"name": EARLIER})
    house.drop(folder / "sounds" / "rain-0.wav", "new.wav")


@pytest.fixture
def folder(filled_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own; only the inbox is shared, where clfd writes nothing."""
    folder = shutil.copytree(filled_folder, tmp_path / "folder", symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CLFD_HOME", str(folder / "home"))
    monkeypatch.setenv("CLFD_INBOX", str(filled_folder / "home" / "inbox"))
    monkeypatch.setenv("CLFD_INTAKE__SETTLE_SECONDS", "0")
    return folder


@pytest.mark.usefixtures("short_stages")
@pytest.mark.parametrize("example", [e for e in EXAMPLES if e and e not in ELSEWHERE])
def test_the_example_does_what_it_says(example: str, folder: Path) -> None:
    more = {"train": NARROW, "report": THEN}.get(example.split()[1], "")
    result = typed(shlex.split(example + more)[1:])
    assert result.exit_code == EXIT_CODES.get(example, 0), result.output
