"""The command line; each command is a module of nasctl.commands, imported when it is called."""

from __future__ import annotations

import shlex
import sys

import click

from nasctl import __version__
from nasctl.commands import Commands
from nasctl.errors import NasctlError


class _Failure(click.ClickException):
    exit_code = 2


class _Unexpected(click.ClickException):
    exit_code = 1


class _Root(Commands):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except (NasctlError, click.UsageError) as error:
            if ctx.params["debug"] and isinstance(error, NasctlError):
                raise
            text = error.format_message() if isinstance(error, click.UsageError) else str(error)
            raise _Failure(text) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:  # what was measured is on disk already
            click.echo(f"\nstopped; this takes it up again:\n  {shlex.join(['nasctl', *sys.argv[1:]])}", err=True)
            raise click.exceptions.Exit(130) from None
        except Exception as error:  # a mistake of ours, or a full disk, a number that is too large, and the like
            if ctx.params["debug"]:
                raise
            reason = " ".join(str(error).split())[:200] or "no reason given"
            raise _Unexpected(f"{type(error).__name__}: {reason} (unexpected; nasctl --debug shows where)") from error


@click.group(cls=_Root, package="nasctl.commands", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Search for neural architectures that trade quality against cost."""
