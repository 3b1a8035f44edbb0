"""`clfd bulk score --ray`: a work folder scored on all nodes of a Ray cluster.

Ray finds the nodes, starts a worker on each and says when one is lost. Which files have no row yet
is read from the parts and from nothing else, again whenever all workers have ended, until there are
none: neither Ray's own checkpoints nor its exit code is believed.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from classifier.workers.cores import usable_cores
from daemon.bulk.score import Parts, Progress, Shard, count_unanswered, shown_progress, unanswered
from daemon.bulk.scorer import begun_scorer
from daemon.control.signals import StopRequests, handled_signals
from daemon.errors import DaemonError
from storage.bulk.parquet_parts import ListedFile, read_ids
from storage.bulk.work_folder import WorkFolder
from storage.home.paths import Home, resolve_home
from storage.settings.loading import load_settings

# Read when it is imported. Else what scores here would give way to whatever else runs, and of two
# busy cores get half.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
try:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as missing:
    raise DaemonError(
        "clfd bulk score --ray works with Ray, which is not installed:"
        " pip install 'clfd-daemon[cluster]'"
    ) from missing

ALL = Shard(1, 1)
FOLDERS = "ray*"  # of the output, that may be written to at the same time
MOST_DEALT = 250  # files at once; fewer when few are left, so that all end together
OBJECT_STORE_BYTES = 100 * 2**20  # it holds names of files only
LOOK_SECONDS = 1.0
CONNECT_SECONDS = 10.0
PATIENCE_SECONDS = 60.0  # until it says that no worker has begun
MAX_VAIN_ROUNDS = 3  # after which it is not a single file or worker that is at fault


class Place(NamedTuple):
    """A GPU of a node, or a node without one, with its share of the node's processors."""

    node: str
    address: str
    number: int
    n_cpus: int
    n_gpus: int


