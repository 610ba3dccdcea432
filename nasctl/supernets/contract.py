"""The contract of strategies, which `nasctl.testing` offers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.problem.space import SearchSpace
from nasctl.problem.strategy import (
    HasCopies,
    LearnsChoices,
    Pass,
    ReadsNorms,
    ReadsTeacher,
    StartsFromWeights,
    Strategy,
    StrategyContext,
)
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.hull import Hull
from nasctl.supernets.problem import default_share
from nasctl.system.global_generators import forbidden_global_generators


def strategy_context(space: SearchSpace, seed: int = 0, steps: int = 40) -> StrategyContext:
    """Return the context of a strategy that trains a supernet of a space."""
    hull = Hull.of(ElasticNetworks(space, default_share(space)))
    return TrainingContext(hull, seed, steps)


class StrategyContract:
    """The contract of strategies. A subclass has the fixtures `strategy`, a spec, and `context`.

    The context is that of `strategy_context`, or another one with at least 10 steps.
    """

    def test_same_seed_same_passes(self, strategy: str, context: StrategyContext) -> None:
        first = _told(strategy, context)
        np.random.seed(1)  # noqa: NPY002  # a strategy draws from the context's generators alone
        torch.manual_seed(1)  # modules of a strategy may be drawn from a seed of its own
        again = registry.create("strategies", strategy, context)
        with forbidden_global_generators():
            assert _outcomes(again, range(context.steps)) == first

    def test_passes_are_a_function_of_the_step_and_the_arrays(self, strategy: str, context: StrategyContext) -> None:
        whole = _told(strategy, context)
        for stop in (1, context.steps // 2, context.steps - 1):
            before = registry.create("strategies", strategy, context)
            _outcomes(before, range(stop))
            after = registry.create("strategies", strategy, context)
            assert after.arrays.keys() == before.arrays.keys()
            for name, array in before.arrays.items():
                after.arrays[name][...] = array
            assert after.passes(stop) == after.passes(stop)
            assert _outcomes(after, range(stop, context.steps)) == whole[stop:]

    def test_passes_train_networks_of_the_supernet(self, strategy: str, context: StrategyContext) -> None:
        made = registry.create("strategies", strategy, context)
        copies = made.copies if isinstance(made, HasCopies) else 1
        taught = isinstance(made, StartsFromWeights) and made.start_teaches
        for step, passes in enumerate(_outcomes(made, range(context.steps))):
            assert passes
            teaches = taught
            for one in passes:
                assert one.genomes
                assert all(context.space.canonical(genome) == genome for genome in one.genomes)
                assert all(map(context.holds, one.genomes))
                assert teaches or one.learns == "labels"
                assert one.weight > 0
                assert 0 <= one.labels <= 1
                assert one.copy in range(copies)
                if isinstance(made, HasCopies):
                    own = {made.copy_of(genome) for genome in one.genomes}
                    assert one.copy == 0 if step < made.splits_at else own == {one.copy}
                teaches |= one.teaches

    def test_learned_choices_are_distributions(self, strategy: str, context: StrategyContext) -> None:
        whole = registry.create("strategies", strategy, context)
        made: object = whole
        if not isinstance(made, LearnsChoices):
            return
        for before in (0, context.steps):
            _outcomes(whole, range(before))
            found = made.probabilities()
            assert [one.shape for one in found] == [(len(gene.choices),) for gene in context.space.genes]
            assert all((one >= 0).all() and abs(one.sum() - 1) < 1e-6 for one in found)
            assert context.space.canonical(made.chosen()) == made.chosen()
            assert context.holds(made.chosen())

    def test_survives_losses_that_are_not_finite(self, strategy: str, context: StrategyContext) -> None:
        made = registry.create("strategies", strategy, context)
        for step in range(context.steps):
            number = len(made.passes(step))
            made.told(step, [math.nan] * number, [math.inf] * number if _reads_norms(made) else [])
        assert all(np.isfinite(array).all() for array in made.arrays.values())

    def test_refuses_unknown_options_and_words(self, strategy: str, context: StrategyContext) -> None:
        name = registry.plugin_of(strategy)
        defaults = registry.option_defaults("strategies", name).items()
        reads = issubclass(registry.load("strategies", name), ReadsTeacher)
        # The file of a teacher is read later.
        words = [key for key, value in defaults if isinstance(value, str) and not (reads and key == "teacher")]
        for option in (*words, "no_such_option"):
            with pytest.raises(NasctlError):
                registry.create("strategies", f"{name}:{option}=no such word", context)


def _reads_norms(strategy: Strategy) -> bool:
    return isinstance(strategy, ReadsNorms) and strategy.reads_norms


def _told(spec: str, context: StrategyContext) -> list[Sequence[Pass]]:
    """Return the passes of all steps of a fresh strategy."""
    return _outcomes(registry.create("strategies", spec, context), range(context.steps))


def _outcomes(strategy: Strategy, steps: range) -> list[Sequence[Pass]]:
    """Return the passes of some steps, after each of which a strategy is told made-up losses and norms."""
    found = []
    for step in steps:
        passes = strategy.passes(step)
        losses, norms = np.random.default_rng(step).random((2, len(passes))).tolist()
        strategy.told(step, losses, norms if _reads_norms(strategy) else [])
        found.append(passes)
    return found


__all__ = ["StrategyContract", "strategy_context"]
