"""The unit files that come with clfd, as they have to read for one installation.

The files in `systemd/` are whole and work as they are for clfd in /opt/clfd and a home in
/var/lib/clfd. For another installation those two are replaced, and what its settings ask of the
fences goes into a drop-in.
"""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.errors import DaemonError

USUAL_EXECUTABLE = Path("/opt/clfd/bin/clfd")
USUAL_HOME = Path("/var/lib/clfd")
DAEMONS = ("clfd.service", "clfd@.service")
PAGE = ("clfd-web.service", "clfd-web.socket")
# They end by themselves.
JOBS = ("clfd-train.service", PAGE[0], "clfd-prune.service", "clfd-report.service")
TRIGGERS = (
    *("clfd-train.path", "clfd-train.timer", "clfd-prune.timer", "clfd-report.timer"),
    PAGE[1],
)
SERVICES = (*DAEMONS, *JOBS[:2])  # that use a GPU where there is one
OTHERS = (*JOBS[2:], *TRIGGERS, "clfd-failed@.service")
FIRST_WITH_STEPS = 254  # knows RestartSteps=

# The fences hide what lies there, or show a folder of the service's own in its place.
HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user")))
TEMPORARY = tuple(map(Path, ("/tmp", "/var/tmp")))
PLAIN = re.compile(r"/[\w./+@:,-]*")  # means itself in a unit file
STATE = re.compile(r"(# Makes .*\n)?StateDirectory=clfd\nStateDirectoryMode=.*\n")
OWN_HOME = """\
# The home, which tmpfiles.d makes, may be written to. A folder that is made anew under its name may
# not: restart the service then.
ReadWritePaths={home}
"""


@dataclass(frozen=True)
class UnitFile:
    """`is_yours`: written once, for a person to edit, and never replaced.

    `is_derived`: follows the settings, so that nothing is lost when it is replaced.
    """

    path: Path
    text: str
    is_yours: bool = False
    is_derived: bool = False


@dataclass(frozen=True)
class Installation:
    """What the units have to know. `inboxes` and `archive` are those of the home's settings.

    `root` stands for `/` where files are put, for packages and tests.
    """

    executable: Path
    home: Path
    for_user: bool = False
    inboxes: tuple[Path, ...] = ()
    archive: Path | None = None
    nvidia: bool = False
    network: bool = False
    systemd_version: int = 0
    root: Path = Path("/")


