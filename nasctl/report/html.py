"""The report of a run as one self-contained HTML page, which loads nothing and is readable without scripts."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from html import escape
from importlib.resources import files

import numpy as np

from nasctl import registry
from nasctl.drawing.palette import css_variables
from nasctl.drawing.pareto_layout import Axis, pairs
from nasctl.pareto.hypervolume import REFERENCE
from nasctl.report.elements import definition_list, number_cell, tabulated
from nasctl.report.summary import ReportSummary, Series
from nasctl.report.svg import AxisPositions, Dot, axis_positions, line, scatter
from nasctl.report.trained import trained_cell, trained_section
from nasctl.search.command_line import command_line
from nasctl.search.recorded import setting_parts
from nasctl.system.terminal import duration, quantity

MAX_DOTS = 5000  # candidates off the front that are drawn; browsers are slow with more
MAX_SHADE = 0.65  # share of the colour behind a correlation of 1, which keeps its number readable
MAX_IDS = 5  # ids listed beside a failure
ARROWS = {"min": "\N{EM SPACE}\N{LEFTWARDS ARROW} better", "max": "\N{EM SPACE}better \N{RIGHTWARDS ARROW}", None: ""}
DIRECTIONS = {"min": "less is better", "max": "more is better"}


def page(found: ReportSummary) -> str:
    """Return the page as HTML. The same run gives the same page."""
    style, script = (
        files("nasctl.report").joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
    )
    allowed = b64encode(sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    title = escape(f"{registry.normal('spaces', found.record.space)}: run {found.run.name}")
    sections = (_setting, _front, trained_section, _convergence, _correlations, _devices, _failures, _repeat)
    body = "\n".join(part for section in sections for part in section(found))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>
{css_variables()}{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
<script>{script}</script>
</body>
</html>
"""


def _setting(found: ReportSummary) -> Iterator[str]:
    """Yield the question of the run and its configuration."""
    record, asked = found.record, found.record.asked
    wanted = ", ".join(f"{goal.name} ({DIRECTIONS[goal.direction]})" for goal in record.goals)
    subject = f", subject to {' and '.join(map(str, record.constraints))}" if record.constraints else ""
    question = f"Which networks of {registry.plugin_of(record.space)} are best in {wanted}{subject}?"
    failed = sum(bool(one.errors) for one in found.visited)
    counts = [f"{len(found.visited)} evaluated", f"{len(found.front)} on the front", f"{failed} failed"]
    counts += [f"{found.broken.sum()} violate a constraint"] if record.constraints else []
    yield f"<p>{escape(question)}</p>"
    yield definition_list(
        {
            "candidates": ", ".join(counts),
            "space": record.space,
            "searcher": asked["searcher"],
            "seed": asked["seed"],
            "also recorded": ", ".join(asked["record"]) or "nothing",
            **{f"metrics: {key}": value for key, value in setting_parts(record).items()},
            "time to measure": duration(found.seconds),
            "last started": datetime.fromtimestamp(found.run.started).isoformat(" ", "seconds"),
            "versions": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        }
    )


def _front(found: ReportSummary) -> Iterator[str]:
    """Yield the front as a picture and as a table."""
    yield "<h2>Pareto front</h2>"
    if not found.front:
        yield "<p>The front is empty: no feasible candidate has a value in every objective.</p>"
        return
    rows = _drawn(found)
    kinds = _kinds(found)
    series = found.series
    laid = [axis_positions(one.values[rows], one.transform) for one in series]
    x, y = _first(found)
    done = found.trained.finished if found.trained else {}
    ringed = [" trained" if one.genome in done else "" for one in found.visited]
    dots = [Dot(kinds[k] + ringed[k], found.ids[k], _said(found, k)) for k in rows]
    titles = _title(series[x]), _title(series[y])
    said = f"{series[y].name} against {series[x].name}: {len(rows)} candidates, {len(found.front)} on the front"
    key = {"front": "non-dominated in all objectives", "closest": "closest to the ideal point", "other": "evaluated"}
    key |= {"other trained": "trained"} if done else {}
    yield "<p>" + _key(key | ({"broken": "violates a constraint"} if found.record.constraints else {}))
    yield '<span class="soft">Point at a candidate to read its values.</span></p>'
    labels = " ".join(f'<label>{name} <select id="{name}"></select></label>' for name in ("across", "up"))
    yield f'<form class="axes" id="axes" hidden autocomplete="off">{labels}</form>'
    yield f'<div class="chart">{scatter("front", said, laid[x], laid[y], titles, dots)}'
    yield '<div class="tip" id="tip" hidden></div></div>'
    if len(rows) < len(found.visited):
        said = f"{len(rows)} of {len(found.visited)} candidates are drawn, including the whole front."
        yield f'<p class="soft">{said}</p>'
    yield f'<script type="application/json" id="series">{_json(series, laid, x, y)}</script>'
    yield from _table(found)


