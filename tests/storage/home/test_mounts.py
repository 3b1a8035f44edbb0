"""Where a folder lies, and when it is away: one rule for the daemon and for `clfd db`."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.home import mounts
from storage.home.mounts import Mount, is_away, is_unmounted, mount_of

TABLE = """
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:45 / /mnt/nas rw,relatime shared:7 - nfs4 nas:/rec rw,vers=4.2
31 22 8:1 / /media/SD\\040CARD rw - vfat /dev/sda1 rw
32 30 0:50 / /mnt/nas/card rw - ext4 /dev/sdb1 rw
33 30 0:51 / /mnt/nas/card rw - xfs /dev/sdc1 rw
34 22 0:52 / /mnt/a\u2028b\x0cc rw - fuse.odd odd rw
""".lstrip()


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text(TABLE)
    monkeypatch.setattr(mounts, "MOUNT_TABLE", file)
    return file


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/srv/inbox", Mount(Path("/"), "ext4")),
        ("/mnt/nas/2026/inbox", Mount(Path("/mnt/nas"), "nfs4")),
        ("/mnt/nasty", Mount(Path("/"), "ext4")),
        ("/media/SD CARD/DCIM", Mount(Path("/media/SD CARD"), "vfat")),
        ("/mnt/nas/card", Mount(Path("/mnt/nas/card"), "xfs")),
        ("/mnt/a\u2028b\x0cc/inbox", Mount(Path("/mnt/a\u2028b\x0cc"), "fuse.odd")),
    ],
)
def test_a_path_lies_on_the_innermost_and_uppermost_mount(path: str, mount: Mount) -> None:
    assert mount_of(Path(path)) == mount


def test_without_a_mount_table_nothing_is_known(table: Path) -> None:
    table.unlink()
    assert mount_of(Path("/mnt/nas")) == Mount(Path("/"), "unknown file system")


LEDGER = Path("/srv/clfd/clfd.db")


@pytest.mark.parametrize(
    ("known_point", "found_point", "away"),
    [
        ("card", "/", True),
        ("card", "card", False),
        (None, "/", False),
        ("/", "card", False),  # something is mounted there now, and nothing was before
    ],
)
def test_a_folder_is_away_where_its_mount_has_gone(
    tmp_path: Path, known_point: str | None, found_point: str, away: bool
) -> None:
    folder = tmp_path / "card" / "inbox"
    folder.mkdir(parents=True)
    known = None if known_point is None else tmp_path / known_point

    def find_mount(_: Path) -> Mount:
        return Mount(tmp_path / found_point, "vfat")

    for name in ("", "a.wav"):
        if name:
            (folder / name).touch()
        assert is_away(folder, known, LEDGER, find_mount) is away


def test_a_folder_with_files_is_taken_as_it_is_though_its_mount_has_gone(tmp_path: Path) -> None:
    known, gone = tmp_path, lambda _: Mount(Path("/"), "vfat")
    folder = tmp_path / "inbox"
    folder.mkdir()
    assert is_unmounted(folder, known, LEDGER, gone)
    (folder / "a.wav").touch()
    assert not is_unmounted(folder, known, LEDGER, gone)


@pytest.mark.parametrize("name", ["inbox", "n" * 300])  # the latter cannot even be looked for
def test_a_missing_folder_is_away(tmp_path: Path, name: str) -> None:
    assert is_away(tmp_path / name, None, LEDGER)


def test_a_mount_that_holds_the_ledger_is_there_though_this_process_does_not_see_it(
    tmp_path: Path,
) -> None:
    ledger = tmp_path / "clfd.db"
    assert not is_away(tmp_path, tmp_path, ledger, lambda _: Mount(Path("/"), "ext4"))
