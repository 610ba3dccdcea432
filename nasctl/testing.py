"""Contracts of plug-ins, as tests: subclass a contract and give it the fixture that its docstring names."""

from __future__ import annotations

import math
import os
import pickle
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nasctl import registry
from nasctl.api import Builder, InvalidGenome, Linear, Network, Shape
from nasctl.architectures.references import references
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import FilesTrainings
from nasctl.data import Data, TokenData
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.networks.products import count_products
from nasctl.networks.python_source import source
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.searcher import Evaluation, Problem, Searcher
from nasctl.problem.space import Gene, Genome, HasTrainedWeights, Input, SearchSpace
from nasctl.search.loop import search
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.supernets.contract import StrategyContract as StrategyContract
from nasctl.supernets.contract import strategy_context as strategy_context
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.hull import Hull
from nasctl.supernets.problem import default_share
from nasctl.system.global_generators import forbidden_global_generators

# Outcomes that the contract of searchers tells: the last loss and the violation of each candidate of a batch, by its
# place. The other losses are 1.
OUTCOMES: Mapping[str, Callable[[int], tuple[float, float]]] = {
    "all are equal": lambda k: (1.0, 0.0),
    "all fail": lambda k: (math.nan, 0.0),
    "some fail": lambda k: (math.nan if k % 3 == 0 else k, 0.0),
    "all break a bound alike and are not measured": lambda k: (math.nan, 1.0),
    "half of them break a bound alike": lambda k: (k, k % 2 / 2),
}


class Chain:
    """A space for tests: a chain of linear layers without bias. Every gene is the width of a layer.

    Args:
        depth: The number of layers.
        widths: The choices of each width.
    """

    input = Input((3,))

    def __init__(self, depth: int = 2, widths: tuple[int, ...] = (2, 5)) -> None:
        self.genes: Sequence[Gene] = tuple(Gene(f"layer{k}", widths) for k in range(depth))

    def canonical(self, genome: Genome) -> Genome:
        return genome

    def network(self, genome: Genome) -> Network:
        net = Builder(self.input.shape)
        (x,) = net.inputs
        for gene, choice in zip(self.genes, genome, strict=True):
            x = net.add(Linear(gene.choices[choice], bias=False), x, name=gene.name)  # type: ignore[arg-type]
        return net.build(x)

    def reduced(self, fidelity: Fidelity) -> Chain:
        return self


