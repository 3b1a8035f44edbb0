"""`clfd db ...`: check, back up, prune and upgrade the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname

import click

from storage.commands.context import Invocation, When, table_or_json

_ENDS = ("-wal", "-shm", "-journal")


@click.group()
def db() -> None:
    """Look after the ledger.

    \b
    Example:
      clfd db check
    """


@db.command()
@table_or_json
@click.pass_obj
def check(invocation: Invocation, file_format: str) -> None:
    """Is the ledger sound? Exit 1 with what is wrong.

    For a valid ledger it reports what might be pruned, which files are missing, and which audio
    files have no row yet. That is no damage.

    \b
    Example:
      clfd db check
    """
    from storage.database.engine import open_database
    from storage.database.tables import SCHEMA_VERSION
    from storage.errors import LedgerInvalid
    from storage.ledger.tallies import tally_errors
    from storage.maintenance.check import check_findings
    from storage.values.progress import ProgressTicker
    from storage.values.text import visible

    settings = invocation.settings()
    with open_database(settings.database, "reader") as database:
        problems = [f"damaged: {problem}" for problem in database.problems()]
        problems = problems or [f"counts wrongly: {wrong}" for wrong in tally_errors(database)]
        report: dict[str, object] = {
            "ledger": database.place,
            "valid": not problems,
            "sound": not problems,  # deprecated: the name before `valid`
            "problems": problems,
            "schema": SCHEMA_VERSION,  # another one is not opened
        }
        if problems:
            if file_format == "json":
                click.echo(json.dumps(report, ensure_ascii=False))
            raise LedgerInvalid(_invalid(database.place, problems))
        findings = check_findings(database, settings, ProgressTicker(invocation.print_note))
    if file_format == "json":
        click.echo(json.dumps(report | asdict(findings), ensure_ascii=False))
    else:
        click.echo(f"{report['ledger']} is sound, schema {report['schema']}", err=True)
        for line in findings.lines():
            click.echo(visible(line))


def _invalid(ledger: str, problems: list[str]) -> str:
    kind = problems[0].partition(": ")[0]
    first = "; ".join(problem.partition(": ")[2] for problem in problems[:5])
    if kind == "damaged":
        return f"{ledger} is damaged: {first}"
    remedy = "stop the daemon and run `clfd db upgrade`, which counts anew"
    return f"{ledger} counts wrongly: {first}; {remedy}"


@db.command()
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; if not said, beside the ledger, with the time (UTC) in its name.",
)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.pass_obj
def backup(invocation: Invocation, file: Path | None, force: bool) -> None:
    """Copy the ledger to one whole file.

    A daemon may write meanwhile. The copy is checked before it gets its name, which goes to stdout.

    \b
    Example:
      clfd db backup
    """
    from storage.database.engine import open_database
    from storage.errors import StorageError

    with open_database(invocation.database(), "editor") as database:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        ledger = (database.file or invocation.home().ledger_file).absolute()
        target = file.resolve() if file else ledger.with_name(f"{ledger.name}.{now}.backup")
        if database.file and target.exists() and target.samefile(ledger):
            raise StorageError(f"{target} is the ledger itself; name another file")
        # What SQLite keeps beside a ledger, and would take a backup for.
        if target.absolute() in {ledger.with_name(f"{ledger.name}{end}") for end in _ENDS}:
            raise StorageError(f"{target} belongs to the ledger; name another file")
        if target.exists() and not target.is_file():
            raise StorageError(f"{target} is a device or a pipe; name a file")
        if target.exists() and not force:
            raise StorageError(f"{target} is there already; name another file or add --force")
        database.back_up(target, check=True)
    click.echo(str(target))
    invocation.print_note(f"backed up {target.stat().st_size / 1e6:.1f} MB, checked")


@db.command()
@click.option("--superseded", is_flag=True, help="Recordings that newer content has replaced.")
@click.option("--missing", is_flag=True, help="Recordings whose file is gone.")
@click.option(
    "--older-than",
    "before",
    metavar="TIME",
    type=When(),
    help="Only what is older: 365d or ISO 8601. Alone: --superseded and --missing.",
)
@click.option("--history", is_flag=True, help="Predictions that are no current answer.")
@click.option("--yes", is_flag=True, help="Do it; without, it is only told.")
@table_or_json
@click.pass_obj
def prune(
    invocation: Invocation,
    superseded: bool,
    missing: bool,
    before: str | None,
    history: bool,
    yes: bool,
    file_format: str,
) -> None:
    """Take out rows that nobody needs any more.

    Without --yes it tells what would go, and changes nothing. A recording whose file still lies in
    the inbox is never taken out, since the next scan would have it scored again.

    \b
    Example:
      clfd db prune --superseded --missing
    """
    from storage.database.engine import open_database
    from storage.maintenance.prune import carry_out
    from storage.maintenance.prune_plan import PruneRequest, make_plan
    from storage.values.progress import ProgressTicker
    from storage.values.text import visible

    if not (superseded or missing or before or history):
        raise click.UsageError(
            "say what to prune: --superseded, --missing, --history or --older-than TIME"
        )
    both = not (superseded or missing or history)
    request = PruneRequest(superseded or both, missing or both, history, before)
    progress = ProgressTicker(invocation.print_note)
    with open_database(invocation.database(), "pruner") as database:
        plan = make_plan(database, request, progress)
        if yes:
            carry_out(database, plan, progress)
    if file_format == "json":
        click.echo(json.dumps(plan.figures(yes), ensure_ascii=False))
    else:
        for line in plan.lines(yes):
            click.echo(visible(line))
        if not yes:
            advice = "" if plan.is_empty else "; add --yes to do it"
            click.echo(f"nothing was changed{advice}", err=True)


@db.command()
@click.pass_obj
def upgrade(invocation: Invocation) -> None:
    """Bring the ledger to this version, after a backup.

    The backup lies beside it, or in the home where it is on a server. Stop the daemon first, on a
    server all of them. Of a ledger of this version what it counts is checked, and counted anew
    where it is wrong.

    \b
    Example:
      clfd db upgrade
    """
    from storage.database.engine import local_file, open_database
    from storage.database.engine import upgrade as upgrade_database
    from storage.database.ledger_files import missing
    from storage.home.daemon_lock import DaemonLock
    from storage.ledger.tallies import repair_tallies

    url = invocation.database()
    ledger = local_file(url)
    if ledger and not ledger.exists():  # the lock would leave its file in a folder that is no home
        raise missing(ledger)
    with DaemonLock.acquire(invocation.home(), ledger):
        backup = upgrade_database(url, invocation.print_note, invocation.home().ledger_file)
        with open_database(url, "editor") as database:
            was_wrong = backup is None and repair_tallies(database)
    result = f"upgraded; the backup is {backup}" if backup else "already at this version"
    click.echo(f"{result}; counted anew" if was_wrong else result, err=True)


@db.command(name="copy")
@click.argument("url")
@click.pass_obj
def copy_to_server(invocation: Invocation, url: str) -> None:
    """Copy the ledger to a PostgreSQL server, or back.

    URL is that of an empty database there, or of a new file. Stop all daemons first. What was
    written is read again, and a digest of every table compared, before the copy counts; the ledger
    stays where it is as well. Name the URL in `database` afterwards.

    \b
    Example:
      clfd db copy postgresql+psycopg://clfd@db.example.org/clfd
    """
    from storage.database.engine import local_file, open_database
    from storage.errors import ConfigurationError
    from storage.fleet.inboxes import machine_place
    from storage.home.daemon_lock import DaemonLock
    from storage.maintenance.copy_ledger import copy_ledger
    from storage.values.progress import ProgressTicker

    source = invocation.database()
    here, there = local_file(source), local_file(url)
    if (here is None) == (there is None):
        raise ConfigurationError(
            "a ledger is copied from a file to a server (postgresql+psycopg:) or back (sqlite:)"
        )
    with (
        DaemonLock.acquire(invocation.home(), here or there),
        _made_whole(there),
        open_database(source, "reader") as reading,
        open_database(url, "daemon" if there else "writer") as writing,  # by whose lock it is
    ):
        progress = ProgressTicker(invocation.print_note)
        copied = copy_ledger(reading, writing, machine_place(gethostname()), progress)
    for table, n_rows, digest in copied:
        click.echo(f"{table:16} {n_rows:>10} rows  {digest[:16]} on both sides")


@contextmanager
def _made_whole(file: Path | None) -> Iterator[None]:
    """A ledger that is made here, under the lock of its daemon, goes where that fails."""
    from storage.errors import StorageError

    if file is not None and file.exists():
        raise StorageError(f"{file} is there already; name another file")
    try:
        yield
    except BaseException:
        if file is not None:
            for end in ("", *_ENDS):
                file.with_name(f"{file.name}{end}").unlink(missing_ok=True)
        raise
