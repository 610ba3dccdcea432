"""`nasctl pareto`: commands about the front of a run, a module for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from nasctl.commands import Commands
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.store.store import Store


@click.group(cls=Commands, package=__name__)
def command() -> None:
    """The non-dominated candidates of a run: show, plot and measure them, and pick one."""


@contextmanager
def newest_named(store: Store, name: str, asked: str | None) -> Iterator[None]:
    """Name the run in errors inside the block, if the user has named none and the store has several.

    Args:
        store: The store.
        name: Name of the run that began last.
        asked: The run as typed; None if the user has named none.

    Raises:
        NasctlError: The block raised it.
    """
    try:
        yield
    except NasctlError as error:
        if asked is not None or len(store.runs()) < 2:
            raise
        raise NasctlError(
            f"{str(error).rstrip('.')}. That is of {name}, the run that began last; --run names another."
        ) from None
