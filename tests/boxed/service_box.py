"""A systemd of its own, with clfd installed as a service: files to drop in, and what it says."""

from __future__ import annotations

import json
import zlib

import numpy as np
import soundfile
from systemd_box import CLFD, SystemdBox

HOME = "/var/lib/clfd"
RECORDER = "/srv/recorder"
KEPT_HOME = "/var/tmp/home"  # as the first start leaves it, which costs seconds
DROP_INS = "/etc/systemd/system/clfd.service.d"
RATE_HZ = 22_050
QUICK = "[Service]\nEnvironment=CLFD_INTAKE__SETTLE_SECONDS=0.3\n"  # files lie still for less long


class ServiceBox(SystemdBox):
    """With clfd installed as a service, and a folder of sounds dropped into it."""

    def set_up(self) -> None:
        """As after a first start: nothing running, and the home of `clfd init`."""
        # Each by its pattern: what is not loaded is no error then.
        self.run("systemctl stop 'clfd*'; systemctl reset-failed 'clfd*'", check=False)
        self.run(f"umount --quiet {RECORDER}", check=False)  # which a test may have mounted
        self.run(
            f"rm -rf {RECORDER} {HOME} {HOME}-* /var/cache/clfd /etc/clfd /etc/systemd/system/clfd*"
        )
        self.clfd("service install --force")
        self.drop_in("quick", QUICK)
        self.run(f"rm -rf {HOME}; cp -a {KEPT_HOME} {HOME}")

    def make_home(self) -> None:
        self.clfd("service install")
        self.run(f"runuser -u clfd -- {CLFD} --home {HOME} init; cp -a {HOME} {KEPT_HOME}")

    def drop_in(self, name: str, text: str) -> None:
        self.write(f"{DROP_INS}/{name}.conf", text)
        self.run("systemctl daemon-reload")

    def start(self) -> None:
        self.run("systemctl start clfd")

    def drop(self, *names: str, folder: str = f"{HOME}/inbox") -> None:
        """A second of noise each, never the same; put there by root, readable by all."""
        for name in names:
            seed = zlib.crc32(name.encode())
            samples = 0.1 * np.random.RandomState(seed).randn(RATE_HZ).astype(np.float32)
            soundfile.write(self.path(f"{folder}/{name}"), samples, RATE_HZ)

    def status(self, home: str = HOME) -> dict[str, object]:
        """What the daemon last said of itself."""
        try:
            status: dict[str, object] = json.loads(self.path(f"{home}/status.json").read_text())
        except FileNotFoundError:
            return {}
        return status

    def results(self, home: str = HOME) -> dict[str, dict[str, str]]:
        """Rows by path."""
        words = "results --status all --limit 0 --format json"
        rows = json.loads(self.clfd(f"--home {home} {words}").stdout)
        assert len({row["path"] for row in rows}) == len(rows)
        return {row["path"]: row for row in rows}

    def wait_for(self, n: int, home: str = HOME) -> dict[str, dict[str, str]]:
        """Until so many recordings have their answer, or their reason."""

        def are_answered() -> bool:
            status = self.status(home)
            answered = sum(int(str(status.get(state, 0))) for state in ("done", "failed"))
            return answered == n and status.get("pending") == 0

        self.wait_until(are_answered)
        return self.results(home)

    def last_words(self, unit: str = "clfd") -> str:
        """What `systemctl status` shows, whole."""
        self.run("journalctl --sync")
        message = self.run(f"systemctl status {unit} --no-pager --full --lines=20", check=False)
        return message.stdout
