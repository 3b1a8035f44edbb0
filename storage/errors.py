"""Errors of storage; each message is one line: what, which one, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class StorageError(Exception):
    """Base of this package's errors; `exit_code` is what the command line ends with."""

    exit_code: int = 1


class ConfigurationError(StorageError):
    """Starting again changes nothing; a person has to."""

    exit_code = 78


class SettingsError(ConfigurationError):
    """A setting is unknown or its value is not allowed."""


class AlreadyRunning(ConfigurationError):
    """Another daemon serves this home."""


class SchemaMismatch(ConfigurationError):
    """The ledger was written by a newer clfd, or by an older one and not upgraded yet."""


class LedgerMissing(StorageError):
    """There is no ledger where one is expected."""


class LedgerDamaged(ConfigurationError):
    """The file is not a ledger (any more)."""


class LedgerInvalid(StorageError):
    """A check found the ledger damaged, or counting wrongly."""


class LedgerUnavailable(StorageError):
    """Locked, full or unreadable for now: nothing was written, and a later try may succeed."""


class LeaseLost(StorageError):
    """This daemon was silent for too long: others have what it had claimed, nothing was written."""


class LedgerFailed(StorageError):
    """The disk under the ledger gave an error: nobody knows what reached it, so clfd stops."""


class ReloadRefused(StorageError):
    """The daemon read settings or checkpoint again, and did not take them."""


class UnknownFormat(StorageError):
    """A file was asked for in a format that is not written."""

    exit_code = 2


class UnknownLabel(StorageError):
    """A new label that is nearly a known one."""

    exit_code = 2


class RowRefused(StorageError):
    """The database refused a value; the transaction was rolled back."""


WRITABLE_PLACE = "name a file in a folder that is there and that you may write to"


@contextmanager
def os_errors_as(kind: type[StorageError], what: str, remedy: str = "") -> Iterator[None]:
    """Tells an OSError of the body as an error of this kind: what failed, why, what to do."""
    try:
        yield
    except OSError as error:
        raise kind("; ".join(filter(None, (f"{what}: {error.strerror}", remedy)))) from error
