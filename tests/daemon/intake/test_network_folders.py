from __future__ import annotations

from pathlib import Path

import pytest
from house import house_settings

from daemon.app import ledger_remark
from daemon.intake.watcher import why_no_events
from storage.home import mounts
from storage.home.paths import Home

TABLE = """
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:45 / /mnt/nas rw,relatime shared:7 - nfs4 nas:/rec rw,vers=4.2
""".lstrip()


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mountinfo"
    file.write_text(TABLE)
    monkeypatch.setattr(mounts, "MOUNT_TABLE", file)


@pytest.mark.parametrize(
    ("watch", "path", "reason"),
    [
        ("auto", "/srv/inbox", None),
        ("auto", "/mnt/nas/inbox", "nfs4 has no events"),
        ("events", "/mnt/nas/inbox", None),
        ("scans", "/srv/inbox", "intake.watch = scans"),
    ],
)
def test_a_network_file_system_is_scanned_unless_a_setting_says_otherwise(
    watch: str, path: str, reason: str | None
) -> None:
    assert why_no_events(watch, Path(path)) == reason


@pytest.mark.parametrize(("folder", "remarked"), [("/srv/clfd", False), ("/mnt/nas/clfd", True)])
def test_a_ledger_on_a_network_file_system_is_remarked_on(folder: str, remarked: bool) -> None:
    settings = house_settings(Home(Path(folder)))
    remark = ledger_remark(settings)
    assert (remark is not None) == remarked
