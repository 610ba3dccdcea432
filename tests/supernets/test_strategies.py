"""Strategies: the contract over all of nasctl's own, and what each of them promises."""

from collections import Counter
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from supernets.stack import RECIPE, Stack, problem, trained
from training.examples import equal, images

from nasctl import registry
from nasctl.errors import BadOption
from nasctl.supernets.gradients import StepSums, reduced
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.strategy_weights import decayed_and_plain
from nasctl.testing import Chain, StrategyContract, strategy_context
from nasctl.training.events import Evaluated, Ranks

STEPS = 40


@cache
def context_of(spec, seed=0, steps=STEPS):
    own = {"stack": Stack, "chain": lambda: Chain(3, (2, 3, 5))}
    return strategy_context(own[spec]() if spec in own else registry.create("spaces", spec), seed, steps)


def made(spec, context=None):
    return registry.create("strategies", spec, context or context_of("stack"))


SPECS = (
    *(
        f"{name}:listed=200" if "listed" in registry.option_defaults("strategies", name) else name
        for name in registry.trusted("strategies")
        if name not in ("distil", "tangle")  # see test_own_losses and test_entanglement
    ),
    "attentive:up=worst,distance=alpha,candidates=2,listed=200",
    "darts:order=2",
    "darts:select=perturbation,fixed",
    "drnas:kl=0.01",
    "elastic:teacher=given,random=2",
    "few_shot:sandwich,after=0,listed=200",
    "gdas:select=perturbation",
    "shift:sandwich,random=2,every=3,after=0.2,listed=200",
    "single_path:sampling=gradient,calr",
)

SPACES = ("stack", "nb201:channels=4,cells=1")


def refused(spec, space):
    """Return whether a strategy does not take a space."""
    try:
        made(spec, context_of(space))
    except BadOption as error:
        return "this space" in str(error)
    return False


@pytest.mark.parametrize("spec", SPECS)
def test_each_strategy_takes_one_of_the_spaces(spec):
    assert not all(refused(spec, space) for space in SPACES)


class TestOwnStrategies(StrategyContract):
    @pytest.fixture(params=SPACES)
    def space(self, request):
        return request.param

    @pytest.fixture
    def context(self, space):
        return context_of(space)

    @pytest.fixture(params=SPECS)
    def strategy(self, request, space):
        if refused(request.param, space):
            pytest.skip("the strategy does not take this space")
        return request.param


@pytest.mark.parametrize(
    "spec",
    [
        "attentive:candidates=0",
        "attentive:bins=0",
        "attentive:listed=-1",
        "attentive:random=0",
        "elastic:labels=0",
        "elastic:labels=1.5",
        "elastic:random=0",
        "few_shot:after=1",
        "few_shot:bands=0",
        "few_shot:by=first.widht",
        "sandwich:random=-1",
        "shift:after=-0.1",
        "shift:bins=2000",
        "shift:every=0",
        "shift:keep=1",
        "shift:random=0",
    ],
)
def test_options_out_of_range_are_refused_in_one_sentence(spec):
    with pytest.raises(BadOption, match=r"Cannot use|Cannot train|gene of the space") as caught:
        made(spec)
    assert "\n" not in str(caught.value)


def test_fair_has_each_choice_equally_often():
    strategy = made("fair", context_of("chain"))  # its genomes are all canonical
    for step in range(10):
        drawn = np.array([one.genomes[0] for one in strategy.passes(step)])
        assert all(sorted(column) == [0, 1, 2] for column in drawn.T)


def test_attentive_follows_the_prior_of_macs():
    context = context_of("stack", steps=400)
    strategy = made("attentive:bins=6,random=2,candidates=2", context)
    passes = [one for step in range(400) for one in strategy.passes(step)[1:-1]]
    places = [strategy.bins.place(context.macs(genome)) for one in passes for genome in one.genomes]
    found = np.bincount(places, minlength=6) / len(places)
    assert np.abs(found - strategy.bins.prior).max() < 0.05  # 800 draws: five standard errors of 1% to 2%
    for one in passes:
        assert len({strategy.bins.place(context.macs(genome)) for genome in one.genomes}) == 1