def shipped_folder() -> Path:
    """Where the files lie that came with clfd: beside the code, or where the wheel put its data.

    Raises DaemonError where they are missing.
    """
    schemes = (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user"))
    installed = [Path(sysconfig.get_path("data", scheme), "share/clfd") for scheme in schemes]
    for folder in (Path(__file__).parents[2], *installed):
        if (folder / "systemd" / DAEMONS[0]).is_file():
            return folder / "systemd"
    raise DaemonError("the unit files that come with clfd are missing; install it again")


def unit_folder(for_user: bool, root: Path) -> Path:
    return _config_folder(root) / "systemd/user" if for_user else root / "etc/systemd/system"


def environment_file(for_user: bool, root: Path) -> Path:
    return (_config_folder(root) if for_user else root / "etc") / "clfd" / "clfd.env"


def unit_files(installation: Installation) -> list[UnitFile]:
    """Every file that the installation needs.

    Raises DaemonError for a place that the service could not see, or that no unit file can name.
    """
    _refuse_unusable(installation)
    return _all_files(installation)


def every_unit_file(installation: Installation) -> list[UnitFile]:
    """Those that an installation may have had, whatever was asked for then."""
    archive = installation.home / "archive"
    return _all_files(
        replace(
            installation,
            archive=archive,
            nvidia=True,
            network=True,
            systemd_version=FIRST_WITH_STEPS,
        )
    )


def _all_files(installation: Installation) -> list[UnitFile]:
    return list(_for_user(installation) if installation.for_user else _for_system(installation))


def _for_user(installation: Installation) -> Iterator[UnitFile]:
    folder = unit_folder(True, installation.root)
    for name in (DAEMONS[0], *PAGE):
        yield UnitFile(folder / name, _adapt(f"user/{name}", installation))
    if installation.systemd_version >= FIRST_WITH_STEPS:
        yield _drop_in(folder, DAEMONS[0], "backoff.conf")
    yield UnitFile(environment_file(True, installation.root), _template("clfd.env"), is_yours=True)


def _for_system(installation: Installation) -> Iterator[UnitFile]:
    folder, etc = unit_folder(False, installation.root), installation.root / "etc"
    for name in (*SERVICES, *OTHERS):
        yield UnitFile(folder / name, _adapt(name, installation))
    for unit, places in ((DAEMONS[0], installation), (PAGE[0], _to_read(installation))):
        if text := _folders(places):
            yield UnitFile(folder / f"{unit}.d" / "folders.conf", text, is_derived=True)
    for unit in SERVICES if installation.nvidia else ():
        yield _drop_in(folder, unit, "nvidia.conf")
    for unit in DAEMONS if installation.network else ():
        yield _drop_in(folder, unit, "network.conf")
    for unit in DAEMONS if installation.systemd_version >= FIRST_WITH_STEPS else ():
        yield _drop_in(folder, unit, "backoff.conf")
    if installation.nvidia:
        yield UnitFile(etc / "modules-load.d/clfd.conf", _template("modules-load.conf"))
    for kind in ("sysusers", "tmpfiles"):
        yield UnitFile(etc / f"{kind}.d/clfd.conf", _adapt(f"{kind}.conf", installation))
    yield UnitFile(environment_file(False, installation.root), _template("clfd.env"), is_yours=True)


def _drop_in(folder: Path, unit: str, name: str) -> UnitFile:
    return UnitFile(folder / f"{unit}.d" / name, _template(name))


def _template(name: str) -> str:
    return (shipped_folder() / name).read_text(encoding="utf-8")


def _adapt(name: str, installation: Installation) -> str:
    text, home = _template(name), str(installation.home)
    if installation.home != USUAL_HOME:
        text = STATE.sub(OWN_HOME.format(home=home), text)
        text = re.sub(rf"{USUAL_HOME}(?![\w-])", lambda _: home, text)  # not /var/lib/clfd-%i
    return text.replace(str(USUAL_EXECUTABLE), str(installation.executable))


def _folders(installation: Installation) -> str:
    """What inboxes and an archive ask of the fences, as a drop-in; empty where they ask nothing."""
    archive, lines = installation.archive, []
    places = (*installation.inboxes, *([archive] if archive else []))
    if any(_lies_in(place, HIDDEN) for place in places):
        lines += [
            "# An inbox lies where services see nothing. What the user clfd may read there is up",
            "# to the permissions of the files.",
            f"ProtectHome={'no' if archive else 'read-only'}",
        ]
    if archive:
        lines += [
            "# Done files are moved to the archive. Where there is one folder that holds inbox and",
            "# archive, it stands here: between two systemd makes a rename impossible. When it is",
            "# made anew, restart the service.",
            "ReadOnlyPaths=",
            *(f"ReadWritePaths=-{folder}" for folder in _writable(places, installation.home)),
        ]
    head = (
        "# What inboxes and archive in clfd.toml need, as `clfd service install` found them there."
    )
    return "\n".join([head, "[Service]", *lines, ""]) if lines else ""


def _to_read(installation: Installation) -> Installation:
    """The page plays what lies in the archive, and moves nothing there."""
    archive = (installation.archive,) if installation.archive else ()
    return replace(installation, inboxes=(*installation.inboxes, *archive), archive=None)


def _writable(places: tuple[Path, ...], home: Path) -> list[Path]:
    outside = [place for place in places if not place.is_relative_to(home)]
    shared = Path(os.path.commonpath(outside)) if outside else Path("/")
    return outside if shared == Path("/") else [shared]


def _refuse_unusable(installation: Installation) -> None:
    named = {
        "home": installation.home,
        "executable": installation.executable,
        **{f"inbox {n}": inbox for n, inbox in enumerate(installation.inboxes, 1)},
        **({"archive": installation.archive} if installation.archive else {}),
    }
    for what, path in named.items():
        if not PLAIN.fullmatch(str(path)):
            raise DaemonError(
                f"{what} {path} cannot stand in a unit file; choose a path of letters, digits and"
                " -_.+@:,"
            )
        if not installation.for_user:
            refuse_unseen(what, path)


def refuse_unseen(what: str, path: Path) -> None:
    needs_own_place = what in ("home", "executable")
    hidden = (*HIDDEN, *TEMPORARY) if needs_own_place else TEMPORARY
    real = Path(os.path.realpath(path))
    if _lies_in(real, hidden) or _lies_in(path, hidden):
        usual = {"home": f"--home {USUAL_HOME}", "executable": "an environment in /opt/clfd"}
        raise DaemonError(
            f"{what} {path} lies where a service of the system sees nothing; choose"
            f" {usual.get(what, 'another folder')}, or install with --user"
        )


def _lies_in(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _config_folder(root: Path) -> Path:
    try:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    except RuntimeError as error:  # no HOME and no entry in /etc/passwd
        raise DaemonError(
            "no folder for the units of this user: set HOME or XDG_CONFIG_HOME"
        ) from error
    return root / folder.absolute().relative_to("/")
