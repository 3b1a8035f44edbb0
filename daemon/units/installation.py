"""Which clfd a service is to run, and which one an installed service does run."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from daemon.errors import DaemonError
from daemon.units.systemctl import ServiceManager
from daemon.units.unit_files import (
    DAEMONS,
    USUAL_HOME,
    Installation,
    environment_file,
    refuse_unseen,
    unit_folder,
)
from storage.home.paths import Home, resolve_home
from storage.home.safe_open import read_bounded
from storage.settings.loading import load_settings

NVIDIA_DRIVER = Path("/proc/driver/nvidia")
_ASSIGNMENT = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*\s*=")
_LINE = re.compile(
    r"""\s* (?P<key>[A-Za-z_][A-Za-z0-9_]*) \s* = \s*
    (?: '(?P<single>[^'\\]*)' | "(?P<double>[^"\\]*)" | (?P<bare>(?!['"])[^\\]*?) ) \s*""",
    re.VERBOSE,
)


def plan_installation(
    home_option: Path | None,
    executable: Path | None,
    nvidia: bool | None,
    network: bool | None,
    manager: ServiceManager,
    environ: Mapping[str, str],
    root: Path,
) -> Installation:
    """This clfd, with what was asked for, and else as it was installed before.

    `nvidia` None is: where there is a driver.

    Inboxes and archive are those that the service will find, so that variables of whoever installs
    do not count. Raises DaemonError and SettingsError.
    """
    before = read_installation(manager.for_user, root)
    home = _home(home_option, manager.for_user, environ, before)
    if network is None:
        network = before is not None and before.network
    settings = load_settings(home, environ=_service_environment(manager.for_user, root))
    return Installation(
        executable.absolute() if executable else _this_executable(manager.for_user),
        home.root,
        manager.for_user,
        settings.inboxes,
        settings.archive,
        NVIDIA_DRIVER.exists() if nvidia is None else nvidia,
        network,
        manager.version,
        root,
    )


def read_installation(for_user: bool, root: Path) -> Installation | None:
    """What the unit that lies there says; None where none does, or it says neither."""
    try:
        text = read_bounded(unit_folder(for_user, root) / DAEMONS[0]).decode()
    except (OSError, ValueError):
        return None
    home = re.search(r"^Environment=CLFD_HOME=(\S+)$", text, re.M)
    executable = re.search(r"^ExecStart=(\S+) run$", text, re.M)
    if not home or not executable:
        return None
    network = unit_folder(for_user, root) / f"{DAEMONS[0]}.d" / "network.conf"
    return Installation(
        Path(executable[1]), Path(home[1]), for_user, network=network.exists(), root=root
    )


def _home(
    option: Path | None, for_user: bool, environ: Mapping[str, str], before: Installation | None
) -> Home:
    if option or environ.get("CLFD_HOME") or (for_user and before is None):
        return resolve_home(option)
    return Home(before.home if before else USUAL_HOME)


def _this_executable(for_user: bool) -> Path:
    """The script beside this Python, which pip made there."""
    script = Path(sysconfig.get_path("scripts")) / "clfd"
    if not script.is_file():
        raise DaemonError(
            f"there is no {script}, which a service would run; install clfd with pip into an"
            " environment of its own, or name one with --executable"
        )
    if not for_user:
        refuse_unseen("executable", Path(sys.executable).resolve())
    return script


def _service_environment(for_user: bool, root: Path) -> dict[str, str]:
    """What the service's environment file says."""
    file = environment_file(for_user, root)
    try:
        data = read_bounded(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        remedy = "run this as root" if isinstance(error, PermissionError) else "mend the file"
        raise DaemonError(
            f"{file}, where the service finds variables, cannot be read"
            f" ({error.strerror}); {remedy}"
        ) from error
    return parse_environment_file(os.fsdecode(data))


def parse_environment_file(text: str) -> dict[str, str]:
    """The variables, as systemd reads them for `EnvironmentFile=`; a later line counts more.

    Read are `KEY=value` lines, quoted or not, and comments: what `clfd.env` shows. systemd.exec(5)
    knows more (backslashes, values of several lines or quoted parts). Raises DaemonError for such a
    line: the fences of the service are made from what stands here.
    """
    lines = text.split("\n")
    for line in lines:
        if _ASSIGNMENT.match(line) and not _LINE.fullmatch(line):
            raise DaemonError(
                f"the service's environment file has the line {line.strip()!r}; write KEY=value,"
                " in quotes where the value begins or ends with blanks, without backslashes"
            )
    found = filter(None, map(_LINE.fullmatch, lines))
    return {line["key"]: line["single"] or line["double"] or line["bare"] or "" for line in found}
