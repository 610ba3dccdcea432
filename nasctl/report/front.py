"""The Pareto front of a run in its report: the picture, the data of its script, and the table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np

from nasctl.analysis.run_scores import chosen_score
from nasctl.drawing.pareto_layout import Axis, non_dominated, pairs
from nasctl.report.elements import number_cell, number_writer, tabulated
from nasctl.report.run_plot import series_axis
from nasctl.report.summary import ReportSummary, Series
from nasctl.report.svg import Dot, Name, Stairs, axis_positions, scatter
from nasctl.report.trained import trained_cell
from nasctl.system.terminal import plural, quantity

MAX_DOTS = 5000  # candidates off the front that are drawn; browsers are slow with more
DIGITS = 7  # significant digits of the values that the script draws
ARROWS = {"min": "\N{EM SPACE}\N{LEFTWARDS ARROW} better", "max": "\N{EM SPACE}better \N{RIGHTWARDS ARROW}", None: ""}
LOGARITHMS = {"log10": 1, "-log10(-s)": -1}  # sign of the values of which an axis may have the logarithm
BETTER = {"min": -1, "max": 1, None: 0}

# The meaning of a score by its method.
SCORES = {
    "log_rank": "Each metric ranks the feasible candidates of this run, the best as 1, the others as smaller shares of"
    " 1; the score is the sum of the logarithms of these ranks. A candidate that is best in all metrics has 0, and one"
    " bad rank lowers the score far.",
    "mean_rank": "Each metric ranks the feasible candidates of this run, the best as 1; the score is the mean of these"
    " ranks.",
    "vote": "The score is the share of the other candidates that a candidate beats in a majority vote of the metrics.",
}


def front_section(found: ReportSummary) -> Iterator[str]:
    """Yield the front as a picture and as a table."""
    yield "<h2>Pareto front</h2>"
    if not found.front:
        yield "<p>The front is empty: no feasible candidate has a value in every objective.</p>"
        return
    equal = _equal_rows(found)
    rows = _drawn(found, equal)
    kinds = _kinds(found)
    series, (x, y) = found.series, _first(found)
    done = found.trained.finished if found.trained else {}
    dots = [Dot(kinds[k], found.ids[k], _said(found, equal[k])) for k in rows]
    key = {"front": "non-dominated in all objectives", "recommended": "recommended"}
    key |= {"reference": "reference network"} if found.reference_rows else {}
    key |= {"other": "evaluated"} | ({"other trained": "trained"} if done else {})
    key |= {"broken": "violates a constraint"} if found.record.constraints else {}
    yield f"<p>{_key(key)}"
    yield '<span class="soft">The line is the front in the two quantities that are drawn. Point at a candidate to read'
    yield "its values, or go to it with the tab and arrow keys.</span></p>"
    labels = " ".join(f'<label>{name} <select id="{name}"></select></label>' for name in ("across", "up"))
    yield f'<form class="axes" id="axes" hidden autocomplete="off">{labels}<span id="kinds"></span></form>'
    yield f'<div class="chart">{_chart(found, equal, dots, rows, (x, y))}'
    yield '<div class="tip" id="tip" role="status" hidden></div></div>'
    said = []
    if (drawn := sum(len(equal[k]) for k in rows)) < len(found.visited):
        said = [f"{drawn} of {len(found.visited)} candidates are drawn, including the whole front."]
    if len(rows) < drawn:
        said.append("Candidates with equal values are one point, which says how many there are.")
    yield from [f'<p class="soft">{" ".join(said)}</p>'] if said else []
    yield f'<script type="application/json" id="series">{_json(found, series, rows, x, y)}</script>'
    yield from _table(found)


def _chart(
    found: ReportSummary,
    equal: Mapping[int, Sequence[int]],
    dots: Sequence[Dot],
    rows: list[int],
    shown: tuple[int, int],
) -> str:
    """Return the picture on its initial axes; both axes span the candidates that are visible.

    Args:
        found: The summary.
        equal: Rows with the values of a row, itself included, by row.
        dots: The points, (N,).
        rows: Their rows, (N,).
        shown: Positions of the series of the axes across and up.
    """
    one, other = (found.series[k] for k in shown)
    table = np.column_stack([one.values[rows], other.values[rows]])
    table[~np.isfinite(table).all(axis=1)] = np.nan
    laid = [axis_positions(column, part.transform) for column, part in zip(table.T, (one, other), strict=True)]
    axes = [series_axis(found.record, part) for part in (one, other)]
    losses = table * [-BETTER[axis.direction] for axis in axes]
    kept = np.flatnonzero(np.isfinite(losses).all(axis=1) & ~found.broken[rows])
    best = [int(kept[k]) for k in non_dominated(losses[kept])]
    places = {k: place for place, k in enumerate(rows)}
    marked = {k: [found.marked_rows[same] for same in equal[k] if same in found.marked_rows] for k in rows}
    names = [Name(", ".join(marks), places[k]) for k, marks in marked.items() if marks]
    number = sum(len(equal[k]) for k in rows)
    said = f"{other.name} against {one.name}: {number} candidates, {len(found.front)} on the front"
    ordered = "order" in (one.role, other.role)
    stairs = Stairs([] if ordered else best, [-BETTER[axis.direction] for axis in axes])
    titles = _title(found, one), _title(found, other)
    return scatter("front", said, laid[0], laid[1], titles, dots, stairs, names)


def _table(found: ReportSummary) -> Iterator[str]:
    """Yield the front as a table, one row per candidate, or for several whose values are all equal."""
    head, scores = found.score
    shown = [one for one in found.series if one.role not in ("order", "trained")]
    trained = found.trained
    heads = [
        "id",
        *([trained.head.replace(" (", "\n(")] if trained else []),
        *(f"{one.name}\n{one.unit}" for one in shown),
        *([head.replace("(", "\n(", 1)] if head else []),
    ]
    writers = [number_writer(one.values[found.front], one.unit) for one in shown]
    write_score = number_writer(np.array([scores.get(k, np.nan) for k in found.front]), "")
    groups: dict[str, list[int]] = {}
    for k in sorted(found.front, key=lambda k: (k != found.recommended, k not in found.marked_rows)):
        cells = [trained_cell(trained, found.visited[k].genome)] if trained else []
        cells += [number_cell(one.values[k], write, one.name) for one, write in zip(shown, writers, strict=True)]
        cells += [number_cell(scores.get(k, np.nan), write_score, head)] if head else []
        groups.setdefault("".join(cells), []).append(k)
    places = {k: place for place, k in enumerate(found.front)}
    order = sorted(groups.items(), key=lambda one: (one[1][0] != found.recommended, places[one[1][0]]))
    rows = [
        f'<tr data-id="{escape(found.ids[same[0]])}"><th scope="row">{_names(found, same)}</th>{text}</tr>'
        for text, same in order
    ]
    yield tabulated(heads, rows, "sortable cards", "Networks on the Pareto front")
    if hidden := len(found.front) - len(rows):
        left = plural(hidden, "network has", "networks have")
        yield f'<p class="soft">{left} the values of a row above. <code>nasctl pareto show --csv</code> lists all.</p>'
    if head:
        chosen = chosen_score(found.record)
        reason = f" {chosen.reason[:1].upper()}{chosen.reason[1:]}." if chosen and chosen.reason else ""
        meaning = SCORES.get(head.partition("(")[0], "")
        yield (
            f'<p class="soft"><strong>{escape(head)}</strong> is a score for display. {escape(meaning)}'
            f" It compares candidates of this run alone; no search sees it.{escape(reason)}</p>"
        )


def _names(found: ReportSummary, same: Sequence[int]) -> str:
    """Return the heading of a row of the table, the first network's id and the marks of all networks with its values.

    Args:
        found: The summary.
        same: Rows of the networks that have the same values.
    """
    tags = [found.marked_rows[k] for k in same if k in found.marked_rows]
    tags += [f"+{len(same) - 1:,} equal"] if len(same) > 1 else []
    marks = "".join(f' <span class="tag">{escape(tag)}</span>' for tag in tags)
    return f'<span class="id">{escape(found.ids[same[0]])}</span>{marks}'


def _equal_rows(found: ReportSummary) -> dict[int, list[int]]:
    """Return the rows of candidates with the same values in every series, by the row that stands for them.

    It is the row of the recommended network, else of a published one, else of the first one on the front: the same as
    in the table of the front.
    """
    columns = [one.values for one in found.series if one.role != "order"]
    places = {k: place for place, k in enumerate(found.front)}
    groups: dict[bytes, list[int]] = {}
    table = np.column_stack(columns)
    for k, row in enumerate(np.where(np.isnan(table), np.nan, table) + 0.0):  # one NaN, and no negative zero
        groups.setdefault(row.tobytes(), []).append(k)

    def rank(k: int) -> tuple[bool, bool, int]:
        return k != found.recommended, k not in found.marked_rows, places.get(k, k)

    ordered = (sorted(group, key=rank) for group in groups.values())
    return {group[0]: group for group in ordered}


def _drawn(found: ReportSummary, equal: Mapping[int, Sequence[int]]) -> list[int]:
    """Return the rows that are drawn, marked networks last, so that nothing lies on them.

    Args:
        found: The summary.
        equal: Rows with the values of a row, by the row that stands for them.
    """
    best, done = set(found.front), found.trained.finished if found.trained else {}
    others = [k for k in equal if k not in best]
    if len(others) > MAX_DOTS:
        kept = set(np.linspace(0, len(others) - 1, MAX_DOTS).astype(int).tolist())
        always = {k for k in others if k in found.marked_rows or found.visited[k].genome in done}
        others = [one for k, one in enumerate(others) if k in kept or one in always]
    others.sort(key=lambda k: found.visited[k].genome in done)
    every = [*others, *(k for k in found.front if k in equal)]
    return sorted(every, key=lambda k: (k in found.marked_rows) + (k == found.recommended))


def _kinds(found: ReportSummary) -> list[str]:
    """Return the classes of each candidate's dot, (N,)."""
    done = found.trained.finished if found.trained else {}
    kinds = ["broken" if one else "other" for one in found.broken]
    for k in found.front:
        kinds[k] = "front"
    for k in found.reference_rows.values():
        kinds[k] += " reference"
    if found.recommended is not None:
        kinds[found.recommended] = "front recommended"
    return [f"{kind} trained" if one.genome in done else kind for kind, one in zip(kinds, found.visited, strict=True)]


