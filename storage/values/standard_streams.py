"""Standard streams that may be closed, full, or of a terminal that knows no Unicode."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, TextIO

from storage.errors import StorageError


class _Output(io.TextIOWrapper):
    """Standard output: what a command prints is its result, and has to arrive."""

    def write(self, text: str) -> int:
        with _output_errors():
            return super().write(text)

    def flush(self) -> None:
        with _output_errors():
            super().flush()


class _Notes(io.TextIOWrapper):
    """Standard error: what cannot be written is dropped, as nothing may depend on it."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            super().flush()


def repair_standard_streams() -> None:
    """Once, before anything is opened, which would take the number of a closed stream."""
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free; a closed standard output still cannot be written.
            os.set_inheritable(os.open(os.devnull, flags), True)
    sys.stdout = _Output(*_stream(1, sys.stdout), line_buffering=os.isatty(1))
    sys.stderr = _Notes(*_stream(2, sys.stderr), line_buffering=True)


def _stream(number: int, before: TextIO | None) -> tuple[BinaryIO, str, str]:
    """The bytes, the encoding, and that characters which it does not have are escaped."""
    stream = open(number, "wb", closefd=False)  # noqa: SIM115  # for as long as the program runs
    return stream, "utf-8" if before is None else before.encoding, "backslashreplace"


@contextmanager
def quiet_end_of_stdout() -> Iterator[None]:
    """A reader that leaves (`| head`) ends what the body writes, and is no error."""
    try:
        with _output_errors():
            yield
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.filename is not None:
            raise
        _drop_output()
        raise StorageError(f"cannot write to standard output: {error.strerror}") from error


def _drop_output() -> None:
    """Python flushes once more when it ends, and would complain there."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
