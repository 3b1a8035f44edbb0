"""Sound is decoded in processes that can be killed, few at a time, and only while it is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request

from classifier.errors import ClassifierError, DecodingError, FileChanged, NoWorkersError
from web.server.context import PageContext
from web.server.problems import Problem

if TYPE_CHECKING:
    from classifier.workers.pool import DecodePool

logger = logging.getLogger(__name__)

WORKERS = 2
MAX_WAITING = 16
DEADLINE_SECONDS = 20.0
SPARE_SECONDS = 10.0  # until a worker has started, or one that passed the deadline was killed
REST_SECONDS = 60.0
STOP_SECONDS = 2.0

T = TypeVar("T")
_STATUS = {"vanished": 404, "internal": 500, "machine": 503, "timeout": 504}


@dataclass(eq=False)
class _Job:
    work: Callable[..., Any]
    arguments: tuple[object, ...]
    future: Future[Any] = field(default_factory=Future)


class Decoder:
    """Threads with a worker each: begun when there is something to do, and ended after a rest."""

    def __init__(self, _: PageContext) -> None:
        self._waiting: deque[_Job] = deque()
        self._change = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._n_free = 0
        self._is_closed = False

    async def result(self, request: Request, work: Callable[..., T], *arguments: object) -> T:
        """What the work gives, done in a worker; it is dropped when the client leaves before.

        Raises Problem.
        """
        future: asyncio.Future[T] = asyncio.wrap_future(self.submit(work, *arguments))
        leaving = asyncio.ensure_future(_leaves(request))
        either: set[asyncio.Future[Any]] = {future, leaving}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                raise Problem(503, "the client has left")
            return await future
        finally:
            leaving.cancel()
            future.cancel()

    def submit(self, work: Callable[..., T], *arguments: object) -> Future[T]:
        """Raises Problem where too many wait already."""
        job = _Job(work, arguments)
        with self._change:
            self._waiting = deque(one for one in self._waiting if not one.future.cancelled())
            if len(self._waiting) >= MAX_WAITING:
                raise Problem(503, "too much sound is asked for at once", {"Retry-After": "1"})
            self._waiting.append(job)
            if len(self._threads) < WORKERS and self._n_free < len(self._waiting):
                thread = threading.Thread(target=self._serve, name="decoder", daemon=True)
                self._threads.add(thread)
                thread.start()
            self._change.notify()
        return job.future

    def close(self) -> None:
        with self._change:
            self._is_closed = True
            self._change.notify_all()
            threads = [*self._threads]
        for thread in threads:
            thread.join(STOP_SECONDS)

    def _next(self) -> _Job | None:
        """None: this thread ends."""
        with self._change:
            self._n_free += 1
            self._change.wait_for(lambda: self._waiting or self._is_closed, REST_SECONDS)
            self._n_free -= 1
            if self._waiting and not self._is_closed:
                return self._waiting.popleft()
            self._threads.discard(threading.current_thread())
            return None

    def _serve(self) -> None:
        from classifier.workers.pool import DecodePool

        job = self._next()
        while job:
            try:
                with DecodePool[None](1, DEADLINE_SECONDS) as pool:
                    while job and _do(job, pool):
                        job = self._next()
            except NoWorkersError as error:
                _fail(job, str(error))
            except Exception:  # else this thread ends, and its job and its place are waited for
                logger.exception("a pool of decode workers failed")
                _fail(job, "the decoder has failed")
            job = job and self._next()  # that one broke the pool


def _do(job: _Job, pool: DecodePool[None]) -> bool:
    """Whether the pool is good for another job."""
    if not job.future.set_running_or_notify_cancel():
        return True
    answers: SimpleQueue[Future[Any]] = SimpleQueue()
    with contextlib.suppress(Empty):
        if pool.call(answers.put, DEADLINE_SECONDS, job.work, *job.arguments):
            answer = answers.get(timeout=DEADLINE_SECONDS + SPARE_SECONDS)
            if error := answer.exception():
                job.future.set_exception(_problem(error))
            else:
                job.future.set_result(answer.result())
            return True
    job.future.set_exception(Problem(503, "the decoder has failed", {"Retry-After": "1"}))
    return False


def _fail(job: _Job | None, sentence: str) -> None:
    if job:
        with contextlib.suppress(InvalidStateError):  # it has its answer, or nobody waits
            job.future.set_exception(Problem(503, sentence, {"Retry-After": "1"}))


def _problem(error: BaseException) -> Problem:
    from classifier.workers.failures import failure_of

    if isinstance(error, FileChanged):
        return Problem(409, str(error) or "the file was changed")
    if not isinstance(error, ClassifierError):
        error = failure_of(error, DEADLINE_SECONDS, None)
    kind = error.kind if isinstance(error, DecodingError) else ""
    return Problem(_STATUS.get(kind, 422), str(error))


async def _leaves(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
