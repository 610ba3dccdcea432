"""`nasctl data list`."""

from __future__ import annotations

import click

from nasctl.commands import json_option


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List the published tables, with the addresses of their files and whether they are here."""
    import json

    from nasctl.bench.public_data import PUBLIC_DATA
    from nasctl.bench.published import data_folder

    folder = data_folder()
    tables = [(name, one, folder / one.file) for name, one in PUBLIC_DATA.items()]
    if as_json:
        facts = [
            {"name": name, "file": str(path), "here": path.is_file(), "content": one.content, "licence": one.licence}
            | {"addresses": one.addresses, "sha256": one.digest}
            for name, one, path in tables
        ]
        click.echo(json.dumps(facts))
        return
    for name, one, path in tables:
        here = path.is_file()
        click.echo(f"{name}: {one.content} ({one.licence})")
        click.echo(f"  {'is here' if here else 'is imported to'}: {path}")
        for address in () if here else one.addresses:
            click.echo(f"  download {address}")
