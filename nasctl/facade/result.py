"""The result of a search: its Pareto front, the network to recommend, and a plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nasctl.analysis import pick, pick_trained
from nasctl.architectures import ids
from nasctl.errors import NasctlError
from nasctl.facade.notebook import definitions_html, table_html
from nasctl.pareto.losses import front
from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.system.argument_types import check_arguments
from nasctl.system.terminal import quantity
from nasctl.training.accuracies import trained_networks

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


@dataclass(frozen=True)
class Solution:
    """A candidate on a Pareto front.

    Args:
        id: The id, which `nasctl.export` and the command line take.
        genome: The choice of each gene, (G,).
        values: Measured values by objective and recorded metric, in their units.
    """

    id: str
    genome: Genome
    values: dict[str, float]


@dataclass(frozen=True)
class RecommendedNetwork(Solution):
    """The network of a front that a rule chooses.

    Args:
        why: The reason in words: the rule, and for the recommended network its standing and its costs.
        front: Number of networks that the rule chose from.
    """

    why: str = ""
    front: int = 0


class Front(list[Solution]):
    """The Pareto front of a run: a list of solutions that notebooks show as a table.

    Args:
        solutions: The solutions, best in the first objective first.
        units: Unit of each objective and recorded metric, by name.
    """

    def __init__(self, solutions: Iterable[Solution] = (), units: Mapping[str, str] | None = None) -> None:
        super().__init__(solutions)
        self.units = dict(units or {})

    def to_pandas(self) -> DataFrame:
        """Return a DataFrame with a row for each solution: its values by name, indexed by id.

        Its `attrs["units"]` has the unit of each column. A value that failed is NaN.

        Raises:
            NasctlError: pandas is not installed.
        """
        return _frame([one.id for one in self], [one.values for one in self], self.units)

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        return self.html()

    def html(self, marked: str = "") -> str:
        """Return the front as an HTML table.

        Args:
            marked: Id of the solution whose row is bold; none if empty.
        """
        names = list(self.units) or list(dict.fromkeys(name for one in self for name in one.values))
        rows = [
            [
                one.id,
                *(quantity(one.values[name], self.units.get(name, "")) if name in one.values else "" for name in names),
            ]
            for one in self
        ]
        chosen = next((k for k, one in enumerate(self) if one.id == marked), None)
        return table_html(["id", *names], rows, chosen)


@dataclass(frozen=True, repr=False)
class SearchResult:
    """A search that has ended.

    Args:
        run: The run.
        store: The store that holds its measurements.
        evaluations: Every candidate that the run has visited, in order, those of earlier calls included.
    """

    run: Run
    store: Store
    evaluations: tuple[Evaluation, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """The name of the run, which commands take as `--run`."""
        return self.run.name

    @cached_property
    def front(self) -> Front:
        """The Pareto front of the run, best in the first objective first."""
        task = self.run.task
        found = front(self.evaluations, task.objectives, task.constraints)
        return Front(map(self._solution, found), {name: one.unit for name, one in task.metrics.items()})

    def recommend(
        self,
        *,
        closest: bool = False,
        knee: bool = False,
        under: str | Sequence[str] = (),
        best: str | None = None,
        near: str | Sequence[str] = (),
        order: str | Sequence[str] = (),
        tolerance: str = "0%",
    ) -> RecommendedNetwork:
        """Return one network of the front, with the reason.

        Without a rule it is the recommended network. Within an upper bound, of the run or of `under`, this is the
        network with the best quality. Without one, it is the network closest to the best of every objective. Arguments
        ask for another rule, as the options of `nasctl pareto pick` do; give at most one of `closest`, `knee`, `best`,
        `near` and `order`.

        Args:
            closest: The network nearest to the best of every objective, each scaled to its range on the front.
            knee: The knee of the front.
            under: Further bounds, such as "latency@gpu<=30". Without a rule, the recommended network within them.
            best: An objective, in which the network is the best. In this and the other rules, "trained" (or "accuracy")
                means the validation accuracy of the trained candidates.
            near: Wished values, such as "latency@gpu=20", to which the network is the nearest.
            order: Objectives; the network is the best in the first, then in the second, and so on.
            tolerance: With `order`: distance from the best value that still counts as the best, in per cent of the
                range on the front.

        Raises:
            NasctlError: The front is empty, an argument has the wrong type, rules contradict each other, or a rule does
                not fit the run.
        """
        asked = {key: value for key, value in locals().items() if key != "self"}
        check_arguments("recommend a network", SearchResult.recommend, asked)
        texts = {key: _texts(asked[key]) for key in ("under", "near", "order")}
        rule = _rule(closest, knee, best, texts["near"], texts["order"], tolerance)
        if not self.front:
            raise NasctlError(
                f"Cannot recommend a network: the front of run {self.name} is empty. Search with a larger budget, or"
                " relax its constraints."
            )
        words = [text for given in texts.values() for text in given] + [best or ""]
        record, visited, trained = self.store.run(self.name)[1], self.evaluations, None
        if (word := pick_trained.asked_word(words, record)) is not None:
            trained = trained_networks(self.store, record.space, (one.genome for one in visited))
        chosen = pick_trained.choose(self.store, self.name, visited, rule, texts["under"], trained, word)
        one = self._solution(chosen.chosen)
        return RecommendedNetwork(one.id, one.genome, one.values, chosen.why, chosen.front)

    def plot(self, output: str | Path | None = None, *, force: bool = False) -> Figure:
        """Draw the front of the run against all its candidates, a panel for each pair of cost and metric.

        Args:
            output: A file to write the picture to as well, as .png, .svg or .pdf.
            force: Whether to overwrite an existing file.

        Returns:
            The figure of matplotlib, which notebooks show.

        Raises:
            NasctlError: There is nothing to draw, or the file cannot be written.
        """
        check_arguments("draw the run", SearchResult.plot, {"output": output, "force": force})
        from nasctl.report.run_plot import draw_run  # matplotlib takes a while to import

        return draw_run(None if output is None else Path(output), self.store, self.name, overwrite=force)

    def to_pandas(self) -> DataFrame:
        """Return a DataFrame with a row for each candidate of the run, in the order of the search, indexed by id.

        Its columns are the values by name, NaN where a metric failed or was not measured, and "front", which says
        whether the candidate is on the front.

        Raises:
            NasctlError: pandas is not installed.
        """
        genes, on_front = self.run.task.space.genes, {one.genome for one in self.front}
        names = [ids.encode(self.run.space, genes, one.genome) for one in self.evaluations]
        frame = _frame(names, [one.values for one in self.evaluations], self.front.units)
        return frame.assign(front=[one.genome in on_front for one in self.evaluations])

    def __repr__(self) -> str:
        return f"SearchResult({self.name!r}, {len(self.evaluations)} candidates, {len(self.front)} on the front)"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the run, the recommended network and the front."""
        facts = {"run": f"{self.name}: {len(self.evaluations)} candidates, {len(self.front)} on the front"}
        if not self.front:
            return definitions_html(facts)
        one = self.recommend()
        return definitions_html({**facts, "recommended": f"{one.id}, {one.why}"}) + self.front.html(one.id)

    def _solution(self, found: Evaluation) -> Solution:
        """Return an evaluation with its id."""
        return Solution(ids.encode(self.run.space, self.run.task.space.genes, found.genome), found.genome, found.values)


