"""Source archive and wheel: installed in an empty environment, they do the whole work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = Path(click.__file__).parents[1]
NOT_PACKED = (".*", "build", "dist", "*.egg-info", "__pycache__")
BUILD = "import setuptools.build_meta as b, sys; print(getattr(b, sys.argv[1])(sys.argv[2]))"

pytest.importorskip("setuptools", minversion="77", reason="needs what pyproject.toml builds with")
pytest.importorskip("pip")


def build(kind: str, source: Path, folder: Path) -> Path:
    """`kind` is sdist or wheel; by what pip calls, without a network."""
    command = [sys.executable, "-c", BUILD, f"build_{kind}", folder]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return folder / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive of this repository."""
    folder = tmp_path_factory.mktemp("packages")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_PACKED))
    archive = build("sdist", source, folder)
    shutil.unpack_archive(archive, folder / "unpacked", filter="data")
    return folder / "unpacked" / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(unpacked: Path) -> Path:
    """Of the source archive, so that nothing is missing there."""
    return build("wheel", unpacked, unpacked.parents[1])


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`installed("run", "--once")`: the clfd of an environment with this wheel.

    What it depends on is that of the tests, as a download would bring it.
    """
    environment = wheel.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install"]
    subprocess.run([*pip, "--quiet", "--no-index", "--no-deps", wheel], check=True)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(f"{PACKAGES}\n")
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CLFD_HOME")}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [environment / "bin" / "clfd", *words],
            cwd=environment,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def test_the_source_archive_holds_the_whole_repository(unpacked: Path) -> None:
    source = unpacked.parents[1] / "source"
    there, packed = (
        {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
        for root in (source, unpacked)
    )
    is_built = {path for path in there if path.parts[0].endswith(".egg-info")}
    assert there - packed - is_built == set()


def test_what_is_installed_makes_a_home_and_classifies(
    installed: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    audio_file: Callable[..., Path],
) -> None:
    home = tmp_path / "home"
    made = installed("--home", str(home), "init")
    assert "the starter that comes with clfd" in made.stdout, made.stderr
    audio_file("tone.wav").rename(home / "inbox" / "tone.wav")
    done = installed("--home", str(home), "run", "--once")
    assert done.returncode == 0, done.stderr
    assert "tone.wav,done" in installed("--home", str(home), "results", "--format", "csv").stdout


def test_what_is_installed_brings_its_unit_files_along(
    installed: Callable[..., subprocess.CompletedProcess[str]], wheel: Path
) -> None:
    executable = wheel.parent / "environment" / "bin" / "clfd"
    shown = installed("service", "install", "--user", "--dry-run")
    assert f"ExecStart={executable} run" in shown.stdout, shown.stderr


def test_the_containerfile_copies_what_is_there_and_all_that_is_packed() -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    copied = {word for line in re.findall(r"^COPY (.+) \S+$", text, re.M) for word in line.split()}
    assert [word for word in copied if not (ROOT / word).exists()] == []
    packed = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert packed - {"benchmarks"} | {"systemd", "clfd.py", "pyproject.toml", "LICENSE"} <= copied
