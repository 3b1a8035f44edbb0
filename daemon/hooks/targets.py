"""Where a hook sends results: to a command's standard input, or to a URL.

A try ends in one of three ways. It worked; or the target *refuses* this result, and may refuse it
for ever; or the target is *unreachable*, and would be so for any other result as well.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import threading
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from storage.errors import ConfigurationError
from storage.home.paths import Home
from storage.home.safe_open import open_plain, read_open
from storage.settings.schema import HooksSettings
from storage.values.alert import JSON_TYPE
from storage.values.http_headers import headers_of

STDERR_BYTES = 300  # of what a command printed last
CHUNK_BYTES = 65536
READ_SECONDS = 1.0  # for what a program wrote just before it ended
TRANSIENT_STATUSES = {408, 425, 429}  # "later", although they begin with a 4
TEST_HEADERS = {"Clfd-Test": "true"}
# Variables that are for the daemon alone: the service manager's, and secrets.
OWN_VARIABLES = frozenset(
    ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "CLFD_HOOKS__HEADERS")
)


class RefusedByTarget(Exception):
    """The target does not take this one result."""


class TargetUnreachable(Exception):
    """The target takes no result for now."""


@dataclass(eq=False)
class CommandTarget:
    """A program that is started for each result, without a shell, with the object on its stdin.

    An exit status other than 0, or more than `seconds`, is a refusal. It starts in `folder`, where
    nobody else can put files that it would take for its own.
    """

    command: Sequence[str]
    seconds: float
    folder: Path = Path("/")

    def __post_init__(self) -> None:
        """Raises ConfigurationError where there is no such program."""
        is_relative = "/" in self.command[0] and not os.path.isabs(self.command[0])
        if is_relative or shutil.which(self.command[0]) is None:
            raise ConfigurationError(
                f"hooks.command: there is no program {self.command[0]!r} that may be started; write"
                " its whole path"
            )
        self._process: subprocess.Popen[bytes] | None = None
        self._is_aborted = False
        self._lock = threading.Lock()  # no program starts once the stop has begun

    def send(self, result: bytes, content_type: str = JSON_TYPE) -> None:
        """One object of JSON, or another text.

        Raises RefusedByTarget or TargetUnreachable with the reason.
        """
        stderr = _LastBytes()
        with self._start(stderr) as process:
            try:
                process.communicate(result, self.seconds)
            except subprocess.TimeoutExpired:
                _kill(process)
                raise RefusedByTarget(
                    f"took longer than {self.seconds:g} s and was killed"
                ) from None
            finally:
                self._process = None
            if self._is_aborted:
                raise TargetUnreachable("was stopped with the daemon")
            if status := process.returncode:
                reason = f"exit status {status}" if status > 0 else f"signal {-status}"
                raise RefusedByTarget(f"ended with {reason}{stderr.message()}")

    def abort(self) -> None:
        """From another thread: what is under way is given up."""
        with self._lock:
            self._is_aborted = True
            if self._process is not None:
                _kill(self._process)

    def _start(self, stderr: _LastBytes) -> subprocess.Popen[bytes]:
        with self._lock, stderr.pipe() as writing_end:
            if self._is_aborted:
                raise TargetUnreachable("the daemon stops")
            try:
                self._process = subprocess.Popen(
                    self.command,
                    env={name: os.environ[name] for name in os.environ.keys() - OWN_VARIABLES},
                    cwd=self.folder,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=writing_end,
                    start_new_session=True,  # so that it can be killed with all that it started
                )
            except OSError as error:
                raise TargetUnreachable(f"cannot be started: {error.strerror}") from error
            return self._process


@dataclass(eq=False)
class UrlTarget:
    """A POST for each result. Answers that begin with 2 are taken, redirects are not followed.

    Other answers that begin with 3 or 4 refuse the result, most of them.
    """

    url: str
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)  # they go before our own

    def __post_init__(self) -> None:
        self._open = urllib.request.build_opener(_NoRedirect).open

    def send(self, result: bytes, content_type: str = JSON_TYPE) -> None:
        request = urllib.request.Request(self.url, result, method="POST")
        own = {"Content-Type": content_type, "User-Agent": "clfd"}
        for name, value in (own | _title_case(self.headers)).items():
            request.add_header(name, value.encode().decode("latin-1"))  # is sent as UTF-8
        host = urlsplit(self.url).netloc  # what comes behind it often is a secret
        try:
            with self._open(request, timeout=self.seconds):
                return
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"{host} answers {error.code} {error.reason}"
            is_transient = error.code >= 500 or error.code in TRANSIENT_STATUSES
            raise (TargetUnreachable if is_transient else RefusedByTarget)(reason) from error
        except urllib.error.URLError as error:
            raise TargetUnreachable(f"{host}: {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise TargetUnreachable(f"{host}: {error or type(error).__name__}") from error

    def abort(self) -> None:
        """Its time is short anyway."""


Target = CommandTarget | UrlTarget


def targets_of(home: Home, settings: HooksSettings, is_test: bool = False) -> dict[str, Target]:
    """Those that the settings name.

    Raises ConfigurationError for a command that is not there, or that others may have set.
    """
    found: dict[str, Target] = {}
    if settings.command:
        require_trusted(home, settings.command)
        found["command"] = CommandTarget(settings.command, settings.timeout_seconds)
    if settings.url:
        headers = headers_of(settings.headers) | (TEST_HEADERS if is_test else {})
        found["url"] = UrlTarget(settings.url, settings.timeout_seconds, headers)
    return found


def _title_case(headers: Mapping[str, str]) -> dict[str, str]:
    """So that one name in two cases is one name."""
    return {name.title(): value for name, value in headers.items()}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """A POST would come out as a GET, and somewhere that nobody named."""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it started, also where it has ended itself and what it started holds its stdin.

    While one of its group lives the number of the group is no other's.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class _LastBytes:
    """The last bytes that a program writes into a pipe; all before them are dropped."""

    def __init__(self) -> None:
        self._kept = b""

    @contextmanager
    def pipe(self) -> Iterator[int]:
        """The end to write to, for a program that is started in the body."""
        reading_end, writing_end = os.pipe()
        self._reader = threading.Thread(target=self._read, args=(reading_end,), daemon=True)
        self._reader.start()
        try:
            yield writing_end
        finally:
            os.close(writing_end)

    def message(self) -> str:
        self._reader.join(READ_SECONDS)
        message = " ".join(self._kept.decode("utf-8", "replace").split())
        return f": {message}" if message else ""

    def _read(self, reading_end: int) -> None:
        """Until nobody writes any more: a program that the command left behind may go on."""
        with open(reading_end, "rb", buffering=0) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                self._kept = (self._kept + chunk)[-STDERR_BYTES:]


VARIABLE = "CLFD_HOOKS__COMMAND"
OTHERS_MAY_WRITE = 0o022


def require_trusted(
    home: Home, command: Sequence[str], environ: Mapping[str, str] = os.environ
) -> None:
    """Raises ConfigurationError where somebody else may have named the command.

    The file is checked and read through one descriptor: nobody can exchange it in between.
    """
    if environ.get(VARIABLE):
        return  # it overrules the file, and comes from who starts the daemon
    file = home.settings_file
    try:
        with open(open_plain(file), "rb") as opened:
            is_ours = _is_private(os.fstat(opened.fileno()))
            text = read_open(opened.fileno()).decode("utf-8-sig")
            command_there = tomllib.loads(text).get("hooks", {}).get("command", ())
            named = HooksSettings(command=command_there).command
        is_ours = is_ours and _is_private(file.parent.stat())  # who may rename, may replace
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"hooks.command: {file} cannot be read again: {error}") from error
    if not is_ours or named != tuple(command):
        raise ConfigurationError(
            f"hooks.command: others may write {file} or its folder, and would decide what the"
            f" daemon runs; set {VARIABLE} instead, or `chmod go-w` both"
        )


def _is_private(found: os.stat_result) -> bool:
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & OTHERS_MAY_WRITE
