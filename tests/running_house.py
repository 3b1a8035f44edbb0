"""A home with a real daemon process that serves it: its events, its workers, its signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from storage.home import Home
from storage.ledger import open_ledger
from storage.settings import load_settings
from storage.shelf import Shelf

DEADLINE_SECONDS = 60


class RunningHouse:
    """`settings` are variables like CLFD_INTAKE__SETTLE_SECONDS, `prefix` a command like strace.

    The daemon leads a process group of its own; what it says is kept in `log`.
    """

    def __init__(
        self, root: Path, checkpoint_file: Path, settings: dict[str, str] | None = None
    ) -> None:
        self.home = Home(root)
        self.home.create()
        self.publish(checkpoint_file, checkpoint_file.stem)
        self.log = root.with_name(f"{root.name}.log")
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("CLFD_")}
        self.environ |= {"CLFD_INTAKE__SETTLE_SECONDS": "0.3"} | (settings or {})
        self._is_launched = False

    def start(self, *arguments: str, prefix: Sequence[str] = ()) -> None:
        """Returns when the daemon serves the home."""
        self.launch(*arguments, prefix=prefix)
        self.wait_until(self.is_running)

    def launch(self, *arguments: str, prefix: Sequence[str] = ()) -> None:
        self._is_launched = True
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(
                [*prefix, *self._command("run", *arguments)],
                env=self.environ,
                stderr=log,
                start_new_session=True,
            )

    def publish(self, checkpoint_file: Path, name: str) -> None:
        shelf = Shelf(self.home.checkpoints)
        shutil.copyfile(checkpoint_file, shelf.path(name))
        shelf.activate(name)

    def clfd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*arguments),
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "clfd", "--home", str(self.home.root), *arguments]

    def status(self) -> dict[str, object]:
        try:
            status = json.loads(self.home.status_file.read_text())
        except FileNotFoundError:
            return {}
        return status if status["pid"] == self.daemon.pid else {}

    def is_running(self) -> bool:
        return self.status().get("running") is True

    def states(self) -> dict[str, str]:
        settings = load_settings(self.home, environ={})
        query = "SELECT path_text, state FROM recording"
        with (
            open_ledger(settings.database, "reader") as ledger,
            ledger.database.transaction() as connection,
        ):
            return {row[0]: row[1] for row in connection.exec_driver_sql(query)}

    def wait_until(self, is_so: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
        """Polls; a deadline is a failure, never a matter of luck."""
        tick, end = threading.Event(), time.monotonic() + seconds
        while not is_so():
            assert self.daemon.poll() is None, self.last_words()
            assert time.monotonic() < end, f"not within {seconds} s: {self.status()}"
            tick.wait(0.1)

    def wait_for_rows(self, n: int) -> None:
        self.wait_until(lambda: len(self.states()) == n and "pending" not in self.states().values())

    def last_words(self, n_lines: int = 20) -> str:
        said = self.log.read_text(errors="replace").splitlines()[-n_lines:]
        return "\n".join([f"exit {self.daemon.poll()}", *said])

    def stop(self, how: int = signal.SIGTERM) -> int:
        self.daemon.send_signal(how)
        return self.daemon.wait(DEADLINE_SECONDS)

    def children(self) -> list[int]:
        """Processes of the daemon: its workers, and Python's resource tracker."""
        try:
            listed = Path(f"/proc/{self.daemon.pid}/task").iterdir()
            return [int(pid) for task in listed for pid in (task / "children").read_text().split()]
        except OSError:
            return []

    def close(self) -> None:
        if self._is_launched and self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
