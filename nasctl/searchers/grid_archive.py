"""Grid archive: the best networks of each bin of a cost, which are mutated and crossed.

References:
    Wang et al., "AttentiveNAS: Improving neural architecture search via attentive sampling", CVPR 2021,
    arXiv:2011.09011; `parallel_supernet_evo_search.py` of github.com/facebookresearch/AttentiveNAS.
    Pierrot et al., "Multi-objective quality diversity optimization" (MOME), GECCO 2022, arXiv:2202.03057, for a front
    in each bin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.api import BadOption, Genome, Problem, promising
from nasctl.searchers._mutation import redraw_genes
from nasctl.searchers._objectives import chosen_cost, natural_values

__all__ = ["GridArchive"]

BREEDING_ROUNDS = 20  # rounds of breeding per batch, after which random genomes fill the batch
NEAREST = 20  # infeasible genomes kept to breed from while no genome satisfies the constraints


class GridArchive:
    """An evolutionary search with an archive that keeps the best networks of each bin of a cost.

    The bins divide the range of the cost over all feasible evaluations, and are made anew when the range grows. With
    two objectives, a bin keeps the one network that is best in the objective other than the cost, as in AttentiveNAS.
    With more, a bin keeps the networks that no other network of the bin dominates in the other objectives, as in MOME.

    Each round draws random bins and random members of them, mutates some and crosses others uniformly. Children that
    violate a constraint on arithmetic objectives are rejected before evaluation, so `--constraint` sets the range of
    the cost. Networks that were evaluated before are rejected too. Random genomes replace rejected children if breeding
    finds too few.

    AttentiveNAS begins with 512 genomes and evaluates 128 mutants and 128 crossovers per round, for 20 rounds. The
    defaults keep these proportions at the budget of a search on one machine.

    Differences from AttentiveNAS: bins are a share of the range and not a fixed width of 10M MACs. A network is never
    proposed twice.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        cost: Objective that is divided in bins. "" selects the first objective that needs no module, or the last
            objective if all need one.
        bins: Number of bins.
        spacing: "linear" for bins of equal width, or "log" for bins of equal ratio.
        initial: Number of genomes of the first `ask`.
        mutants: Number of mutants per later `ask`.
        crossovers: Number of crossovers per later `ask`.
        probability: Probability that a gene of a mutant is redrawn.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        cost: str = "",
        bins: int = 100,
        spacing: str = "linear",
        initial: int = 40,
        mutants: int = 10,
        crossovers: int = 10,
        probability: float = 0.2,
    ) -> None:
        _check_options(bins, spacing, (initial, mutants, crossovers), probability)
        self._problem, self._space, self._rng = problem, problem.space, rng
        self._cardinalities = np.array([len(gene.choices) for gene in problem.space.genes])  # (G,)
        self._cost = chosen_cost(problem.objectives, cost, "grid_archive")
        others = [k for k in range(len(problem.objectives)) if k != self._cost]
        self._others = others or [self._cost]  # with one objective, each bin keeps its minimum
        self._n_bins, self._is_log = bins, spacing == "log"
        self._initial, self._mutants, self._crossovers, self._probability = initial, mutants, crossovers, probability
        self._raw: dict[Genome, Genome] = {}  # canonical -> raw, of all proposed genomes
        self._feasible: list[tuple[Genome, float, np.ndarray]] = []  # genome, position of its cost, other losses
        self._range = (np.inf, -np.inf)  # positions of the cost over the feasible evaluations
        self._bins: dict[int, list[tuple[Genome, np.ndarray]]] = {}  # members of each bin and their other losses
        self._nearest: list[tuple[float, Genome]] = []  # violations of infeasible genomes, the smallest first
        self._asked: list[Genome] = []

    @property
    def bins(self) -> dict[int, list[Genome]]:
        """Return the canonical genomes of each occupied bin."""
        return {place: [genome for genome, _ in members] for place, members in sorted(self._bins.items())}

    def ask(self) -> list[Genome]:
        bred = self._bins or self._nearest
        wanted = self._mutants + self._crossovers if bred else self._initial
        fresh = self._children() if bred else {}
        if missing := wanted - len(fresh):
            drawn = promising(self._problem, self._rng, missing, self._raw.keys() | fresh.keys())
            fresh |= {self._space.canonical(raw): raw for raw in drawn}
        self._raw |= fresh
        self._asked = list(fresh)
        return self._asked

    def replace_batch(self, genomes: Sequence[Genome]) -> None:
        """Put other genomes in place of the last ask; see `AcceptsBatch`."""
        bred = {genome: self._raw.pop(genome) for genome in self._asked}  # those not taken may be proposed again
        self._raw |= {genome: bred.get(genome, genome) for genome in genomes}
        self._asked = list(genomes)

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        places = self._positions(losses[:, self._cost])
        failed, broken = np.isnan(losses).any(axis=1), violations.sum(axis=1)
        told = zip(self._asked, places.tolist(), losses[:, self._others], strict=True)
        fresh = [row for row, out in zip(told, failed | (broken > 0), strict=True) if not out]
        near = [(excess, genome) for excess, genome in zip(broken.tolist(), self._asked, strict=True) if excess > 0]
        self._nearest = sorted(self._nearest + near)[:NEAREST]
        if not fresh:
            return
        self._feasible += fresh
        positions = [position for _, position, _ in fresh]
        reached = min(self._range[0], *positions), max(self._range[1], *positions)
        if reached != self._range:
            self._range, self._bins, fresh = reached, {}, self._feasible
        for genome, position, row in fresh:
            self._add(genome, position, row)

    def _positions(self, costs: np.ndarray) -> np.ndarray:
        """Return the positions of losses in the cost on the axis that bins divide, (N,)."""
        values = natural_values(costs, self._problem.objectives[self._cost])
        # The logarithm of a value that is not positive is undefined; such values share the first bin.
        return np.log10(np.maximum(values, np.finfo(float).tiny)) if self._is_log else values

    def _add(self, genome: Genome, position: float, row: np.ndarray) -> None:
        """Add a feasible genome to its bin unless a member is at least as good in all other objectives."""
        low, high = self._range
        share = (position - low) / (high - low) if high > low else 0.0
        members = self._bins.setdefault(min(int(share * self._n_bins), self._n_bins - 1), [])
        if not any((other <= row).all() for _, other in members):
            members[:] = [(kept, other) for kept, other in members if not (row <= other).all()]
            members.append((genome, row))

    def _children(self) -> dict[Genome, Genome]:
        """Return raw genomes of new children by canonical genome: mutants, then crossovers."""
        found: dict[Genome, Genome] = {}
        for breed, number in ((self._mutate, self._mutants), (self._cross, self._crossovers)):
            wanted = len(found) + number
            for _ in range(BREEDING_ROUNDS):
                if len(found) >= wanted:
                    break
                bred = {self._space.canonical(raw): raw for raw in map(tuple, breed(wanted - len(found)).tolist())}
                fresh = [genome for genome in bred if genome not in self._raw and genome not in found]
                excess = self._problem.violation(fresh) if fresh else ()
                # While no evaluated genome is feasible, a child may violate constraints as its parents do.
                kept = [one for one, over in zip(fresh, excess, strict=True) if over == 0 or not self._bins]
                found |= {genome: bred[genome] for genome in kept}
        return found

    def _mutate(self, number: int) -> np.ndarray:
        """Return mutants of random members, (N, G)."""
        return redraw_genes(self._rng, self._parents(number), self._cardinalities, self._probability)

    def _cross(self, number: int) -> np.ndarray:
        """Return uniform crossovers of pairs of random members, (N, G)."""
        one, other = self._parents(number), self._parents(number)
        return np.where(self._rng.random(one.shape) < 0.5, one, other)

    def _parents(self, number: int) -> np.ndarray:
        """Return raw genomes of random members of random bins, or of the least infeasible genomes, (N, G)."""
        bins = list(self.bins.values()) or [[genome for _, genome in self._nearest]]
        chosen = [bins[k] for k in self._rng.integers(len(bins), size=number).tolist()]
        members = [one[int(self._rng.integers(len(one)))] for one in chosen]
        return np.array([self._raw[genome] for genome in members])


def _check_options(bins: int, spacing: str, sizes: tuple[int, int, int], probability: float) -> None:
    """Check the options of `GridArchive`.

    Raises:
        BadOption: An option is out of range.
    """
    initial, mutants, crossovers = sizes
    if not 1 <= bins <= 100_000:
        raise BadOption(f"bins must be 1 to 100,000, got {bins} (option of grid_archive)")
    if spacing not in ("linear", "log"):
        raise BadOption(f'spacing must be "linear" or "log", got {spacing!r} (option of grid_archive)')
    if not 1 <= initial <= 10_000 or min(mutants, crossovers) < 0 or not 1 <= mutants + crossovers <= 10_000:
        raise BadOption(
            "initial and mutants + crossovers must be 1 to 10,000, "
            f"got initial={initial},mutants={mutants},crossovers={crossovers} (options of grid_archive)"
        )
    if not 0 < probability <= 1:
        raise BadOption(f"probability must be above 0 and at most 1, got {probability} (option of grid_archive)")