def _table(found: ReportSummary) -> Iterator[str]:
    """Yield the front as a table, one row per candidate."""
    head, scores = found.score
    shown = [one for one in found.series if one.role not in ("order", "trained")]
    trained = found.trained
    heads = [
        "id",
        *([trained.head.replace(" (", "\n(")] if trained else []),
        *(f"{one.name}\n{one.unit}" for one in shown),
        *([head.replace("(", "\n(", 1)] if head else []),
    ]
    rows = []
    for k in found.front:
        cells = [f'<td class="id">{escape(found.ids[k])}</td>']
        cells += [trained_cell(trained, found.visited[k].genome)] if trained else []
        cells += [number_cell(one.values[k], one.unit) for one in shown]
        cells += [number_cell(scores.get(k, np.nan), "")] if head else []
        closest = ' class="closest"' if k == found.closest else ""
        rows.append(f'<tr data-id="{escape(found.ids[k])}"{closest}>{"".join(cells)}</tr>')
    yield tabulated(heads, rows, "sortable")
    export = f"nasctl export --arch {found.ids[found.front[0] if found.closest is None else found.closest]}"
    yield f'<p class="soft">To export a network: <code>{escape(export)}</code></p>'


def _convergence(found: ReportSummary) -> Iterator[str]:
    """Yield the hypervolume over the evaluations."""
    yield "<h2>Convergence</h2>"
    if found.measured_on is None:
        yield "<p>No candidate has a value in every objective, so there is no hypervolume.</p>"
        return
    scale, said = found.measured_on
    counts, volumes = np.array(found.growth).T
    ends = [f"{name} {best:.6g} to {scale.worst[name]:.6g}" for name, best in scale.best.items()]
    yield (
        f"<p>Hypervolume {volumes[-1]:.4f} after {len(found.visited)} evaluations."
        f' <span class="soft">Scaled {escape(said)}; reference {REFERENCE} in each, from'
        f" {escape(', '.join(ends))}.</span></p>"
    )
    titles = ("evaluations", f"hypervolume{ARROWS['max']}")
    spoken = f"hypervolume over {len(found.visited)} evaluations, {volumes[-1]:.4f} at the end"
    yield f'<div class="chart">{line("growth", spoken, axis_positions(counts), axis_positions(volumes), titles)}</div>'


def _correlations(found: ReportSummary) -> Iterator[str]:
    """Yield the correlations of all pairs of measured quantities."""
    shown = [one for one in found.series if one.role != "order"]
    yield "<h2>Rank correlations</h2>"
    yield (
        "<p>Kendall's tau-b of the natural values over the feasible candidates."
        " Parameters and MACs serve as baselines: a metric that follows them adds little information."
        ' <span class="soft">These candidates are the path of the search and no random sample;'
        " <code>nasctl objective correlate</code> compares a metric with known accuracies.</span></p>"
    )
    rows = []
    for one in shown:
        cells = [f"<td>{escape(one.name)}</td>"]
        for other in shown:
            tau, number = found.correlations.get((one.name, other.name)) or found.correlations.get(
                (other.name, one.name), (np.nan, 0)
            )
            cells.append(_tau(tau, number))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    yield tabulated(["", *(one.name for one in shown)], rows)


def _devices(found: ReportSummary) -> Iterator[str]:
    """Yield the remarks on devices and metrics."""
    said = {name: column.remarks for name, column in found.record.columns.items() if column.remarks}
    if said:
        yield "<h2>Devices and metrics</h2>"
        yield definition_list({name: "; ".join(remarks) for name, remarks in said.items()})


