"""A Ray cluster of real processes: whatever of it is killed, every file has its one row."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from bulk_work import Begin, BulkWork, rows_in
from sounds import not_audio, wav

pytestmark = pytest.mark.cluster
POISON = Path(__file__).parents[2] / "torture" / "poison"
N_FILES, N_BAD = int(os.environ.get("CLUSTER_FILES", "12000")), 5
SECONDS = 2.0  # of a sound, which is four clips
ENDING_SECONDS = 240


@pytest.fixture
def listed(bulk: BulkWork) -> BulkWork:
    """Many files, five that are no audio, and one that kills its decoder."""
    for number in range(N_FILES - N_BAD - 1):
        bulk.put(f"{number % 7}/{number}.wav", content=wav(number, SECONDS))
    for number in range(N_BAD):
        bulk.put(f"bad {number}.wav", content=not_audio(number))
    bulk.put("poison.wav")
    bulk.list()
    return bulk


@pytest.fixture
def nodes(listed: BulkWork, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that scores nothing, and two nodes with a processor each."""
    for name, value in (("CLFD_HOME", listed.home.root), ("PYTHONPATH", POISON)):
        monkeypatch.setenv(name, str(value))
    with warnings.catch_warnings(action="ignore"):
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        yield cluster, [cluster.add_node(num_cpus=1) for _ in range(2)]
        cluster.shutdown()


def wait_for(is_true: Callable[[], object]) -> None:
    deadline = time.monotonic() + ENDING_SECONDS
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def workers_below(run: subprocess.Popen[str]) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(run.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # or a zombie
            if "ray::Worker" in " ".join(process.cmdline()):
                found.append(process)
    return found


def require_complete(bulk: BulkWork, run: subprocess.Popen[str]) -> str:
    stderr = run.communicate(timeout=ENDING_SECONDS)[1]
    assert run.returncode == 0, stderr
    checked = bulk.typed("check")
    assert checked.exit_code == 0, checked.output
    rows = rows_in(bulk.work.output_parts())
    kinds = Counter(row["error_class"] for row in rows)
    assert kinds == {None: N_FILES - N_BAD - 1, "not_audio": N_BAD, "worker_died": 1}
    return stderr


def test_a_driver_that_is_killed_goes_on_behind_its_parts(listed: BulkWork, begin: Begin) -> None:
    run = begin("--ray", "auto")
    wait_for(lambda: len(listed.work.output_parts()) >= 1)
    for process in [*psutil.Process(run.pid).children(recursive=True), run]:
        process.kill()  # as when the machine stops
    n_before = len(rows_in(listed.work.output_parts()))
    assert 0 < n_before < N_FILES
    run = begin("--ray", "auto")
    wait_for(lambda: len(listed.work.output_parts()) >= 2)
    workers = workers_below(run)
    run.kill()
    assert psutil.wait_procs(workers, 60)[1] == []  # they may finish what was dealt out to them
    require_complete(listed, begin("--ray", "auto"))


def test_a_worker_that_is_killed_is_replaced(listed: BulkWork, begin: Begin) -> None:
    run = begin("--ray", "auto")
    wait_for(lambda: len(listed.work.output_parts()) >= 1)
    for worker in workers_below(run):
        worker.kill()
    stderr = require_complete(listed, run)
    assert "the worker there was lost" in stderr


def test_a_node_that_is_lost_leaves_its_files_to_the_others(
    listed: BulkWork, begin: Begin, nodes: Any
) -> None:
    cluster, (first, _) = nodes
    run = begin("--ray", cluster.address)
    wait_for(lambda: len(listed.work.output_parts()) >= 2)
    cluster.remove_node(first, allow_graceful=False)
    stderr = require_complete(listed, run)
    assert "the worker there was lost" in stderr


def test_a_stop_finishes_what_is_in_flight(listed: BulkWork, begin: Begin) -> None:
    run = begin("--ray", "auto")
    wait_for(lambda: len(listed.work.output_parts()) >= 1)
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=60)
    assert run.returncode == 130
    assert 0 < len(rows_in(listed.work.output_parts())) < N_FILES
    require_complete(listed, begin("--ray", "auto"))


def test_a_second_one_is_refused_while_the_first_one_scores(listed: BulkWork, begin: Begin) -> None:
    first = begin("--ray", "auto")
    wait_for(lambda: (listed.work.output / "ray").exists())
    second = begin("--ray", "auto")
    assert "is being scored already" in second.communicate(timeout=60)[1]
    assert second.returncode == 78
    first.kill()


def test_where_the_archive_is_not_mounted_the_node_is_named(listed: BulkWork, begin: Begin) -> None:
    listed.archive.rename(listed.archive.with_name("elsewhere"))
    stderr = begin("--ray", "auto").communicate(timeout=120)[1]
    assert "cannot be listed here: No such file or directory; mount it" in stderr
    assert stderr.count("Traceback") == 0


def test_a_cluster_that_is_not_there_is_named(listed: BulkWork, begin: Begin) -> None:
    run = begin("--ray", "127.0.0.1:1")
    stderr = run.communicate(timeout=120)[1]
    assert run.returncode == 1
    assert "cannot join the Ray cluster 127.0.0.1:1" in stderr