@pytest.mark.parametrize(("up", "sign"), [("best", 1), ("worst", -1)])
def test_attentive_trains_the_candidate_of_the_lowest_or_the_highest_loss(up, sign):
    learner = SupernetLearner(problem(f"attentive:up={up},candidates=4,random=1"), Ranks())
    data = images()
    given, labels = torch.from_numpy(data.inputs[:16]), torch.from_numpy(data.labels[:16])
    for step in range(5):
        prepared = learner.learning.training(given, labels, step)
        one = learner.strategy.passes(step)[1]
        assert len(one.genomes) == 4
        with torch.no_grad():
            losses = [float(learner.learning.loss(learner.run(g, prepared.inputs), labels)) for g in one.genomes]
        chosen = one.genomes.index(learner._chosen(one, prepared))
        assert sign * losses[chosen] == min(sign * loss for loss in losses)


def test_shift_moves_towards_costs_with_larger_gradients():
    context = context_of("stack", steps=600)
    strategy = made("shift:bins=4,every=50,after=0.5,keep=0.5", context)
    equal_shares = strategy.probabilities.copy()
    assert np.ptp(equal_shares[equal_shares > 0]) < 1e-12
    counts = Counter()
    for step in range(600):
        (one,) = strategy.passes(step)
        place = strategy.bins.place(context.macs(one.genomes[0]))
        strategy.told(step, [1.0], [float(place + 1)])  # costs of higher bins have larger gradients
        counts[step >= 300, place] += 1
        if step < 298:
            assert (strategy.probabilities == equal_shares).all()
    shares = strategy.bins.sizes > 0
    expected = np.where(shares, np.arange(1, 5), 0)
    assert np.allclose(strategy.probabilities, expected / expected.sum())
    assert counts[True, 3] > counts[False, 3]
    assert counts[True, 0] < counts[False, 0]


def test_the_bins_of_shift_reach_the_extremes_where_uniform_genes_do_not():
    context = context_of("nb201:channels=4,cells=1")
    strategy = made("shift:bins=10", context)
    assert strategy.bins.sizes[[0, -1]].min() > 0
    rng = np.random.default_rng(0)
    for place in np.flatnonzero(strategy.bins.sizes):
        low, high = strategy.bins.edges[place : place + 2]
        costs = [context.macs(strategy.bins.draw(rng, place)) for _ in range(5)]
        assert all(low <= cost <= high for cost in costs)


def test_gradient_sampling_prefers_choices_with_large_gradients():
    context = context_of("stack", steps=400)
    strategy, drawn = made("single_path:sampling=gradient", context), []
    for step in range(400):
        (one,) = strategy.passes(step)
        strategy.told(step, [1.0], [9.0 if one.genomes[0][0] == 3 else 1.0])
        drawn.append(one.genomes[0][0])
    early, late = Counter(drawn[:100]), Counter(drawn[-100:])
    assert early[3] < 45  # of 100, with a probability near 1/4
    assert late[3] > 55  # of 100, with a probability near 9/12


def test_calr_lets_small_networks_count_less_and_less():
    context = context_of("stack")
    strategy = made("single_path:calr")
    assert strategy._factor(context.largest, 20) == pytest.approx(0.5**0.25)
    assert strategy._factor(context.smallest, 20) == pytest.approx(0.5**4)
    assert strategy._factor(context.smallest, 0) == 1


def test_calr_changes_the_steps_of_any_optimiser():
    """The first step of AdamW has the length of the rate, whatever the loss is multiplied by."""
    moves = []
    for strategy in ("single_path", "single_path:calr"):
        given = problem(strategy, recipe=replace(RECIPE, optimiser="adamw", weight_decay=0.0))
        learner = SupernetLearner(given, Ranks())
        before = {name: value.detach().clone() for name, value in learner.weights.tensors.items()}
        learner.step(*(torch.from_numpy(one[:16]) for one in given.data.examples("train", np.arange(16))), 9, 0.01)
        moves.append(max(float((learner.weights.tensors[k].detach() - v).abs().max()) for k, v in before.items()))
    genome = learner.strategy.passes(9)[0].genomes[0]
    assert moves[1] / moves[0] == pytest.approx(learner.strategy._factor(genome, 9), rel=1e-3)
    assert moves[1] < 0.9 * moves[0]


def test_no_copy_has_a_momentum_at_the_split():
    given = problem("few_shot:by=first.width,after=0.5")
    learner = SupernetLearner(given, Ranks())
    learner.step(*(torch.from_numpy(one[:16]) for one in given.data.examples("train", np.arange(16))), 0, 0.01)
    assert any(one in learner.optimiser.state for one in learner.weights.tensors.values())
    learner._split()
    assert not any(one in learner.optimiser.state for one in learner.weights.tensors.values())


