"""The command `nasctl objective score`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import csv_option, json_option, space_option, store_option
from nasctl.commands._groups import GroupedCommand, OptionGroup
from nasctl.commands._setting import (
    data_option,
    fidelity_option,
    sample_seed_option,
    setting_group,
    threads_option,
    torch_device_option,
)
from nasctl.commands._types import OutputPath, file_in
from nasctl.commands._workers import WorkerChoice, worker_group
from nasctl.commands.objective import objective_option, objective_task

if TYPE_CHECKING:
    from nasctl.problem.space import Genome, SearchSpace
    from nasctl.search.request import SettingOptions


LIMIT = 1 << 26  # maximum size of a file of genomes in bytes


@dataclass(frozen=True)
class _Choice:
    """The architectures to score, given in exactly one of three ways."""

    genomes: Path | None
    sample: int | None
    whole: bool


choice_group = OptionGroup(
    "choice",
    "Architectures",
    _Choice,
    (
        click.option(
            "--genomes",
            type=click.Path(allow_dash=True, path_type=Path),
            help="File with one architecture per line: an id, a genome or the benchmark's notation; - is stdin; "
            "naslib:FILE has NASLib's tuples.",
        ),
        click.option("--sample", type=click.IntRange(1, 10**6), help="Number of random architectures to score."),
        click.option(
            "--all", "whole", is_flag=True, help="Score every architecture of a space of at most 20,000 genomes."
        ),
    ),
)

setting_options = setting_group(sample_seed_option, fidelity_option, data_option, torch_device_option, threads_option)


@click.command("score", cls=GroupedCommand, groups=(choice_group, setting_options, worker_group))
@space_option
@objective_option
@choice_group
@click.option("--output", type=OutputPath(), help="Table to write, .csv or .csv.gz.")
@click.option("--force", is_flag=True, help="Write over an existing table.")
@click.option("--retry", is_flag=True, help="Measure again what failed before; values in the store stay.")
@setting_options
@worker_group
@store_option
@csv_option
@json_option
def command(
    space: str,
    objectives: tuple[str, ...],
    choice: _Choice,
    output: Path | None,
    force: bool,
    retry: bool,
    setting: SettingOptions,
    workers: WorkerChoice,
    store: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Score architectures of SPACE.

    Scores are kept in the store, so the same command continues where it was stopped.
    """
    import json
    from dataclasses import asdict, replace

    from nasctl.analysis import score
    from nasctl.architectures import ids
    from nasctl.errors import NasctlError
    from nasctl.evaluation.ranges import sample as drawn
    from nasctl.store.store import Store
    from nasctl.system.terminal import TableCell, TableColumn, counted, plural, say, table
    from nasctl.workers import open_executor

    if (choice.genomes is not None) + (choice.sample is not None) + choice.whole != 1:
        raise NasctlError("say what to score: --genomes FILE, --sample NUMBER or --all")
    if output:
        output = file_in(output, "scores.csv")
        score.check_output(output, force)
    who = workers.options(setting.threads)
    setting = replace(setting, torch_device=workers.torch_device(setting.torch_device))
    task = objective_task(space, objectives, setting, who.in_process)
    made = task.space
    if choice.genomes is not None:
        known = Store.reading(store)
        chosen = _read_genomes(choice.genomes, lambda line: made.canonical(ids.resolve(line, known, space)[1]))
    else:
        chosen = _all_genomes(made) if choice.whole else drawn(made, choice.sample or 0, setting.weights_seed)
    with open_executor(who, task) as executor:
        found = score.score_genomes(task, space, chosen, Store(store), executor, retry)
        rows = list(counted(found, len(chosen), "scored"))
    say(*score.failure_messages(rows), *score.machine_messages(rows))
    if output:
        score.write_table(output, task, space, rows)
        say(f"the scores of {plural(len(rows), 'architecture')} are in:", *([str(output)] if as_json else []))
        if not as_json:
            click.echo(output)
            return
    shown = [(ids.encode(space, made.genes, row.evaluation.genome), row.evaluation) for row in rows]
    if as_json:
        click.echo(json.dumps([{"id": arch, **asdict(one)} for arch, one in shown]))
        return
    columns = [TableColumn(name, metric.unit, priority=1) for name, metric in task.metrics.items()]
    failed = TableCell(None, "failed", "failed")
    lines = [[arch, *(one.values.get(name, failed) for name in task.metrics)] for arch, one in shown]
    table([TableColumn("id"), *columns], lines, as_csv=as_csv)


def _all_genomes(space: SearchSpace) -> list[Genome]:
    """Return all canonical genomes of a space.

    Raises:
        NasctlError: The space is too large.
    """
    from math import prod

    from nasctl.errors import NasctlError
    from nasctl.problem.sampling import ENUMERABLE, every

    number = prod(len(gene.choices) for gene in space.genes)
    if number > ENUMERABLE:
        raise NasctlError(f"a space of {number:.3g} genomes is too large for --all; give --sample NUMBER")
    return list(every(space))


def _read_genomes(path: Path, parse: Callable[[str], Genome]) -> list[Genome]:
    """Return the genomes of a file with one architecture per line.

    Raises:
        NasctlError: The file cannot be read, a line is no architecture, or all lines are blank.
    """
    from nasctl.architectures.known_values import file_and_writer
    from nasctl.errors import NasctlError
    from nasctl.problem.ids import listed_choices
    from nasctl.system import files

    path, writer = file_and_writer(path)
    try:
        content = click.get_binary_stream("stdin").read() if str(path) == "-" else files.read(path, LIMIT)
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise NasctlError(f"cannot read {path} ({reason}); give a file with one architecture per line") from None
    genomes = []
    for number, line in enumerate(lines, 1):
        try:
            if text := line.strip():
                genomes.append(parse(f"{writer}:{text}" if writer and listed_choices(text) is not None else text))
        except NasctlError as error:
            raise NasctlError(f"line {number} of the genomes: {error}") from error
    if not genomes:
        raise NasctlError("the file of genomes is empty; give one architecture per line")
    return genomes
