"""The front of sums over genes: additive models of the objectives, solved by dynamic programming, then evaluated.

References:
    Bercovich et al., "Puzzle: Distillation-based NAS for inference-optimized LLMs", ICML 2025, arXiv:2411.19146, and Li
    et al., "Blockwisely supervised neural architecture search with knowledge distillation" (DNA), CVPR 2020,
    arXiv:1911.13053, for scores of blocks that add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from nasctl.api import Archive, BadOption, Genome, Goal, Problem, promising, starting_genomes, unseen
from nasctl.searchers._additive_model import AdditiveModel, explained, fitted, kendall
from nasctl.searchers._block_table import read_block_table
from nasctl.searchers._front_of_sums import front_of_sums
from nasctl.searchers._objectives import natural_values
from nasctl.searchers._ranking import best_first

__all__ = ["AdditiveFront"]

BASES = 8  # random genomes among which the base network is chosen, besides published ones
COST_CHECKS = 100  # random genomes on which a cost is compared with its sum over genes
COST_SAMPLES = 1000  # random genomes to which a cost that is no sum is fitted
MAX_COVERING_DRAWS = 1000  # random genomes among which choices are looked for that the base network cannot take
EXACT = 1e-9  # error up to which a cost counts as a sum over genes, as a share of the largest cost met
GROWTH = 1.1  # growth of the number of evaluations after which the models are fitted anew
WEAK = 0.5  # share of the variance below which an additive model is called weak


class AdditiveFront:
    """A searcher that treats objectives as sums over genes and evaluates the exact front of these sums.

    1. Tables of objectives that need a module: a base network is evaluated, and every network that differs from it in
       one gene, or as many random networks. Ridge regression turns all evaluations into a loss per choice of each gene.
       `table` gives such scores instead, for example block scores of a supernet.
    2. Tables of costs need no evaluations. A cost that is no sum over genes, such as MACs where the depth or the width
       of a stage decides the cost of other genes, is approximated by a sum. The search says so; the sums are then a
       guide only. The costs by which the front's members are compared are exact in any case.
    3. Random networks are evaluated. The search says how well the sums predict them, before the model learns from them.
    4. Dynamic programming over genes finds the front of the sums. Its members are evaluated, each time those that are
       farthest from evaluated ones. The model is fitted anew when evaluations have grown by a tenth.
    5. When all members of the front are evaluated, neighbours of the best networks follow, in the order of their
       predicted losses, then random networks.

    Steps 1 and 3 take 1 + (sum of (choices of a gene - 1)) + `held_out` evaluations. The front of sums is exact unless
    `epsilon` is above 0, or more than `states` partial sums remain after a gene; the search then says the error.
    Members that violate a constraint on a cost are left out. The front within an upper bound is therefore complete only
    if the bounded cost is an objective. Networks beyond a bound are not measured, so a tight bound leaves few networks
    to fit, and additivity is tested on networks within it.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        table: Block table, a CSV file with the columns "gene", "choice" and objectives. "" fits all tables.
        design: "singles" for a base network and its single changes, or "random" for random networks. Effects of
            "singles" hold around the base network, and those of "random" on average over the space.
        held_out: Number of random networks on which additivity is tested.
        epsilon: Allowed error of the front of sums, as a share of the range of each objective.
        states: Maximum number of partial sums per gene.
        batch: Maximum number of genomes per `ask`.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        table: str = "",
        design: str = "singles",
        held_out: int = 20,
        epsilon: float = 0.0,
        states: int = 5000,
        batch: int = 20,
    ) -> None:
        _check_options(design, held_out, epsilon, states, batch)
        self._problem, self._space, self._rng = problem, problem.space, rng
        self._design_name, self._n_held_out, self._epsilon, self._states, self._batch = (
            design,
            held_out,
            epsilon,
            states,
            batch,
        )
        self._cardinalities = np.array([len(gene.choices) for gene in problem.space.genes])  # (G,)
        names = [goal.name for goal in problem.objectives]
        self._given = read_block_table(table, problem.space.genes, names) if table else {}
        self._cheap = np.array([goal.cost == "network" for goal in problem.objectives])  # (M,)
        self._models: dict[int, AdditiveModel] = {}  # models that no evaluation changes, by position of the objective
        self._plan: list[Genome] | None = None  # canonical genomes of steps 1 and 3 that remain to be evaluated
        self._held_out: set[Genome] = set()
        self._told: dict[Genome, tuple[np.ndarray, float]] = {}  # canonical -> losses, (M,), and total violation
        self._fitted: list[AdditiveModel] = []  # models of all objectives, (M,)
        self._n_fitted = 0  # evaluations that the models were fitted to
        self._members: list[Genome] = []  # canonical genomes of the front of sums that satisfy constraints on costs
        self._points = np.zeros((0, len(names)))  # predicted losses of the members, scaled to 0 to 1, (F, M)
        self._archive = Archive(len(names))
        self._asked: list[Genome] = []
        self._findings: list[str] = []
        self._is_judged = self._has_said_size = False

    def ask(self) -> list[Genome]:
        if self._plan is None:
            self._models = self._fixed_models()
            self._plan = self._planned()
        self._asked, self._plan = self._plan[: self._batch], self._plan[self._batch :]
        if not self._asked:
            self._asked = self._next_genomes()
        return self._asked

    def replace_batch(self, genomes: Sequence[Genome]) -> None:
        """Put other genomes in place of the last ask; see `AcceptsBatch`."""
        planned = [*(() if self._is_judged else self._asked), *(self._plan or ())]
        self._plan = [genome for genome in planned if genome not in set(genomes)]  # those not taken are asked again
        self._asked = list(genomes)

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        for genome, row, broken in zip(self._asked, losses, violations.sum(axis=1).tolist(), strict=True):
            self._told[genome] = row, broken
            if broken == 0 and not np.isnan(row).any():
                self._archive.add(genome, row)
        if not self._plan and not self._is_judged:
            self._is_judged = True
            self._judge()

    def findings(self) -> list[str]:
        """Return how far objectives are sums over genes; see `HasFindings`."""
        found, self._findings = self._findings, []
        return found

    def _fixed_models(self) -> dict[int, AdditiveModel]:
        """Return the models of given tables and of costs, by position of the objective."""
        found = {}
        for place, goal in enumerate(self._problem.objectives):
            if goal.name in self._given:
                sign = 1.0 if goal.direction == "min" else -1.0
                found[place] = AdditiveModel(self._cardinalities, sign * self._given[goal.name])
            elif self._cheap[place]:
                found[place] = self._cost_model(place, goal)
        return found

    def _cost_model(self, place: int, goal: Goal) -> AdditiveModel:
        """Return the model of a cost, exact if the cost is a sum over genes."""
        base = (0,) * len(self._cardinalities)
        singles = [base, *_single_changes(base, self._cardinalities)]
        checks = [tuple(row) for row in self._rng.integers(self._cardinalities, size=(COST_CHECKS, len(base))).tolist()]
        true = self._signed_costs([*singles, *checks], place, goal)
        apart = iter((true[1 : len(singles)] - true[0]).tolist())
        weights = [
            0.0 if choice == 0 else next(apart) for size in self._cardinalities.tolist() for choice in range(size)
        ]
        exact = AdditiveModel(self._cardinalities, np.array(weights), float(true[0]))
        errors = np.abs(exact.predict(checks) - true[len(singles) :])
        if (errors <= EXACT * np.abs(true).max()).all():  # false if a cost failed
            return exact
        draws = self._rng.integers(self._cardinalities, size=(COST_SAMPLES, len(base))).tolist()
        drawn = list(dict.fromkeys(self._space.canonical(tuple(row)) for row in draws))
        costs = self._signed_costs(drawn, place, goal)
        model, half = fitted(drawn, costs, self._cardinalities), len(drawn) // 2
        tested = fitted(drawn[:half], costs[:half], self._cardinalities).predict(drawn[half:])
        known = np.isfinite(costs[half:])
        share = explained(costs[half:][known], tested[known]) if known.any() else 0.0
        self._findings.append(
            f"additive_front: {goal.name} is no sum over genes; a sum explains {min(share, 0.9999):.2%} of its"
            f" variance on {int(known.sum())} random networks, so the front of sums is a guide only"
        )
        return model

    def _signed_costs(self, genomes: Sequence[Genome], place: int, goal: Goal) -> np.ndarray:
        """Return the values of a cost, negative if it is to be maximised, of genomes, not necessarily canonical, (N,).

        Values and not losses: a cost on a logarithmic scale is no sum of logarithms.
        """
        losses = self._problem.cheap_losses([self._space.canonical(genome) for genome in genomes])[:, place]
        values = natural_values(losses, goal)
        return values if goal.direction == "min" else -values

    def _planned(self) -> list[Genome]:
        """Return the canonical genomes of steps 1 and 3."""
        first = starting_genomes(self._problem)
        if len(self._models) == len(self._problem.objectives) and not self._given:
            return first
        lacks_tables = len(self._models) < len(self._problem.objectives)
        design = list(dict.fromkeys([*first, *(self._design(first) if lacks_tables else ())]))
        drawn = promising(self._problem, self._rng, self._n_held_out, design) if self._n_held_out else []
        held_out = [self._space.canonical(raw) for raw in drawn]
        self._held_out = set(held_out)
        if design or held_out:
            self._findings.append(
                f"additive_front: the first {len(design + held_out)} networks fit and test sums over genes; networks on"
                " the front of sums follow"
            )
        return design + held_out

    def _design(self, first: Sequence[Genome]) -> list[Genome]:
        """Return the canonical genomes to which tables are fitted.

        Args:
            first: Canonical genomes that the search begins with.
        """
        number = 1 + int((self._cardinalities - 1).sum()) if self._design_name == "random" else BASES
        drawn = [self._space.canonical(raw) for raw in promising(self._problem, self._rng, number, first)]
        if self._design_name == "random" or not drawn:
            return drawn
        stars = [self._feasible(map(self._space.canonical, self._star(base))) for base in (*first, *drawn)]
        # Around another base, more single changes would violate constraints or leave the network as it is.
        design = max(stars, key=len)
        return design + self._covering(design)

    def _covering(self, design: Sequence[Genome]) -> list[Genome]:
        """Return random feasible genomes with choices that no genome of a design has, a genome for each if possible."""
        choices = {(gene, choice) for gene, size in enumerate(self._cardinalities.tolist()) for choice in range(size)}
        lacking = choices - {pair for one in design for pair in enumerate(one)}
        if not lacking:
            return []
        pool = [self._space.canonical(raw) for raw in unseen(self._space, self._rng, MAX_COVERING_DRAWS, design)]
        found = []
        for genome in self._feasible(pool):
            if lacking & set(enumerate(genome)):
                found.append(genome)
                lacking -= set(enumerate(genome))
        return found

    def _star(self, base: Genome) -> list[Genome]:
        """Return a genome and all genomes that differ from it in one gene, not canonical."""
        return [base, *_single_changes(base, self._cardinalities)]

    def _feasible(self, genomes: Iterable[Genome]) -> list[Genome]:
        """Return the different genomes of canonical ones that violate no constraint on costs."""
        unique = list(dict.fromkeys(genomes))
        excess = self._problem.violation(unique) if unique else ()
        return [genome for genome, over in zip(unique, excess, strict=True) if over == 0]

    def _judge(self) -> None:
        """Note how well sums over genes predict the held-out networks."""
        held = [genome for genome in self._told if genome in self._held_out]
        design = [genome for genome in self._told if genome not in self._held_out]
        models = self._fitted_models(design)
        for place, goal in enumerate(self._problem.objectives):
            if self._cheap[place]:
                continue
            losses = np.array([self._told[genome][0][place] for genome in held])
            known = np.isfinite(losses)
            if known.sum() < 2:
                self._findings.append(
                    f"additive_front: whether {goal.name} is a sum over genes is untested, because fewer than two"
                    " held-out networks were measured"
                )
                continue
            losses, predicted = losses[known], models[place].predict(held)[known]
            tau, share = kendall(losses, predicted), explained(losses, predicted)
            said = (
                f"additive_front: sums over genes predict {goal.name} of {len(losses)} random networks with Kendall's"
            )
            said += f" tau {tau:.2f}" + ("" if goal.name in self._given else f" and R^2 {share:.2f}")
            if tau < WEAK if goal.name in self._given else share < WEAK:
                said += "; this is weak, so prefer a searcher without this assumption, such as guided"
            self._findings.append(said)

    def _fitted_models(self, genomes: Sequence[Genome]) -> list[AdditiveModel]:
        """Return the models of all objectives, (M,), with those of measured ones fitted to evaluated genomes."""
        rows = np.array([self._told[genome][0] for genome in genomes]).reshape(len(genomes), len(self._cheap))
        return [
            self._models.get(place) or fitted(genomes, rows[:, place], self._cardinalities)
            for place in range(len(self._cheap))
        ]

    def _next_genomes(self) -> list[Genome]:
        """Return the genomes of steps 4 and 5."""
        if len(self._told) >= GROWTH * self._n_fitted:
            self._solve()
        if not (fresh := self._fresh_members()) and len(self._told) > self._n_fitted:
            self._solve()
            fresh = self._fresh_members()
        if fresh:
            return fresh
        near = {self._space.canonical(raw) for one in self._archive.genomes for raw in self._star(one)}
        if candidates := self._feasible(sorted(near - self._told.keys())):
            order = best_first(self._predicted(candidates), np.zeros(len(candidates)), self._batch)
            return [candidates[k] for k in order.tolist()]
        drawn = promising(self._problem, self._rng, self._batch, self._told)
        return [self._space.canonical(raw) for raw in drawn]

    def _solve(self) -> None:
        """Fit the models to all evaluations and find the front of their sums."""
        self._fitted, self._n_fitted = self._fitted_models(list(self._told)), len(self._told)
        tables = [np.column_stack(columns) for columns in zip(*(one.tables for one in self._fitted), strict=True)]
        front = front_of_sums(tables, self._epsilon, self._states)
        self._say_size(len(front.sums), front.error)
        self._members = self._feasible(self._space.canonical(tuple(row)) for row in front.genomes.tolist())
        if self._members:
            points = np.nan_to_num(self._predicted(self._members))
            span = np.ptp(points, axis=0)
            self._points = (points - points.min(axis=0)) / np.where(span > 0, span, 1.0)

    def _fresh_members(self) -> list[Genome]:
        """Return the next members of the front of sums to evaluate; none if all are evaluated."""
        known = np.array([genome in self._told for genome in self._members], dtype=bool)
        if known.all():
            return []
        fresh = [genome for genome, one in zip(self._members, known.tolist(), strict=True) if not one]
        return [fresh[k] for k in _farthest_first(self._points[~known], self._points[known], self._batch)]

    def _predicted(self, genomes: Sequence[Genome]) -> np.ndarray:
        """Return the losses of canonical genomes, (N, M): costs as they are, other objectives as sums over genes."""
        sums = np.column_stack([model.predict(genomes) for model in self._fitted])
        return np.where(self._cheap, self._problem.cheap_losses(genomes), sums)

    def _say_size(self, number: int, error: float) -> None:
        """Note the size of the first front of sums."""
        if self._has_said_size:
            return
        self._has_said_size = True
        bound = f", within {error:.2g} of the range of each objective" if error else ", complete"
        self._findings.append(f"additive_front: the front of sums has {number:,} point{'s' * (number != 1)}{bound}")


