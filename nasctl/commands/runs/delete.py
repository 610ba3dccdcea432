"""`nasctl runs delete`."""

from __future__ import annotations

import click

from nasctl.commands import store_option
from nasctl.commands._complete import complete


@click.command()
@click.argument("name", shell_complete=complete("runs"))
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@store_option
def command(name: str, yes: bool, store: str) -> None:
    """Delete the run NAME. Its measurements stay in the store, where other runs share them."""
    from nasctl.store.store import Store
    from nasctl.system.terminal import printable, say

    opened = Store.reading(store)
    name, _ = opened.run(name)
    if not yes:
        click.confirm(printable(f"Delete run {name} of {opened.path}?"), abort=True, err=True)
    Store(store).delete(name)
    say(f"deleted run {name}; its measurements stay, so the same search would be quick")