def test_norms_of_several_axes_have_no_weight_decay():
    roles = {"a|LayerNorm": "norm", "b|Linear": "weight", "c|Linear": "bias"}
    hull = SimpleNamespace(slots={name: SimpleNamespace(role=role) for name, role in roles.items()})
    tensors = {f"{name}@1": torch.nn.Parameter(torch.zeros((2, 2) if "c" not in name else (2,))) for name in roles}
    decayed, plain = decayed_and_plain(tensors, hull)
    assert [decayed[0] is tensors["b|Linear@1"], len(decayed), len(plain)] == [True, 1, 2]


def test_the_norm_of_a_rank_counts_as_its_gradient():
    sums = StepSums(torch.tensor([1.0]), None, [2.0], torch.zeros(2))
    found = reduced([], sums, torch.tensor(4.0), 8.0, Ranks())
    assert found.norms == [4.0]  # the gradient of the mean loss, of which half was added up


@pytest.mark.parametrize(("by", "copies"), [("first.width", 4), ("macs", 3)])
def test_few_shot_copies_are_equal_before_the_split_and_differ_after_it(by, copies, tmp_path):
    given = problem(f"few_shot:by={by},after=0.5", recipe=replace(RECIPE, ema=0.9))
    before = trained(given, tmp_path, until=7).state  # the split is before step 7 of 12, which trains copy 0 or 2
    slots = {name.removesuffix("@1") for name in before if name.endswith("@1")}
    assert len(slots) > 0
    assert all(torch.equal(before[f"{name}@1"], before[f"{name}@{copies - 1}"]) for name in slots)
    after = trained(given, tmp_path).state
    assert not all(torch.equal(after[f"{name}@1"], after[f"{name}@{copies - 1}"]) for name in slots)


def test_few_shot_judges_the_first_copy_before_the_split(tmp_path):
    """Copies other than the first have drawn weights until then."""
    seen, plain = [], []
    for strategy, found in (("few_shot:after=0.9", seen), ("single_path", plain)):
        events = found.append
        trained(problem(strategy), tmp_path / strategy[:3], until=6, on_event=events)
    results = [[one.result.loss for one in found if isinstance(one, Evaluated)] for found in (seen, plain)]
    assert results[0] == results[1]


def test_bands_of_macs_have_equal_shares_of_random_networks():
    context = context_of("nb201:channels=4,cells=1")
    strategy, rng = made("few_shot:bands=3", context), np.random.default_rng(1)
    counts = np.bincount([strategy.copy_of(context.draw(rng)) for _ in range(600)])
    assert len(counts) == 3
    assert counts.min() > 120  # costs of cells are few, so bands cannot be equal
    with pytest.raises(BadOption, match="fewer bands"):
        made("few_shot:bands=200", context).passes(0)
    again = made("few_shot:bands=3", context)
    again.arrays["edges"][:] = strategy.arrays["edges"] / 1e6  # as a trained supernet has them
    assert {again.copy_of(context.draw(rng)) for _ in range(20)} == {2}


@pytest.mark.parametrize(
    "spec", ["shift:every=2,after=0,sandwich", "few_shot:after=0.4", "single_path:sampling=gradient"]
)
def test_a_resumed_training_is_the_undisturbed_one(spec, tmp_path):
    whole = trained(problem(spec), tmp_path / "whole").state
    trained(problem(spec), tmp_path / "parts", until=5)
    assert equal(trained(problem(spec), tmp_path / "parts").state, whole)


OWN = '''
from nasctl.api import BadOption, Pass


class Largest:
    """Train the largest network alone."""

    def __init__(self, context, weight: float = 1.0) -> None:
        if weight <= 0:
            raise BadOption(f"Cannot use Largest with weight={weight:g}. Give a number above 0.")
        self._context, self._weight = context, weight

    def passes(self, step):
        return (Pass((self._context.largest,), weight=self._weight),)

    def told(self, step, losses, norms):
        pass

    @property
    def arrays(self):
        return {}
'''


def test_a_strategy_of_a_users_file_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "own.py").write_text(OWN)
    spec = "own.py:Largest:weight=0.5"
    assert registry.spelled_out("strategies", spec) == spec
    state = trained(problem(spec), tmp_path / "folder", until=3).state
    assert set(state["visits/slots"].flatten().tolist()) == {3}
    with pytest.raises(BadOption, match="Give a number above 0"):
        SupernetLearner(problem("own.py:Largest:weight=0"), Ranks())
    contract = StrategyContract()
    contract.test_same_seed_same_passes(spec, context_of("stack"))
    contract.test_passes_train_networks_of_the_supernet(spec, context_of("stack"))
