"""`clfd service ...`: clfd as a service of systemd, for the machine or for one user."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click

from storage.commands.context import Invocation

for_user = click.option(
    "--user", "for_user", is_flag=True, help="For you alone, without root; else for the machine."
)
dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
root_folder = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default="/",
    hidden=True,
    help="A folder that stands for /; the running system is left alone.",
)


@click.group()
def service() -> None:
    """clfd under systemd, and its intake.

    \b
    Example:
      clfd service status
    """


@service.command()
@for_user
@dry_run
@click.option("--force", is_flag=True, help="Replace what differs; a copy of it is kept.")
@click.option("--now", is_flag=True, help="Enable the daemon, and start it.")
@click.option(
    "--nvidia/--no-nvidia",
    default=None,
    help="Let an NVIDIA GPU in.  [default: where its driver is loaded]",
)
@click.option(
    "--network/--no-network",
    default=None,
    help="Let it use the network, this machine's own at first.  [default: as before, else not]",
)
@click.option(
    "--executable",
    type=click.Path(path_type=Path, dir_okay=False, resolve_path=False),
    help="The clfd to run.  [default: that of this installation]",
)
@root_folder
@click.pass_obj
def install(
    invocation: Invocation,
    for_user: bool,
    dry_run: bool,
    force: bool,
    now: bool,
    nvidia: bool | None,
    network: bool | None,
    executable: Path | None,
    root: Path,
) -> None:
    """Put unit files in place for this installation.

    They run this clfd on --home, else on the home that they ran on before, else on /var/lib/clfd;
    with --user on your own home. The fences let in what the inboxes and the archive of its settings
    need: install again after these change. What is there and differs is not replaced without
    --force.

    \b
    Example:
      clfd service install --user --dry-run
    """
    from daemon.units.install import install as install_files
    from daemon.units.install import obsolete, preview, set_up
    from daemon.units.installation import plan_installation
    from daemon.units.systemctl import ServiceManager
    from daemon.units.unit_files import every_unit_file, unit_files

    manager = ServiceManager(for_user)
    home = invocation.home_option
    installation = plan_installation(home, executable, nvidia, network, manager, os.environ, root)
    planned = unit_files(installation)
    obsolete_files = obsolete(planned, every_unit_file(installation))
    if dry_run:
        _print_lines(preview(planned, obsolete_files))
        return
    _refuse_without_root(for_user, root)
    _print_lines(install_files(planned, obsolete_files, force))
    if root == Path("/"):
        _print_lines(set_up(manager, now))


@service.command()
@for_user
@dry_run
@root_folder
@click.pass_obj
def uninstall(invocation: Invocation, for_user: bool, dry_run: bool, root: Path) -> None:
    """Stop the service and take its unit files away.

    The home stays, with everything in it, and so does the user it belongs to.

    \b
    Example:
      clfd service uninstall --user --dry-run
    """
    from daemon.units.install import removable, remove, stop_and_disable
    from daemon.units.installation import read_installation
    from daemon.units.systemctl import ServiceManager
    from daemon.units.unit_files import every_unit_file

    manager = ServiceManager(for_user)
    found = read_installation(for_user, root)
    if found is None:
        click.echo("not installed, nothing to take away")
        return
    planned = every_unit_file(found)
    if dry_run:
        _print_lines(f"would remove {file.path}" for file in removable(planned))
        return
    _refuse_without_root(for_user, root)
    if root == Path("/"):
        stop_and_disable(manager)
    _print_lines(remove(planned))
    if root == Path("/") and manager.is_reachable:
        manager.command("daemon-reload")
    click.echo(f"left        {found.home}, with everything clfd remembers; delete it if you like")
    if not for_user:
        click.echo("left        the user clfd, to whom it belongs")


@service.command()
@for_user
def status(for_user: bool) -> None:
    """What is installed, enabled and active.

    Exit 3 when clfd.service is not active.

    \b
    Example:
      clfd service status
    """
    from daemon.units.install import is_active
    from daemon.units.status import status_lines
    from daemon.units.systemctl import ServiceManager

    manager = ServiceManager(for_user)
    _print_lines(status_lines(manager))
    if not is_active(manager):
        raise click.exceptions.Exit(3)


@service.command()
@click.pass_obj
def pause(invocation: Invocation) -> None:
    """Hold the intake; the daemon goes on.

    What is in flight is finished, nothing further is looked for or taken, and checkpoints are still
    taken over. It holds over a restart, until `clfd service resume`.

    \b
    Example:
      clfd service pause
    """
    from storage.home.daemon_lock import holder
    from storage.home.pause_file import pause, paused_since

    home = invocation.home()
    home.require_made()
    held = "held now" if pause(home) else f"held already, since {paused_since(home)}"
    rest = "" if holder(home) else "; no daemon runs, the next one will find it held"
    click.echo(f"the intake of {home.root} is {held}{rest}", err=True)


@service.command()
@click.pass_obj
def resume(invocation: Invocation) -> None:
    """Release the intake that was held.

    What came meanwhile is found and taken.

    \b
    Example:
      clfd service resume
    """
    from storage.home.pause_file import resume

    home = invocation.home()
    state = "released" if resume(home) else "not held"
    click.echo(f"the intake of {home.root} is {state}", err=True)


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _refuse_without_root(for_user: bool, root: Path) -> None:
    from daemon.errors import DaemonError

    if not for_user and root == Path("/") and os.geteuid() != 0:
        raise DaemonError("services of the machine are root's to change; use sudo, or --user")
