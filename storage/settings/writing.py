"""One setting written into clfd.toml; its comments and everything else stay as they are."""

from __future__ import annotations

import os
import stat
import threading

from storage.errors import ConfigurationError, os_errors_as
from storage.home.atomic_write import write_whole
from storage.home.paths import FILE_MODE, Home
from storage.home.safe_open import read_plain
from storage.settings.loading import load_settings
from storage.values.decision import thresholds_of

_one_at_a_time = threading.Lock()  # each begins with what the file has


def write_threshold(home: Home, label: str, threshold: float) -> str:
    """Sets `results.thresholds` for one label; returns the line that the file has now.

    Raises ConfigurationError, before anything is written, where the settings would be or are wrong,
    and where the file is a link or somebody else's: written anew it would be ours, and the daemon
    believes a file of its own user and of root alone.
    """
    with _one_at_a_time:
        return _write(home, label, f"{label}={threshold:.15g}")


def _write(home: Home, label: str, line: str) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    file = home.settings_file
    advice = f'write "{line}" into results.thresholds yourself'
    with os_errors_as(ConfigurationError, f"cannot write {file}", advice):
        status = file.lstat() if os.path.lexists(file) else None
        if status is not None and status.st_uid != os.geteuid():
            raise ConfigurationError(f"{file} belongs to another user; {advice}")
        try:
            document = tomlkit.parse(read_plain(file).decode() if status else "")
        except (TOMLKitError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{file}: {error}; {advice}") from error
        load_settings(home)
        section = document.setdefault("results", tomlkit.table())
        given = section.get("thresholds", [])
        given = given.split(",") if isinstance(given, str) else [str(one) for one in given]
        written = [*(one for one in given if _label_of(one) != label.strip()), line]
        try:
            thresholds_of(written)
        except ValueError as error:
            raise ConfigurationError(f"results.thresholds: {error}") from error
        section["thresholds"] = written
        mode = stat.S_IMODE(status.st_mode) if status else FILE_MODE
        write_whole(file, tomlkit.dumps(document).encode(), mode)
    return f"results.thresholds = {section['thresholds'].as_string()}"


def _label_of(threshold: str) -> str:
    return threshold.rpartition("=")[0].strip()
