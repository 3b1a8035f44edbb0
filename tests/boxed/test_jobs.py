"""`clfd-prune` and `clfd-report`: what timers start under systemd."""

from __future__ import annotations

from service_box import HOME, ServiceBox


def test_the_prune_only_lists_until_it_is_told_to_delete(serving: ServiceBox) -> None:
    serving.run(f"runuser -u clfd -- mkdir -p {HOME}/archive/inbox")
    serving.run(f"runuser -u clfd -- touch {HOME}/archive/inbox/old.wav")
    serving.write("/etc/clfd/prune.env", "KEEP_DAYS=0\n")
    serving.run("systemctl start clfd-prune")
    assert f"{HOME}/archive/inbox/old.wav" in serving.journal("clfd-prune")
    assert "would delete 0 recordings" in serving.journal("clfd-prune")
    assert serving.says(f"ls {HOME}/archive/inbox") == "old.wav"
    serving.write("/etc/clfd/prune.env", "KEEP_DAYS=0\nDELETE=yes\n")
    serving.run("systemctl start clfd-prune")
    assert serving.says(f"ls {HOME}/archive/inbox") == ""


def test_the_page_of_a_week_is_written_into_the_home(serving: ServiceBox) -> None:
    serving.drop("a.wav")
    serving.wait_until(lambda: serving.status().get("done") == 1)
    serving.run("systemctl start clfd-report")
    assert serving.says(f"grep -c 'class=\"summary\"' {HOME}/reports/week.html") == "1"
    assert serving.says(f"stat -c '%U %a' {HOME}/reports/week.html").startswith("clfd 6")
