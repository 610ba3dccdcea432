"""Ranges of objectives over spaces, against values that are known or found by trying every network."""

import math
from itertools import product

import pytest

from nasctl import registry
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.data import source
from nasctl.errors import NasctlError
from nasctl.evaluation import ranges
from nasctl.evaluation.ranges import SAMPLE, Bounds, bounds, doubt, sample
from nasctl.problem.constraints import Constraint
from nasctl.problem.sampling import ENUMERABLE
from nasctl.problem.space import Gene
from nasctl.testing import Chain

NOISE = source("noise")


class Formula:
    """A function of the genome; counts its calls."""

    direction, transform, needs, version, unit = "min", "identity", frozenset({"network"}), "1", "kB"

    def __init__(self, function, monotone=None):
        self.function, self.calls = function, []
        if monotone is not None:
            self.monotone = monotone

    def __call__(self, candidate):
        self.calls.append(candidate.genome)
        return self.function(candidate.genome)


def number(genome):
    return sum(choice << k for k, choice in enumerate(genome))


class Folded(Chain):
    """A chain whose last gene changes nothing."""

    def canonical(self, genome):
        return (*genome[:-1], 0)


class Ordered(Chain):
    """A chain whose genes are ordered by width."""

    def __init__(self, depth=2, widths=(2, 5)):
        super().__init__(depth, widths)
        self.genes = tuple(Gene(gene.name, gene.choices, ordered=True) for gene in self.genes)


def test_a_sample_is_canonical_different_and_of_its_seed():
    space = Folded(6)
    found = sample(space, 20)
    assert len(set(found)) == len(found) == 20
    assert all(genome[-1] == 0 for genome in found)
    assert sample(space, 20) == found == sample(space, 20, 0)
    assert sample(space, 20, 1) != found
    assert sorted(sample(space, 100)) == [(*genome, 0) for genome in product((0, 1), repeat=5)]
    assert len(sample(Chain(12))) == SAMPLE == 200


def test_the_params_of_a_chain_are_known_by_hand():
    # 3 inputs, then two layers of 2 or 5: 3*2 + 2*2 = 10 to 3*5 + 5*5 = 40.
    found = bounds(Chain(), registry.create("objectives", "params"))
    assert found == Bounds(10.0, 40.0, proven=True)
    assert found.ends == ((0, 0), (1, 1))


def test_a_small_space_is_enumerated_once_per_network():
    metric = Formula(lambda genome: (number(genome) - 11) ** 2)
    found = bounds(Folded(5), metric)
    assert (found.least, found.most, found.proven) == (0.0, 121.0, True)
    assert found.ends == ((1, 1, 0, 1, 0), (0, 0, 0, 0, 0))
    assert sorted(metric.calls) == sorted((*genome, 0) for genome in product((0, 1), repeat=4))


def test_a_space_is_enumerated_up_to_a_size(monkeypatch):
    metric = Formula(number)
    monkeypatch.setattr(ranges, "ENUMERABLE", 32)
    assert bounds(Chain(5), metric).proven
    assert not bounds(Chain(6), metric).proven
    assert not bounds(Chain(5), metric, exhaust=False).proven
    assert ENUMERABLE == 20_000


def test_a_monotone_objective_of_ordered_genes_has_its_range_at_the_ends():
    metric = Formula(number, monotone=True)
    found = bounds(Ordered(30), metric)
    assert found == Bounds(0.0, 2**30 - 1.0, proven=True)
    assert found.ends == ((0,) * 30, (1,) * 30)
    assert len(metric.calls) == len(set(metric.calls)) == 2 + 2 * 30  # both ends, and changes of single genes
    found = bounds(Ordered(9, (2, 5, 7)), Formula(sum, monotone=True))
    assert (found.least, found.most, found.ends[1]) == (0.0, 18.0, (2,) * 9)


@pytest.mark.parametrize(("space", "monotone"), [(Ordered, False), (Ordered, None), (Chain, True)])
def test_nothing_is_proven_without_the_promise_or_the_order(space, monotone):
    metric = Formula(number, monotone)
    found = bounds(space(16), metric)
    assert found == Bounds(0.0, 65535.0, proven=False)  # which descent finds of what adds up
    assert found.ends == ((0,) * 16, (1,) * 16)
    assert len(metric.calls) == len(set(metric.calls)) < 300


def test_a_promised_order_that_single_genes_break_proves_nothing():
    found = bounds(Ordered(16), Formula(lambda genome: number(genome) - 10 * genome[3], monotone=True))
    assert not found.proven
    assert (found.least, found.most) == (-2.0, 65535.0 - 8)
    backwards = bounds(Ordered(16), Formula(lambda genome: -number(genome), monotone=True))
    assert backwards == Bounds(-65535.0, 0.0, proven=False)