def _single_changes(genome: Genome, cardinalities: np.ndarray) -> list[Genome]:
    """Return all genomes that differ in one gene, in the order of genes and of their choices."""
    return [
        (*genome[:gene], choice, *genome[gene + 1 :])
        for gene, size in enumerate(cardinalities.tolist())
        for choice in range(size)
        if choice != genome[gene]
    ]


def _farthest_first(points: np.ndarray, known: np.ndarray, number: int) -> list[int]:
    """Return positions of points, the minima of each objective first, then each the farthest from all before.

    Args:
        points: Points to choose from, (N, M).
        known: Points that were chosen earlier, (A, M).
        number: Maximum number of positions.
    """
    taken = [] if len(known) else list(dict.fromkeys(points.argmin(axis=0).tolist()))[:number]
    near = np.full(len(points), np.inf)  # distance of each point to the nearest point chosen before
    for there in (*known, *points[taken]):
        near = np.minimum(near, np.linalg.norm(points - there, axis=1))
    near[taken] = -1.0
    while len(taken) < min(number, len(points)):
        taken.append(int(near.argmax()))
        near = np.minimum(near, np.linalg.norm(points - points[taken[-1]], axis=1))
        near[taken] = -1.0
    return taken


def _check_options(design: str, held_out: int, epsilon: float, states: int, batch: int) -> None:
    """Check the options of `AdditiveFront`.

    Raises:
        BadOption: An option is out of range.
    """
    if design not in ("singles", "random"):
        raise BadOption(f'design must be "singles" or "random", got {design!r} (option of additive_front)')
    if not 0 <= held_out <= 10_000 or not 1 <= batch <= 10_000:
        raise BadOption(
            "held_out must be 0 to 10,000 and batch must be 1 to 10,000, "
            f"got held_out={held_out},batch={batch} (options of additive_front)"
        )
    if not 0 <= epsilon < 1:
        raise BadOption(f"epsilon must be at least 0 and below 1, got {epsilon} (option of additive_front)")
    if not 1 <= states <= 1_000_000:
        raise BadOption(f"states must be 1 to 1,000,000, got {states} (option of additive_front)")
