"""The picture of a supernet: learning curves, accuracy over cost, and visits of its slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasctl.drawing.canvas import WIDTH, canvas, thin_ticks
from nasctl.drawing.palette import BLUE, CAPTION, GREEN, ORANGE, SERIES, VERMILLION
from nasctl.errors import NasctlError
from nasctl.pareto.hypervolume import pareto

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.axis

HEIGHT = 2.6  # inches, of a row of panels

NAMED = 6  # curves of a panel of choices that have a name; the others are one curve together

COLOURS = {"largest": BLUE, "smallest": VERMILLION}  # of a sampled network: GREEN

MOST_BARS = 20  # networks that are drawn with bars of their standard errors


def draw_supernet(
    path: Path,
    row: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    visits: np.ndarray,
    history: np.ndarray | None = None,
) -> None:
    """Draw a supernet into a .png, .svg or .pdf, which is replaced if it exists.

    The first panel has the accuracy of the judged networks on the validation part by epoch, the second one their last
    accuracy over their multiply-accumulates, with the front, and the third one the visits of all slots, sorted. With
    learned choices, a second row has their probabilities over the training: the mean over the genes that have the same
    choices, so that a collapse to one kind of operation shows, and the entropy of each group of such genes.

    Args:
        path: The picture.
        row: The supernet as `supernet_row` returns it.
        entries: The entries of its log.
        visits: Passes that trained each slot, (copies, slots).
        history: Probabilities of all choices over the training, (101, choices of all genes); None if none are learned.

    Raises:
        NasctlError: No network has been evaluated yet, or the file cannot be written.
    """
    curves = _curves(entries)
    if not curves:
        raise NasctlError(
            f"Cannot draw the supernet {row['supernet']}: none of its networks has been evaluated yet. Wait for the end"
            " of an epoch."
        )
    groups = [] if history is None or not row.get("choices") else gene_groups(row["choices"]["probabilities"])
    with canvas(path, WIDTH, HEIGHT * (2 if groups else 1)) as figure:
        grid = figure.add_gridspec(2 if groups else 1, 3)
        left, middle, right = (figure.add_subplot(grid[0, place]) for place in range(3))
        if groups and history is not None:
            places = [grid[1, :2]] if len(groups) == 1 else [grid[1, 0], grid[1, 1]]
            areas = [figure.add_subplot(place) for place in (*places, grid[1, 2])]
            _draw_choices(areas, groups, history)
        _draw_curves(left, curves)
        _draw_costs(middle, row)
        _draw_visits(right, visits)
        left.set_ylabel(_axis_title(next(iter(curves.values())), "validation"))
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False)
        figure.canvas.draw()
        thin_ticks(figure)


def gene_groups(choices: Mapping[str, Mapping[str, float]]) -> list[tuple[list[str], list[str], np.ndarray]]:
    """Return the genes that have the same choices, the largest group first.

    Args:
        choices: Probabilities by the names of genes and choices.

    Returns:
        Names of the genes, names of the choices, and columns of the history, (genes, choices), of each group of genes
        with two choices or more.
    """
    found: dict[tuple[str, ...], tuple[list[str], list[np.ndarray]]] = {}
    start = 0
    for gene, shares in choices.items():
        genes, columns = found.setdefault(tuple(shares), ([], []))
        genes.append(gene)
        columns.append(np.arange(start, start + len(shares)))
        start += len(shares)
    listed = [(genes, list(names), np.array(columns)) for names, (genes, columns) in found.items() if len(names) > 1]
    return sorted(listed, key=lambda one: -len(one[0]))


def _draw_choices(
    areas: Sequence[matplotlib.axes.Axes],
    groups: Sequence[tuple[list[str], list[str], np.ndarray]],
    history: np.ndarray,
) -> None:
    """Draw the mean probability of each choice over the training, of the two largest groups, and entropies of all."""
    done = np.flatnonzero(~np.isnan(history).any(axis=1))
    for area, (genes, names, columns) in zip(areas, groups[:2], strict=False):
        means = history[done][:, columns].mean(axis=1)  # (rows, choices)
        order = np.argsort(-means[-1], kind="stable")
        for place, choice in enumerate(order[:NAMED]):
            area.plot(done, means[:, choice], color=SERIES[place], linewidth=1.0, label=names[choice])
        if len(order) > NAMED:
            rest = means[:, order[NAMED:]].sum(axis=1)
            area.plot(done, rest, color=CAPTION, linewidth=1.0, linestyle=":", label=f"{len(order) - NAMED} others")
        area.set(xlabel="part of the training (%)", ylabel="probability", xlim=(0, 100), ylim=(0, 1))
        about = genes[0] if len(genes) == 1 else f"mean over {len(genes)} genes, {genes[0]} to {genes[-1]}"
        area.set_title(about, fontsize=6, loc="right")
        area.legend(loc="upper left", fontsize=5.5, ncols=2, framealpha=0.8, handlelength=1.2, borderpad=0.3)
    last = areas[-1]
    for place, (genes, names, columns) in enumerate(groups):
        shares = history[done][:, columns]  # (rows, genes, choices)
        bits = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=2) / np.log2(len(names))
        colour = SERIES[place % len(SERIES)]
        last.fill_between(done, bits.min(axis=1), bits.max(axis=1), color=colour, alpha=0.12, linewidth=0)
        label = genes[0] if len(genes) == 1 else f"{genes[0]} and {len(genes) - 1} more"
        last.plot(done, bits.mean(axis=1), color=colour, linewidth=1.0, label=label if place < NAMED else None)
    last.set(xlabel="part of the training (%)", ylabel="entropy / entropy of equal choices", xlim=(0, 100), ylim=(0, 1))
    last.set_title("line: mean over genes; band: range", fontsize=6, loc="right")
    last.legend(loc="lower left", fontsize=5.5, framealpha=0.8, handlelength=1.2, borderpad=0.3)


def _whole_numbers(axis: matplotlib.axis.Axis) -> None:
    """Label an axis with whole numbers, written as "12,000"."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axis.set_major_locator(MaxNLocator(5, integer=True))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _curves(entries: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the evaluations on the validation part by name of the network."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in entries:
        if one.get("event") == "evaluated" and one.get("part") == "validation":
            found.setdefault(one.get("subnet", ""), []).append(one)
    return found


