"""Inboxes elsewhere, archives, several homes, one user's service: what the fences let through."""

from __future__ import annotations

import pytest
from service_box import HOME, QUICK, RECORDER, ServiceBox

from tests.daemon.units.test_installation import LINES


def set_inbox(box: ServiceBox, inbox: str, more: str = "") -> None:
    """In clfd.toml, with the fences that go with it."""
    box.run(f"mkdir -p {inbox} && chmod 755 {inbox}")
    box.write(f"{HOME}/clfd.toml", f'inbox = ["{inbox}"]\n{more}')
    box.clfd("service install")
    box.start()


def test_a_home_elsewhere_is_made_and_served(box: ServiceBox) -> None:
    home = "/data/clfd"
    box.clfd(f"--home {home} service install --force --now")
    box.drop("a.wav", folder=f"{home}/inbox")
    assert box.wait_for(1, home)["a.wav"]["status"] == "done"
    assert box.says(f"stat --format='%a %U %G' {home} {home}/inbox").split("\n") == (
        ["2770 clfd clfd"] * 2
    )


def test_an_inbox_that_is_made_anew_goes_on_to_be_read(serving: ServiceBox) -> None:
    serving.drop("before.wav")
    serving.wait_for(1)
    serving.run(f"rm -r {HOME}/inbox && mkdir -m 755 {HOME}/inbox")
    serving.drop("after.wav")
    assert {row["status"] for row in serving.wait_for(2).values()} == {"done"}


def test_a_card_that_is_mounted_while_it_runs_is_seen(box: ServiceBox) -> None:
    set_inbox(box, RECORDER)
    box.run(f"mount -t tmpfs -o mode=755 tmpfs {RECORDER}")
    box.drop("a.wav", folder=RECORDER)
    assert box.wait_for(1)["a.wav"]["status"] == "done"


def test_an_inbox_in_a_persons_home_is_read(box: ServiceBox) -> None:
    box.run("mkdir -p /home/alice && chmod 755 /home/alice")
    set_inbox(box, "/home/alice/recordings")
    box.drop("a.wav", folder="/home/alice/recordings")
    assert box.wait_for(1)["a.wav"]["status"] == "done"


def test_files_are_moved_to_an_archive_that_was_asked_for(box: ServiceBox) -> None:
    set_inbox(box, f"{HOME}/inbox", '[intake]\narchive_dir = "archive"\n')
    box.run(f"chown clfd:clfd {HOME}/inbox && chmod 2770 {HOME}/inbox")
    box.drop("a.wav")
    box.wait_until(lambda: box.run(f"test -f {HOME}/archive/inbox/a.wav", False).returncode == 0)
    assert box.says(f"ls {HOME}/inbox") == ""


def test_an_archive_elsewhere_is_reached_by_a_rename(box: ServiceBox) -> None:
    box.run(f"mkdir -p {RECORDER} && mount -t tmpfs tmpfs {RECORDER}")
    box.run(f"mkdir {RECORDER}/in {RECORDER}/done")
    box.run(f"chown -R clfd {RECORDER} && chmod 755 {RECORDER}")
    set_inbox(box, f"{RECORDER}/in", f'[intake]\narchive_dir = "{RECORDER}/done"\n')
    box.drop("a.wav", folder=f"{RECORDER}/in")
    inode = box.says(f"stat --format=%i {RECORDER}/in/a.wav")
    box.wait_until(lambda: box.run(f"test -f {RECORDER}/done/in/a.wav", False).returncode == 0)
    assert box.says(f"stat --format=%i {RECORDER}/done/in/a.wav") == inode


def test_several_homes_are_served_beside_each_other(box: ServiceBox) -> None:
    box.write("/etc/systemd/system/clfd@.service.d/quick.conf", QUICK)
    box.run("systemctl daemon-reload; systemctl start clfd clfd@yard")
    box.drop("here.wav")
    box.drop("there.wav", folder=f"{HOME}-yard/inbox")
    assert list(box.wait_for(1)) == ["here.wav"]
    assert list(box.wait_for(1, f"{HOME}-yard")) == ["there.wav"]
    assert "clfd@yard.service    installed   disabled   active" in box.clfd("service status").stdout


def test_a_user_runs_it_without_root(box: ServiceBox) -> None:
    box.run("id bob || useradd --create-home bob; systemctl start user@$(id -u bob)")
    as_bob = "runuser -u bob -- env XDG_RUNTIME_DIR=/run/user/$(id -u bob) HOME=/home/bob"
    unit_folder = "/home/bob/.config/systemd/user"
    box.run(f"{as_bob} mkdir -p {unit_folder}/clfd.service.d")
    box.write(f"{unit_folder}/clfd.service.d/quick.conf", QUICK)
    home = "/home/bob/.local/share/clfd"
    box.run(f"{as_bob} /opt/clfd/bin/clfd service install --user --now")
    box.drop("a.wav", folder=f"{home}/inbox")
    assert box.wait_for(1, home)["a.wav"]["status"] == "done"
    assert "active (running)" in box.says(f"{as_bob} /opt/clfd/bin/clfd service status --user")
    printed = box.says(f"{as_bob} /opt/clfd/bin/clfd service uninstall --user")
    assert f"left        {home}, with everything" in printed
    assert box.results(home)


def test_uninstall_leaves_the_data_with_which_a_new_install_goes_on(box: ServiceBox) -> None:
    box.clfd("service install --now")
    box.drop("a.wav")
    box.wait_for(1)
    printed = box.clfd("service uninstall").stdout
    assert f"left        {HOME}, with everything" in printed
    assert box.says("systemctl list-units --plain --no-legend 'clfd*'") == ""
    assert box.clfd("service status", check=False).returncode == 3
    box.clfd("service install --now")
    box.drop("b.wav")
    assert set(box.wait_for(2)) == {"a.wav", "b.wav"}


def test_an_instance_with_an_archive_needs_but_the_drop_in_that_the_guide_says(
    box: ServiceBox,
) -> None:
    home = "/var/lib/clfd-yard"
    box.write("/etc/clfd/yard.env", "CLFD_INTAKE__ARCHIVE_DIR=archive\n")
    box.write(
        "/etc/systemd/system/clfd@yard.service.d/override.conf", "[Service]\nReadOnlyPaths=\n"
    )
    box.write("/etc/systemd/system/clfd@.service.d/quick.conf", QUICK)
    box.run("systemctl daemon-reload; systemctl start clfd@yard")
    box.drop("a.wav", folder=f"{home}/inbox")
    box.wait_until(lambda: box.run(f"test -f {home}/archive/inbox/a.wav", False).returncode == 0)
    box.run("systemctl stop clfd@yard; rm /etc/clfd/yard.env")


@pytest.mark.parametrize("text", LINES)
def test_an_environment_file_means_to_systemd_what_is_said_of_it(
    one_box: ServiceBox, text: str
) -> None:
    one_box.write("/etc/lines.env", text)
    run = "systemd-run --quiet --wait --pipe --property=EnvironmentFile=/etc/lines.env env --null"
    message = one_box.says(run)
    printed = dict(line.split("=", 1) for line in message.split("\0") if "=" in line)
    assert LINES[text].items() <= printed.items()
    assert not {"B", "C", "export A", "1A"} & (printed.keys() - LINES[text].keys())
