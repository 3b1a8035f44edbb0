"""The licences of all that is installed beside this Python, in one folder for an image.

    python collect_licences.py /usr/share/licenses/clfd

Each package has a folder with the texts in its wheel. `native-libraries.csv` names the libraries
that wheels hold in binary form, the texts that apply and where the sources are: wheels rarely do.
What has no text is named in `missing.txt`: a package, a library that the table does not know.
"""

from __future__ import annotations

import csv
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from importlib.metadata import Distribution, PackagePath, distributions
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE / "native-libraries.csv"
COMMON = Path("/usr/share/common-licenses")  # of Debian's base-files: GPL, LGPL, Apache
IS_TEXT = re.compile(r"licen[cs]e|copying|copyright|notice", re.IGNORECASE)
NO_TEXT = (".py", ".pyc", ".pyi", ".so", ".h", ".svg")


def texts_of(distribution: Distribution) -> Iterator[tuple[PackagePath, str]]:
    """Files of a package that hold licences, or its bill of materials, and their new names."""
    for file in distribution.files or ():
        is_text = IS_TEXT.search(file.name) and file.suffix not in NO_TEXT
        if is_text or file.parent.name == "sboms":
            yield file, re.sub(r"^[^/]+\.dist-info/(licenses/)?", "", file.as_posix())


def bundled(distribution: Distribution) -> Iterator[str]:
    """Names of shared libraries that auditwheel has put beside the package."""
    for file in distribution.files or ():
        if file.parent.name.endswith(".libs"):
            yield file.name


def collect(folder: Path, found: Iterable[Distribution]) -> Iterator[str]:
    """Fill the folder; a line for each text that is missing.

    Raises OSError, also where the texts of the GPL are not at hand.
    """
    packages = {each.name: each for each in found}
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["wheel"] in packages]
    shutil.copytree(HERE / "texts", folder / "texts", dirs_exist_ok=True)
    shutil.copy(TABLE, folder)
    for name, package in packages.items():
        copied = 0
        for file, new_name in texts_of(package):
            target = folder / name / new_name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(package.locate_file(file)), target)
            copied += 1
        if not copied:
            yield f"{name} {package.version} holds no text of its licence"
        known = [glob for row in rows if row["wheel"] == name for glob in row["files"].split()]
        for library in bundled(package):
            if not any(fnmatch(library, glob) for glob in known):
                yield f"{library} of {name} {package.version} is not in {TABLE.name}"
    (folder / "common").mkdir(exist_ok=True)
    for row in rows:
        for text in row["texts"].split():
            if text.startswith("common/"):
                shutil.copyfile(COMMON / Path(text).name, folder / text)
            if not (folder / text).is_file():
                yield f"{row['library']} of {row['wheel']}: {text} is missing"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    missing = [f"{line}\n" for line in collect(folder, distributions())]
    (folder / "missing.txt").write_text("".join(missing), encoding="utf-8")
    sys.stderr.writelines(missing)
