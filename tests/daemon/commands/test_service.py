"""`clfd service`: unit files for this installation, under a folder that stands for `/`.

What systemd does with them is shown in `tests/boxed`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import daemon.units.unit_files
from clfd import cli
from daemon.errors import DaemonError
from daemon.units.unit_files import Installation, UnitFile, shipped_folder, unit_files

EXECUTABLE = Path("/srv/tools/clfd/bin/clfd")
HOME = Path("/data/clfd")
UNIT = "etc/systemd/system/clfd.service"
ENVIRONMENT = "etc/clfd/clfd.env"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for `/`."""
    monkeypatch.delenv("CLFD_HOME", raising=False)
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def service(machine: Path) -> Callable[..., Result]:
    """`service("install", "--force")`: for a clfd in /srv/tools and a home in /data."""

    def call(verb: str, *options: str) -> Result:
        words = ["service", verb, "--root", str(machine), *options]
        if verb == "install":
            words += ["--executable", str(EXECUTABLE), "--home", str(HOME), "--no-nvidia"]
        return CliRunner().invoke(cli, words)

    return call


def files_in(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def planned(**facts: object) -> dict[str, str]:
    """Text by path, of the files for an installation like any other but for these facts."""
    facts = {"executable": EXECUTABLE, "home": Path("/var/lib/clfd"), **facts}
    made: list[UnitFile] = unit_files(Installation(**facts))  # type: ignore[arg-type]
    return {str(file.path): file.text for file in made}


def folders_drop_in(**facts: object) -> list[str]:
    text = planned(**facts).get(f"/{UNIT}.d/folders.conf", "")
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_the_unit_runs_this_clfd_on_the_home_that_was_named(
    service: Callable[..., Result], machine: Path
) -> None:
    assert service("install").exit_code == 0
    lines = (machine / UNIT).read_text().splitlines()
    assert f"ExecStart={EXECUTABLE} run" in lines
    assert f"Environment=CLFD_HOME={HOME}" in lines
    assert f"ReadWritePaths={HOME}" in lines


def test_nothing_in_the_units_is_left_of_the_usual_places(
    service: Callable[..., Result], machine: Path
) -> None:
    service("install")
    printed = "".join(files_in(machine).values())
    assert "/opt/clfd" not in printed
    assert "/var/lib/clfd" not in printed.replace("/var/lib/clfd-", "")  # homes of instances


def test_the_usual_places_need_no_change() -> None:
    usual = planned(executable=Path("/opt/clfd/bin/clfd"))
    assert usual[f"/{UNIT}"] == (shipped_folder() / "clfd.service").read_text()


def test_a_dry_run_shows_everything_and_writes_nothing(
    service: Callable[..., Result], machine: Path
) -> None:
    shown = service("install", "--dry-run").output
    assert f"{machine / UNIT} (is new)" in shown
    assert f"ExecStart={EXECUTABLE} run" in shown
    assert files_in(machine) == {}


def test_a_second_install_changes_nothing(service: Callable[..., Result], machine: Path) -> None:
    service("install")
    before = files_in(machine)
    assert "written" not in service("install").output
    assert files_in(machine) == before


def test_a_unit_that_was_edited_is_not_replaced_unasked(
    service: Callable[..., Result], machine: Path
) -> None:
    service("install")
    (machine / UNIT).write_text("# mine")
    (machine / UNIT).with_name("clfd@.service").unlink()
    before = files_in(machine)
    refused = service("install")
    assert refused.exit_code == 1
    assert f"{machine / UNIT}: there already, and different" in refused.output
    assert files_in(machine) == before


def test_a_unit_that_is_replaced_is_kept_beside(
    service: Callable[..., Result], machine: Path
) -> None:
    service("install")
    (machine / UNIT).write_text("# mine")
    assert service("install", "--force").exit_code == 0
    (kept,) = (machine / UNIT).parent.glob("clfd.service.*.backup")
    assert kept.read_text() == "# mine"
    assert f"ExecStart={EXECUTABLE} run" in (machine / UNIT).read_text()


def test_a_fence_that_was_open_is_closed_only_when_that_is_meant(
    service: Callable[..., Result], machine: Path
) -> None:
    service("install", "--network")
    drop_in = machine / f"{UNIT}.d" / "network.conf"
    service("install", "--force")
    assert drop_in.exists(), "as before"
    closing = ("install", "--no-network")
    assert f"{drop_in} (is no longer wanted)" in service(*closing, "--dry-run").output
    assert f"{drop_in}" in service(*closing).output
    assert drop_in.exists()
    service(*closing, "--force")
    assert not drop_in.parent.exists()


def test_a_home_that_was_chosen_is_kept_and_training_may_write_there(
    service: Callable[..., Result], machine: Path
) -> None:
    service("install")
    again = ["--root", str(machine), "--executable", str(EXECUTABLE), "--no-nvidia", "--force"]
    assert CliRunner().invoke(cli, ["service", "install", *again]).exit_code == 0
    for unit in ("clfd.service", "clfd-train.service"):
        text = (machine / "etc/systemd/system" / unit).read_text()
        assert f"CLFD_HOME={HOME}" in text
        assert f"ReadWritePaths={HOME}\n" in text
        assert "StateDirectory=clfd\n" not in text


def test_what_follows_from_the_settings_needs_no_force(
    service: Callable[..., Result], machine: Path
) -> None:
    service("install")
    archiving = "CLFD_INBOX=/srv/in\nCLFD_INTAKE__ARCHIVE_DIR="
    drop_in = machine / f"{UNIT}.d" / "folders.conf"
    for archive in ("/srv/done", "/data/done"):
        (machine / ENVIRONMENT).write_text(f"{archiving}{archive}\n")
        assert service("install").exit_code == 0
        assert f"ReadWritePaths=-{'/srv' if archive == '/srv/done' else archive}\n" in (
            drop_in.read_text()
        )
    (machine / ENVIRONMENT).write_text("")
    assert f"removed     {drop_in}\n" in service("install").output
    assert not drop_in.parent.exists()


def test_an_environment_file_is_a_persons_own(
    service: Callable[..., Result], machine: Path
) -> None:
    service("install")
    (machine / ENVIRONMENT).write_text("CLFD_ENGINE__DEVICE=cuda:1\n")
    assert service("install", "--force").exit_code == 0
    assert f"left        {machine / ENVIRONMENT}" in service("uninstall").output
    assert files_in(machine) == {ENVIRONMENT: "CLFD_ENGINE__DEVICE=cuda:1\n"}


def test_a_wrong_setting_in_the_environment_file_is_reported(
    service: Callable[..., Result], machine: Path
) -> None:
    service("install")
    (machine / ENVIRONMENT).write_text("CLFD_ENGINE__DEVISE=cpu\n")
    refused = service("install")
    assert refused.exit_code == 78
    assert "did you mean CLFD_ENGINE__DEVICE?" in refused.output


def test_uninstall_takes_away_what_install_brought(
    service: Callable[..., Result], machine: Path
) -> None:
    service("install", "--network")
    assert f"would remove {machine / UNIT}\n" in service("uninstall", "--dry-run").output
    assert (machine / UNIT).exists()
    printed = service("uninstall").output
    assert f"left        {HOME}, with everything" in printed
    assert files_in(machine) == {}


def test_drop_ins_that_somebody_added_stay_and_are_listed(
    service: Callable[..., Result], machine: Path
) -> None:
    service("install")
    mine = machine / f"{UNIT}.d" / "override.conf"
    mine.parent.mkdir()
    mine.touch()
    assert f"left        {mine}, which is yours" in service("uninstall").output
    assert list(files_in(machine)) == [f"{UNIT}.d/override.conf"]


def test_there_may_be_nothing_to_take_away(service: Callable[..., Result]) -> None:
    assert service("uninstall").output == "not installed, nothing to take away\n"


def test_a_unit_that_was_edited_is_kept_when_it_is_taken_away(
    service: Callable[..., Result], machine: Path
) -> None:
    service("install")
    with (machine / UNIT).open("a") as file:
        file.write("# mine\n")
    service("uninstall")
    (kept,) = files_in(machine).values()
    assert kept.endswith("# mine\n")


def test_a_user_gets_a_unit_without_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/alice/.config")
    monkeypatch.setenv("XDG_DATA_HOME", "/home/alice/.local/share")
    words = ["service", "install", "--user", "--root", str(machine)]
    printed = CliRunner().invoke(cli, [*words, "--executable", "/home/alice/clfd/bin/clfd"])
    assert printed.exit_code == 0, printed.output
    written = files_in(machine / "home/alice/.config")
    assert set(written) - {"systemd/user/clfd.service.d/backoff.conf"} == {
        "clfd/clfd.env",
        "systemd/user/clfd.service",
        "systemd/user/clfd-web.service",
        "systemd/user/clfd-web.socket",
    }
    assert "CLFD_HOME=/home/alice/.local/share/clfd\n" in written["systemd/user/clfd.service"]


@pytest.mark.parametrize("place", ["/home/alice/clfd", "/root/clfd", "/tmp/clfd"])
def test_a_home_that_the_service_could_not_see_is_refused(place: str) -> None:
    with pytest.raises(DaemonError, match=f"home {place} lies where a service of the system sees"):
        planned(home=Path(place))


def test_an_executable_that_the_service_could_not_see_is_refused() -> None:
    with pytest.raises(DaemonError, match="an environment in /opt/clfd, or install with --user"):
        planned(executable=Path("/home/alice/clfd/bin/clfd"))


def test_a_home_that_no_unit_file_can_name_is_refused() -> None:
    with pytest.raises(DaemonError, match="home /srv/my sounds cannot stand in a unit file"):
        planned(home=Path("/srv/my sounds"))


def test_the_usual_inbox_asks_nothing_of_the_fences() -> None:
    assert folders_drop_in(inboxes=(Path("/var/lib/clfd/inbox"), Path("/srv/recorder"))) == []


def test_an_inbox_in_a_persons_home_can_be_read() -> None:
    asked = folders_drop_in(inboxes=(Path("/home/alice/recordings"),))
    assert asked == ["[Service]", "ProtectHome=read-only"]


def test_an_inbox_among_temporary_files_is_refused() -> None:
    with pytest.raises(DaemonError, match="inbox 1 /tmp/inbox lies where a service"):
        planned(inboxes=(Path("/tmp/inbox"),))


def test_an_archive_lets_the_service_write_where_it_moves_files() -> None:
    inboxes, archive = (Path("/srv/sounds/in"), Path("/srv/sounds/more")), Path("/srv/sounds/done")
    asked = folders_drop_in(inboxes=inboxes, archive=archive)
    assert asked == ["[Service]", "ReadOnlyPaths=", "ReadWritePaths=-/srv/sounds"]


def test_an_archive_with_no_folder_in_common_opens_both_alone() -> None:
    asked = folders_drop_in(inboxes=(Path("/srv/in"),), archive=Path("/data/done"))
    assert asked[-2:] == ["ReadWritePaths=-/srv/in", "ReadWritePaths=-/data/done"]


def test_an_archive_in_the_home_only_frees_the_inbox() -> None:
    home = Path("/var/lib/clfd")
    asked = folders_drop_in(inboxes=(home / "inbox",), archive=home / "archive")
    assert asked == ["[Service]", "ReadOnlyPaths="]


def test_the_page_reads_an_archive_and_moves_nothing_there() -> None:
    files = planned(inboxes=(Path("/home/ada/in"),), archive=Path("/home/ada/done"))
    assert "ProtectHome=no" in files["/etc/systemd/system/clfd.service.d/folders.conf"]
    of_page = files["/etc/systemd/system/clfd-web.service.d/folders.conf"]
    assert "ProtectHome=read-only" in of_page
    assert "ReadWritePaths" not in of_page


def test_a_gpu_is_let_in_everywhere() -> None:
    drop_ins = [path for path in planned(nvidia=True) if path.endswith("/nvidia.conf")]
    assert len(drop_ins) == 4
    assert "/etc/modules-load.d/clfd.conf" in planned(nvidia=True)


@pytest.mark.parametrize(("version", "n_drop_ins"), [(252, 0), (253, 0), (254, 2), (257, 2)])
def test_waits_grow_where_systemd_knows_how(version: int, n_drop_ins: int) -> None:
    files = planned(systemd_version=version)
    assert sum(path.endswith("/backoff.conf") for path in files) == n_drop_ins


def test_the_files_are_found_where_a_wheel_puts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying = tmp_path / "share/clfd/systemd/clfd.service"
    lying.parent.mkdir(parents=True)
    monkeypatch.setattr(daemon.units.unit_files, "__file__", str(tmp_path / "packages/daemon/x.py"))
    monkeypatch.setattr("sysconfig.get_path", lambda *_: str(tmp_path))
    with pytest.raises(DaemonError, match="unit files that come with clfd are missing"):
        shipped_folder()
    lying.touch()
    assert shipped_folder() == lying.parent
