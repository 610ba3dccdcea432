"""The command `nasctl objective fit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import csv_option, json_option, space_option, store_option
from nasctl.commands._groups import GroupedCommand, OptionGroup
from nasctl.commands._setting import (
    data_option,
    fidelity_option,
    setting_group,
    threads_option,
    torch_device_option,
    weights_seed_option,
)
from nasctl.commands._types import OutputPath, file_in
from nasctl.commands.objective import objective_task, untrained_metrics

if TYPE_CHECKING:
    from nasctl.analysis.accuracy_fit import FitResult
    from nasctl.analysis.accuracy_labels import LabelledGenomes, Part
    from nasctl.problem.searcher import Direction
    from nasctl.problem.space import SearchSpace
    from nasctl.search.request import SettingOptions

setting_options = setting_group(weights_seed_option, fidelity_option, data_option, torch_device_option, threads_option)


@dataclass(frozen=True)
class _LabelChoice:
    """The options that say which networks give labels."""

    truth: Path | None
    column: str | None
    error_column: str | None
    lower_is_better: bool
    part: Part
    labels: int
    held_out: int
    unlabelled: int


label_group = OptionGroup(
    "labelled",
    "Labels",
    _LabelChoice,
    (
        click.option(
            "--truth",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Table of known values, CSV or JSON, may be compressed with gzip.  [default: the store's trainings]",
        ),
        click.option("--column", help="Column of the table, such as an accuracy.  [default: the only one of numbers]"),
        click.option("--error-column", help="Column of the standard errors of the labels."),
        click.option("--lower-is-better", is_flag=True, help="Lower labels are better, such as losses."),
        click.option(
            "--part",
            default="validation",
            show_default=True,
            type=click.Choice(["validation", "test"]),
            help="Part of the data that trainings of the store are judged on.",
        ),
        click.option(
            "--labels",
            default=128,
            show_default=True,
            type=click.IntRange(8, 10**5),
            help="Largest number of labels to fit to, drawn at random.",
        ),
        click.option(
            "--held-out",
            default=0,
            show_default=True,
            type=click.IntRange(0, 10**5),
            help="Further labelled networks that take no part in the fit, to judge it; with 0 it is cross-validated.",
        ),
        click.option(
            "--unlabelled",
            default=0,
            show_default=True,
            type=click.IntRange(0, 10**5),
            help="Further random networks whose metrics are measured, to scale those of others.",
        ),
    ),
)


@click.command("fit", cls=GroupedCommand, groups=(label_group, setting_options))
@space_option
@click.option(
    "-o",
    "--objective",
    "objectives",
    multiple=True,
    metavar="SPEC",
    help="Metric to read; repeatable, or A,B.  [default: all that apply to the space and do not train]",
)
@label_group
@click.option(
    "--model",
    default="choose",
    show_default=True,
    metavar="NAME",
    help="gaussian_process, extra_trees, metric_trees, ridge, boosting, or a mean of several joined by +; choose: by"
    " cross-validation on the labels.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the labels and models.")
@click.option("--output", type=OutputPath(), help="Predictor to write.  [default: SPACE-fit.json]")
@click.option("--force", is_flag=True, help="Write over an existing file.")
@setting_options
@store_option
@csv_option
@json_option
def command(
    space: str,
    objectives: tuple[str, ...],
    labelled: _LabelChoice,
    model: str,
    seed: int,
    output: Path | None,
    force: bool,
    setting: SettingOptions,
    store: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Fit a predictor of accuracy to networks of SPACE with known accuracies, and print how far to believe it.

    The predictor reads metrics, costs, genes and the structure of a network. Its model is chosen by cross-validation on
    the labels. Without -o, all metrics are measured that apply and do not train; each takes its time in a search on the
    predictor too, and -o params,macs needs none. Figures are on labels that took no part in the fit, with 95% bootstrap
    intervals, beside scores that need no label.

    `nasctl search -o accuracy@FILE.json` optimises the predicted accuracy.
    """
    import json
    import sys

    from nasctl import registry
    from nasctl.analysis import score
    from nasctl.analysis.accuracy_fit import FitRequest, fit_accuracy
    from nasctl.prediction.predictor import AccuracyPredictor
    from nasctl.problem.defaults import SIZES
    from nasctl.store.store import Store
    from nasctl.system.terminal import counted, say

    path = _output(output, space, force)
    AccuracyPredictor(model=model)  # refuses an unknown name before anything is measured
    made = registry.create("spaces", space)
    inside, outside, notes = _labelled(labelled, space, made, store, seed)
    say(*notes)
    # Metrics that nobody named are left out where they do not apply; those that the user named are refused.
    task = objective_task(space, objectives, setting, also=SIZES if objectives else [*untrained_metrics(), *SIZES])
    sample = _unlabelled(made, labelled.unlabelled, [*inside.genomes, *outside.genomes], seed)
    words = " ".join(["nasctl", *sys.argv[1:]])
    request = FitRequest(task, space, inside, outside, sample, model, seed, words)
    genomes = request.genomes
    found = list(counted(score.score_genomes(task, space, genomes, Store(store)), len(genomes), "scored"))
    say(*score.failure_messages(found), *score.machine_messages(found))
    result = fit_accuracy(request, {row.evaluation.genome: row for row in found})
    result.predictor.save(path)
    if as_json:
        click.echo(json.dumps(_report(result, path)))
        return
    _print_result(result, space, path, setting, as_csv)


