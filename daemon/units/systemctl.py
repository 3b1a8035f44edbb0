"""systemd, as `clfd service` speaks to it: through systemctl, for the system or for one user."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import DaemonError

SECONDS = 150.0  # longer than TimeoutStopSec=
BOOTED = Path("/run/systemd/system")  # sd_booted(3)


@dataclass(frozen=True)
class ServiceManager:
    """`for_user`: the manager of the user who calls, instead of the system's."""

    for_user: bool = False

    @property
    def scope(self) -> list[str]:
        return ["--user"] if self.for_user else []

    def command(self, *words: str) -> str:
        """What `systemctl` says. Raises DaemonError where it fails."""
        done = self._run(*words)
        if done.returncode:
            output = " ".join(done.stderr.split()) or f"exit {done.returncode}"
            raise DaemonError(f"systemctl {' '.join(words)} failed: {output}")
        return done.stdout

    def properties(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit; empty where nobody answers."""
        done = self._run("show", unit, f"--property={','.join(properties)}")
        lines = done.stdout.splitlines() if done.returncode == 0 else []
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def list_units(self, *words: str) -> list[str]:
        """The units that a listing names first in its lines."""
        done = self._run(*words, "--plain", "--no-legend", "--no-pager")
        return [line.split()[0] for line in done.stdout.splitlines() if line.strip()]

    @property
    def is_reachable(self) -> bool:
        """Whether it answers."""
        return BOOTED.is_dir() and self._run("show-environment").returncode == 0

    @property
    def version(self) -> int:
        """0 where there is no systemd."""
        found = re.match(r"systemd (\d+)", self._run("--version").stdout)
        return int(found[1]) if found else 0

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["systemctl", *self.scope, *words],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except FileNotFoundError:
            return subprocess.CompletedProcess(words, 127, "", "there is no systemctl here")
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 124, "", f"no answer in {SECONDS:.0f} s")
