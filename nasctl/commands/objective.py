"""`nasctl objective`: what can be optimised or recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from nasctl.commands import batch_option, fidelity_option, json_option, space_option, store_option, weights_seed

if TYPE_CHECKING:
    from nasctl.values import Genome


@click.group()
def command() -> None:
    """List objectives, and score given architectures with them."""


@command.command(name="list")
@json_option
def listed(as_json: bool) -> None:
    """List the objectives."""
    import inspect
    import json

    from nasctl import registry
    from nasctl.report import table

    rows = []
    for name in registry.names("objectives"):
        plugin = registry.load("objectives", name)
        summary = (inspect.getdoc(plugin) or "").partition("\n")[0]
        keys = ("unit", "direction", "transform")
        rows.append({"name": name, **{key: getattr(plugin, key) for key in keys}, "summary": summary})
    if as_json:
        click.echo(json.dumps(rows))
    else:
        table(["objective", "unit", "wanted", "searchers see", "what it is"], [list(row.values()) for row in rows])


@command.command()
@space_option
@click.option(
    "-o", "--objective", "objectives", multiple=True, required=True, metavar="SPEC", help="Repeatable, or A,B."
)
@click.option(
    "--genomes", type=click.File(encoding="utf-8-sig"), help="Ids, genomes or native strings, one a line; - is stdin."
)
@click.option("--sample", type=click.IntRange(1, 10**6), help="Score so many random architectures instead.")
@click.option("--seed", default=0, show_default=True, type=weights_seed, help="Of weights, data and --sample.")
@fidelity_option
@batch_option
@store_option
@json_option
def score(
    space: str,
    objectives: tuple[str, ...],
    genomes: click.utils.LazyFile | None,
    sample: int | None,
    seed: int,
    fidelity: str | None,
    batch: int,
    store: str,
    as_json: bool,
) -> None:
    """Score architectures of SPACE; writes nothing to the store, which only helps to read ids."""
    import json
    from dataclasses import asdict

    from nasctl import bounds, ids, registry
    from nasctl.candidate import Setting
    from nasctl.errors import NasctlError
    from nasctl.report import table
    from nasctl.run import named
    from nasctl.search import Task, measure
    from nasctl.store import Store, evaluation
    from nasctl.values import Fidelity

    if (genomes is None) == (sample is None):
        raise NasctlError("say what to score: --genomes FILE or --sample NUMBER")
    made = registry.create("spaces", space)
    setting = Setting(batch, Fidelity.parse(fidelity) if fidelity is not None else made.fidelity, seed)
    task = Task(made, dict(named(spec) for spec in registry.split(objectives)), setting)
    opened = Store.reading(store)
    if genomes is None:
        chosen = bounds.sample(made, sample or 0, seed)
    else:
        chosen = _read(genomes, lambda line: made.canonical(ids.resolve(line, opened, space)[1]))
    labels = {name: name for name in task.metrics}
    rows = []
    for genome in chosen:
        found = evaluation(genome, labels, measure(task, genome, labels))
        rows.append((ids.encode(space, made.genes, genome), found))
    if as_json:
        click.echo(json.dumps([{"id": arch, **asdict(found)} for arch, found in rows]))
        return
    heads = [f"{name} ({metric.unit})" for name, metric in task.metrics.items()]
    table(["id", *heads], [[arch, *(found.values.get(name, "failed") for name in labels)] for arch, found in rows])


def _read(lines: Iterable[str], meant: Callable[[str], Genome]) -> list[Genome]:
    """The genomes of a file, one a line.

    Raises:
        NasctlError: A line is none, or all are blank.
    """
    from nasctl.errors import NasctlError

    found = []
    try:
        for number, line in enumerate(lines, 1):
            if line.strip():
                found.append((number, line.strip()))
    except UnicodeDecodeError as error:
        raise NasctlError(
            f"the genomes are no text ({error.reason}); give a file with one architecture a line"
        ) from None
    genomes = []
    for number, line in found:
        try:
            genomes.append(meant(line))
        except NasctlError as error:
            raise NasctlError(f"line {number} of the genomes: {error}") from error
    if not genomes:
        raise NasctlError("the file of genomes is empty; give one architecture a line")
    return genomes
