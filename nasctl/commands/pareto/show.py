"""`nasctl pareto show`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from nasctl.commands import csv_option, json_option, run_option, store_option
from nasctl.commands.pareto._front_table import MARK, RECOMMENDED, FrontRow, fitting_rows, with_remarks

if TYPE_CHECKING:
    from nasctl.problem.searcher import Evaluation
    from nasctl.problem.space import Gene, Genome
    from nasctl.store.run_record import RunRecord
    from nasctl.system.terminal import TableColumn
    from nasctl.training.accuracies import TrainedNetworks


@click.command("show")
@run_option
@click.option(
    "--score",
    metavar="METHOD:A+B",
    help="Score made of ranks among the run's candidates: log_rank, mean_rank or vote of some metrics. Of a cost, more"
    " counts as better.  [default: the score that measurements favour on this family of spaces, if the run has its"
    " metrics; else log_rank of all optimised metrics]",
)
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Show the best in this column first: id, score, trained, or an objective.  [default: the first objective]",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="Show the first N networks only, on a terminal N rows and the recommended network: those with the best score"
    " unless --sort is given.",
)
@store_option
@csv_option
@json_option
def command(
    run: str | None, score: str | None, sort: str | None, top: int | None, store: str, as_csv: bool, as_json: bool
) -> None:
    """Show the front of a run in the units of its objectives, with a score that no searcher sees.

    A terminal and --csv have remarks: the recommended network, and the published networks of the space that the run
    evaluated, on its front or not. A terminal has one row for networks with equal values; JSON, CSV and pipes have all.
    """
    import json
    from functools import partial

    from nasctl import registry
    from nasctl.analysis.recommendation import recommend
    from nasctl.analysis.run_scores import chosen_score, scores_of_run, stored_sizes
    from nasctl.architectures.references import visited_references
    from nasctl.pareto.losses import front
    from nasctl.store.store import Store
    from nasctl.training.accuracies import trained_networks

    opened = Store.reading(store)
    name, record = opened.run(run)
    visited = opened.evaluations(name)
    chosen = None if score else chosen_score(record)
    text = chosen.text if chosen else score
    head, scores = (scores_of_run(record, visited, text, stored_sizes(opened, name, record)) if text else None) or (
        "",
        {},
    )
    space = registry.create("spaces", record.space)
    references = visited_references(space, visited)
    shown = _Front(
        record,
        front(visited, record.goals, record.constraints),
        space.genes,
        head,
        scores,
        trained_networks(opened, record.space, (e.genome for e in visited)),
        {one.genome: reference for reference, one in references.items()},
        best.chosen.genome if (best := recommend(opened, name, record, visited)) else None,
    )
    whole = shown.sorted(sort, top)
    rows = whole[:top]
    if as_json:
        click.echo(json.dumps([shown.facts(one) for one in rows]))
        return
    equal: dict[Genome, list[Evaluation]] = {}
    if marks_shown(as_csv) and not as_csv:
        equal, rows = shown.drawn_rows(whole, top)
    _say_notes(shown, name, visited, chosen.reason if chosen else "", len(rows) + sum(map(len, equal.values())))
    others = [one for one in references.values() if one.genome not in shown.genomes]
    known = partial(opened.genomes, record.space)
    shown.print(_Printed(rows, others, as_csv, best.reason if best else "", equal, top, known))


@dataclass(frozen=True)
class _Printed:
    """What is printed of a front.

    Args:
        rows: Networks of the front.
        others: Published networks that are not on the front.
        as_csv: Whether the table is printed as CSV.
        why: Reason for the recommended network.
        equal: Further networks with the values of a row, by the genome of the row.
        top: Number of networks that the user asked for; None for all.
        known: Returns the genomes of all networks of the space in the store.
    """

    rows: Sequence[Evaluation]
    others: Sequence[Evaluation]
    as_csv: bool
    why: str
    equal: Mapping[Genome, Sequence[Evaluation]]
    top: int | None
    known: Callable[[], Sequence[Genome]]


@dataclass(frozen=True)
class _Front:
    """The front of a run and what is known of its networks.

    Args:
        record: Record of the run.
        evaluations: Evaluations of the front.
        genes: Genes of the space.
        head: Name of the score; "" without one.
        scores: Scores by genome.
        trained: Trained networks of the run; None if there are none.
        references: Names of published networks that the run evaluated, by genome.
        recommended: Genome of the recommended network.
    """

    record: RunRecord
    evaluations: Sequence[Evaluation]
    genes: Sequence[Gene]
    head: str
    scores: Mapping[Genome, float]
    trained: TrainedNetworks | None
    references: Mapping[Genome, str]
    recommended: Genome | None
    genomes: frozenset[Genome] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "genomes", frozenset(one.genome for one in self.evaluations))

    def id(self, one: Evaluation) -> str:
        """Return the id of a network."""
        return self.encoded(one.genome)

    def encoded(self, genome: Genome) -> str:
        """Return the id of a genome."""
        from nasctl.architectures import ids

        return ids.encode(self.record.space, self.genes, genome)

    def sorted(self, sort: str | None, top: int | None) -> list[Evaluation]:
        """Return the evaluations of the front in the order in which they are shown.

        Args:
            sort: Name of a column; None for the order of the front, or for the score if only some are shown.
            top: Number of rows that are shown; None for all.

        Raises:
            NasctlError: There is no such column.
        """
        column = sort or ("score" if top and self.head else None)
        if column is None:
            return list(self.evaluations)
        keys = {one.genome: key for one in self.evaluations if (key := self._key(one, column)) is not None}
        return sorted(self.evaluations, key=lambda one: (one.genome not in keys, keys.get(one.genome)))

    def groups(self, rows: Sequence[Evaluation]) -> list[list[Evaluation]]:
        """Return the networks that have the same values in every column, in the order of the rows.

        The first of a group is its recommended network, else a published one.
        """
        found: dict[str, list[Evaluation]] = {}
        for one in rows:
            found.setdefault(repr(self._cells(one)[1:]), []).append(one)

        def rank(one: Evaluation) -> tuple[bool, bool]:
            return one.genome != self.recommended, one.genome not in self.references

        return [sorted(group, key=rank) for group in found.values()]

    def drawn_rows(
        self, whole: Sequence[Evaluation], top: int | None
    ) -> tuple[dict[Genome, list[Evaluation]], list[Evaluation]]:
        """Return the networks that a terminal shows, those with equal values by the first, and the first ones.

        The recommended network is always among them, as the last one if it is not among the first rows.

        Args:
            whole: Evaluations of the front in the order of the rows.
            top: Number of rows; None for all.
        """
        groups = self.groups(whole)
        kept = groups[:top] + [one for one in groups[top:] if one[0].genome == self.recommended] if top else groups
        return {one.genome: more for one, *more in kept}, [one for one, *_ in kept]

    def _key(self, one: Evaluation, sort: str) -> Any:
        """Return what a network is sorted by, the least first; None if it has no value there."""
        columns = self.record.columns
        word = sort.strip().lower().replace("-", "_") if sort not in columns else sort
        if word == "id":
            return self.id(one)
        value: float | None
        if word == "score" and self.head:
            value, better = self.scores.get(one.genome), "max"
        elif self.trained and word in ("trained", self.trained.measure):
            value = self.trained.value(one.genome)
            better = "max" if self.trained.measure == "accuracy" else "min"
        else:
            # "latency" is enough where the run has one device.
            names = [name for name in columns if name == sort] or [
                name for name in columns if name.partition("@")[0] == word
            ]
            if len(names) != 1:
                self._refuse(sort)
            value, better = one.values.get(names[0]), _better(names[0], self.record)
        return None if value is None else -value if better == "max" else value

    def _refuse(self, sort: str) -> None:
        """Refuse a name that is no column.

        Raises:
            UnknownName: Always.
        """
        from nasctl.errors import UnknownName

        known = ["id", *self.record.columns, *["score"] * bool(self.head), *["trained"] * bool(self.trained)]
        raise UnknownName("column of this front", sort, known)

    def facts(self, one: Evaluation) -> dict[str, object]:
        """Return a network as JSON."""
        score = {self.head: self.scores.get(one.genome)} if self.head else {}
        more: dict[str, object] = {"trained": self.trained.facts(one.genome)} if self.trained else {}
        more |= {"reference": self.references[one.genome]} if one.genome in self.references else {}
        recommended = one.genome == self.recommended
        facts = {"id": self.id(one), "genome": one.genome, "values": one.values, "score": score}
        return {**facts, **more, "recommended": recommended}

    def print(self, given: _Printed) -> None:
        """Print the table, and sentences on its marks and on the recommended network."""
        from nasctl.drawing.pareto_layout import shortest_prefixes
        from nasctl.system.terminal import plural, say, table, terminal_width

        marks, columns = marks_shown(given.as_csv), self._columns()
        rows = [self._row(one, given.equal) for one in [*given.rows, *(given.others if marks else ())]]
        sentences: list[str] = []
        if not marks:
            cells = [[row.id, *row.cells] for row in rows]
        else:
            columns = with_remarks(columns)
            cells = [row.whole for row in rows]
            if not given.as_csv:

                def short() -> list[str]:
                    return shortest_prefixes([row.id for row in rows], list(map(self.encoded, given.known())))

                needed = {goal.name for goal in self.record.goals} | {one.name for one in self.record.constraints}
                needed |= {self.trained.head} if self.trained else set()
                cells, sentences = fitting_rows(columns, rows, short, needed, terminal_width())
        table(columns, cells, as_csv=given.as_csv)
        say(*sentences)
        if best := next((one for one in self.evaluations if one.genome == self.recommended), None):
            say(f"{self._recommended_words(given, best)}: {self.id(best)}, {given.why}")
        if hidden := sum(map(len, given.equal.values())):
            say(f"note: {plural(hidden, 'network has', 'networks have')} the values of a row above; --csv lists all")

    def _recommended_words(self, given: _Printed, best: Evaluation) -> str:
        """Return the beginning of the sentence on the recommended network, which says where its row is."""
        drawn = marks_shown(given.as_csv) and not given.as_csv
        words = f"{MARK} {RECOMMENDED}" if drawn else RECOMMENDED
        first = "the first" if given.top == 1 else f"the first {given.top}"
        if best not in given.rows:
            return f"{words}, not among {first}"
        below = drawn and given.top is not None and len(given.rows) > given.top
        return f"{words}, below {first}" if below else words

    def _columns(self) -> list[TableColumn]:
        from nasctl.system.terminal import TableColumn

        columns = [TableColumn("id")]
        if self.trained:
            columns.append(TableColumn(self.trained.head, priority=1))
        bounded = {constraint.name for constraint in self.record.constraints}
        goals = self.record.goals
        # A front is read as a trade of quality for costs, so further metrics are left out before the costs.
        last = {goals[0].name} | {goal.name for goal in goals if goal.cost == "network"}
        last |= {next((goal.name for goal in goals if goal.cost != "network"), goals[0].name)}
        for name, column in self.record.columns.items():
            # What a user has bounded stays, and objectives are the last to go.
            priority = 0 if name in bounded else 1 if name in last else 2 if column.goal else 4
            columns.append(TableColumn(name, column.unit, priority=priority))
        return [*columns, *([TableColumn(f"score: {self.head}", priority=3)] if self.head else [])]

    def _cells(self, one: Evaluation) -> list[object]:
        from nasctl.system.terminal import TableCell

        row: list[object] = [self.id(one)]
        if self.trained:
            value = self.trained.value(one.genome)
            percent = value is not None and self.trained.measure == "accuracy"
            text = self.trained.cell(one.genome)
            row.append(TableCell(100 * value if percent and value is not None else value, text, text))
        for name in self.record.columns:
            missing = "failed" if name in one.errors else "-"  # a network beyond a bound is not scored
            row.append(one.values.get(name, TableCell(None, missing, missing)))
        if self.head:
            score = self.scores.get(one.genome)
            # Beside accuracies, a score in a pipe has four digits.
            short = f"{score:.4g}" if self.trained and score is not None else None
            row.append(TableCell(None, "-", "-") if score is None else TableCell(score, short))
        return row

    def _row(self, one: Evaluation, equal: Mapping[Genome, Sequence[Evaluation]]) -> FrontRow:
        """Return a network with its cells and all that its remark says."""
        more = equal.get(one.genome, ())
        names = [self.references[each.genome] for each in (one, *more) if each.genome in self.references]
        id, *cells = self._cells(one)
        recommended, on_front = one.genome == self.recommended, one.genome in self.genomes
        return FrontRow(str(id), cells, recommended, names, len(more), on_front)


def marks_shown(as_csv: bool) -> bool:
    """Return whether networks have remarks: as CSV and on a terminal. A pipe keeps the columns that programs expect."""
    import sys

    return as_csv or sys.stdout.isatty()


def _better(name: str, record: RunRecord) -> str:
    """Return the direction in which values of a column are better; a cost that is not optimised is better if small."""
    from nasctl.search.metrics import make_objective

    column = record.columns[name]
    if column.goal:
        return column.goal.direction
    return "min" if column.cost == "network" else make_objective(name)[1].direction


def _say_notes(shown: _Front, name: str, visited: Sequence[Evaluation], reason: str, rows: int) -> None:
    """Print on stderr the size of the front, what its score is, and the trained candidates."""
    from nasctl.system.terminal import plural, say

    front = shown.evaluations
    some = f", {rows} of them shown" if rows < len(front) else ""
    say(f"front of run {name}: {len(front)} of {plural(len(visited), 'candidate')}{some}")
    if reason:
        say(f"note: {reason}")
    if trained := shown.trained:
        say(f"note: {trained.note(e.genome for e in visited)}", *_beyond(trained, visited, shown))


def _beyond(trained: TrainedNetworks, visited: Sequence[Evaluation], shown: _Front) -> list[str]:
    """Return a line with the trained candidates of a run that are not on its front; none if there are none."""
    there = {e.genome: e for e in visited if e.genome in trained.finished and e.genome not in shown.genomes}
    words = [f"{shown.id(e)} ({trained.text(genome)})" for genome, e in there.items()]
    return [f"note: trained and not on the front: {', '.join(words)}"] if words else []
