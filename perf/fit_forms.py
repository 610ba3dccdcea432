"""Tables of docs/fitted.md: what idle operations and rows per place do to the error of fitted tables.

python -m perf.fit_forms [--space nb201|fbnet|mbconv] [--device COLUMN ...] [--networks 600] [--markdown FILE]

Tables are fitted to some hundred random networks of NAS-Bench-201 in the data of HELP, and predict other networks. No
network of the test computes the same function as a network of the fit. On the chains of blocks of the other spaces,
which have no idle operations, only rows per place are compared, with 3,500 networks in each fit. The data is read from
the folder that NASCTL_DATA names.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from nasctl import registry
from nasctl.api import Genome, SearchSpace
from nasctl.hardware.fitting.additive import MeasuredNetworks, fit, split_groups, split_networks
from nasctl.hardware.fitting.by_idle import FormFit, TimedNetworks, fit_form
from nasctl.hardware.fitting.by_place import Rows, fit_rows
from nasctl.hardware.fitting.operators import evaluate_predictions
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Validation
from perf.fit_tables import SHARE, SOURCES, Source, fbnet_networks, nb201_genomes, ofa_networks

TEST = 3000  # networks of the test
EMPTY = LatencyTable("fit", "gpu", 1, {})
FORMS = ("canonical", "ignored, operation", "ignored, place", "counted, operation", "counted, place", "chosen")


@dataclass(frozen=True)
class Split:
    """Networks to fit to and to predict, with placeholder times, in the forms that are compared."""

    inside: np.ndarray  # indices of the networks of the fit, (N,)
    held: np.ndarray  # indices of the networks of the test, (M,)
    canonical: tuple[MeasuredNetworks, MeasuredNetworks]  # of the canonical genomes
    written: tuple[TimedNetworks, TimedNetworks]  # as they are written

    @classmethod
    def of(cls, space: SearchSpace, genomes: Sequence[Genome], number: int) -> Split:
        """Draw networks and count their blocks."""
        groups_of: dict[Genome, int] = {}
        canonical = [space.canonical(genome) for genome in genomes]
        groups = np.array([groups_of.setdefault(genome, len(groups_of)) for genome in canonical])
        inside, held = (np.random.default_rng(0).permutation(part) for part in split_groups(groups, SHARE, seed=0))
        inside, held = inside[:number], held[:TEST]
        chosen = np.append(inside, held)
        ones = np.ones(len(chosen))  # ms
        first, second = np.arange(number), np.arange(number, len(chosen))
        plain = MeasuredNetworks.of((space.network(canonical[k]) for k in chosen), ones, groups[chosen])
        timed, _ = TimedNetworks.of(space, [genomes[k] for k in chosen], ones)
        return cls(inside, held, (plain.part(first), plain.part(second)), (timed.part(first), timed.part(second)))

    def errors(self, ms: np.ndarray) -> dict[str, Validation]:
        """Fit tables to the latencies of a device in ms, of all networks, and return their errors by form."""
        inside, held = ms[self.inside], ms[self.held]
        plain, plain_held = self.canonical
        found = fit(_merged(plain, inside)).fill(EMPTY)
        errors = {"canonical": evaluate_predictions("", plain_held.predicted(found), held)}
        fitted, tested = (
            replace(one, forms={idle: replace(data, ms=times) for idle, data in one.forms.items()})
            for one, times in zip(self.written, (inside, held), strict=True)
        )
        fits: dict[str, Callable[[TimedNetworks], FormFit]] = {
            "ignored, operation": partial(fit_form, idle="ignore", rows="operation"),
            "ignored, place": partial(fit_form, idle="ignore", rows="place"),
            "counted, operation": partial(fit_form, idle="count", rows="operation"),
            "counted, place": partial(fit_form, idle="count", rows="place"),
            "chosen": fit_form,
        }
        for form, fit_one in fits.items():
            made = fit_one(fitted)
            table = made.fill(EMPTY)
            name = f"{made.idle}, {'place' if table.places else 'operation'}"
            errors[form] = evaluate_predictions(name, made.form(tested).predicted(table), held)
        return errors


def _merged(data: MeasuredNetworks, ms: np.ndarray) -> MeasuredNetworks:
    """Return one network of each group, with the mean of the latencies of the group, given in ms, (N,)."""
    assert data.groups is not None
    _, first, group = np.unique(data.groups, return_index=True, return_inverse=True)
    return replace(data.part(first), ms=np.bincount(group, ms) / np.bincount(group))


def line(device: str, errors: dict[str, Validation]) -> str:
    """Format the errors of a device as a line of a Markdown table."""
    cells = [f"{errors[form].mape:.1f}%, {errors[form].spearman or 0:.3f}" for form in FORMS]
    return f"| {device} | {' | '.join(cells)} | {errors['chosen'].held_out} |"


def chain_lines(source: Source, networks: MeasuredNetworks, devices: Sequence[str]) -> Iterator[str]:
    """Yield lines of a Markdown table: rows per operation against the default, for chains without idle blocks."""
    yield "| device | operation | chosen | rows per place |"
    yield "| --- " * 4 + "|"
    inside, held = split_networks(len(networks.ms), SHARE, seed=0)
    for device in devices:
        data = replace(networks, ms=source.ms(device))
        cells = []
        remark = ""
        choices: tuple[Rows, ...] = ("operation", "auto")
        for rows in choices:
            found = fit_rows(data.part(inside), rows)
            error = evaluate_predictions("", data.part(held).predicted(found.fill(EMPTY)), data.ms[held])
            cells.append(f"{error.mape:.2f}%, {error.spearman or 0:.4f}")
            remark = found.place_remark
        yield f"| {device} | {' | '.join(cells)} | {remark} |"


def cell_lines(source: Source, devices: Sequence[str], number: int, results: dict[str, object]) -> Iterator[str]:
    """Yield lines of a Markdown table: the forms of cells of NAS-Bench-201; add the errors to `results`."""
    yield f"| device | {' | '.join(FORMS)} | choice |"
    yield "| --- " * (len(FORMS) + 2) + "|"
    split = Split.of(registry.create("spaces", "nb201"), nb201_genomes(), number)
    found = {}
    for device in devices:
        found[device] = split.errors(source.ms(device))
        yield line(device, found[device])
        results[device] = {form: {"mape": one.mape, "spearman": one.spearman} for form, one in found[device].items()}
    means = [
        f"{np.mean([one[form].mape for one in found.values()]):.1f}%, "
        f"{np.mean([one[form].spearman or 0 for one in found.values()]):.3f}"
        for form in FORMS
    ]
    yield f"| mean | {' | '.join(means)} | |"


def main() -> None:
    """Fit and compare the tables, print the errors and write them."""
    sources = dict(zip(("mbconv", "nb201", "fbnet"), SOURCES, strict=True))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--space", choices=sources, default="nb201", help="networks of the data")
    parser.add_argument("--device", nargs="+", metavar="COLUMN", help="columns of the data; all if left out")
    parser.add_argument("--networks", type=int, default=600, help="networks of the fit, for nb201")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    parser.add_argument("--json", type=Path, help="also write the errors of nb201 to this file")
    given = parser.parse_args()
    source = sources[given.space]
    devices = given.device or sorted(source.columns())
    results: dict[str, object] = {}
    if given.space == "nb201":
        found = cell_lines(source, devices, given.networks, results)
    else:
        networks = ofa_networks(1.2, by_place=True) if given.space == "mbconv" else fbnet_networks(by_place=True)
        found = chain_lines(source, networks, devices)
    lines = []
    for text in found:
        print(text, flush=True)
        lines.append(text)
    if given.markdown:
        given.markdown.write_text("\n".join(lines) + "\n")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