def _rule(
    closest: bool,
    knee: bool,
    best: str | None,
    near: Sequence[str],
    order: Sequence[str],
    tolerance: str,
) -> pick.Rule | None:
    """Return the rule that arguments ask for; None if they ask for none.

    Raises:
        NasctlError: The arguments ask for several rules, or give a tolerance without an order.
    """
    given = {"closest": closest, "knee": knee, "best": best is not None, "near": bool(near), "order": bool(order)}
    asked = [name for name, there in given.items() if there]
    if len(asked) > 1:
        raise NasctlError(f"Cannot recommend a network: {' and '.join(asked)} are different rules. Give one of them.")
    if tolerance != "0%" and not order:
        raise NasctlError("Cannot recommend a network: tolerance belongs to order. Give that too, or leave it out.")
    if near:
        return pick.by_wish(near)
    if order:
        return pick.by_order(order, tolerance)
    if best is not None:
        return pick.by_best(best)
    return {"knee": pick.by_knee, "closest": pick.by_closest}[asked[0]] if asked else None


def _frame(names: Sequence[str], values: Sequence[Mapping[str, float]], units: Mapping[str, str]) -> DataFrame:
    """Return a DataFrame of values by id, with a column for each name that has a unit.

    Raises:
        NasctlError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise NasctlError(
            "Cannot make a DataFrame: pandas is not installed. Install it with `pip install 'nasctl[pandas]'`."
        ) from None
    index = pandas.Index(names, name="id", dtype="object")
    frame = pandas.DataFrame(list(values), index=index, columns=list(units), dtype="float64")
    frame.attrs["units"] = dict(units)
    return frame


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
