"""One setting written into clfd.toml; its comments and everything else stay as they are."""

from __future__ import annotations

import os
import stat

from storage.errors import ConfigurationError, os_errors_as
from storage.home.atomic_write import write_whole
from storage.home.paths import FILE_MODE, Home
from storage.home.safe_open import read_bounded
from storage.settings.loading import load_settings


def write_threshold(home: Home, label: str, threshold: float) -> str:
    """Sets `results.thresholds` for one label; returns the line that the file has now.

    Raises ConfigurationError where the file is somebody else's: written anew it would be ours, and
    the daemon believes a file of its own user and of root alone.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    file = home.settings_file
    line = f"{label}={threshold:g}"
    advice = f'write "{line}" into results.thresholds yourself'
    with os_errors_as(ConfigurationError, f"cannot write {file}", advice):
        status = file.stat() if file.exists() else None
        if status is not None and status.st_uid != os.geteuid():
            raise ConfigurationError(f"{file} belongs to another user; {advice}")
        try:
            document = tomlkit.parse(read_bounded(file).decode() if status else "")
        except (TOMLKitError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{file}: {error}; {advice}") from error
        section = document.setdefault("results", tomlkit.table())
        others = [str(one) for one in section.get("thresholds", []) if _label_of(str(one)) != label]
        section["thresholds"] = [*others, line]
        mode = stat.S_IMODE(status.st_mode) if status else FILE_MODE
        write_whole(file, tomlkit.dumps(document).encode(), mode)
    load_settings(home)  # what is wrong with it beside is told now
    return f"results.thresholds = {section['thresholds'].as_string()}"


def _label_of(threshold: str) -> str:
    return threshold.rpartition("=")[0].strip()
