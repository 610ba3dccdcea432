"""Supernets that are trained by several strategies and seeds, and the networks that are chosen with their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import moocore
import numpy as np

from nasctl import registry
from nasctl.analysis.aggregate import log_rank
from nasctl.analysis.strategy_comparison import Policy, StrategyComparison, random_trainings
from nasctl.analysis.subnet_selection import select_by_removal, select_learned, select_sample
from nasctl.analysis.training_cost import step_operations
from nasctl.bench.benchmark import Benchmark, HasTrainings, TrainingTable
from nasctl.candidates.determinism import deterministic_torch
from nasctl.correlations.defaults import default_choice, default_score
from nasctl.errors import BadOption, NasctlError
from nasctl.evaluation.task import Task
from nasctl.prediction.acquisition import shortlist
from nasctl.problem.space import Genome, SearchSpace
from nasctl.problem.strategy import LearnsChoices, ScoresGenomes
from nasctl.search.default_objectives import space_kind
from nasctl.search.metrics import make_objective
from nasctl.search.request import SettingOptions
from nasctl.store.store import Store
from nasctl.supernets.calibration import BATCH, BATCHES
from nasctl.supernets.request import SupernetRequest
from nasctl.supernets.trained_supernet import TrainedSupernet

FORWARD = 1 / 3  # operations of a forward pass per operation of a step, whose backward pass has twice as many

# Policies of a strategy, by the words that stand behind its name.
LEARNED, REMOVAL, BEST, RANDOM = "learned", "perturbation", "best of {} draws", "best of {} random"


@dataclass(frozen=True)
class StrategyStudy:
    """A comparison as a user asks for it.

    Args:
        benchmark: Spec of the benchmark.
        supernet: The supernet's training, whose strategy and seed are replaced; its space has the benchmark's genes.
        strategies: Specs of the strategies.
        seeds: Trainings by each strategy, with seeds from 0.
        store: Path of the store, beside which the supernets lie.
        samples: Networks that are drawn and judged with the weights of each supernet.
        images: Validation examples that they are judged on.
        trainings: Networks that random search trains in a run; None for the cost of each strategy.
        note: Called with sentences for the user.
    """

    benchmark: str
    supernet: SupernetRequest
    strategies: tuple[str, ...]
    seeds: int
    store: str
    samples: int = 50
    images: int = 500
    trainings: int | None = None
    note: Callable[[str], object] = field(default=lambda text: None, compare=False)

    def check(self) -> Benchmark:
        """Return the benchmark.

        Raises:
            NasctlError: It has no trainings, or its genomes are not those of the trained space.
        """
        made: Benchmark = registry.create("benchmarks", self.benchmark)
        if not isinstance(made, HasTrainings):
            raise NasctlError(
                f"Cannot compare strategies on {self.benchmark}: its table has no trainings of all networks. Use nb201,"
                " nbmacro or tnb101_micro."
            )
        space: SearchSpace = registry.create("spaces", self.supernet.space)
        if [(one.name, one.choices) for one in space.genes] != [(one.name, one.choices) for one in made.space.genes]:
            raise NasctlError(
                f"Cannot look up networks of {self.supernet.space} in {self.benchmark}: the space has other genes. Give"
                f" --space {registry.plugin_of(self.benchmark)} with options, such as a resolution."
            )
        for strategy in self.strategies:
            registry.spelled_out("strategies", strategy)
        return made


def compare_strategies(study: StrategyStudy, train: Callable[[SupernetRequest], Path]) -> StrategyComparison:
    """Train the supernets of a study, choose networks with their weights, and return the comparison.

    Args:
        study: The study.
        train: Trains a supernet to the end and returns the file of its weights; a finished one is only looked up.

    Raises:
        NasctlError: The study does not fit its benchmark, or a training fails.
    """
    benchmark = study.check()
    assert isinstance(benchmark, HasTrainings)
    # All strategies make a few steps before the first training, which may take hours.
    usable = {strategy: _usable(study, strategy) for strategy in study.strategies}
    single = _single(study)
    costs = {strategy: _cost(study, operations / single) for strategy, (_, operations) in usable.items()}
    files = {
        strategy: [train(replace(request, seed=seed)) for seed in range(study.seeds)]
        for strategy, (request, _) in usable.items()
    }
    place = {genome: row for row, genome in enumerate(benchmark.genomes)}
    policies: list[Policy] = []
    counts: dict[int, str] = {1: "random network"}
    for strategy, paths in files.items():
        found, cost = _choices(study, paths), costs[strategy]
        number = study.trainings or max(1, round(cost[BEST]))
        counts.setdefault(number, f"best of {number} trained")
        for words, genomes in found.items():
            rows = np.array([place[benchmark.space.canonical(one)] for one in genomes])
            weights_of = f"{strategy}, {RANDOM.format(study.samples)}"
            paired = frozenset() if words == RANDOM or RANDOM not in found else frozenset([weights_of])
            against = (*sorted(paired), *dict.fromkeys((counts[number], counts[1])))
            name = f"{strategy}, {words.format(study.samples)}"
            choices = dict.fromkeys(benchmark.scenes, rows)
            learned = words != RANDOM
            policies.append(
                Policy(name, cost[words], choices, tuple(genomes), against, paired, learned, counts[number])
            )
    tables = benchmark.trainings
    baselines = [random_trainings(benchmark, tables, number, number, name) for number, name in counts.items()]
    metrics = _metric_policies(study.benchmark, benchmark, tables, [number for number in counts if number > 1])
    return StrategyComparison(benchmark.scenes, [*policies, *baselines, *metrics], study.seeds, study.trainings is None)


def _choices(study: StrategyStudy, paths: Sequence[Path]) -> dict[str, list[Genome]]:
    """Return the networks that are chosen with the weights of each supernet of a strategy, by the words of a policy.

    A policy that fails for one seed is left out, and the user is told why.
    """
    found: dict[str, list[Genome]] = {}
    failed: dict[str, str] = {}
    for seed, path in enumerate(paths):
        supernet = TrainedSupernet(path)
        for words, choose in _selections(study, supernet, seed).items():
            try:
                found.setdefault(words, []).append(choose())
            except NasctlError as error:
                failed[words] = str(error)
    for words, reason in failed.items():
        found.pop(words, None)
        study.note(f"no row of {words.format(study.samples)}: {reason}")
    return found


def _selections(study: StrategyStudy, supernet: TrainedSupernet, seed: int) -> dict[str, Callable[[], Genome]]:
    """Return functions that choose a network with the weights of a supernet, by the words of a policy."""
    strategy = supernet.strategy

    def best(uniform: bool) -> Genome:
        task = None
        if not isinstance(strategy, ScoresGenomes):
            loss = make_objective(f"loss@{supernet.path},images={study.images}")
            setting = SettingOptions(torch_device=study.supernet.torch_device, threads=study.supernet.threads)
            task = Task(supernet.space, dict([loss]), setting.setting(supernet.space))
        return select_sample(supernet, study.samples, seed, task, Store(study.store), uniform=uniform).genome

    def removal() -> Genome:
        with deterministic_torch(study.supernet.threads):
            return select_by_removal(supernet, seed, None, study.images).genome

    drawn: dict[str, Callable[[], Genome]] = {RANDOM: lambda: best(True)}
    if not isinstance(strategy, LearnsChoices):
        return drawn
    learned: dict[str, Callable[[], Genome]] = {LEARNED: lambda: select_learned(supernet).genome}
    if all(one.max() == 1 for one in strategy.probabilities()):  # nothing is left to choose
        return learned | drawn
    return learned | {REMOVAL: removal, BEST: lambda: best(False)} | drawn


def _usable(study: StrategyStudy, strategy: str) -> tuple[SupernetRequest, float]:
    """Return the training by a strategy, and the operations of a step, which a few steps are made for.

    Where the strategy refuses what networks of the space share by default, they share slices.

    Raises:
        NasctlError: The strategy cannot train the space.
    """
    request = replace(study.supernet, strategy=strategy)
    try:
        return request, _operations(request)
    except BadOption as reason:
        if request.share is not None:
            raise
        request = replace(request, share="entangled")
        try:
            operations = _operations(request)
        except NasctlError:  # sharing does not help
            raise reason from None
    study.note(f"{strategy} trains with --share entangled, without which it cannot learn the choices of this space")
    return request, operations


def _operations(request: SupernetRequest) -> float:
    """Return the operations of a step of a training."""
    supernet, data = request.supernet()
    return step_operations(supernet.problem(data))


def _cost(study: StrategyStudy, trained: float) -> dict[str, float]:
    """Return the cost of each policy of a strategy in trainings of one network by the same recipe, by its words.

    Args:
        study: The study.
        trained: That of the training of a supernet.
    """
    supernet, data = study.supernet.supernet()
    examples = supernet.recipe.epochs * data.size("train")
    validated = min(study.images, data.size("validation"))
    calibrated = validated + min(BATCH * BATCHES, data.size("train"))
    judged = FORWARD * study.samples * calibrated / examples
    removals = sum(len(gene.choices) for gene in registry.create("spaces", supernet.space).genes)
    removed = trained * FORWARD * removals * validated / examples  # as if a mixture cost what a step does
    return {LEARNED: trained, REMOVAL: trained + removed, BEST: trained + judged, RANDOM: trained + judged}


def _single(study: StrategyStudy) -> float:
    """Return the operations of a step that trains one network."""
    supernet, data = study.supernet.supernet()
    return step_operations(supernet.problem(data), "single_path")


def _metric_policies(
    spec: str, benchmark: Benchmark, tables: Mapping[str, TrainingTable], counts: Iterable[int]
) -> list[Policy]:
    """Return the policies of the default score of the benchmark's space, which needs no training.

    One is the network of the table with the best score. Each other one trains some networks of the front of score and
    cost, spread over its costs, and takes the best by the label of the table. Default scores were chosen by
    correlations on tables such as this one. Metrics that the table lacks are left out; there is no policy without any.

    Args:
        spec: Spec of the benchmark.
        benchmark: The benchmark.
        tables: Its trainings by data set or task.
        counts: Numbers of networks of the front that are trained.
    """
    name = registry.plugin_of(spec)
    space: SearchSpace = registry.create("spaces", name)
    asked = space_kind(name, space)
    choice = default_choice(asked)
    metrics = [one for one in (default_score(asked, choice) if choice else ()) if one in benchmark.names]
    if not metrics:
        return []
    words = "+".join(metrics)
    score = log_rank(np.array([-benchmark.column(one).losses for one in metrics]))
    best = np.array([int(score.argmax())])
    genome = benchmark.genomes[int(best[0])]
    found = [Policy(f"best by {words}", 0.0, dict.fromkeys(benchmark.scenes, best), (genome,))]
    fronts: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for scene, table in tables.items():
        front = np.flatnonzero(moocore.is_nondominated(np.column_stack([-score, table.test.cost])))
        fronts[scene] = front, score[front], table.test.cost[front]
    for number in counts:
        spread = {scene: front[shortlist(own, costs, number)] for scene, (front, own, costs) in fronts.items()}
        choices = {scene: rows[[tables[scene].labels[rows].argmax()]] for scene, rows in spread.items()}
        found.append(Policy(f"best of {number} trained on the front of {words}", number, choices))
    return found


__all__ = ["StrategyStudy", "compare_strategies"]