def _first(found: ReportSummary) -> tuple[int, int]:
    """Return the positions of the initial axes: the first cost and the first metric, as in `nasctl pareto plot`."""
    goals = found.record.goals
    names = [one.name for one in found.series]
    axes = [Axis(goal.name, "", goal.direction, goal.cost == "network") for goal in goals]
    if not (both := pairs(axes)):
        return len(names) - 1, names.index(goals[0].name)
    return names.index(axes[both[0][0]].name), names.index(axes[both[0][1]].name)


def _title(found: ReportSummary, one: Series) -> str:
    """Return the title of an axis."""
    direction = None if one.role == "order" else series_axis(found.record, one).direction
    return f"{one.name}{f' ({one.unit})' if one.unit else ''}{ARROWS[direction]}"


def _said(found: ReportSummary, same: Sequence[int]) -> str:
    """Return the text that is shown when a point is pointed at.

    Args:
        found: The summary.
        same: Rows of the candidates with the values of the point, the one that stands for them first.
    """
    row = same[0]
    known = [one for one in found.series if one.role != "order" and np.isfinite(one.values[row])]
    genome = found.visited[row].genome
    lines = [
        f"{one.name}  {quantity(float(one.values[row]), one.unit)}"
        if one.role != "trained" or found.trained is None
        else f"{one.name}  {found.trained.text(genome)}"
        for one in known
    ]
    names = [found.marked_rows[k] for k in same if k in found.marked_rows]
    name = f" ({', '.join(names)})" if names else ""
    more = [f"{plural(len(same) - 1, 'more candidate has', 'more candidates have')} these values"] * (len(same) > 1)
    return "\n".join([found.ids[row] + name, *lines, f"candidate {row + 1}", *more])


def _json(found: ReportSummary, series: Sequence[Series], rows: Sequence[int], x: int, y: int) -> str:
    """Return the data with which the script changes the axes. "<" is escaped, so that no text can end the element."""
    columns = [
        {
            "name": one.name,
            "title": _title(found, one),
            "log": LOGARITHMS.get(series_axis(found.record, one).transform, 0),
            "better": 0 if one.role == "order" else BETTER[series_axis(found.record, one).direction],
            "values": [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in one.values[rows]],
        }
        for one in series
    ]
    return json.dumps({"series": columns, "x": x, "y": y}, separators=(",", ":")).replace("<", "\\u003c")


def _key(kinds: Mapping[str, str]) -> str:
    """Return the legend of the dots."""
    marks = (
        f'<span><svg viewBox="0 0 16 16" aria-hidden="true"><circle class="{kind}" cx="8" cy="8" r="5"/></svg>'
        f" {escape(text)}</span>"
        for kind, text in kinds.items()
    )
    return f'<span class="key">{"".join(marks)}</span>'
