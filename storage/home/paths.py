"""The home: the one folder in which clfd keeps all it owns."""

from __future__ import annotations

import os
import stat
from itertools import chain, count
from pathlib import Path

from storage.errors import ConfigurationError, StorageError, os_errors_as
from storage.values.text import printable

# Group-owned, so that readers only need to join the group; setgid hands the group down.
FOLDER_MODE = 0o2770
FILE_MODE = 0o660
DEFAULT_DATABASE = "sqlite:///clfd.db"
_SQLITE = "sqlite:///"


class Home:
    """Where everything lies. Nothing has to exist yet; `create` makes the folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings_file = root / "clfd.toml"
        self.inbox = root / "inbox"
        self.checkpoints = root / "checkpoints"
        self.reports = root / "reports"
        self.runs = root / "runs"  # how far training got, and clips that memory cannot hold
        self.trainings = root / "trainings"  # how far each is, and what came of it
        self.compiled = root / "compiled"  # networks as machine code, by the daemon for itself
        self.ledger_file = root / "clfd.db"
        self.status_file = root / "status.json"
        self.lock_file = root / "daemon.lock"
        self.trial_file = root / "trial.json"  # which checkpoint the daemon is preparing
        self.suffixes_file = root / "suffixes.json"  # of files that the daemon took last
        self.web = root / "web"  # who may use the page
        self.pause_file = root / "paused"  # while it is there the daemon takes nothing in

    def reload_request(self, word: str) -> Path:
        """What `clfd reload` leaves for the daemon; the daemon takes it away."""
        return self.root / f"reload-{word}"

    def hook_file(self, name: str) -> Path:
        """Where a hook keeps its place among the answers."""
        return self.root / f"hook-{name}.json"

    @property
    def is_made(self) -> bool:
        """Whether `clfd init`, or whatever makes a home, was here."""
        return any(each.exists() for each in (self.checkpoints, self.ledger_file))

    def require_made(self) -> None:
        """Raises ConfigurationError for a folder in which there is no home."""
        if not self.is_made:
            advice = "`clfd init` makes one there, --home names another"
            raise ConfigurationError(f"{self.root} is no home of clfd; {advice}")

    def create(self) -> None:
        """Make missing folders; those that exist keep their mode. Raises StorageError."""
        for folder in (self.root, self.inbox, self.checkpoints, self.reports, self.runs):
            make_folder(folder)


def database_url(root: Path, url: str = DEFAULT_DATABASE) -> str:
    """The URL with a relative SQLite file put into the home."""
    if not url.startswith(_SQLITE):
        return url
    # A URL reads these two as the beginning of an escape and of its query.
    escaped = Path(str(root).replace("%", "%25").replace("?", "%3F"))
    return f"{_SQLITE}{escaped / url.removeprefix(_SQLITE)}"


def make_folder(folder: Path) -> None:
    """A folder for the group, unless it is there. Raises StorageError where it cannot be made."""
    if folder.is_dir():
        return
    remedy = "choose another home with --home"
    with os_errors_as(StorageError, f"cannot make the folder {folder}", remedy):
        folder.mkdir(parents=True, exist_ok=True)
        give_to_group(folder)


def give_to_group(folder: Path) -> None:
    """Sets what mkdir dropped: what the umask forbids, and setgid where the parent had none.

    Only where it is missing, since a service may be forbidden to ask for setgid at all.
    """
    if stat.S_IMODE(folder.stat().st_mode) != FOLDER_MODE:
        folder.chmod(FOLDER_MODE)


def unused_path(path: Path) -> Path:
    """The path, else the first of NAME-2, NAME-3 ... (before its suffix) that does not exist."""
    others = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return next(each for each in chain([path], others) if not each.exists())


def resolve_home(option: Path | None) -> Home:
    """`--home`, else CLFD_HOME, else the user's data folder; absolute, whether it exists or not.

    Raises ConfigurationError for the home of a user who is not known (`~nobody-here`).
    """
    chosen = option or os.environ.get("CLFD_HOME") or _default_home()
    try:
        root = Path(chosen).expanduser().absolute()
        str(root).encode()
        return Home(root)
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"home {printable(str(chosen))} has a name that is no UTF-8; choose another by --home"
        ) from error
    except RuntimeError as error:
        raise ConfigurationError(
            f"home {chosen} names a user who is not known here; write the folder's whole path"
        ) from error


def _default_home() -> Path:
    from platformdirs import user_data_path

    try:
        return user_data_path("clfd")
    except RuntimeError as error:  # a user without HOME and without an entry in /etc/passwd
        raise ConfigurationError("no home: set CLFD_HOME, or name a folder with --home") from error
