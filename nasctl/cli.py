"""The command line. Each command is a module of `nasctl.commands`, which is imported when the command is called."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import IO, Any

import click

from nasctl.commands import WORDS, Commands
from nasctl.errors import NasctlError, RenamedWarning
from nasctl.registry.named_files import named_only
from nasctl.registry.own_spaces import broken_text
from nasctl.registry.version import __version__
from nasctl.system.signals import exit_code, stoppable
from nasctl.system.terminal import fitting, printable

# numpy reads this when it is imported. Its small linear systems gain nothing from more threads, and lose much beside
# busy processes. With more threads the last digits of their solutions, and so the path of a search, would depend on the
# number of cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Without a home that can be written, matplotlib keeps its cache in a temporary folder, and warns in two long lines.
logging.getLogger("matplotlib").setLevel(logging.ERROR)


class _Error(click.ClickException):
    """An error that is shown as one paragraph."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error on stderr, broken at spaces on a terminal."""
        click.echo(fitting(f"Error: {self.format_message()}"), file=file, err=file is None)


class _Failure(_Error):
    """An error that the user can act on."""

    exit_code = 2


class _Unexpected(_Error):
    """An error that nasctl did not foresee."""

    exit_code = 1


class _Root(Commands):
    """The group of all commands. It turns errors, interrupts and warnings into lines on stderr and exit codes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            with stoppable(), warnings.catch_warnings(), named_only(ctx.meta[WORDS]):
                warnings.showwarning = partial(_show_warning, warnings.showwarning)
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
        except KeyboardInterrupt as stop:  # all measurements are in the store already
            click.echo(f"\nstopped; this takes it up again:\n  {shlex.join(['nasctl', *sys.argv[1:]])}", err=True)
            raise click.exceptions.Exit(exit_code(stop)) from None
        except Exception as error:  # a bug of nasctl, a full disk, a number that is too large, and the like
            if ctx.params["debug"]:
                raise
            if (reason := _file_error(error)) is not None:
                raise _Failure(printable(f"{reason}; name another file")) from error
            if said := broken_text(error):
                raise _Failure(printable(said)) from error
            reason = printable(" ".join(str(error).split())[:200]) or "no reason given"
            raise _Unexpected(f"{type(error).__name__}: {reason} (unexpected; nasctl --debug shows where)") from error


def _show_warning(
    usual: Callable[..., None], message: Warning | str, category: type[Warning], *place: Any, **more: Any
) -> None:
    """Print a warning about an old name as one plain line on stderr, and any other as Python does.

    Args:
        usual: The function that prints warnings as Python does.
        message: The warning.
        category: Its class.
        place: File, line and the like, which matter to programmers alone.
        more: More of `place`.
    """
    if issubclass(category, RenamedWarning):
        click.echo(fitting(printable(f"warning: {message}")), err=True)
    else:
        usual(message, category, *place, **more)


def _file_error(error: Exception) -> str | None:
    """Return the reason why the system refused the name of a file; None if the error is about no file."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{str(error.filename)[:200]}: {error.strerror}"
    return "a name holds a NUL" if isinstance(error, ValueError) and str(error) == "embedded null byte" else None


@click.group(cls=_Root, package="nasctl.commands", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Search for neural architectures that trade quality against cost."""