def _value(result: Mapping[str, Any]) -> tuple[float, float]:
    """Return the accuracy in percent, the perplexity, or the score of a strategy, with its standard error."""
    if result.get("accuracy") is not None:
        return 100 * float(result["accuracy"]), 100 * float(result["error"])
    if result.get("perplexity") is None:
        return float(result["loss"]), float(result["error"])
    perplexity = float(np.exp(result["loss"]))
    return perplexity, perplexity * float(result["error"])


def _axis_title(results: Sequence[Mapping[str, Any]], part: str) -> str:
    """Return the title of the axis of results."""
    if results[0].get("accuracy") is not None:
        return f"{part} accuracy (%)"
    return f"{part} perplexity" if results[0].get("perplexity") is not None else "score of the strategy"


def _group(name: str) -> str:
    """Return the group of a network in the legend."""
    return name if name in COLOURS else "random networks"


def _draw_curves(area: matplotlib.axes.Axes, curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw the result of each network by epoch."""
    labelled: set[str] = set()
    for name, some in curves.items():
        epochs = np.array([one["epoch"] for one in some], float)
        values, errors = np.array([_value(one) for one in some]).T
        colour, group = COLOURS.get(name, GREEN), _group(name)
        label = None if group in labelled else group
        labelled.add(group)
        area.fill_between(epochs, values - errors, values + errors, color=colour, alpha=0.15, linewidth=0)
        area.plot(epochs, values, color=colour, linewidth=1.0, marker="o", markersize=2.2, label=label)
    area.set_xlabel("epoch")
    area.set_xlim(left=0)
    _whole_numbers(area.xaxis)
    area.set_title("band: \N{PLUS-MINUS SIGN} one standard error", fontsize=6, loc="right")


def _draw_costs(area: matplotlib.axes.Axes, row: Mapping[str, Any]) -> None:
    """Draw the last result of each network over its multiply-accumulates, with the front."""
    part, results = next(reversed(list(row["results"].items())))
    known = {name: one for name, one in results.items() if name in row["judged"]}
    area.set_xlabel("MACs (millions)")
    area.set_ylabel(_axis_title(list(results.values()), part))
    if not known:
        area.set(xticks=[], yticks=[])
        area.text(0.5, 0.5, "the space is not installed", transform=area.transAxes, ha="center", color=CAPTION)
        return
    costs = np.array([row["judged"][name]["macs"] for name in known]) / 1e6
    values, errors = np.array([_value(one) for one in known.values()]).T
    sign = -1 if next(iter(known.values())).get("accuracy") is not None else 1
    front = pareto(np.stack([costs, sign * values], axis=1))
    front = front[np.argsort(front[:, 0], kind="stable")]
    area.step(front[:, 0], sign * front[:, 1], where="post", color=ORANGE, linewidth=0.9, zorder=1)
    many = len(known) > MOST_BARS
    for name, cost, value, error in zip(known, costs, values, errors, strict=True):
        size, order = (1.8 if many else 3, 2) if name not in COLOURS else (3, 3)
        area.errorbar(
            cost, value, None if many else error, color=COLOURS.get(name, GREEN), marker="o", markersize=size,
            linewidth=0.7, capsize=1.5, zorder=order,
        )  # fmt: skip
    bars = f"standard errors at most {errors.max():.2g}" if many else "bars: \N{PLUS-MINUS SIGN} one standard error"
    area.set_title(f"line: front; {bars}", fontsize=6, loc="right")


def _draw_visits(area: matplotlib.axes.Axes, visits: np.ndarray) -> None:
    """Draw the visits of all slots, from the most to the least visited one."""
    ordered = np.sort(visits.ravel())[::-1]
    area.plot(np.arange(1, len(ordered) + 1), ordered, color=BLUE, linewidth=1.1)
    area.fill_between(np.arange(1, len(ordered) + 1), ordered, color=BLUE, alpha=0.15, linewidth=0)
    area.set_ylim(bottom=0)
    area.set_xlim(1, max(2, len(ordered)))
    _whole_numbers(area.xaxis)
    _whole_numbers(area.yaxis)
    never = int((ordered == 0).sum())
    area.set_xlabel("slots, the most visited first")
    area.set_ylabel("passes that trained the slot")
    area.set_title(f"never trained: {never:,} of {len(ordered):,}", fontsize=6, loc="right")


__all__ = ["draw_supernet"]
