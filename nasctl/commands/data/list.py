"""`nasctl data list`."""

from __future__ import annotations

import click

from nasctl.commands import csv_option, json_option


@click.command("list")
@csv_option
@json_option
def command(as_csv: bool, as_json: bool) -> None:
    """List the published tables, with the addresses of their files and whether they are here.

    The checksum is the SHA-256 digest of a table's text, as `gunzip -c FILE | sha256sum` prints it.
    `nasctl data import` compares it.
    """
    import json

    from nasctl.bench.public_data import PUBLIC_DATA
    from nasctl.bench.published import data_folder
    from nasctl.system.terminal import paragraphs, table

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
    if as_csv:
        columns = ["name", "content", "licence", "here", "file", "sha256", "addresses"]
        rows = [
            [name, one.content, one.licence, path.is_file(), str(path), one.digest, " ".join(one.addresses)]
            for name, one, path in tables
        ]
        table(columns, rows, as_csv=True)
        return
    for name, one, path in tables:
        here = path.is_file()
        paragraphs(f"{name}: {one.content} ({one.licence})")
        click.echo(f"  {'is here' if here else 'is imported to'}: {path}")
        click.echo(f"  sha256 {one.digest}")
        for address in () if here else one.addresses:
            click.echo(f"  download {address}")
