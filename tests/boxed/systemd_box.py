"""A real systemd for tests: PID 1 of namespaces of its own, over a throw-away copy of this machine.

What is written inside goes away with the box. clfd is installed there as a person would install it,
in /opt/clfd: a virtual environment that finds this copy of the code and this Python's packages.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import click

SOURCE = Path(__file__).parents[2]
PACKAGES = Path(click.__file__).parent.parent
SYSTEMD = Path("/lib/systemd/systemd")
NAMESPACES = ("unshare", "--mount", "--uts", "--ipc", "--cgroup", "--pid", "--fork")
DEADLINE_SECONDS = 60
CLFD = "/opt/clfd/bin/clfd"

# $1 is an empty folder; then come this copy of the code, the packages, and Python.
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mkdir -p opt/clfd/source opt/clfd/packages opt/python
mount --bind "$2" opt/clfd/source
mount --bind "$3" opt/clfd/packages
mount --bind "$4" opt/python
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev
for folder in run tmp var/tmp dev/shm; do mount -t tmpfs -o mode=1777 tmpfs "$folder"; done
chmod 755 run
# Nothing of this machine's own is started, mounted or set.
rm -rf etc/systemd/system/*.wants
: >etc/fstab
for unit in systemd-sysctl systemd-binfmt systemd-modules-load systemd-udevd systemd-udev-trigger \
    systemd-tmpfiles-setup systemd-tmpfiles-setup-dev systemd-random-seed systemd-remount-fs; do
  ln -sf /dev/null "etc/systemd/system/$unit.service"
done
ln -sf /dev/null etc/systemd/system/tmp.mount
mkdir -p outside
pivot_root . outside
cd /
umount -l outside
# As systemd has it outside of containers: services see what is mounted later.
mount --make-rshared /
export container=clfd-tests
exec /lib/systemd/systemd --unit=basic.target </dev/null
"""
# The Python may lie in somebody's home, which services do not see.
INSTALL = f"""
set -e
for library in /opt/python/lib/libpython*.so*; do
  for folder in /usr/lib /usr/lib/*-linux-gnu; do ln -sf "$library" "$folder/"; done
done
python=/opt/python/bin/{Path(sys.executable).resolve().name}
$python -m venv --without-pip /opt/clfd
for folder in /opt/clfd/lib/python*/site-packages; do
  printf '/opt/clfd/source\\n/opt/clfd/packages\\n' > "$folder/clfd.pth"
done
cat >{CLFD} <<'SCRIPT'
#!/opt/clfd/bin/python
from clfd import main

if __name__ == "__main__":
    main()
SCRIPT
chmod 755 {CLFD}
"""


def why_none() -> str | None:
    """What keeps a box from being made here."""
    needed = [
        tool for tool in ("unshare", "nsenter", "systemctl", "mount") if not shutil.which(tool)
    ]
    if needed or not SYSTEMD.exists():
        return f"needs systemd, unshare and nsenter; missing: {', '.join(needed) or SYSTEMD}"
    if os.geteuid() != 0:
        return "needs root, for namespaces and an overlay"
    probe = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True, check=False)
    return f"needs namespaces: {probe.stderr.strip()}" if probe.returncode else None


class SystemdBox:
    """Started on entering, gone on leaving. AssertionError where systemd does not come up."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="clfd-box-", dir="/var/tmp"))
        self._log = self._folder.with_suffix(".log")

    def __enter__(self) -> Self:
        python = sysconfig.get_config_var("installed_base")
        folders = (self._folder, SOURCE, PACKAGES, python)
        with self._log.open("wb") as log:
            self._outer = subprocess.Popen(
                [*NAMESPACES, "--kill-child", "sh", "-c", BOOT, "boot", *map(str, folders)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.wait_until(self._is_up)
            self.run(INSTALL)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._outer.kill()  # and with it, by --kill-child, everything in the box
        self._outer.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._log.unlink(missing_ok=True)

    def run(
        self, script: str, check: bool = True, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """A shell script, run as root inside."""
        done = subprocess.run(
            [*self._inside(), "/bin/sh", "-c", script],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        )
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done

    def says(self, script: str) -> str:
        return self.run(script).stdout.strip()

    def clfd(self, words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(f"{CLFD} {words}", check)

    def path(self, inside: str) -> Path:
        """A file of the box, for this process to read or write; links in it lead outside."""
        return Path(f"/proc/{self._inner}/root{inside}")

    def write(self, inside: str, text: str) -> None:
        self.run(f"mkdir -p {shlex.quote(os.path.dirname(inside))}")
        self.path(inside).write_text(text)

    def shows(self, unit: str, what: str) -> str:
        """A property of a unit, as `systemctl show` has it."""
        return self.says(f"systemctl show {unit} --value --property={what}")

    def journal(self, unit: str) -> str:
        self.run("journalctl --sync")
        return self.says(f"journalctl --unit={unit} --output=cat --no-pager")

    def wait_until(self, is_so: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
        """Polls; a deadline is a failure, never a matter of luck."""
        pause, end = threading.Event(), time.monotonic() + seconds
        while not is_so():
            assert self._outer.poll() is None, self._log.read_text(errors="replace")
            assert time.monotonic() < end, f"not within {seconds} s"
            pause.wait(0.1)

    @property
    def _inner(self) -> int | None:
        """systemd's process, as this machine numbers it."""
        outer = self._outer.pid
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        return int(children[0]) if children else None

    def _inside(self) -> list[str]:
        target = ["nsenter", "--target", str(self._inner), "--mount", "--pid", "--uts", "--ipc"]
        return [*target, "--root", "--wd"]

    def _is_up(self) -> bool:
        if self._inner is None:
            return False
        return self.run("systemctl is-system-running", check=False).stdout.strip() in (
            "running",
            "degraded",
        )