class SpaceContract:
    """The contract of search spaces. A subclass has the fixture `space`."""

    def test_canonical_is_idempotent_and_no_larger(self, space: SearchSpace) -> None:
        for genome in drawn(space, 100):
            canonical = space.canonical(genome)
            assert space.canonical(canonical) == canonical
            assert space.network(canonical).params <= space.network(genome).params

    def test_canonical_computes_the_same(self, space: SearchSpace) -> None:
        x = _examples(space, 2).double() if space.input.kind == "images" else _examples(space, 2)
        for genome in drawn(space, 5):
            networks = [space.network(g) for g in (genome, space.canonical(genome))]
            if networks[0] != networks[1]:  # otherwise they have the same blocks with the same shapes
                one, other = (_filled(network.module()) for network in networks)
                torch.testing.assert_close(
                    one(x), other(x), equal_nan=True
                )  # outputs of random recurrent cells may overflow

    def test_a_genome_of_another_space_raises(self, space: SearchSpace) -> None:
        (genome,) = drawn(space, 1)
        for wrong in (genome[1:], (-1, *genome[1:]), (*genome[:-1], len(space.genes[-1].choices))):
            with pytest.raises(InvalidGenome):
                space.canonical(wrong)

    def test_network_and_module_agree(self, space: SearchSpace) -> None:
        for genome in drawn(space, 3):
            network = space.network(genome)
            seen: list[Shape] = []
            with torch.device("meta"):
                module = network.module().eval()
                examples = _examples(space, 2)
            for part in module.children():
                part.register_forward_hook(lambda part, inputs, out, seen=seen: seen.append(tuple(out.shape[1:])))
            macs = count_products(module, (examples,)).macs
            # The module runs on two batches to count its multiply-accumulates.
            assert seen == 2 * [node.out_shape for node in network.nodes]
            assert sum(map(torch.numel, module.parameters())) == network.params
            assert macs == network.macs

    def test_networks_of_a_supernet_can_share_weights(self, space: SearchSpace) -> None:
        """Layers of one name and kind have tensors with equally many axes; the error names a layer that has not."""
        hull = Hull(ElasticNetworks(space, default_share(space)))
        genomes = [space.canonical(genome) for genome in drawn(space, 20)]
        for genome in genomes:
            hull.add(genome)
        assert all(map(hull.fits, genomes))

    def test_reduced_has_the_same_genes_and_costs_no_more(self, space: SearchSpace) -> None:
        full, reduced = space.reduced(Fidelity()), space.reduced(Fidelity(size=max(space.input.shape) // 2, cells=1))
        assert list(reduced.genes) == list(full.genes) == list(space.genes)
        for whole, same, cheap in ([s.network(g) for s in (space, full, reduced)] for g in drawn(space, 3)):
            assert (same, cheap.out_shape[-1]) == (whole, whole.out_shape[-1])  # sequences may be shorter
            assert cheap.macs <= whole.macs

    def test_source_is_the_module(self, space: SearchSpace) -> None:
        network, names = space.network(drawn(space, 1)[0]), dict[str, Any]()
        exec(source(network), names)
        module, rebuilt = network.module().eval(), names["Net"]().eval()
        rebuilt.load_state_dict(module.state_dict())
        x = _examples(space, 1)
        torch.testing.assert_close(rebuilt(x), module(x), rtol=0, atol=0, equal_nan=True)


class ObjectiveContract:
    """The contract of objectives. A subclass has the fixture `run`, with the objective and no other."""

    def test_leaves_everything_as_it_was(self, run: Run, tmp_path: Path) -> None:
        space, objective = registry.create("spaces", run.space), registry.create("objectives", *run.objectives)
        if isinstance(objective, FilesTrainings):
            objective.file_under(registry.spelled_out("spaces", run.space), str(tmp_path / "store"))
        candidate = Candidate(space, space.canonical(drawn(space, 1)[0]), run.task.setting, objective.needs)
        before = _surroundings(candidate)
        again = Candidate(space, candidate.genome, run.task.setting, objective.needs)
        assert objective(candidate) == objective(again)
        assert _surroundings(candidate) == before

    def test_has_the_same_values_in_another_process(self, run: Run, tmp_path: Path) -> None:
        here = found(run, tmp_path / "here", 3)
        assert not any(evaluation.errors for evaluation in here)
        assert in_another_process(run, tmp_path / "there", 3) == here


class SearcherContract:
    """The contract of searchers. A subclass has the fixture `run`, with the searcher and two objectives."""

    def test_same_seed_same_run(self, run: Run, tmp_path: Path) -> None:
        cheap = replace(run, objectives=("params", "macs"))  # objectives that need no torch
        here = found(cheap, tmp_path / "here", 60)
        assert len({evaluation.genome for evaluation in here}) == 60
        np.random.seed(1)  # noqa: NPY002  # a searcher draws from its own generator alone
        assert found(cheap, tmp_path / "again", 60) == here
        assert in_another_process(cheap, tmp_path / "there", 60) == here

    def test_resume_is_replay(self, run: Run, tmp_path: Path) -> None:
        whole = found(run, tmp_path / "whole", 60)
        process = get_context("spawn").Process(target=_killed, args=(run, tmp_path / "killed", 23))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert len(Store(tmp_path / "killed").evaluations(run.name)) == 23  # beyond the first generation
        assert found(run, tmp_path / "killed", 30) == whole[:30]
        assert found(run, tmp_path / "killed", 60) == whole

    def test_stops_when_the_space_is_used_up(self, run: Run, tmp_path: Path) -> None:
        task = Task(Chain(), {"params": registry.create("objectives", "params")})
        searcher = registry.create("searchers", run.searcher, SearchProblem(task), np.random.default_rng(0))
        journal = Store(tmp_path / "store").journal("chain", task.record("chain"))
        visited = [visit.evaluation.genome for visit in search(task, searcher, journal, 1000)]
        assert sorted(visited) == [(0, 0), (0, 1), (1, 0), (1, 1)]

    def test_draws_from_its_own_generator_alone(self, run: Run) -> None:
        first = _paths(run)  # unguarded, because importing a library may draw
        with forbidden_global_generators():
            assert _paths(run) == first

    def test_survives_failures_and_violations(self, run: Run) -> None:
        space, rng = registry.create("spaces", run.space), np.random.default_rng(0)
        task = Task(space, {name: registry.create("objectives", name) for name in ("params", "macs")})
        searcher = registry.create("searchers", run.searcher, SearchProblem(task), rng)
        for share in (1.0, 0.5, 0.1, 0.0):
            batch = searcher.ask()
            assert [space.canonical(genome) for genome in batch] == batch
            losses = np.where(rng.random((len(batch), 1)) < share, np.nan, rng.random((len(batch), 2)))
            searcher.tell(losses, np.maximum(rng.normal(size=(len(batch), 2)), 0))


class _Fabricated(SearchProblem):
    """A problem whose mixtures have made-up losses, because measuring a module seeds the global generators."""

    def evaluate_mixture(self, allowed: Sequence[Sequence[int]]) -> np.ndarray:
        return np.random.default_rng([len(self.objectives), *chain(*allowed)]).random(len(self.objectives))


def _paths(run: Run) -> list[list[list[Genome]]]:
    """Return the batches of a fresh searcher for each outcome of `OUTCOMES`; it is told twice, then that all differ."""
    problem, paths = _Fabricated(run.task), []
    for outcome in OUTCOMES.values():
        searcher = registry.create("searchers", run.searcher, problem, np.random.default_rng(0))
        paths.append([_step(searcher, problem, told) for told in (outcome, outcome, _all_differ)])
    return paths


def _all_differ(place: int) -> tuple[float, float]:
    return math.sin(place + 1), 0.0


def _step(searcher: Searcher, problem: Problem, outcome: Callable[[int], tuple[float, float]]) -> list[Genome]:
    """Ask a searcher for a batch, tell it an outcome, and return the batch."""
    batch = searcher.ask()
    if batch:
        losses = np.ones((len(batch), len(problem.objectives)))
        losses[:, -1], violations = np.array([outcome(k) for k in range(len(batch))]).T
        searcher.tell(losses, violations[:, None])
    return batch


class DataContract:
    """The contract of data. A subclass has the fixture `data`, with at least four examples."""

    def test_is_known_by_its_text(self, data: Data) -> None:
        pickle.dumps(data)  # a worker gets a copy
        copy = deepcopy(data)
        assert (copy, hash(copy), str(copy)) == (data, hash(data), str(data))
        assert len(str(data).splitlines()) == 1

    def test_gives_a_batch_for_a_seed_and_a_place(self, data: Data) -> None:
        for seed, place in ((0, 0), (1, 0), (0, 1)):
            one, again = ([array.tobytes() for array in _batch(data, seed, place)] for _ in range(2))
            assert one == again

    def test_a_batch_has_the_shape_that_was_asked_for(self, data: Data) -> None:
        examples, *labels = _batch(data, 0, 0)
        if isinstance(data, TokenData):
            assert examples.shape == (4, 6)
            assert examples.dtype == np.int64
            assert 0 <= examples.min() <= examples.max() < 50
        else:
            assert examples.shape == (4, 3, 8, 8)
            assert examples.dtype == np.float32
            assert np.isfinite(examples).all()
        assert all(found.shape == (4,) and found.dtype == np.int64 for found in labels)


def _batch(data: Any, seed: int, place: int) -> list[np.ndarray]:
    """Return four examples, and their labels if the data has any."""
    if isinstance(data, TokenData):
        return [data.tokens(50, 6, 4, seed, place)]
    images, labels = data.images((3, 8, 8), 4, seed, place)
    return [images] if labels is None else [images, labels]


def drawn(space: SearchSpace, number: int) -> list[Genome]:
    """Return random genomes, not canonical."""
    rng = random.Random(0)
    return [tuple(rng.randrange(len(gene.choices)) for gene in space.genes) for _ in range(number)]


def _examples(space: SearchSpace, number: int) -> torch.Tensor:
    """Return images from N(0, 1), (B, C, H, W), or random tokens, (B, T)."""
    shape = (number, *space.input.shape)
    return torch.randn(shape) if space.input.kind == "images" else torch.randint(space.input.vocabulary, shape)


def found(run: Run, path: Path, budget: int) -> list[Evaluation]:
    """Return the evaluations of a search in this process."""
    return [visit.evaluation for visit in run.search(Store(path), budget)]


def in_another_process(run: Run, path: Path, budget: int) -> list[Evaluation]:
    """Return the evaluations of `nasctl search` in another process, with other hashes of strings."""
    if run.references is None and references(run.task.space):
        run = replace(run, references=())
    environment = {**os.environ, "PYTHONHASHSEED": "42"}
    subprocess.run(_command(run, path, budget), env=environment, check=True, stderr=subprocess.DEVNULL)
    return Store(path).evaluations(run.name)


def _command(run: Run, path: Path, budget: int) -> list[str]:
    """Return the command line of a run."""
    trains = any("training" in metric.needs for metric in run.task.measurable.values())
    number = {"trainings" if trains else "budget": budget}
    options = {"space": run.space, "searcher": run.searcher, "seed": run.seed, "store": path} | number
    measured = run.task.setting
    setting = {"fidelity": measured.fidelity, "weights-seed": measured.seed, "data": measured.data}
    lists = {"objective": run.objectives, "record": run.record, "constraint": run.constraints}
    given = [*((option, spec) for option, specs in lists.items() for spec in specs), *(options | setting).items()]
    words = [f"--{option}={value}" for option, value in given]
    return [sys.executable, "-m", "nasctl", "search", *words, *([] if run.references else ["--no-references"])]


def _killed(run: Run, path: Path, after: int) -> None:
    """Search until this process kills itself, after the given number of candidates."""
    for number, _ in enumerate(run.search(Store(path), 60), 1):
        if number == after:
            os.kill(os.getpid(), signal.SIGKILL)


def _surroundings(candidate: Candidate) -> list[object]:
    """Return the state that an objective must not change: later weights, random generators and global switches."""
    generators = [torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()]  # noqa: NPY002
    space = candidate.space
    module = space.module(candidate.genome) if isinstance(space, HasTrainedWeights) else candidate.module()
    weights = [hash(tensor.numpy().tobytes()) for tensor in module.state_dict().values()]
    return [weights, generators, torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()]


def _filled(module: nn.Module) -> nn.Module:
    """Return the module in double precision, with weights that depend on a layer's shape and not on its position."""
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, generator=torch.Generator().manual_seed(0))
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    return module.double().eval()
