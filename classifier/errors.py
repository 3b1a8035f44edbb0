"""What can go wrong between an audio file and its scores."""

from __future__ import annotations

MAX_LETTERS = 300


class ClassifierError(Exception):
    """One line: what, which one, what to do."""

    exit_code = 1


class DeviceError(ClassifierError):
    """The device that was asked for is not there."""

    exit_code = 78


class DeviceBusyError(ClassifierError):
    """The device has too little memory for a checkpoint now; another time it may have enough."""


class CheckpointError(ClassifierError):
    """A checkpoint file that must not be served: names the file and the field."""


class TemporaryFolderError(ClassifierError):
    """There is no place for temporary files, or for what libraries keep."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; set TMPDIR to a folder that can be written")


class NoWorkersError(ClassifierError):
    """Processes that decode or score cannot be started: what the system lacks for them."""


def one_line(error: BaseException) -> str:
    """What it says, in one printable line of limited length: it may quote what it was given."""
    text = " ".join(str(error).split()) or type(error).__name__
    shown = "".join(letter for letter in text if letter.isprintable())
    return shown if len(shown) <= MAX_LETTERS else f"{shown[:MAX_LETTERS]}…"


class DecodingError(ClassifierError):
    """Audio that could not be turned into clips.

    `kind` is a stable word for tables and filters; `transient` says whether the same bytes may
    decode another time (a killed worker, an I/O error) or never will. `digest` is the file's
    SHA-256 where it could be read that far.
    """

    def __init__(
        self, kind: str, reason: str, transient: bool = False, digest: str | None = None
    ) -> None:
        super().__init__(kind, reason, transient, digest)  # all of them, to survive pickling
        self.kind = kind
        self.reason = reason
        self.transient = transient
        self.digest = digest

    def __str__(self) -> str:
        return self.reason

    def with_digest(self, digest: str | None) -> DecodingError:
        """The same failure, of the content with this digest."""
        return DecodingError(self.kind, self.reason, self.transient, digest)

    def with_output(self, printed: str) -> DecodingError:
        """The same failure, with what the decoder wrote about it, if it did."""
        reason = f"{self.reason} (the decoder wrote: {printed})" if printed else self.reason
        return DecodingError(self.kind, reason, self.transient, self.digest)


class FileChanged(ClassifierError):
    """The file is not the one that was asked for, or changed while it was read."""


def internal_error(error: BaseException) -> DecodingError:
    """A fault of ours, or an answer that cannot be; it may have come of the moment."""
    return DecodingError("internal", f"unexpected {type(error).__name__}: {error}", transient=True)


MACHINE = "machine"  # the kind of what is no failure of the file


def machine_error(lack: str) -> DecodingError:
    """This machine lacks what decoding any file takes, such as descriptors or processor time."""
    return DecodingError(MACHINE, lack, transient=True)
