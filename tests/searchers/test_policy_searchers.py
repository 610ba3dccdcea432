"""Searchers whose policy draws genomes: one loss from many, genomes that are known, and what they find."""

import numpy as np
import pytest

from nasctl import registry
from nasctl.api import BadOption, Gene, Goal
from nasctl.searchers._quantiles import QuantileLoss


class Additive:
    """Genes of three choices, of which the second one is the best everywhere; a choice costs its number."""

    def __init__(self, objectives=1, genes=4):
        self.space = self
        self.genes = tuple(Gene(f"g{k}", (0, 1, 2)) for k in range(genes))
        self.objectives = tuple(Goal(name, "min", "identity", "network") for name in ("wrong", "cost")[:objectives])

    def canonical(self, genome):
        return genome

    def losses(self, genomes):
        x = np.array(genomes, float).reshape(len(genomes), -1)
        return np.column_stack([(x != 1).sum(axis=1), x.sum(axis=1)])[:, : len(self.objectives)]

    def violation(self, genomes):
        return np.zeros(len(genomes))


def searched(spec, problem, asks, seed=0):
    searcher, asked = registry.create("searchers", spec, problem, np.random.default_rng(seed)), []
    for _ in range(asks):
        if not (batch := searcher.ask()):
            break
        asked += batch
        searcher.tell(problem.losses(batch), np.zeros((len(batch), 1)))
    return searcher, asked


def test_the_loss_is_the_share_of_better_genomes():
    quantiles = QuantileLoss(2)
    losses = np.array([[1.0, 4.0], [2.0, 4.0], [3.0, 0.0], [np.nan, 0.0], [0.0, 0.0]])
    keys = quantiles.add(losses, np.array([[0.0], [0.0], [0.0], [0.0], [0.5]]))
    found = [quantiles.of(one) for one in keys]
    # Feasible genomes come before the one that breaks the bound, and this before the failed one. Ties count half.
    expected = [(0.1 + 0.4) / 2, (0.3 + 0.4) / 2, (0.5 + 0.1) / 2, 0.9, 0.7]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("spec", ["manas", "manas:estimate=ridge", "manas:zipf", "enas", "enas:memory"])
def test_no_genome_is_proposed_twice_and_the_space_is_used_up(spec):
    _, asked = searched(spec, Additive(2, genes=3), 60)
    assert len(asked) == len(set(asked)) == 27


@pytest.mark.parametrize("spec", ["manas:published,batch=5", "enas:published,rate=0.02"])
def test_a_policy_concentrates_on_the_best_genome(spec):
    problem = Additive()
    _, asked = searched(spec, problem, 160 if spec.startswith("manas") else 40)
    size = len(asked) // 4
    early, late = problem.losses(asked[:size]).mean(), problem.losses(asked[-size:]).mean()
    assert late < early / 2


@pytest.mark.parametrize("spec", ["manas", "enas"])
def test_a_policy_learns_about_recorded_genomes(spec):
    problem = Additive()
    searcher, _ = searched(spec, problem, 2)
    searcher.ask()
    recorded = [(1, 1, 1, 1), (0, 2, 0, 2)]
    searcher.replace_batch(recorded)
    searcher.tell(problem.losses(recorded), np.zeros((2, 1)))
    assert not set(recorded) & set(searcher.ask())


@pytest.mark.parametrize("spec", ["manas:batch=0", "enas:batch=0", "manas:eta=-1", "enas:hidden=0"])
def test_options_out_of_range_are_refused(spec):
    with pytest.raises(BadOption):
        searched(spec, Additive(), 1)
