"""Errors in one line that are no fault of clfd: wrong usage, and what this machine denies."""

from __future__ import annotations

import errno
import os

import click
from click.exceptions import NoSuchCommand

_PERMISSIONS = "change its permissions, or run clfd as a user who has them"
_ROOM = "make room on its disk"
_DENIED = {
    errno.EACCES: _PERMISSIONS,
    errno.EPERM: _PERMISSIONS,
    errno.EROFS: "name a place that can be written",
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
}

# By click's names of types, the longer ones first.
_NUMBERS = {
    "integer range": "whole number",
    "float range": "number",
    "integer": "whole number",
    "float": "number",
}


def denied_line(error: Exception) -> str | None:
    """What the system denied, of which file, and what to do; None for any other error."""
    from storage.values.text import visible

    if not isinstance(error, OSError) or error.errno not in _DENIED:
        return None
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return None
    name = os.fsdecode(error.filename)
    return visible(f"{name}: {error.strerror}; {_DENIED[error.errno]}")


def usage_line(error: click.UsageError) -> str:
    """What click tells in a paragraph: which word is wrong, and which one may have been meant."""
    from storage.values.text import nearest, visible

    reason, suggestions = error.format_message(), list[str]()
    if isinstance(error, NoSuchCommand):
        reason, suggestions = error.message, _similar_commands(error)
    elif isinstance(error, click.NoSuchOption):
        reason = error.message
        suggestions = nearest(error.option_name, error.possibilities or [], 3, cutoff=0.7)
    elif isinstance(error, click.BadParameter) and isinstance(error.param, click.Argument):
        reason = error.message or reason  # which names the value, and that is the argument
    is_name = reason[:2].isupper()  # LABEL, of an argument
    reason = (reason[:1] if is_name else reason[:1].lower()) + reason[1:].rstrip(".")
    for name, number in _NUMBERS.items():
        reason = reason.replace(f"is not a valid {name}", f"is no {number}")
    if suggestions:
        reason += f"; did you mean {' or '.join(map(repr, suggestions))}?"
    elif isinstance(error, NoSuchCommand | click.NoSuchOption | click.MissingParameter):
        path = error.ctx.command_path if error.ctx else "clfd"
        reason += f"; `{path} --help` shows what there is"
    return visible(reason)


def _similar_commands(error: NoSuchCommand) -> list[str]:
    """Commands of nearly this name, and those of just this name in a group below."""
    from storage.values.text import nearest

    context, name = error.ctx, error.command_name
    if context is None or not isinstance(context.command, click.Group):
        return []
    commands = {
        each: context.command.get_command(context, each)
        for each in context.command.list_commands(context)
    }
    below = [
        f"{each} {name}"
        for each, group in commands.items()
        if isinstance(group, click.Group) and name in group.commands
    ]
    return nearest(name, commands, 3) + below