def test_descent_starts_from_the_best_of_a_sample():
    space = Chain(16)
    peak = max(sample(space), key=number)

    def function(genome):  # a lone peak that only the sample finds, beside a slope that leads elsewhere
        return 1000.0 if genome == peak else -float(sum(genome))

    found = bounds(space, Formula(function))
    assert (found.most, found.ends[1]) == (1000.0, peak)
    assert (found.least, found.ends[0]) == (-16.0, (1,) * 16)


def test_descent_goes_on_as_long_as_a_round_helps():
    def function(genome):  # each gene helps only after the next one does, so every round sets one gene
        ones = 0
        for choice in reversed(genome):
            if not choice:
                break
            ones += 1
        return float(ones)

    found = bounds(Chain(16), Formula(function))
    assert (found.most, found.ends[1]) == (16.0, (1,) * 16)


def test_descent_changes_no_gene_that_does_not_help():
    space = Chain(16)
    found = bounds(space, Formula(lambda genome: float(genome[0])))
    assert found.ends == tuple(next(one for one in sample(space) if one[0] == choice) for choice in (0, 1))


def test_descent_tries_every_choice_of_a_gene():
    def function(genome):  # 3 for the middle choice, 1 for the last, 0 for the first
        return float(sum((0, 3, 1)[choice] for choice in genome))

    found = bounds(Chain(10, (2, 5, 7)), Formula(function))
    assert found == Bounds(0.0, 30.0, proven=False)
    assert found.ends == ((0,) * 10, (1,) * 10)


def test_failures_are_left_out():
    def function(genome):
        if genome[0] == 0:
            raise ValueError("no such network")
        return float(number(genome))

    assert bounds(Chain(5), Formula(function)) == Bounds(1.0, 31.0, proven=True)
    assert bounds(Chain(16), Formula(function)) == Bounds(1.0, 65535.0, proven=False)


@pytest.mark.parametrize(("depth", "proven"), [(5, True), (16, False)])
def test_a_range_without_any_value_is_nan(depth, proven):
    found = bounds(Chain(depth), Formula(lambda genome: math.nan))
    assert math.isnan(found.least)
    assert math.isnan(found.most)
    assert (found.proven, found.ends) == (proven, ())


class Seeded(Formula):
    """The seed of the setting."""

    def __call__(self, candidate):
        assert isinstance(candidate, Candidate)
        return float(candidate.setting.seed)


def test_a_range_is_of_the_setting():
    assert bounds(Chain(), Seeded(None), Setting(NOISE, seed=7)) == Bounds(7.0, 7.0, proven=True)
    assert bounds(Chain(), Seeded(None)) == Bounds(0.0, 0.0, proven=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ((True, 31.0), None),
        ((True, 0.0), None),
        ((False, 31.0), None),
        (
            (True, -0.5),
            r"no candidate can meet size<=-0.5: size of this space is 0 kB at least; give a bound beyond that",
        ),
        ((False, 31.5), r"no candidate can meet size>=31.5: size of this space is 31 kB at most; give a bound beyond"),
    ],
)
def test_a_constraint_that_cannot_be_met_is_refused(text, message):
    upper, bound = text
    held = Constraint("size", upper, bound)
    if message is None:
        assert doubt(Chain(5), Formula(number), held, Setting()) is None
    else:
        with pytest.raises(NasctlError, match=message):
            doubt(Chain(5), Formula(number), held, Setting())


def test_a_doubt_is_of_the_setting():
    held = Constraint("seed", upper=True, bound=6.0)
    assert doubt(Chain(), Seeded(None), held, Setting(NOISE, seed=6)) is None
    with pytest.raises(NasctlError, match="seed of this space is 7 kB at least"):
        doubt(Chain(), Seeded(None), held, Setting(NOISE, seed=7))


def test_a_constraint_that_perhaps_cannot_be_met_is_doubted():
    held = Constraint("size", upper=True, bound=-1.0)
    assert doubt(Chain(16), Formula(number), held, Setting()) == (
        "perhaps no candidate can meet size<=-1: size of this space is 0 kB at least, as far as a quick look can tell"
    )
    held = Constraint("size", upper=False, bound=65536.0)
    assert doubt(Chain(16), Formula(number), held, Setting()) == (
        "perhaps no candidate can meet size>=65536: size of this space is 65535 kB at most, as far as a quick look can"
        " tell"
    )
    assert doubt(Chain(16), Formula(lambda genome: math.nan), held, Setting()) is None
