"""An option that `clfd bench` had before: still accepted, so that scripts go on, with a warning."""

from __future__ import annotations

import click


def _warn(_: click.Context, option: click.Parameter, value: object) -> None:
    if value is not None:
        why = "`clfd bench` draws no picture any more; --json has its figures"
        click.echo(f"clfd: {option.opts[0]} does nothing: {why}", err=True)


# It takes a value.
retired_plot_option = click.option("--plot", hidden=True, expose_value=False, callback=_warn)
