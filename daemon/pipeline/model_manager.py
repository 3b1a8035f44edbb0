"""The live model: which checkpoint is served, and how another one takes over.

`checkpoints/active` says what should be served. A candidate is read, checked and warmed while the
old one serves; `step` only flips a reference, between two ticks.
Recordings hold on to the model with which their decoding began, so a batch never mixes two.

Whatever a candidate brings about is its own refusal, and the one before serves. What kills a
process leaves a note (`storage.home.trial_file`), by which the next start begins with `previous`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from classifier.errors import (
    CheckpointError,
    DeviceBusyError,
    DeviceError,
    NoWorkersError,
    one_line,
)
from classifier.inference.scoring_process import RemotePredictor, ScoringProcessDied
from classifier.model.checkpoint_facts import MAX_FILE_BYTES, CheckpointFacts
from daemon.component import Component
from daemon.errors import DaemonError, NothingToServe
from daemon.monitoring.journald import about
from storage.errors import RowRefused, StorageError
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.safe_open import file_digest
from storage.home.trial_file import TrialFile
from storage.ledger.ledger import Ledger

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5  # between two looks at the link
BUSY_SECONDS = 30.0  # until a device that had no memory for a checkpoint is asked again


@dataclass(frozen=True)
class Served:
    """A predictor, how far apart its clips start, and its checkpoint's number in the ledger."""

    predictor: RemotePredictor
    hop_samples: int
    checkpoint_id: int

    @property
    def name(self) -> str:
        return self.predictor.checkpoint.name


@dataclass(frozen=True)
class RefusedCheckpoint:
    """Why a checkpoint file is not served, and the SHA-256 of what was refused."""

    reason: str
    digest: str