def _failures(found: ReportSummary) -> Iterator[str]:
    """Yield the failures, the most frequent first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, one in zip(found.ids, found.visited, strict=True):
        for objective, error in one.errors.items():
            groups.setdefault((objective, error), []).append(name)
    yield "<h2>Failures</h2>"
    if not groups:
        yield "<p>None.</p>"
        return
    rows = []
    for (objective, error), names in sorted(groups.items(), key=lambda group: -len(group[1])):
        more = f" and {len(names) - MAX_IDS} more" if len(names) > MAX_IDS else ""
        words = (objective, str(len(names)), error, ", ".join(names[:MAX_IDS]) + more)
        cells = (f'<td class="words">{escape(word)}</td>' for word in words)
        rows.append(f"<tr>{''.join(cells)}</tr>")
    yield tabulated(["objective", "candidates", "reason", "ids"], rows)


def _repeat(found: ReportSummary) -> Iterator[str]:
    """Yield the command that repeats the run."""
    text, notes = command_line(found.run.name, found.record, len(found.visited))
    yield "<h2>Reproduction</h2>"
    yield f"<pre><code>{escape(text)}</code></pre>"
    yield '<p class="soft">With the same store and a larger budget, the command continues the run.</p>'
    yield from (f'<p class="soft">{escape(note)}</p>' for note in notes)


def _drawn(found: ReportSummary) -> list[int]:
    """Return the rows that are drawn, the closest to the ideal point last, so that nothing lies on it."""
    best, done = set(found.front), found.trained.finished if found.trained else {}
    others = [k for k in range(len(found.visited)) if k not in best]
    if len(others) > MAX_DOTS:
        kept = set(np.linspace(0, len(others) - 1, MAX_DOTS).astype(int).tolist())
        others = [one for k, one in enumerate(others) if k in kept or found.visited[one].genome in done]
    others.sort(key=lambda k: found.visited[k].genome in done)
    return [*others, *sorted(found.front, key=lambda k: k == found.closest)]


def _kinds(found: ReportSummary) -> list[str]:
    """Return the class of each candidate's dot, (N,)."""
    kinds = np.where(found.broken, "broken", "other").astype(object)
    kinds[found.front] = "front"
    kinds[found.closest] = "closest"
    return [str(kind) for kind in kinds]


def _first(found: ReportSummary) -> tuple[int, int]:
    """Return the positions of the initial axes: the first cost and the first metric, as in `nasctl pareto plot`."""
    goals = found.record.goals
    names = [one.name for one in found.series]
    axes = [Axis(goal.name, "", goal.direction, goal.cost == "network") for goal in goals]
    if not (both := pairs(axes)):
        return len(names) - 1, names.index(goals[0].name)
    return names.index(axes[both[0][0]].name), names.index(axes[both[0][1]].name)


def _title(one: Series) -> str:
    """Return the title of an axis."""
    return f"{one.name}{f' ({one.unit})' if one.unit else ''}{ARROWS[one.direction]}"


def _said(found: ReportSummary, row: int) -> str:
    """Return the text that is shown when a candidate is pointed at."""
    known = [one for one in found.series if one.role != "order" and np.isfinite(one.values[row])]
    genome = found.visited[row].genome
    lines = [
        f"{one.name}  {quantity(float(one.values[row]), one.unit)}"
        if one.role != "trained" or found.trained is None
        else f"{one.name}  {found.trained.text(genome)}"
        for one in known
    ]
    return "\n".join([found.ids[row], *lines, f"candidate {row + 1}"])


def _json(series: Sequence[Series], laid: Sequence[AxisPositions], x: int, y: int) -> str:
    """Return the data with which the script changes the axes. "<" is escaped, so that no text can end the element."""
    columns = [
        {
            "name": one.name,
            "title": _title(one),
            "at": [round(share, 4) if np.isfinite(share) else None for share in axis.at.tolist()],
            "ticks": [[round(share, 4), text] for share, text in axis.ticks],
        }
        for one, axis in zip(series, laid, strict=True)
    ]
    return json.dumps({"series": columns, "x": x, "y": y}, separators=(",", ":")).replace("<", "\\u003c")


def _tau(tau: float, number: int) -> str:
    """Return a table cell with a correlation, shaded by its size."""
    if not np.isfinite(tau):
        return "<td></td>"
    kind, share = "plus" if tau > 0 else "minus", MAX_SHADE * abs(tau)
    return f'<td class="{kind}" style="--share:{share:.0%}" title="{number} candidates">{tau:.2f}</td>'


def _key(kinds: Mapping[str, str]) -> str:
    """Return the legend of the dots."""
    marks = (
        f'<span><svg viewBox="0 0 12 12" aria-hidden="true"><circle class="{kind}" cx="6" cy="6" r="4"/></svg>'
        f" {escape(text)}</span>"
        for kind, text in kinds.items()
    )
    return f'<span class="key">{"".join(marks)}</span>'
