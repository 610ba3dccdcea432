"""The report of a run as one self-contained HTML page, which loads nothing and is readable without scripts."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from html import escape
from importlib.resources import files

import numpy as np

from nasctl import registry
from nasctl.drawing.palette import css_variables
from nasctl.pareto.hypervolume import REFERENCE
from nasctl.report.elements import breakable, definition_list, tabulated
from nasctl.report.front import ARROWS, front_section
from nasctl.report.networks import recommended_section, references_section
from nasctl.report.summary import ReportSummary
from nasctl.report.svg import axis_positions, line
from nasctl.report.trained import trained_section
from nasctl.search.command_line import command_line
from nasctl.search.recorded import setting_parts
from nasctl.system.terminal import duration

MAX_SHADE = 0.65  # share of the colour behind a correlation of 1, which keeps its number readable
MAX_IDS = 5  # ids listed beside a failure
DIRECTIONS = {"min": "less is better", "max": "more is better"}


def page(found: ReportSummary) -> str:
    """Return the page as HTML. The same run gives the same page."""
    style, script = (
        files("nasctl.report").joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
    )
    allowed = b64encode(sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    title = f"{registry.normal('spaces', found.record.space)}: run {found.run.name}"
    sections = (
        _question, recommended_section, front_section, trained_section, references_section, _convergence,
        _correlations, _devices, _failures, _setting, _repeat,
    )  # fmt: skip
    body = "\n".join(part for section in sections for part in section(found))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)}</title>
<style>
{css_variables()}{style}</style>
</head>
<body>
<main>
<h1>{breakable(title)}</h1>
{body}
</main>
<script>{script}</script>
</body>
</html>
"""


def _question(found: ReportSummary) -> Iterator[str]:
    """Yield the question of the run, and how many candidates answer it."""
    record = found.record
    wanted = ", ".join(f"{goal.name} ({DIRECTIONS[goal.direction]})" for goal in record.goals)
    subject = f", subject to {' and '.join(record.bounds)}" if record.constraints else ""
    question = f"Which networks of {registry.plugin_of(record.space)} are best in {wanted}{subject}?"
    failed = sum(bool(one.errors) for one in found.visited)
    counts = [f"{len(found.visited)} evaluated", f"{len(found.front)} on the front", f"{failed} failed"]
    counts += [f"{found.broken.sum()} violate a constraint"] if record.constraints else []
    yield f"<p>{escape(question)}</p>"
    yield f"<p>{', '.join(counts)}.</p>"


def _setting(found: ReportSummary) -> Iterator[str]:
    """Yield the configuration of the run."""
    record, asked = found.record, found.record.asked
    yield "<h2>Settings</h2>"
    yield definition_list(
        {
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


def _convergence(found: ReportSummary) -> Iterator[str]:
    """Yield the hypervolume over the evaluations."""
    yield "<h2>Convergence</h2>"
    if found.measured_on is None:
        yield "<p>No candidate has a value in every objective, so there is no hypervolume.</p>"
        return
    scale, said = found.measured_on
    counts, volumes = np.array(found.growth).T
    ends = [f"{name} {best:.4g} to {scale.worst[name]:.4g}" for name, best in scale.best.items()]
    yield (
        f"<p>Hypervolume {volumes[-1]:.1%} of the ideal box after {len(found.visited)} evaluations."
        f' <span class="soft">Scaled {escape(said)}; reference {REFERENCE} in each, from'
        f" {escape(', '.join(ends))}.</span></p>"
    )
    titles = ("evaluations", f"hypervolume, share{ARROWS['max']}")
    spoken = f"hypervolume over {len(found.visited)} evaluations, {volumes[-1]:.1%} of the ideal box at the end"
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
        cells = [f'<th scope="row">{escape(one.name)}</th>']
        for other in shown:
            tau, number = found.correlations.get((one.name, other.name)) or found.correlations.get(
                (other.name, one.name), (np.nan, 0)
            )
            cells.append(_tau(tau, number))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    yield tabulated(["", *(one.name for one in shown)], rows, "taus", "Rank correlations of the metrics")


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
    heads = ["objective", "candidates", "reason", "ids"]
    yield tabulated(heads, rows, label="Failures of candidates", words=heads)


def _repeat(found: ReportSummary) -> Iterator[str]:
    """Yield the command that repeats the run."""
    text, notes = command_line(found.run.name, found.record, len(found.visited))
    yield "<h2>Reproduction</h2>"
    yield f"<pre><code>{escape(text)}</code></pre>"
    yield '<p class="soft">With the same store and a larger budget, the command continues the run.</p>'
    yield from (f'<p class="soft">{escape(note)}</p>' for note in notes)


def _tau(tau: float, number: int) -> str:
    """Return a table cell with a correlation, shaded by its size. Narrow pages leave out the 0 before the point."""
    if not np.isfinite(tau):
        return "<td></td>"
    kind, share = "plus" if tau > 0 else "minus", MAX_SHADE * abs(tau)
    written = f"{tau:.2f}".replace("0.", '<span class="zero">0</span>.', 1)
    return f'<td class="{kind}" style="--share:{share:.0%}" title="{number} candidates">{written}</td>'
