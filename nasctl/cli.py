"""The command line; each command is a module of nasctl.commands, imported when it is called."""

from __future__ import annotations

import os
import shlex
import sys

import click

from nasctl.commands import Commands
from nasctl.errors import NasctlError
from nasctl.system.signals import exit_code, stoppable
from nasctl.system.terminal import printable
from nasctl.version import __version__

# Read when numpy is imported. Its small systems gain nothing from more threads, lose much beside busy processes, and
# their last digits, and so a search's path, would depend on the number of cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


class _Failure(click.ClickException):
    exit_code = 2


class _Unexpected(click.ClickException):
    exit_code = 1


class _Root(Commands):
    def invoke(self, ctx: click.Context) -> object:
        try:
            with stoppable():
                return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise _Failure(printable(error.format_message(), "\n")) from error
        except NasctlError as error:
            if ctx.params["debug"]:
                raise
            raise _Failure(printable(str(error))) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt as stop:  # what was measured is on disk already
            click.echo(f"\nstopped; this takes it up again:\n  {shlex.join(['nasctl', *sys.argv[1:]])}", err=True)
            raise click.exceptions.Exit(exit_code(stop)) from None
        except Exception as error:  # a mistake of ours, or a full disk, a number that is too large, and the like
            if ctx.params["debug"]:
                raise
            if (said := _about_a_file(error)) is not None:
                raise _Failure(printable(f"{said}; name another file")) from error
            reason = printable(" ".join(str(error).split())[:200]) or "no reason given"
            raise _Unexpected(f"{type(error).__name__}: {reason} (unexpected; nasctl --debug shows where)") from error


def _about_a_file(error: Exception) -> str | None:
    """What the system says of the name of a file; None if it says nothing of one."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{str(error.filename)[:200]}: {error.strerror}"
    return "a name holds a NUL" if isinstance(error, ValueError) and str(error) == "embedded null byte" else None


@click.group(cls=_Root, package="nasctl.commands", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Search for neural architectures that trade quality against cost."""
