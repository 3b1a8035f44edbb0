"""Commands of clfd as processes of their own: what would load torch, and what may take long."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import IO

from storage.home.paths import Home
from web.server.problems import Problem

PIECE_BYTES = 2**18
STOP_SECONDS = 5


def command(home: Home, words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "clfd", *words, f"--home={home.root}"]


def output_of(home: Home, words: Sequence[str], seconds: float) -> str:
    """What it prints. Raises Problem with its own sentence where it fails."""
    try:
        done = subprocess.run(
            command(home, words), capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Problem(503, f"clfd {words[0]} takes longer than {seconds:g} s; ask less") from error
    if done.returncode:
        raise Problem(409, _sentence(done.stderr))
    return done.stdout


def pieces_of(home: Home, words: Sequence[str]) -> Iterator[bytes]:
    """What it prints, as it comes. It ends with whoever reads it.

    Raises Problem where it fails before it prints anything, and for nothing at all.
    """
    pieces = _pieces(home, words)
    return chain([next(pieces, b"")], pieces)


def _pieces(home: Home, words: Sequence[str]) -> Iterator[bytes]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command(home, words), stdout=pipe, stderr=pipe) as process:
        out, err = _stream(process.stdout), _stream(process.stderr)
        try:
            has_begun = False
            while piece := out.read(PIECE_BYTES):
                has_begun = True
                yield piece
            if process.wait() and not has_begun:
                raise Problem(409, _sentence(err.read().decode(errors="replace")))
        finally:
            process.kill()


def _stream(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _sentence(stderr: str) -> str:
    """The last line, which names what is wrong."""
    lines = stderr.strip().splitlines() or ["the command failed and did not say why"]
    return lines[-1].removeprefix("Error: ").removeprefix("clfd: ")