def _output(output: Path | None, space: str, force: bool) -> Path:
    """Return the path of the predictor's file.

    Raises:
        NasctlError: The path cannot be part of specs, the file exists already, or there is no such folder.
    """
    from nasctl import registry
    from nasctl.errors import NasctlError
    from nasctl.prediction.space_predictor import check_name

    path = file_in(output, f"{registry.short_name(space)}-fit.json")
    check_name(path)
    if path.exists() and not force:
        raise NasctlError(
            f"Cannot write {path}: it exists already. Give --force to write over it, or another --output."
        )
    if not path.absolute().parent.is_dir():
        raise NasctlError(
            f"Cannot write {path}: there is no folder {path.parent}. Create it, or give another --output."
        )
    return path


def _labelled(
    asked: _LabelChoice, spec: str, space: SearchSpace, store: str, seed: int
) -> tuple[LabelledGenomes, LabelledGenomes, list[str]]:
    """Return the networks that give labels, those that are left out, and notes.

    Raises:
        NasctlError: There are too few labels.
    """
    import numpy as np

    from nasctl.analysis.accuracy_fit import LEAST_CROSS_VALIDATED
    from nasctl.analysis.accuracy_labels import labels_of_table
    from nasctl.errors import NasctlError
    from nasctl.prediction.predictor import FOLDS, LEAST, check_labels

    notes: list[str] = []
    if asked.truth is None:
        known, notes = _trained(asked, spec, space, store, seed)
    else:
        direction: Direction = "min" if asked.lower_is_better else "max"
        known = labels_of_table(asked.truth, spec, space, asked.column, asked.error_column, direction, seed)
    count = len(known.genomes)
    least = LEAST if asked.held_out else LEAST_CROSS_VALIDATED
    if min(count - asked.held_out, asked.labels) < least:
        beside = f" beside --held-out {asked.held_out}" if asked.held_out else ""
        why = "" if asked.held_out else f", because {FOLDS} folds are left out in turn and {LEAST} labels have to stay"
        raise NasctlError(
            f"Cannot fit a predictor to {min(count, asked.labels)} labelled networks{beside}: it needs {least}{why}."
            " Label more networks."
        )
    kept = known.part(np.arange(asked.held_out, min(count, asked.held_out + asked.labels)))
    check_labels(kept.labels)
    return kept, known.part(np.arange(asked.held_out)), notes


