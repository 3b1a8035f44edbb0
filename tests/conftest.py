"""Fixtures that more than one test file speaks with."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import HealthCheck, settings
from surroundings import leave_surroundings

from storage.database import sqlite_schema

if TYPE_CHECKING:
    from house import House
    from running_house import RunningHouse

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as clfd.py does, before torch is loaded
# Threads of such small networks only wait for each other and for the tests beside them, and sums
# of two threads are not those of one: so the answers do not hang on the machine's cores either.
os.environ.setdefault("OMP_NUM_THREADS", "1")
leave_surroundings()
# How long Hypothesis takes to make an example hangs on what else the machine does.
settings.register_profile("clfd", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("clfd")

Samples = npt.NDArray[np.float32]

BLOCK_FRAMES = 65_536
LABELS = ("bell", "dog", "rain")
SHARED_MEMORY = Path("/dev/shm")
LONGEST = ("test_demo.py", "test_distributed.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests come first: at the end, one worker would wait for the other's."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    if items and items[0].config.getoption("postgresql"):
        skip = pytest.mark.skip(reason="about SQLite's file")
        for item in items:
            if item.get_closest_marker("sqlite"):
                item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def _new_ledgers_are_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Eleven migrations take 30 ms: the first ledger is made by them, later ones are its copies."""
    template, migrate = tmp_path_factory.mktemp("ledger") / "clfd.db", sqlite_schema._migrate

    def copy_or_migrate(path: Path, tell: Callable[[str], None]) -> None:
        if path.stat().st_size or not template.exists():
            is_new = not path.stat().st_size
            migrate(path, tell)
            if is_new:
                shutil.copyfile(path, template)
        else:
            path.write_bytes(template.read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_schema, "_migrate", copy_or_migrate)
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgresql",
        action="store_true",
        help="ledgers lie on a PostgreSQL server, whatever file a test names",
    )


@pytest.fixture(scope="session", autouse=True)
def _ledgers_on_a_server(
    request: pytest.FixtureRequest,
) -> Iterator[None]:
    """With --postgresql: each file that a test names stands for a schema of its own."""
    if not request.config.getoption("postgresql"):
        yield
        return
    from postgresql_server import PostgresqlServer, programs

    from storage.database import engine
    from storage.database.server import postgresql_schema

    if programs() is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    server = PostgresqlServer()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "is_on_server", lambda url: True)
        patch.setattr(postgresql_schema, "_parsed", lru_cache(maxsize=None)(server.schema_for))
        yield
    server.remove()


