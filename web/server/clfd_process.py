"""Commands of clfd as processes of their own: what would load torch, and what may take long."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from threading import BoundedSemaphore
from typing import IO

from storage.home.paths import Home
from web.server.problems import Problem

PIECE_BYTES = 2**18
WAIT_SECONDS = 5.0
USAGE = 2  # the exit code of words that make no sense
_places = BoundedSemaphore(2)  # each may load torch: 250 MB and two seconds
_running: set[subprocess.Popen[bytes]] = set()


def command(home: Home, words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "clfd", f"--home={home.root}", *words]


def output_of(home: Home, words: Sequence[str], seconds: float, may_fail: bool = False) -> str:
    """What it prints.

    Raises Problem with its own sentence where it fails, unless it printed what `may_fail`.
    """
    return _done(home, words, seconds, may_fail).stdout.decode(errors="replace")


def notes_of(home: Home, words: Sequence[str], seconds: float) -> list[str]:
    """The lines that it tells a person beside. Raises Problem as `output_of`."""
    return _done(home, words, seconds, False).stderr.decode(errors="replace").splitlines()


def end_all() -> None:
    """Kills what runs, so that the page need not wait for it."""
    for process in list(_running):
        process.kill()


def _done(
    home: Home, words: Sequence[str], seconds: float, may_fail: bool
) -> subprocess.CompletedProcess[bytes]:
    if not _places.acquire(timeout=WAIT_SECONDS):
        raise Problem(503, "the page is busy with other commands", {"Retry-After": "5"})
    try:
        done = _run(command(home, words), seconds)
    except subprocess.TimeoutExpired as error:
        raise Problem(503, f"clfd {words[0]} takes longer than {seconds:g} s; ask less") from error
    finally:
        _places.release()
    if done.returncode and not (may_fail and done.stdout):
        raise Problem(422 if done.returncode == USAGE else 409, _sentence(done.stderr))
    return done


def _run(words: Sequence[str], seconds: float) -> subprocess.CompletedProcess[bytes]:
    with _started(words) as process:
        out, err = process.communicate(timeout=seconds)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


@contextmanager
def _started(words: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Without a buffer, so that a read gives what there is. It ends with the body."""
    no, pipe = subprocess.DEVNULL, subprocess.PIPE
    try:
        process = subprocess.Popen(words, bufsize=0, stdin=no, stdout=pipe, stderr=pipe)
    except (ValueError, OSError) as error:  # a NUL among them, no Unicode, too much
        raise Problem(422, f"no words for a command: {error}") from error
    with process:
        _running.add(process)
        try:
            yield process
        finally:
            _running.discard(process)
            process.kill()


def pieces_of(home: Home, words: Sequence[str]) -> Iterator[bytes]:
    """What it prints, as it comes. It ends with whoever reads it.

    Raises Problem where it fails before it prints anything, and for nothing at all.
    """
    pieces = _pieces(home, words)
    return chain([next(pieces, b"")], pieces)


def _pieces(home: Home, words: Sequence[str]) -> Iterator[bytes]:
    with _started(command(home, words)) as process:
        out, err = _stream(process.stdout), _stream(process.stderr)
        has_begun = False
        while piece := out.read(PIECE_BYTES):
            has_begun = True
            yield piece
        if process.wait() and not has_begun:
            raise Problem(409, _sentence(err.read()))


def _stream(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _sentence(stderr: bytes) -> str:
    """The last line, which names what is wrong."""
    lines = stderr.decode(errors="replace").strip().splitlines() or [
        "the command failed and did not say why"
    ]
    return lines[-1].removeprefix("Error: ").removeprefix("clfd: ")
