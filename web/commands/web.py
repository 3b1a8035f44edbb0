"""`clfd web`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from storage.commands.context import Invocation


@click.command()
@click.option("--listen", help="HOST:PORT of this machine, or unix:PATH.  [default: web.listen]")
@click.option("--read-only", is_flag=True, default=None, help="Show, and change nothing.")
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
@click.option("--link", "only_link", is_flag=True, help="Print a new link to a page that runs.")
@click.option(
    "--token", "only_token", is_flag=True, help="Print a token for programs, for a month."
)
@click.pass_obj
def web(
    invocation: Invocation,
    /,
    listen: str | None,
    read_only: bool | None,
    opens: bool,
    only_link: bool,
    only_token: bool,
) -> None:
    """Look, listen and correct in a browser.

    Prints a link that opens the page once, within ten minutes; the browser stays signed in for a
    month. Nobody but this machine reaches it: docs/page.md says how to use it from farther away.

    \b
    Example:
      clfd web --open
    """
    from storage.values.users import current_user
    from web.server.addresses import allowed_hosts, link
    from web.server.sessions import Sessions

    home = invocation.home()
    given = {"web.listen": listen, "web.read_only": read_only}
    settings, sessions = invocation.settings(**given).web, Sessions(home)
    if only_token:
        click.echo(sessions.new_session(current_user())[0])
        return
    if only_link:
        click.echo(link(settings, sessions.new_link()))
        return
    from web.page_app import page_app
    from web.server.context import PageContext
    from web.server.serving import listening, passed_socket, port_of, serve

    home.require_made()
    passed = passed_socket()
    with listening(settings.listen, passed) as opened:
        port = port_of(opened)
        # The unit says where another one waits for labels.
        labels = os.environ.get("LABELS") if passed else None
        context = PageContext(home, settings.read_only, Path(labels) if labels else None)
        app = page_app(context, allowed_hosts(settings, port), port is None)
        if passed is None:
            address = link(settings, sessions.new_link(), port)
            click.echo(address)
            invocation.print_note("It opens once, within ten minutes. Ctrl-C ends the page.")
            if opens:
                click.launch(address)
        serve(app, opened, leaves_when_idle=passed is not None)