@pytest.fixture(scope="session")
def tone() -> Callable[..., Samples]:
    """`tone(hz, seconds, rate_hz)`: a sine at half scale."""

    def make(hz: float = 440.0, seconds: float = 1.0, rate_hz: int = 8000) -> Samples:
        time = np.arange(round(seconds * rate_hz)) / rate_hz
        return (0.5 * np.sin(2 * np.pi * hz * time)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def noise() -> Callable[..., Samples]:
    """`noise(seconds, rate_hz, seed)`: the same noise for the same seed, never alike twice."""

    def make(seconds: float = 1.0, rate_hz: int = 8000, seed: int = 0) -> Samples:
        n_samples = round(seconds * rate_hz)
        return (0.1 * np.random.RandomState(seed).randn(n_samples)).astype(np.float32)

    return make


@pytest.fixture
def audio_file(tmp_path: Path, tone: Callable[..., Samples]) -> Callable[..., Path]:
    """`audio_file(name, samples, rate_hz, subtype)`: a file in tmp_path; a one-second tone."""

    def write(
        name: str = "tone.wav",
        samples: Samples | None = None,
        rate_hz: int = 8000,
        subtype: str | None = None,
    ) -> Path:
        samples = tone(rate_hz=rate_hz) if samples is None else samples
        path = tmp_path / name
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        with soundfile.SoundFile(path, "w", rate_hz, channels, subtype) as file:
            # In blocks: libsndfile crashes on a long Ogg written at once.
            for begin in range(0, len(samples), BLOCK_FRAMES):
                file.write(samples[begin : begin + BLOCK_FRAMES])
        return path

    return write


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`make_checkpoint(seed, labels, clip_seconds)`: one that was never trained, for 8 kHz."""

    def make(seed: int, labels: tuple[str, ...] = LABELS, clip_seconds: float = 0.5) -> Path:
        return _checkpoint(tmp_path_factory.mktemp("checkpoints"), seed, labels, clip_seconds)

    return make


@pytest.fixture(scope="session")
def checkpoint_file(make_checkpoint: Callable[..., Path]) -> Path:
    """A checkpoint that hears half-second clips at 8 kHz and knows `bell`, `dog` and `rain`."""
    return make_checkpoint(seed=0)


@pytest.fixture(scope="session")
def second_checkpoint(make_checkpoint: Callable[..., Path]) -> Path:
    """Another one, of the same labels and other weights."""
    return make_checkpoint(seed=1)


def _checkpoint(folder: Path, seed: int, labels: tuple[str, ...], clip_seconds: float) -> Path:
    import torch
    from checkpoint_files import save_checkpoint

    from classifier.model.audio_format import AudioFormat
    from classifier.model.classifier import ClipClassifier, NetworkShape
    from classifier.model.log_mel import mel_filter_bank
    from classifier.model.resnet9 import widths_from

    audio_format = AudioFormat(
        8000, clip_seconds, n_fft=256, hop_length=64, n_mels=16, max_hz=4000.0
    )
    shape = NetworkShape(widths_from(4))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ClipClassifier(labels, audio_format, shape, mel_filter_bank(audio_format))
        model.network.head[-1].weight.data *= 20  # untrained scores are too alike to tell apart
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return save_checkpoint(folder, model, labels, shape, {"epochs": 0}, now)


@pytest.fixture(scope="session")
def short_stages() -> Iterator[None]:
    """`clfd bench` measures log-mel, network and ledger for some milliseconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("daemon.benchmark.stages.MODEL_SECONDS", 0.05)
        patch.setattr("daemon.benchmark.stages.LEDGER_ROWS", 32)
        yield


@pytest.fixture
def make_house(tmp_path: Path, checkpoint_file: Path) -> Iterator[Callable[..., House]]:
    """`make_house(**{"intake.settle_seconds": 1})`: a started daemon over a home in tmp_path.

    Made twice in one test, the second is the same home after a restart.
    """
    from house import House, house_settings

    from storage.home.paths import Home

    houses: list[House] = []

    def make(**overrides: object) -> House:
        home = Home(tmp_path / "home")
        home.create()
        settings = house_settings(home, **overrides)
        house = House(home, settings)
        if not house.checkpoints.names():
            house.publish(checkpoint_file)
        house.service.start()
        houses.append(house)
        return house

    yield make
    for house in houses:
        house.close()


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house()


@pytest.fixture
def archiving(make_house: Callable[..., House]) -> House:
    return make_house(**{"intake.archive_dir": "archive"})


@pytest.fixture(scope="session")
def esc10() -> Path:
    """The folder of the ESC-10 recordings, with `labels.csv` in it; skips where it is not given."""
    folder = os.environ.get("ESC10_DIR")
    if not folder:
        pytest.skip("set ESC10_DIR to the folder with ESC-10's labels.csv")
    return Path(folder)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder of another file system than the inbox's."""
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs /dev/shm as another file system than that of the tests")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def running(tmp_path: Path, checkpoint_file: Path) -> Iterator[RunningHouse]:
    """A started daemon in a process of its own, over a home in tmp_path."""
    from running_house import RunningHouse

    house = RunningHouse(tmp_path / "home", checkpoint_file)
    house.start()
    yield house
    house.close()


@pytest.fixture
def greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The local clock is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
