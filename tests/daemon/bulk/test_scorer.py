"""Each listed file gets a row: an answer, or the reason why there is none."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from bulk_work import BulkWork
from house import InlinePredictor
from sounds import wav_header

from classifier.audio.samples import Samples
from classifier.errors import DecodingError
from classifier.inference.scoring_process import ScoredBatch, ScoringProcessDied
from daemon.bulk import scorer
from daemon.errors import DaemonError

QUIET = wav_header(8000, 8000) + 2000 * b"\x10\x00\xf0\xff"  # as no other sound of these tests is


class Mortal(InlinePredictor):
    """Dies of quiet sounds, or, after `n_answers`, of any."""

    def __init__(self, path: Path, n_answers: int = 10**9) -> None:
        super().__init__(path, lambda: 0.0)
        self.n_answers = n_answers

    def submit(
        self, clips: Sequence[Samples], with_embeddings: bool = False
    ) -> Future[ScoredBatch]:
        self.n_answers -= 1
        if self.n_answers >= 0 and min(np.abs(clip).max() for clip in clips) > 0.01:
            return super().submit(clips, with_embeddings)
        self.is_alive = False
        future: Future[ScoredBatch] = Future()
        future.set_exception(ScoringProcessDied())
        return future


def test_an_answer_has_all_that_a_ledger_keeps_of_it(bulk: BulkWork) -> None:
    bulk.put("yard/20260131_120000.wav")
    bulk.list()
    row = bulk.rows()["yard/20260131_120000.wav"]
    assert (row["state"], row["error"], row["root"]) == ("done", None, str(bulk.archive))
    assert (row["recorded_at"], row["sample_rate_hz"]) == ("2026-01-31T12:00:00", 8000)
    assert row["label"] == ("bell", "dog", "rain")[int(np.argmax(row["scores"]))]
    assert [one["label"] for one in row["labels"]] == [row["label"]]
    assert len(row["clip_scores"]) == 2 * 3
    assert row["checkpoint_digest"] == bulk.work.read_job().checkpoint_digest


def test_a_file_without_an_answer_has_its_reason(bulk: BulkWork) -> None:
    bulk.put("a.wav", "changed.wav", "gone.wav")
    bulk.put("text.wav", content=b"this is no sound")
    bulk.list()
    bulk.put("changed.wav", content=QUIET)
    (bulk.archive / "gone.wav").unlink()
    rows = bulk.rows()
    kinds = {path: row["error_class"] for path, row in rows.items() if row["state"] == "failed"}
    assert kinds == {"text.wav": "not_audio", "changed.wav": "changed", "gone.wav": "vanished"}
    assert all(len(row["error"]) > 20 for row in rows.values() if row["state"] == "failed")


def test_what_kills_the_process_that_scores_costs_only_itself(bulk: BulkWork) -> None:
    names = [f"{number}.wav" for number in range(9)]
    bulk.put(*names)
    bulk.put("4.wav", content=QUIET)
    bulk.list()
    rows = bulk.rows(Mortal)
    assert sorted(rows) == names
    assert [name for name in names if rows[name]["state"] == "failed"] == ["4.wav"]
    assert rows["4.wav"]["error_class"] == "given_up"


def test_a_process_that_was_killed_costs_no_file(bulk: BulkWork) -> None:
    names = [f"{number}.wav" for number in range(9)]
    bulk.put(*names)
    bulk.list()
    rows = bulk.rows(lambda path: Mortal(path, n_answers=2))
    assert {row["state"] for row in rows.values()} == {"done"}
    assert sorted(rows) == names


def test_a_machine_that_cannot_score_ends_the_run_and_no_file_pays(bulk: BulkWork) -> None:
    bulk.put(*(f"{number}.wav" for number in range(20)))
    bulk.list()
    rows, found = [], bulk.scorer(lambda path: Mortal(path, n_answers=0)).rows
    with pytest.raises(DaemonError, match="died 6 times without scoring anything"):
        rows.extend(found(bulk.files()))
    assert rows == []


def test_a_disk_that_is_back_soon_fails_no_file(
    bulk: BulkWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk.put("a.wav")
    bulk.list()
    moments = iter(range(10**6))
    monkeypatch.setattr(scorer.time, "monotonic", lambda: next(moments))
    bulk.pool.next_error = DecodingError("io", "the disk is away", transient=True)
    assert bulk.rows()["a.wav"]["state"] == "done"


def test_a_decoder_that_dies_each_time_is_a_failure(
    bulk: BulkWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk.put("a.wav")
    bulk.list()
    error = DecodingError("worker_died", "the decoder crashed on this file", transient=True)
    monkeypatch.setattr(bulk.pool, "_answer", lambda segment: error)
    assert bulk.rows()["a.wav"]["error_class"] == "worker_died"


def test_a_root_that_went_away_ends_the_run(bulk: BulkWork) -> None:
    bulk.put("a.wav", "b.wav")
    bulk.list()
    shutil.rmtree(bulk.archive)
    with pytest.raises(DaemonError, match="is not there any more; mount it"):
        bulk.rows()


def test_an_empty_root_is_refused_at_the_start(bulk: BulkWork) -> None:
    bulk.put("a.wav")
    bulk.list()
    (bulk.archive / "a.wav").unlink()
    result = bulk.typed("score")
    assert result.exit_code == 1
    assert f"{bulk.archive} is empty here; mount what was listed there" in result.stderr


def test_a_stop_finishes_what_is_in_flight_and_begins_nothing(bulk: BulkWork) -> None:
    bulk.put(*(f"{number}.wav" for number in range(40)))
    bulk.list()
    rows = bulk.scorer().rows(bulk.files())
    next(rows)
    bulk.stops.add()
    n_finished = 1 + len(list(rows))
    assert 1 < n_finished < 40
