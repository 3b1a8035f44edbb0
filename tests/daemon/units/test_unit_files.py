"""The units in `systemd/` as files: that they explain themselves, and what systemd says of them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from daemon.units.unit_files import JOBS, PAGE

ROOT = Path(__file__).parents[3]
UNITS = ROOT / "systemd"
SYSTEM = sorted(
    p.name for p in UNITS.iterdir() if p.suffix in (".service", ".path", ".timer", ".socket")
)
FENCED = ["clfd.service", "clfd@.service", *JOBS]
PRIVATE_USERS = (
    "# Users other than its own and root look like nobody, and it is root nowhere.\n"
    "PrivateUsers=yes\n"
)
FENCES = "# ---- Limits and fences"
EXECUTABLE = "/opt/clfd/bin/clfd"
FIRST_WITH_STEPS = 254

analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


def text_of(name: str) -> str:
    return (UNITS / name).read_text(encoding="utf-8")


def fences_of(unit: str) -> str:
    return text_of(unit).partition(FENCES)[2].partition("\n[Install]")[0].rstrip()


def exposure(folder: Path, unit: str, *drop_ins: str) -> float:
    """From 0 (well fenced) to 10; the sections of a drop-in count as if they stood in the unit."""
    file = folder / unit
    file.write_text("\n".join(map(text_of, (unit, *drop_ins))))
    message = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", file],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", message)
    assert found, message
    return float(found[1])


def verified(folder: Path, *names: str) -> str:
    """What `systemd-analyze verify` finds fault with, where the executable is one that exists."""
    files = [folder / Path(name).name for name in names]
    for file, name in zip(files, names, strict=True):
        file.write_text(text_of(name).replace(EXECUTABLE, "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # Other units of the machine are none of ours.
    return "\n".join(line for line in done.stderr.splitlines() if "clfd" in line)


def systemd_version() -> int:
    message = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True)
    return int(message.stdout.split()[1])


@analyze
@pytest.mark.parametrize("unit", FENCED)
def test_without_a_gpu_hardly_anything_is_exposed(unit: str, tmp_path: Path) -> None:
    assert exposure(tmp_path, unit) <= 1.0


@analyze
@pytest.mark.parametrize("unit", FENCED)
def test_a_gpu_costs_little_of_that(unit: str, tmp_path: Path) -> None:
    assert exposure(tmp_path, unit, "nvidia.conf") <= 1.5


@analyze
def test_so_does_the_network(tmp_path: Path) -> None:
    assert exposure(tmp_path, "clfd.service", "network.conf") <= 1.5


@analyze
def test_systemd_finds_no_fault_with_the_units(tmp_path: Path) -> None:
    assert verified(tmp_path, *SYSTEM) == ""


@analyze
def test_nor_with_those_of_a_user(tmp_path: Path) -> None:
    names = ("clfd.service", "clfd-web.service", "clfd-web.socket")
    assert verified(tmp_path, *(f"user/{name}" for name in names)) == ""


@analyze
def test_a_word_that_systemd_does_not_know_is_found(tmp_path: Path) -> None:
    file = tmp_path / "clfd.service"
    file.write_text(text_of("clfd.service").replace("Restart=", "Restrat="))
    message = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, check=False
    )
    assert "Restrat" in message.stderr


@analyze
@pytest.mark.parametrize("drop_in", ["nvidia.conf", "network.conf", "backoff.conf"])
def test_drop_ins_are_known_to_the_systemd_they_are_for(drop_in: str, tmp_path: Path) -> None:
    if drop_in == "backoff.conf" and systemd_version() < FIRST_WITH_STEPS:
        pytest.skip(f"is for systemd {FIRST_WITH_STEPS} and newer")
    folder = tmp_path / "clfd.service.d"
    folder.mkdir()
    (folder / drop_in).write_text(text_of(drop_in))
    assert verified(tmp_path, "clfd.service", "clfd-failed@.service") == ""


@pytest.mark.parametrize("unit", FENCED[1:])
def test_the_fences_of_all_services_are_the_same(unit: str) -> None:
    assert len(fences_of(unit)) > 1000
    expected = fences_of("clfd.service")
    if unit == PAGE[0]:  # it has to know who made a link, and says so
        expected = expected.replace(PRIVATE_USERS, "")
        assert fences_of(unit).startswith(expected)
    else:
        assert fences_of(unit) == expected


@pytest.mark.parametrize("file", sorted(UNITS.rglob("*.*")), ids=lambda path: path.name)
def test_a_file_says_what_it_is_for_before_anything_else(file: Path) -> None:
    assert file.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("unit", FENCED)
def test_what_a_service_does_is_explained_block_by_block(unit: str) -> None:
    """A line of its own after a blank one is a reason; titles and targets speak for themselves."""
    service = text_of(unit).partition("[Service]\n")[2].partition("\n[Install]")[0]
    unexplained = [block for block in service.split("\n\n") if not block.strip().startswith("#")]
    assert unexplained == []


def test_all_of_them_travel_in_the_wheel() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    globs = [glob for found in setuptools["data-files"].values() for glob in found]
    travelling = {path for glob in globs for path in ROOT.glob(glob) if path.is_file()}
    assert travelling == {path for path in UNITS.rglob("*") if path.is_file()}
