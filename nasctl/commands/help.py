"""The command `nasctl help`."""

from __future__ import annotations

import click

from nasctl.errors import NasctlError


@click.command()
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of COMMAND, such as `search` or `device profile`; without one, that of nasctl."""
    shown = ctx.find_root()
    for word in words:
        if not isinstance(shown.command, click.Group):
            raise NasctlError(f"{shown.command_path!r} has no commands of its own; leave {word!r} out")
        found = shown.command.get_command(shown, word)
        if found is None:
            raise NasctlError(
                f"{shown.command_path!r} has no command {word!r}; `{shown.command_path} --help` lists them"
            )
        shown = click.Context(found, parent=shown, info_name=word, **found.context_settings)
    click.echo(shown.get_help())
