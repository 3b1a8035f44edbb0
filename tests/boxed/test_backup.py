"""What docs/service.md says of keeping and bringing back what is remembered, done as it stands."""

from __future__ import annotations

import re

from service_box import HOME, ServiceBox
from systemd_box import SOURCE


def commands_below(heading: str) -> list[str]:
    page = (SOURCE / "docs" / "service.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```\n(.*?)^```$", section, re.M | re.S)


def test_a_backup_of_a_running_daemon_brings_everything_back(serving: ServiceBox) -> None:
    back_up, restore = commands_below("Backup and restore")
    serving.run("ln -sf /opt/clfd/bin/clfd /usr/local/bin/clfd")
    serving.drop("a.wav", "b.wav")
    before = serving.wait_for(2)
    serving.run(f"set -e; cd /srv\n{back_up}")
    serving.run(f"systemctl stop clfd; rm -r {HOME}; clfd service install")
    serving.run(f"set -e; cd /srv\n{restore}")
    assert serving.results() == before
    serving.drop("c.wav")
    assert set(serving.wait_for(3)) == {"a.wav", "b.wav", "c.wav"}
