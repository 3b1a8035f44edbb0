"""Lost processes: where one of several is gone, the others find out which, and tell it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import torch.distributed as dist

from storage.values.text import text_digest
from trainer.distributed.process_group import ProcessGroup, sentence_of
from trainer.distributed.rendezvous import POLL_SECONDS, LostTouch, Session, ended
from trainer.errors import ProcessLost, ToldElsewhere

ROLL_CALL_SECONDS = 5.0  # torchrun kills 30 s after its SIGTERM
LOST_TOUCH = "lost touch"
STOPPED = "stopped"
RESUME = (
    "repeat the command with --resume, with as many processes, to go on from the last epoch saved"
)
RESTARTS = "torchrun starts all of them again, and they go on from the last epoch saved"


class Terminated(BaseException):
    """SIGTERM: torchrun stops this process, since another one ended or a person stopped it."""


@dataclass
class RollCall:
    """Why each process ended, as far as they tell; those that tell nothing are lost."""

    session: Session
    size: int
    reasons: dict[int, str] = field(default_factory=dict)

    def ask(self, seconds: float = ROLL_CALL_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        with suppress(dist.DistError):  # the store ends with the first node
            while self.lost and time.monotonic() < deadline:
                for rank in self.lost:
                    if self.session.keys.check([ended(rank)]):
                        self.reasons[rank] = self.session.keys.get(ended(rank)).decode()
                time.sleep(POLL_SECONDS)

    @property
    def lost(self) -> list[int]:
        return [rank for rank in range(self.size) if rank not in self.reasons]

    def sentence(self, places: Mapping[int, str], remedy: str) -> str:
        """Which processes ended, and why; `places` says where each of them is."""

        def named(ranks: list[int]) -> str:
            return ", ".join(f"rank {rank} of {self.size} ({places[rank]})" for rank in ranks)

        stopped = [rank for rank, reason in self.reasons.items() if reason == STOPPED]
        failed = {
            rank: reason
            for rank, reason in self.reasons.items()
            if reason not in (STOPPED, LOST_TOUCH)
        }
        if failed:
            rank, reason = min(failed.items())
            return f"{named([rank])} failed: {reason}"
        if self.lost:
            return f"{named(self.lost)} is gone: killed, or its machine is away; {remedy}"
        if stopped:
            return f"{named(stopped)} was stopped; {remedy}"
        return f"the {self.size} processes lost touch with each other; {remedy}"


@contextmanager
def explaining_losses(process_group: ProcessGroup) -> Iterator[None]:
    """Turns what a process meets when another one ends into a sentence that names that one.

    And tells the others why this one ends, where it is the first. Raises ProcessLost, and
    ToldElsewhere for a sentence that another process of the node says.
    """
    if process_group.session is None:
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except ToldElsewhere:
        raise
    except (Exception, KeyboardInterrupt, Terminated) as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what follows takes seconds
        explained = _explained(error, process_group)
        if not _is_first_to_tell(str(explained), process_group):
            told = ToldElsewhere(str(explained))
            told.exit_code = getattr(explained, "exit_code", 1)
            raise told from error
        if explained is error:
            raise
        raise explained from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _explained(error: BaseException, process_group: ProcessGroup) -> BaseException:
    """The error itself where this process is the first to end, else what the others say."""
    session = process_group.session
    assert session is not None
    lost_touch = _is_of_connection(error)
    reason = LOST_TOUCH if lost_touch else STOPPED
    if isinstance(error, Exception) and not lost_touch:
        reason = sentence_of(error)
    with suppress(dist.DistError):
        session.keys.set(ended(process_group.rank), reason)
    if not lost_touch and not isinstance(error, Terminated):
        return error
    call = RollCall(session, process_group.size, {process_group.rank: reason})
    call.ask()
    return ProcessLost(call.sentence(process_group.places, RESTARTS if _restarts() else RESUME))


def _is_of_connection(error: BaseException) -> bool:
    # gloo has no error class of its own; its messages begin with a path of its source.
    return isinstance(error, dist.DistError | LostTouch) or (
        isinstance(error, RuntimeError) and ("gloo" in str(error) or "NCCL" in str(error))
    )


def _is_first_to_tell(sentence: str, process_group: ProcessGroup) -> bool:
    session = process_group.session
    assert session is not None
    key = f"told/{process_group.node}/{text_digest(sentence)}"
    try:
        return session.keys.add(key, 1) == 1
    except dist.DistError:
        return True


def _restarts(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun has restarts left."""
    done, most = (
        int(environ.get(f"TORCHELASTIC_{name}", "0")) for name in ("RESTART_COUNT", "MAX_RESTARTS")
    )
    return done < most
