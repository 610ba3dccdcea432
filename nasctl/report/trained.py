"""The trained candidates of a run in its report."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from nasctl.problem.space import Genome
from nasctl.report.elements import tabulated
from nasctl.report.summary import ReportSummary
from nasctl.training.accuracies import TrainedNetworks
from nasctl.training.rows import accuracy_text


def trained_section(found: ReportSummary) -> Iterator[str]:
    """Yield the trained candidates, the best first; nothing for a run without trainings."""
    trained = found.trained
    if trained is None:
        return
    genomes = [one.genome for one in found.visited]
    names = dict(zip(genomes, found.ids, strict=True))
    front = {genomes[k] for k in found.front}
    yield "<h2>Trained networks</h2>"
    said = trained.note(genomes)
    yield (
        f"<p>{escape(said[:1].upper() + said[1:])}."
        ' <span class="soft">The best in the validation part comes first, so that the test part stays unseen by the'
        " choice. Networks that did not end were stopped early, and their validation results do not compare.</span></p>"
    )
    rows = []
    heads = ["id", "test", "validation", "state", "on the front", "training"]
    for genome in sorted(trained.records, key=lambda one: _order(trained, one)):
        record = trained.records[genome]
        cells = [f'<th scope="row" class="id">{escape(names[genome])}</th>']
        for part in ("test", "validation"):
            result = record.parts.get(part)
            value = "" if result is None else repr(result.get(trained.measure))
            cells.append(f'<td data-value="{value}" data-label="{part}">{escape(accuracy_text(result)) or "-"}</td>')
        where = "yes" if genome in front else "no"
        words = zip(heads[3:], (record.state, where, record.name), strict=True)
        cells += [f'<td data-label="{head}">{escape(word)}</td>' for head, word in words]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    yield tabulated(heads, rows, "sortable cards", "Trained networks")


def trained_cell(trained: TrainedNetworks, genome: Genome) -> str:
    """Return the result of a network as a cell of a table, with all of its digits for sorting."""
    value = trained.value(genome)
    data = "" if value is None else repr(value)
    return f'<td data-value="{data}" data-label="{escape(trained.head)}">{escape(trained.cell(genome)) or "-"}</td>'


def _order(trained: TrainedNetworks, genome: Genome) -> tuple[bool, float, Genome]:
    """Return the key that sorts finished networks by their result, the best first, before the others."""
    value = trained.value(genome, trained.judged)
    if value is None:
        return True, 0.0, genome
    return False, -value if trained.measure == "accuracy" else value, genome


__all__ = ["trained_cell", "trained_section"]
