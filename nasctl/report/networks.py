"""The recommended network and the reference networks of a run in its report, drawn as networks."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np

from nasctl import registry
from nasctl.architectures.references import references
from nasctl.drawing.network import network_legend, network_svg
from nasctl.networks.graph import Network
from nasctl.report.elements import definition_list, number_cell, number_writer, tabulated
from nasctl.report.summary import ReportSummary, Series
from nasctl.system.terminal import quantity

# Widths of pictures of networks in inches of 144 pixels: for a page on a screen and on a phone.
WIDE = 6.6
NARROW = 2.4


def recommended_section(found: ReportSummary) -> Iterator[str]:
    """Yield the recommended network: its id, the reason, its values, how to export it, and its picture."""
    row = found.recommended
    if row is None:
        return
    names = [name for name, k in found.reference_rows.items() if k == row]
    called = f", the reference network {' and '.join(names)}" if names else ""
    yield "<h2>Recommended network</h2>"
    yield f'<p><strong class="id">{escape(found.ids[row])}</strong>{escape(called)}: {escape(found.reason)}.</p>'
    shown = {one.name: quantity(float(one.values[row]), one.unit) for one in known_series(found, row)}
    trained = found.trained.text(found.visited[row].genome) if found.trained else ""
    if found.trained and trained:
        shown = {found.trained.name: trained, **shown}
    yield definition_list(shown, "values")
    yield f"<p>To export it: <code>nasctl export --arch {escape(found.ids[row])}</code></p>"
    network = registry.create("spaces", found.record.space).network(found.visited[row].genome)
    yield from _drawn(network)
    yield f'<p class="soft">{escape(network_legend([network]))}</p>'


def references_section(found: ReportSummary) -> Iterator[str]:
    """Yield the reference networks that the run visited: values, place in the run, sources and pictures."""
    if not found.reference_rows:
        return
    space = registry.create("spaces", found.record.space)
    published = references(space)
    yield "<h2>Reference networks</h2>"
    shown = [one for one in found.series if one.role not in ("order", "trained")]
    rows, places = [], list(found.reference_rows.values())
    writers = [number_writer(one.values[places], one.unit) for one in shown]
    known = any(published[name].accuracy is not None for name in found.reference_rows)
    for name, k in found.reference_rows.items():
        one = published[name]
        accuracy = "-" if one.accuracy is None else f"{100 * one.accuracy:.1f}%"
        standing = f'<td class="words" data-label="in this run">{escape(_standing(found, k))}</td>'
        cells = [f'<th scope="row">{escape(name)}</th>', standing]
        cells += [
            number_cell(series.values[k], write, series.name) for series, write in zip(shown, writers, strict=True)
        ]
        if known:
            cells.append(f'<td data-value="{one.accuracy or ""}" data-label="published accuracy">{accuracy}</td>')
        rows.append(f'<tr data-id="{escape(found.ids[k])}">{"".join(cells)}</tr>')
    heads = ["name", "in this run", *(f"{one.name}\n{one.unit}" for one in shown)]
    heads += ["published\naccuracy"] if known else []
    yield tabulated(heads, rows, "sortable cards", "Reference networks of this run", ["in this run"])
    for name, k in found.reference_rows.items():
        # Sources are prose, and ids are long: columns of the table would be cut off at the edge of the page.
        source = ". ".join(text for text in (published[name].source, published[name].remark) if text)
        named = f'<strong>{escape(name)}</strong>, <span class="id">{escape(found.ids[k])}</span>'
        yield f'<p class="soft">{named}: {escape(source)}</p>'
        yield f"<details><summary>{escape(name)} as a picture</summary>"
        yield from _drawn(space.network(found.visited[k].genome))
        yield "</details>"


def known_series(found: ReportSummary, row: int) -> list[Series]:
    """Return the measured series of which a candidate has a value."""
    measured = [one for one in found.series if one.role not in ("order", "trained")]
    return [one for one in measured if np.isfinite(one.values[row])]


def _drawn(network: Network) -> Iterator[str]:
    """Yield the picture of a network for wide and for narrow pages; a style sheet shows one of them."""
    for kind, width in (("wide", WIDE), ("narrow", NARROW)):
        label = "Picture of the network"
        yield f'<div class="network {kind}" tabindex="0" role="region" aria-label="{label}">'
        yield network_svg(network, width)
        yield "</div>"


def _standing(found: ReportSummary, row: int) -> str:
    """Return the place of a candidate among the others: on the front, dominated, or outside of the constraints."""
    if row == found.recommended:
        return "recommended"
    if row in found.front:
        return "on the front"
    if found.broken[row]:
        return "violates a constraint"
    if not np.isfinite(found.points[row]).all():
        return "has no value in every objective"
    front = found.points[found.front]
    better = ((front <= found.points[row]).all(axis=1) & (front < found.points[row]).any(axis=1)).sum()
    return f"dominated by {better} of the front"
