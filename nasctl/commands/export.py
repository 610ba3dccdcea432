"""The command `nasctl export`."""

from __future__ import annotations

from pathlib import Path

import click

from nasctl.commands import json_option, store_option


@click.command()
@click.option("--arch", required=True, metavar="ID", help="An id, its unique beginning, or a genome such as 0,3,1.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="FORMAT",
    help="python: source that needs torch alone; torch: state dict; pt2: torch.export; onnx; json: a description. "
    "May be repeated or separated by commas.  [default: the format of the suffix of -o, else python]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write, or a folder; with several formats its suffix is replaced.  [default: the id]",
)
@click.option("--space", metavar="SPEC", help="Search space of a genome, or of an id that the store cannot resolve.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the initial weights.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@store_option
@json_option
def command(
    arch: str,
    formats: tuple[str, ...],
    output: Path | None,
    space: str | None,
    seed: int,
    force: bool,
    store: str,
    as_json: bool,
) -> None:
    """Export an architecture as files that run without nasctl.

    The network is untrained. Each file is run and compared with nasctl's module before it is kept. The paths of the
    files go to stdout, the comparison to stderr.
    """
    import json
    from dataclasses import asdict

    from nasctl import registry
    from nasctl.architectures import ids
    from nasctl.export import export
    from nasctl.networks import flop_count
    from nasctl.store.store import Store

    spec, genome = ids.resolve(arch, Store.reading(store), space)
    whole = ids.encode(spec, registry.create("spaces", spec).genes, genome)
    paths = export.destinations(whole, registry.split(formats), output, force)
    model = export.model(spec, genome, seed)
    differences = export.export(model, paths, force)
    for name, found in differences.items():
        compared = (
            f"largest difference from the module {found.absolute:.2g}, {found.relative:.2g} of the largest output"
        )
        click.echo(f"{name}: {compared}", err=True)
    macs = model.architecture.network.macs
    counted = flop_count.compare_counts(model.module, model.examples[:1], macs)
    click.echo(counted.sentence(), err=True)
    if as_json:
        shown = {name: {"path": str(path), **asdict(differences[name])} for name, path in paths.items()}
        operators = None if counted.fvcore is None else counted.fvcore.operators
        counts = {"macs": macs, "fvcore": operators, "torch": counted.torch}
        click.echo(json.dumps({"id": whole, "space": model.architecture.space, "files": shown, **counts}))
        return
    for path in paths.values():
        click.echo(path)