def _trained(
    asked: _LabelChoice, spec: str, space: SearchSpace, store: str, seed: int
) -> tuple[LabelledGenomes, list[str]]:
    """Return the labels of the store's trainings, and notes.

    Raises:
        NasctlError: The store has no such trainings, or an option of a table was given.
    """
    from nasctl import registry
    from nasctl.analysis.accuracy_labels import labels_of_trainings
    from nasctl.errors import NasctlError
    from nasctl.store.store import Store

    if asked.column or asked.error_column or asked.lower_is_better:
        raise NasctlError("Cannot read a column without a table: give --truth FILE, or leave out the column's options.")
    rows = Store.reading(store).trainings(registry.spelled_out("spaces", spec))
    return labels_of_trainings(rows, space, asked.part, seed)


def _unlabelled(
    space: SearchSpace, number: int, seen: Sequence[tuple[int, ...]], seed: int
) -> tuple[tuple[int, ...], ...]:
    """Return canonical genomes of random networks that have no label."""
    import numpy as np

    from nasctl.problem.sampling import unseen

    drawn = unseen(space, np.random.default_rng(seed), number, frozenset(seen))
    return tuple(space.canonical(genome) for genome in drawn)


def _report(result: FitResult, path: Path) -> dict[str, object]:
    """Return the result as JSON has it."""
    import msgspec

    file = result.predictor.file
    return {
        "file": str(path),
        "model": file.model,
        "compared": dict(file.compared),
        "labels": len(file.labelled),
        "held_out": msgspec.to_builtins(file.held_out),
        "digest": result.predictor.digest,
    }


def _print_result(result: FitResult, space: str, path: Path, setting: SettingOptions, as_csv: bool) -> None:
    """Print the figures on labels left out, the choice of the model, and the next command; beside CSV on stderr."""
    from nasctl.problem.defaults import DEFAULT_COST
    from nasctl.system.terminal import TableCell, TableColumn, plural, say, table

    file = result.predictor.file
    held = file.held_out
    say(
        f"{file.column}, {plural(len(file.labelled), 'label')};"
        f" figures on {plural(held.networks, 'label')}, {result.how}"
    )
    rows = []
    for one in result.scores:
        found = one.agreement
        cells = [found.kendall, found.spearman, found.top]
        row: list[object] = [one.name]
        for cell in cells:
            text = f"{cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}]" if cell else "-"
            row.append(TableCell(cell.value if cell else None, text, text))
            # The ends of the interval are columns of their own in CSV.
            row += [cell and cell.low, cell and cell.high] if as_csv else []
        rows.append(row)
    columns = [TableColumn("score")]
    for k, name in enumerate(("Kendall", "Spearman", "top 10%")):
        columns.append(TableColumn(name, priority=k))
        columns += [TableColumn(f"{name}, low"), TableColumn(f"{name}, high")] if as_csv else []
    table(columns, rows, as_csv=as_csv)
    if file.compared:
        others = ", ".join(f"{name} {tau:.3f}" for name, tau in sorted(file.compared.items(), key=lambda one: -one[1]))
        say(f"model: {file.model}; Kendall in the cross-validation that chose it: {others}")
    if weakness := result.predictor.weakness:
        say(f"Warning: {weakness}")
    options = "".join(f" {option}" for option in _setting_options(setting))
    wrote = f"wrote {path}; next: nasctl search --space {space} -o accuracy@{path},{DEFAULT_COST}{options}"
    (say if as_csv else click.echo)(wrote)


def _setting_options(setting: SettingOptions) -> list[str]:
    """Return the options that a search on the predictor needs, because its metrics were measured with them."""
    given = {"--fidelity": setting.fidelity, "--data": setting.data, "--weights-seed": setting.weights_seed}
    return [f"{option} {value}" for option, value in given.items() if value]
