"""Networks in a process of their own: real ones, which are killed here and there."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from classifier.errors import CheckpointError, DeviceError, NoWorkersError
from classifier.inference.prepare import load_predictor
from classifier.inference.scoring_process import (
    PACKAGES,
    ScoringProcessDied,
    ScoringProcesses,
    ScoringSettings,
    SharedClip,
)
from classifier.inference.scoring_worker import ScoringWorker
from classifier.workers.shared_memory import SMALL_BYTES, SlotBuffer

CPU = ScoringSettings(device="cpu", n_threads=1)
SECONDS = 60  # until a test gives up


@pytest.fixture(scope="module")
def scoring() -> Iterator[ScoringProcesses]:
    with ScoringProcesses(CPU) as scoring:
        yield scoring


@pytest.fixture(scope="module")
def clips(noise: Callable[..., np.ndarray]) -> list[np.ndarray]:
    return [noise(0.5, seed=seed) for seed in range(5)]


@pytest.fixture(scope="module")
def expected(checkpoint_file: Path, clips: list[np.ndarray]) -> np.ndarray:
    """Scores of the clips by a predictor in this process."""
    return load_predictor(checkpoint_file, torch.device("cpu")).score(clips)


@pytest.fixture
def shared(clips: list[np.ndarray]) -> tuple[SlotBuffer, list[np.ndarray]]:
    """The same clips in a buffer that a decode worker could have written to."""
    buffer = SlotBuffer(len(clips), SMALL_BYTES)
    views = []
    for clip in clips:
        slot = buffer.take()
        assert slot is not None
        views.append(slot.view(len(clip)))
        views[-1][:] = clip
    return buffer, views


def test_scores_are_those_of_a_predictor_in_this_process(
    scoring: ScoringProcesses, checkpoint_file: Path, clips: list[np.ndarray], expected: np.ndarray
) -> None:
    predictor = scoring.load(checkpoint_file)
    batch = predictor.submit(clips).result(SECONDS)
    np.testing.assert_allclose(batch.scores, expected, atol=1e-6)
    assert (0 < batch.seconds < SECONDS, batch.device_memory_bytes) == (True, None)


def test_embeddings_come_back_where_they_are_asked_for(
    scoring: ScoringProcesses, checkpoint_file: Path, clips: list[np.ndarray]
) -> None:
    local, remote = (
        load_predictor(checkpoint_file, torch.device("cpu")),
        scoring.load(checkpoint_file),
    )
    wanted = local.answer(clips, with_embeddings=True).embeddings
    batch = remote.submit(clips, with_embeddings=True).result(SECONDS)
    np.testing.assert_array_equal(batch.embeddings, wanted)
    assert remote.submit(clips).result(SECONDS).embeddings is None


def test_a_predictor_says_what_its_checkpoint_is(
    scoring: ScoringProcesses, checkpoint_file: Path
) -> None:
    local, remote = (
        load_predictor(checkpoint_file, torch.device("cpu")),
        scoring.load(checkpoint_file),
    )
    assert remote.checkpoint == local.checkpoint.facts
    assert (remote.precision, remote.path) == (local.precision, local.path)
    assert remote.canary_error == local.canary_error


def test_clips_in_shared_memory_are_scored_where_they_lie(
    scoring: ScoringProcesses,
    checkpoint_file: Path,
    clips: list[np.ndarray],
    shared: tuple[SlotBuffer, list[np.ndarray]],
    expected: np.ndarray,
) -> None:
    buffer, views = shared
    scoring.share(buffer)
    predictor = scoring.load(checkpoint_file)
    predictor.submit(clips[:1]).result(SECONDS)  # the buffer came before
    mixed = [*views[:3], *clips[3:]]
    places = [type(predictor._process.place_of(clip)) for clip in mixed]
    assert places == [SharedClip] * 3 + [np.ndarray] * 2
    np.testing.assert_allclose(predictor.submit(mixed).result(SECONDS).scores, expected, atol=1e-6)


def test_a_buffer_that_cannot_be_mapped_costs_no_batch(
    checkpoint_file: Path,
    scoring: ScoringProcesses,
    shared: tuple[SlotBuffer, list[np.ndarray]],
    expected: np.ndarray,
) -> None:
    buffer, views = shared
    buffer.n_bytes *= 2**20  # more than the address space has
    scoring.share(buffer)
    predictor = scoring.load(checkpoint_file)
    for _ in range(2):
        scores = predictor.submit(views).result(SECONDS).scores
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_checkpoint_is_refused_with_the_same_sentence(
    scoring: ScoringProcesses, checkpoint_file: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "20260102T030405Z-00000001.safetensors"
    broken.write_bytes(checkpoint_file.read_bytes()[:-1])
    with pytest.raises(CheckpointError) as here:
        load_predictor(broken, torch.device("cpu"))
    with pytest.raises(CheckpointError) as there:
        scoring.load(broken)
    assert str(there.value) == str(here.value)


def test_a_device_that_is_not_there_is_refused(checkpoint_file: Path) -> None:
    with ScoringProcesses(ScoringSettings(device="cuda:99")) as scoring:
        with pytest.raises(DeviceError, match="cuda:99"):
            _ = scoring.device
        scoring.share(SlotBuffer(1, SMALL_BYTES))
        with pytest.raises(DeviceError, match="cuda:99"):
            scoring.load(checkpoint_file)


def test_a_system_without_processes_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", raising(OSError(11, "no more processes")))
    with pytest.raises(NoWorkersError, match="no more processes; look at the limits"):
        ScoringProcesses(CPU)


def test_a_model_that_nobody_refers_to_is_let_go(
    scoring: ScoringProcesses, checkpoint_file: Path, clips: list[np.ndarray]
) -> None:
    kept, dropped = scoring.load(checkpoint_file), scoring.load(checkpoint_file)
    process, number = dropped._process, dropped._number
    assert process.ask("score", number, clips, False).result(SECONDS).scores.shape == (5, 3)
    del dropped
    gc.collect()
    kept.submit(clips).result(SECONDS)
    with pytest.raises(RuntimeError, match=f"KeyError: {number}"):
        process.ask("score", number, clips, False).result(SECONDS)


def test_a_fault_in_scoring_is_told_and_the_process_goes_on(
    scoring: ScoringProcesses, checkpoint_file: Path, clips: list[np.ndarray]
) -> None:
    predictor = scoring.load(checkpoint_file)
    with pytest.raises(RuntimeError, match="ValueError"):
        predictor.submit([clips[0], clips[1][:100]]).result(SECONDS)
    assert predictor.submit(clips).result(SECONDS).scores.shape == (5, 3)


# It ends


def test_after_a_kill_what_was_asked_fails_and_the_next_load_begins_another(
    checkpoint_file: Path, shared: tuple[SlotBuffer, list[np.ndarray]], expected: np.ndarray
) -> None:
    answered = threading.Event()
    buffer, views = shared
    with ScoringProcesses(CPU, answered.set) as scoring:
        scoring.share(buffer)
        predictor, killed = scoring.load(checkpoint_file), scoring.pid
        os.kill(killed, signal.SIGSTOP)  # so that no answer comes before the kill
        batches = [predictor.submit(views) for _ in range(3)]
        answered.clear()
        os.kill(killed, signal.SIGKILL)
        for batch in (*batches, predictor.submit(views)):
            assert isinstance(batch.exception(SECONDS), ScoringProcessDied)
        assert answered.wait(SECONDS)
        assert not predictor.is_alive
        another = scoring.load(checkpoint_file)
        assert (another.is_alive, scoring.pid != killed) == (True, True)
        assert not psutil.pid_exists(killed)
        another.submit(views).result(SECONDS)
        assert isinstance(another._process.place_of(views[0]), SharedClip)
        scores = another.submit(views).result(SECONDS).scores
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_process_that_dies_while_it_starts_is_no_fault_of_a_checkpoint(
    checkpoint_file: Path, clips: list[np.ndarray]
) -> None:
    with ScoringProcesses(CPU) as scoring:
        os.kill(scoring.pid, signal.SIGKILL)
        assert scoring.load(checkpoint_file).submit(clips).result(SECONDS)


def test_processes_that_never_start_are_told_in_a_line(
    tmp_path: Path, checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (
        ScoringProcesses(CPU) as scoring,
        pytest.raises(NoWorkersError, match="dies while it starts; see the system's log"),
    ):
        scoring.load(checkpoint_file)


def test_a_process_that_dies_at_rest_is_noticed(checkpoint_file: Path) -> None:
    answered = threading.Event()
    with ScoringProcesses(CPU, answered.set) as scoring:
        predictor = scoring.load(checkpoint_file)
        answered.clear()
        os.kill(scoring.pid, signal.SIGKILL)
        assert answered.wait(SECONDS)
        assert not predictor.is_alive


def test_an_answer_that_cannot_be_read_ends_the_process_and_not_the_hope_for_others(
    checkpoint_file: Path, clips: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.inference.scoring_process.END_SECONDS", 0.1)
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    with ScoringProcesses(CPU) as scoring:
        predictor = scoring.load(checkpoint_file)
        with monkeypatch.context() as patch:
            patch.setattr(scoring._process, "_take", raising(MemoryError()))
            batches = [predictor.submit(clips) for _ in range(2)]  # it waits for the first
            assert isinstance(batches[1].exception(SECONDS), ScoringProcessDied)
        assert scoring.load(checkpoint_file).submit(clips).result(SECONDS)


def test_signals_to_stop_are_the_parents_to_handle(
    scoring: ScoringProcesses, checkpoint_file: Path, clips: list[np.ndarray]
) -> None:
    predictor = scoring.load(checkpoint_file)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(scoring.pid, number)
    assert predictor.submit(clips).result(SECONDS).scores.shape == (5, 3)


def test_it_ends_when_it_is_closed_whatever_it_is_busy_with(
    checkpoint_file: Path, clips: list[np.ndarray]
) -> None:
    with ScoringProcesses(CPU) as scoring:
        predictor, process = scoring.load(checkpoint_file), scoring._process
        for _ in range(20):
            predictor.submit(clips * 200)
    assert process._process.returncode == 0


def test_where_it_dies_before_it_has_its_device_another_one_is_begun() -> None:
    with ScoringProcesses(CPU) as scoring:
        os.kill(scoring.pid, signal.SIGKILL)
        assert scoring.device.kind == "cpu"


def test_it_ends_with_its_parent() -> None:
    program = (
        "from classifier.inference.scoring_process import *;"
        "scoring = ScoringProcesses(ScoringSettings('cpu'));"
        "assert scoring.device.kind == 'cpu';"
        "print(scoring.pid, flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=PACKAGES,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert psutil.wait_procs([child], SECONDS)[1] == []


def test_its_log_records_are_the_parents_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import logging\n"
        "from classifier.inference import device\n"
        "def describe(_):\n"
        "    logging.getLogger('classifier.test').warning('device %d', 7)\n"
        "    return 'described'\n"
        "device.describe_device = describe\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{PACKAGES}")
    with ScoringProcesses(CPU) as scoring:
        assert scoring.device.description == "described"
    assert ("classifier.test", 30, "device 7") in caplog.record_tuples


# Threads


def test_batches_that_are_scored_side_by_side_share_the_threads() -> None:
    worker: Any = ScoringWorker
    worker = worker(None)
    worker._n_threads = 4
    with worker._share_of_threads() as alone, worker._share_of_threads() as beside:
        assert (alone, beside) == (4, 2)
    with worker._share_of_threads() as alone:
        assert alone == 4


def raising(error: BaseException) -> Callable[..., None]:
    def raise_(*_: object, **__: object) -> None:
        raise error

    return raise_