class ModelManager(Component):
    """`load` turns a checkpoint file into a predictor, or raises.

    Where it raises DeviceBusyError it is asked again after a while. Where it raises
    ScoringProcessDied the checkpoint is tried once more, when nothing else is served beside it, and
    refused then.
    `wake` is called, from another thread, when a candidate is ready.
    """

    stage = "model"

    def __init__(
        self,
        checkpoints: CheckpointFolder,
        ledger: Ledger,
        load: Callable[[Path], RemotePredictor],
        trials: TrialFile,
        overlap_seconds: float = 0.0,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._overlap_seconds = overlap_seconds
        self._checkpoints = checkpoints
        self._ledger = ledger
        self._load = load
        self._trials = trials
        self._wake = wake
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="candidate")
        self._candidate: tuple[str, Future[RemotePredictor | RefusedCheckpoint]] | None = None
        self._poll_due = 0.0
        self._try_again_at = math.inf
        self._killer: str | None = None  # the active one, where it is not tried again
        self._served: Served | None = None
        self._dead: Served | None = None  # whose death is counted
        self.wanted: str | None = None
        self.refusal: str | None = None
        self._n_swaps = self._n_refusals = self._n_deaths = 0

    @property
    def served(self) -> Served:
        assert self._served is not None, "start() comes first"
        return self._served

    def start(self) -> None:
        """Serves the active checkpoint, else the previous one, else the one that was served.

        Raises NothingToServe with the reasons where none can be served, DeviceBusyError where that
        may be otherwise soon, DeviceError and NoWorkersError.
        """
        active = self._active_name()
        reasons = [self.refusal] if self.refusal else []
        busy: DeviceBusyError | None = None
        served = self._served.name if self._served else None
        names = filter(None, dict.fromkeys((active, self._checkpoints.previous(), served)))
        # One that killed the daemon comes last, and is tried where nothing else can be served.
        for name in sorted(names, key=self._trials.n_kills):
            if self._trials.n_kills(name):
                logger.error("checkpoint %s killed the daemon; nothing else can be served", name)
            try:
                prepared = self._prepare(self._checkpoints.path(name), is_alone=True)
            except DeviceBusyError as error:
                busy = busy or error
                if name == active:
                    self._wait_for_memory(error, 0.0)
                continue
            if self._serve(name, prepared):
                self._explain(active)
                return
            reasons.append(str(self.refusal))
        if busy is not None:
            raise busy
        there = ", ".join(self._checkpoints.names())
        raise NothingToServe(
            "no checkpoint to serve: "
            + ("; ".join(reasons) or f"none is active in {self._checkpoints.folder}")
            + (f"; activate one of {there} with `clfd checkpoints activate`" if there else "")
            + "; make one with `clfd train LABELS.csv`, or see `clfd init`"
        )

    @property
    def is_alive(self) -> bool:
        """Whether what is served can score; its process may have died."""
        return self.served.predictor.is_alive

    def begin_again(self) -> None:
        """After the death of the process that scores.

        Raises as `start`, but that nothing can be served is no fault of the settings now.
        """
        if self._dead is not self._served:  # else a locked ledger was in the way
            self._dead = self._served
            self._n_deaths += 1
            logger.error("the process that scores has died; another one is begun")
        if self._candidate is not None:
            wait([self._candidate[1]])  # it died with the process, or has another one by now
            self._candidate = None
        try:
            self.start()
        except (NothingToServe, DeviceError) as error:
            raise DaemonError(str(error)) from error

    @property
    def is_preparing(self) -> bool:
        """Whether a candidate is on its way."""
        return self._candidate is not None

    def recheck(self) -> None:
        """With the next `step`, and once more at what was refused: it may be another file."""
        self._poll_due = self._try_again_at = 0.0

    def step(self, now: float) -> None:
        """Takes a prepared candidate over, and begins to prepare one that became active."""
        if not self.is_alive:
            return  # what was being scored comes first: see `begin_again`
        if self._candidate is not None and self._candidate[1].done():
            self._take_over(*self._candidate, now)
            self._candidate = None
        if self._candidate is None and (now >= self._poll_due or self._is_forgiven):
            self._poll_due = now + POLL_SECONDS
            self._follow_link(now)

    def compile_if_worthwhile(self, clips_scored: int) -> None:
        """Now and then: has the served network compiled behind it."""
        file = self._checkpoints.path(self.served.name)
        self.served.predictor.compile_if_worthwhile(file, clips_scored)

    def status(self) -> Mapping[str, object]:
        predictor = self.served.predictor
        return {
            "checkpoint": self.wanted,
            "served_checkpoint": self.served.name,
            "checkpoint_refused": self.refusal,
            "precision": predictor.precision,
            "network_path": predictor.path,
            "canary_error": round(predictor.canary_error, 4),
        }

    def figures(self) -> Mapping[str, object]:
        return {
            "checkpoint_swaps": self._n_swaps,
            "checkpoint_refusals": self._n_refusals,
            "scoring_process_deaths": self._n_deaths,
        }

    def faults(self) -> Sequence[str]:
        return [self.refusal] if self.refusal else []

    def stop(self, seconds: float = 0.0) -> None:
        if self._candidate is not None:
            with suppress(StorageError):
                self._trials.forget(self._candidate[0])  # whoever loses patience kills both
        self._thread.shutdown(cancel_futures=True)

    @property
    def _is_forgiven(self) -> bool:
        """Whether a person activated it again, which takes the note away."""
        return self._killer is not None and not self._trials.n_kills(self._killer)

    def _follow_link(self, now: float) -> None:
        before = self.wanted
        name = self._active_name()
        is_tried_before = name == before and not self._is_forgiven
        if name is None or (is_tried_before and (self._killer or now < self._try_again_at)):
            return
        self._try_again_at, self._killer = math.inf, None
        self.refusal = None
        if name != self.served.name:
            logger.info("checkpoint %s became active; preparing it", name)
            future = self._thread.submit(self._prepare, self._checkpoints.path(name))
            future.add_done_callback(lambda _: self._wake())
            self._candidate = (name, future)

    def _active_name(self) -> str | None:
        """The checkpoint that should be served, if it is there; logs once if it is not."""
        name, problem = self._checkpoints.active(), self._checkpoints.link_problem("active")
        if name is None and self._served is not None:
            problem = problem or f"no checkpoint is active any more in {self._checkpoints.folder}"
        if problem and problem != self.refusal:
            self.refusal = problem
            logger.error("%s; activate another: `clfd checkpoints activate`", problem)
        self.wanted = name
        return name

    def _prepare(self, path: Path, is_alone: bool = False) -> RemotePredictor | RefusedCheckpoint:
        """All that takes time, hashing too: it may be a second for what is large and no checkpoint.

        Raises DeviceBusyError, DeviceError and NoWorkersError.
        """
        with self._trials.of(path.stem) as trial:
            try:
                predictor = self._load(path)
                # Refuses one with short clips.
                hop_samples(predictor.checkpoint, self._overlap_seconds)
                return predictor
            except (DeviceBusyError, DeviceError, NoWorkersError):
                raise
            except ScoringProcessDied:
                trial.has_killed = is_alone  # else it may have died of what it scored
                return RefusedCheckpoint(_killer_reason(path.stem), _digest(path))
            except Exception as error:
                return RefusedCheckpoint(_reason(path.stem, error), _digest(path))

    def _take_over(
        self, name: str, candidate: Future[RemotePredictor | RefusedCheckpoint], now: float
    ) -> None:
        try:
            prepared = candidate.result()
        except DeviceBusyError as error:
            self._wait_for_memory(error, now + BUSY_SECONDS)
        else:
            if self._serve(name, prepared):
                self._n_swaps += 1

    def _wait_for_memory(self, error: DeviceBusyError, until: float) -> None:
        self.refusal = f"{error}; trying again every {BUSY_SECONDS:g} s"
        logger.warning("%s", self.refusal)
        self._try_again_at = until

    def _serve(self, name: str, prepared: RemotePredictor | RefusedCheckpoint) -> bool:
        """Whether it is served; else it is refused. Raises StorageError for the ledger's own."""
        if not isinstance(prepared, RefusedCheckpoint):
            try:
                self._register(prepared)
                return True
            except Exception as error:
                if isinstance(error, StorageError) and not isinstance(error, RowRefused):
                    raise
                prepared = RefusedCheckpoint(_reason(name, error), prepared.checkpoint.digest)
        self._refuse(name, prepared)
        return False

    def _register(self, predictor: RemotePredictor) -> None:
        checkpoint = predictor.checkpoint
        checkpoint_id = self._ledger.register_checkpoint(
            checkpoint.digest,
            checkpoint.name,
            checkpoint.labels,
            checkpoint.audio_format.clip_seconds,
            checkpoint.description,
        )
        hop = hop_samples(checkpoint, self._overlap_seconds)
        self._served = Served(predictor, hop, checkpoint_id)
        event = about(checkpoint=checkpoint.name, digest=checkpoint.digest)
        n_labels = len(checkpoint.labels)
        logger.info("serving checkpoint %s (%d labels)", checkpoint.name, n_labels, extra=event)

    def _explain(self, active: str | None) -> None:
        """After a start: whether what is served is the active one, and if not, why."""
        if self.served.name == active:
            self.refusal = None
        elif active is not None and self._trials.n_kills(active):
            self._killer = active
            if self.refusal != _killer_reason(active):
                digest = _digest(self._checkpoints.path(active))
                self._refuse(active, RefusedCheckpoint(_killer_reason(active), digest))

    def _refuse(self, name: str, refused: RefusedCheckpoint) -> None:
        self.refusal = refused.reason
        self._n_refusals += 1
        logger.error("%s", refused.reason, extra=about(checkpoint=name))
        self._ledger.refuse_checkpoint(name, refused.digest, refused.reason)


def _reason(name: str, error: Exception) -> str:
    if isinstance(error, CheckpointError):
        return str(error)
    return f"checkpoint {name} cannot be served: {one_line(error)}; activate another one"


def _killer_reason(name: str) -> str:
    return (
        f"checkpoint {name} is not tried again: the daemon was killed while it prepared it; see the"
        " system's log, then activate another one, or try once more with"
        f" `clfd checkpoints activate {name}`"
    )


def hop_samples(checkpoint: CheckpointFacts, overlap_seconds: float) -> int:
    """Samples from the start of one clip to the start of the next."""
    audio = checkpoint.audio_format
    hop = audio.clip_samples - round(overlap_seconds * audio.sample_rate_hz)
    if hop < 1:
        raise CheckpointError(
            f"checkpoint {checkpoint.name} refused: its clips of {audio.clip_seconds:g} s are not "
            f"longer than engine.overlap_seconds = {overlap_seconds:g}; set a smaller overlap"
        )
    return hop


def _digest(path: Path) -> str:
    """The SHA-256 of a file that was refused; a text in its place where it cannot be read whole."""
    with suppress(OSError):
        if path.stat().st_size <= MAX_FILE_BYTES:
            return file_digest(path)
    return f"unread {path.name}"
