"""Lost processes: where one of several is gone, the others find out which, and tell it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Event, Thread

import torch.distributed as dist
from torch.distributed.distributed_c10d import Store

from storage.values.text import text_digest
from trainer.distributed.process_group import ProcessGroup, sentence_of
from trainer.distributed.rendezvous import POLL_SECONDS, LostTouch, ended
from trainer.errors import ProcessLost, ToldElsewhere

ROLL_CALL_SECONDS = 5.0  # torchrun kills 30 s after its SIGTERM
ANSWER_SECONDS = 0.5
ALARM, VERDICT = "roll call", "verdict"
DONE, STOPPED = "done", "stopped"
RESUME = (
    "repeat the command with --resume, with as many processes, to go on from the last epoch saved"
)
RESTARTS = "torchrun starts all of them again, and they go on from the last epoch saved"


class Terminated(BaseException):
    """SIGTERM: torchrun stops this process, since another one ended or a person stopped it."""


class RollCall:
    """Which processes are there, and why others ended: a verdict that all of them share.

    A thread answers it, since a process that waits for one which is there notices nothing.
    """

    def __init__(self, process_group: ProcessGroup, keys: Store) -> None:
        self._process_group = process_group
        self._keys = keys
        self._over = Event()
        self._verdict: str | None = None
        self._thread = Thread(target=self._answer, daemon=True)

    def __enter__(self) -> RollCall:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2 * ANSWER_SECONDS)  # the store's machine may be away

    def report(self, reason: str) -> None:
        """Tells the others why this process ends."""
        with suppress(dist.DistError):
            self._keys.set(ended(self._process_group.rank), reason)

    def verdict(self, seconds: float = ROLL_CALL_SECONDS) -> str:
        """A sentence on which processes ended, and why."""
        reasons: dict[int, str] = {}
        missing = set(range(self._process_group.size)) - {self._process_group.rank}
        deadline = time.monotonic() + seconds
        with suppress(dist.DistError):  # the store ends with the first node
            self._keys.set(ALARM, "")
            while missing and not self._verdict and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                missing = {rank for rank in missing if not self._keys.check([_here(rank)])}
                for rank in range(self._process_group.size):
                    if self._keys.check([ended(rank)]):
                        reasons[rank] = self._keys.get(ended(rank)).decode()
                        missing.discard(rank)
            own = sentence(missing, reasons, self._process_group.places)
            self._verdict = self._verdict or self._keys.compare_set(VERDICT, "", own).decode()
        return self._verdict or sentence(missing, reasons, self._process_group.places)

    def _answer(self) -> None:
        with suppress(dist.DistError):
            while not self._over.wait(ANSWER_SECONDS):
                if self._keys.check([ALARM]):
                    self._keys.set(_here(self._process_group.rank), "")
                if self._keys.check([VERDICT]):
                    self._verdict = self._keys.get(VERDICT).decode()
                    return


def _here(rank: int) -> str:
    return f"here/{rank}"


def sentence(
    missing: Collection[int], reasons: Mapping[int, str], places: Mapping[int, str]
) -> str:
    """Which processes ended, and why; `places` says where each of all is."""

    def named(ranks: Collection[int]) -> str:
        several = "s" if len(ranks) > 1 else ""
        each = [f"{rank} ({places[rank]})" for rank in sorted(ranks)]
        return f"rank{several} {', '.join(each)} of {len(places)}"

    remedy = RESTARTS if _restarts() else RESUME
    failed = {rank: why for rank, why in reasons.items() if why not in (DONE, STOPPED)}
    stopped = [rank for rank, why in reasons.items() if why == STOPPED]
    if failed:
        rank, why = min(failed.items())
        return f"{named([rank])} failed: {why}"
    if missing:
        return f"lost {named(missing)}, which was killed or cut off; {remedy}"
    if stopped:
        return f"{named(stopped)} had to stop; {remedy}"
    return f"the {len(places)} processes lost touch with each other; {remedy}"


@contextmanager
def explaining_losses(process_group: ProcessGroup) -> Iterator[None]:
    """Turns what a process meets when another one ends into a sentence that names that one.

    And tells the others why this one ends, where it is the first. Raises ProcessLost, and
    ToldElsewhere for a sentence that another process of the node says.
    """
    if process_group.attempt is None:
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    with RollCall(process_group, process_group.attempt.keys) as roll_call:
        try:
            yield
        except (Exception, KeyboardInterrupt, Terminated) as error:
            # For good: torchrun stops this process before the sentence is out.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _explain(error, process_group, roll_call)
            raise
        roll_call.report(DONE)
    signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _explain(error: BaseException, process_group: ProcessGroup, roll_call: RollCall) -> None:
    """Raises another error where another process ended first, or tells of this one."""
    if isinstance(error, Terminated | KeyboardInterrupt):
        roll_call.report(STOPPED)
    if isinstance(error, ToldElsewhere | KeyboardInterrupt):
        return
    explained = error
    if isinstance(error, Terminated) or _is_of_connection(error):
        explained = ProcessLost(roll_call.verdict())
    else:
        assert isinstance(error, Exception)
        roll_call.report(sentence_of(error))
    if not _is_first_to_tell(str(explained), process_group):
        told = ToldElsewhere(str(explained))
        told.exit_code = getattr(explained, "exit_code", 1)
        raise told from error
    if explained is not error:
        raise explained from error


def _is_of_connection(error: BaseException) -> bool:
    # gloo has no error class of its own; its messages begin with a path of its source.
    return isinstance(error, dist.DistError | LostTouch) or (
        isinstance(error, RuntimeError) and ("gloo" in str(error) or "NCCL" in str(error))
    )


def _is_first_to_tell(sentence: str, process_group: ProcessGroup) -> bool:
    attempt = process_group.attempt
    assert attempt is not None
    key = f"told/{process_group.node}/{text_digest(sentence)}"
    try:
        return attempt.keys.add(key, 1) == 1
    except dist.DistError:
        return True


def _restarts(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun has restarts left."""
    done, most = (
        int(environ.get(f"TORCHELASTIC_{name}", "0")) for name in ("RESTART_COUNT", "MAX_RESTARTS")
    )
    return done < most