class Dealer:
    """Deals out the files that had no row when it began, and counts what came of them."""

    def __init__(self, root: str) -> None:
        work = WorkFolder(Path(root))
        answered = np.sort(read_ids(work.output_parts()))
        self._n_left = count_unanswered(work, ALL, answered)
        self._files = unanswered(work, ALL, answered)
        self._n_done = self._n_failed = 0
        self._is_stopped = False

    def n_left(self) -> int:
        """Of files that were not dealt out yet."""
        return self._n_left

    def deal(self, n_workers: int) -> list[ListedFile]:
        """Some for one of so many workers; none once all are dealt out."""
        if self._is_stopped:
            return []
        n = min(max(self._n_left // (4 * n_workers), 1), MOST_DEALT)
        some = list(islice(self._files, n))
        self._n_left -= len(some)
        return some

    def count(self, n_done: int, n_failed: int) -> None:
        self._n_done += n_done
        self._n_failed += n_failed

    def counts(self) -> tuple[int, int]:
        return self._n_done, self._n_failed

    def stop(self) -> None:
        self._is_stopped = True


class Worker:
    """A scorer in a process of Ray's, which neither decodes nor scores by itself."""

    def run(self, root: str, place: Place, device: str | None, dealer: Any, n_workers: int) -> None:
        """Until all is dealt out. Raises DaemonError, StorageError and ClassifierError."""
        work, home = WorkFolder(Path(root)), resolve_home(None)
        settings = load_settings(home, {"engine.device": device} if device else {})
        workers = settings.engine.decode_workers or place.n_cpus
        engine = settings.engine.model_copy(update={"decode_workers": workers})
        settings = settings.model_copy(update={"engine": engine})
        job = work.read_job()
        work.require_checkpoint(job)
        # A folder of its own: whoever died here before may still have its lock.
        name = f"ray-{ray.get_runtime_context().get_actor_id()}"
        with (
            work.output_folder(name, beside=FOLDERS) as folder,
            begun_scorer(home, settings, work, job, StopRequests()) as scorer,
            Parts(folder) as parts,
        ):
            told_at, n_done, n_failed = time.monotonic(), 0, 0
            for row in scorer.rows(_dealt(dealer, n_workers)):
                parts.add(row)
                n_done, n_failed = n_done + 1, n_failed + (row["state"] == "failed")
                if time.monotonic() - told_at > LOOK_SECONDS:
                    dealer.count.remote(n_done, n_failed)
                    told_at, n_done, n_failed = time.monotonic(), 0, 0
        ray.get(dealer.count.remote(n_done, n_failed))


def _dealt(dealer: Any, n_workers: int) -> Iterator[ListedFile]:
    """The next ones are asked for while these are scored."""
    ahead = dealer.deal.remote(n_workers)
    while some := ray.get(ahead):
        ahead = dealer.deal.remote(n_workers)
        yield from some


def score_on_cluster(
    home: Home,
    work: WorkFolder,
    address: str,
    device: str | None,
    note: Callable[[str], None],
    show_progress: bool,
) -> bool:
    """Whether all files have their rows now; else it was stopped.

    Raises StorageError, DaemonError and ClassifierError.
    """
    work = WorkFolder(work.root.absolute())
    work.require_checkpoint(work.read_job())
    stops = StopRequests()
    with (
        work.output_folder("ray", beside=""),
        _connected(address, home, note),
        handled_signals(stops.add, lambda: None),
    ):
        run = _Run(work, device, note, show_progress, stops)
        for _ in range(MAX_VAIN_ROUNDS):
            while run.round():
                pass
            if run.is_complete or stops.is_requested():
                return run.is_complete
    raise DaemonError(
        f"{MAX_VAIN_ROUNDS} times in a row no file got a row; see the logs of Ray in /tmp/ray"
    )


@dataclass(eq=False)
class _Run:
    work: WorkFolder
    device: str | None
    note: Callable[[str], None]
    show_progress: bool
    stops: StopRequests
    is_complete: bool = False
    _running: dict[Any, Place] = field(default_factory=dict)
    _refused: dict[Place, DaemonError] = field(default_factory=dict)

    def round(self) -> bool:
        """Deals out what has no row, once; whether anything came of it."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        dealing = ray.remote(Dealer).options(num_cpus=0, scheduling_strategy=here)
        dealer: Any = dealing.remote(str(self.work.root))
        n_left = ray.get(dealer.n_left.remote())
        self.is_complete = not n_left
        if self.is_complete:
            self.note("every file has its row")
            return False
        n_before = len(read_ids(self.work.output_parts()))
        with shown_progress(n_left, self.note, self.show_progress) as progress:
            self._work_off(dealer, progress)
        self.note(progress.summary())
        return not self.stops.is_requested() and (
            len(read_ids(self.work.output_parts())) > n_before
        )

    def _work_off(self, dealer: Any, progress: Progress) -> None:
        """A worker in each place, until all is dealt out and they have ended."""
        patient_until = time.monotonic() + PATIENCE_SECONDS
        is_over, n_done = False, (0, 0)
        while self._running or not is_over:
            if not is_over:
                self._fill_places(dealer)
            ended, _ = ray.wait([*self._running], timeout=LOOK_SECONDS)
            for one in ended:
                is_over |= self._has_ended_well(one)
            before, n_done = n_done, ray.get(dealer.counts.remote())
            progress.advance(n_done[0] - before[0], n_done[1] - before[1])
            if self.stops.is_requested() and not is_over:
                is_over = True
                ray.get(dealer.stop.remote())
            if not any(n_done) and time.monotonic() > patient_until:
                patient_until = float("inf")
                self.note("no worker has begun yet; has the cluster free processors? (ray status)")

    def _fill_places(self, dealer: Any) -> None:
        places = list(_places())
        taken = {*self._running.values(), *self._refused}
        free = [place for place in places if place not in taken]
        if not (free or self._running):
            raise next(iter(self._refused.values()), DaemonError("the Ray cluster has no node"))
        for place in free:
            worker: Any = ray.remote(Worker).options(
                num_cpus=place.n_cpus,
                num_gpus=place.n_gpus,
                scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False),
            )
            about = str(self.work.root), place, self.device, dealer, len(places)
            self._running[worker.remote().run.remote(*about)] = place

    def _has_ended_well(self, ended: Any) -> bool:
        """A worker that died is replaced; one that cannot work where it is, is not."""
        place = self._running.pop(ended)
        try:
            ray.get(ended)
        except RayTaskError as error:
            if not isinstance(error.cause, Exception):
                raise
            reason = DaemonError(f"{place.address}: {error.cause}")
            self._refused[place] = reason
            self.note(str(reason))
        except RayError:
            self.note(f"{place.address}: the worker there was lost")
        else:
            return True
        return False


def _places() -> Iterator[Place]:
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        resources = node["Resources"]
        n_gpus, n_cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
        if node["Alive"] and n_cpus:
            n = n_gpus or 1
            for number in range(n):
                about = node["NodeID"], node["NodeManagerAddress"], number
                yield Place(*about, max(n_cpus // n, 1), min(n_gpus, 1))


def _require_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise DaemonError(
            f"cannot join the Ray cluster {address}: {error}; give HOST:PORT of its head, or auto"
        ) from error


@contextmanager
def _connected(address: str, home: Home, note: Callable[[str], None]) -> Iterator[None]:
    """To a cluster; `auto` is the one of this machine, or else this machine alone."""
    if ":" in address:
        _require_reachable(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        try:
            ray.init(address=address, **quiet)
        except ConnectionError:
            if address != "auto":
                raise
            note("no Ray cluster runs here: this machine alone scores")
            os.environ["CLFD_HOME"] = str(home.root)  # for the workers
            ray.init(
                address="local",
                num_cpus=usable_cores(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **quiet,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DaemonError(f"cannot join the Ray cluster {address}: {reason}") from error
    try:
        yield
    finally:
        ray.shutdown()
