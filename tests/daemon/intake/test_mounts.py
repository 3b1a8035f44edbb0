from __future__ import annotations

from pathlib import Path

import pytest
from house import house_settings

from daemon.intake import mounts
from daemon.intake.mounts import Mount, ledger_remark, mount_of, why_no_events
from storage.home.paths import Home

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


@pytest.mark.parametrize(
    ("watch", "path", "deaf"),
    [
        ("auto", "/srv/inbox", None),
        ("auto", "/mnt/nas/inbox", "nfs4 has no events"),
        ("events", "/mnt/nas/inbox", None),
        ("scans", "/srv/inbox", "intake.watch = scans"),
    ],
)
def test_a_network_file_system_is_scanned_unless_a_setting_says_otherwise(
    watch: str, path: str, deaf: str | None
) -> None:
    assert why_no_events(watch, Path(path)) == deaf


@pytest.mark.parametrize(("folder", "remarked"), [("/srv/clfd", False), ("/mnt/nas/clfd", True)])
def test_a_ledger_on_a_network_file_system_is_remarked_on(folder: str, remarked: bool) -> None:
    settings = house_settings(Home(Path(folder)))
    remark = ledger_remark(settings)
    assert (remark is not None) == remarked
