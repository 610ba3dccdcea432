"""Bandits and the recurrent controller on losses without any search: closed forms, resumption, and what they learn."""

import math

import numpy as np
import pytest
import torch

from nasctl.errors import BadOption
from nasctl.problem.choice_bandit import ChoiceBandit
from nasctl.problem.choice_controller import ChoiceController, ControllerOptions

COUNTS = (3, 2, 1, 4)


def test_exp3_divides_a_loss_by_its_probability():
    bandit = ChoiceBandit((2, 3), rounds=8)
    bandit.learn([(1, 2)], [0.5])
    first, second = bandit.probabilities()
    # The estimates are 0.5 / (1/2) = 1 and 0.5 / (1/3) = 1.5, and eta is sqrt(2 ln K / (T K)).
    wrong = math.exp(-math.sqrt(2 * math.log(2) / 16)), math.exp(-1.5 * math.sqrt(2 * math.log(3) / 24))
    assert first == pytest.approx([1 / (1 + wrong[0]), wrong[0] / (1 + wrong[0])])
    assert second == pytest.approx([1 / (2 + wrong[1])] * 2 + [wrong[1] / (2 + wrong[1])])


def test_without_a_horizon_the_rate_falls_with_the_rounds():
    bandit = ChoiceBandit((2,))
    bandit.learn([(0,)], [1.0])
    bandit.learn([(1,)], [0.0])
    falling = math.exp(-2 * math.sqrt(math.log(2) / (3 * 2)))
    assert bandit.probabilities()[0] == pytest.approx([falling / (1 + falling), 1 / (1 + falling)])


def test_zipf_follows_ranks_and_ties_share():
    bandit = ChoiceBandit((3,), zipf=True)
    assert bandit.probabilities()[0] == pytest.approx([1 / 3] * 3)
    bandit.learn([(1,)], [1.0])
    shares = np.array([1, 1 / 2, 1 / 3]) / (11 / 6)
    assert bandit.probabilities()[0] == pytest.approx([shares[:2].mean(), shares[2], shares[:2].mean()])


def test_the_ridge_is_that_of_the_normal_equations():
    rng, genomes, losses = np.random.default_rng(0), [], []
    bandit = ChoiceBandit((2, 3), estimate="ridge", eta=0.1)
    mean, targets = None, []
    for _ in range(30):
        genomes.append(bandit.draw(rng))
        losses.append(float(rng.random()))
        targets.append(0.0 if mean is None else losses[-1] - mean)
        mean = losses[-1] if mean is None else 0.95 * mean + 0.05 * losses[-1]
        bandit.learn(genomes[-1:], losses[-1:])
    coded = np.array([[a == 0, a == 1, b == 0, b == 1, b == 2] for a, b in genomes], float)
    design, wanted = np.vstack([coded, np.eye(5)]), np.concatenate([targets, np.zeros(5)])
    scores = np.exp(-0.1 * 30 * np.linalg.lstsq(design, wanted, rcond=None)[0])
    expected = [scores[:2] / scores[:2].sum(), scores[2:] / scores[2:].sum()]
    assert all(np.allclose(one, other) for one, other in zip(bandit.probabilities(), expected, strict=True))


@pytest.mark.parametrize("rounds", [None, 1000])
def test_the_regret_of_exp3_stays_below_its_bound(rounds):
    number, count = 1000, 3
    table = np.random.default_rng(9).random((number, count)) < (0.6, 0.3, 0.6)
    bandit, rng, drawn = ChoiceBandit((count,), rounds), np.random.default_rng(0), 0
    for row in table:
        genome = bandit.draw(rng)
        drawn += int(row[genome[0]])
        bandit.learn([genome], [float(row[genome[0]])])
    regret, random = drawn - table.sum(axis=0).min(), table.mean() * number - table.sum(axis=0).min()
    bound = math.sqrt(number * count * math.log(count)) * (2 if rounds is None else math.sqrt(2))
    assert 0 < regret < bound < random


def test_losses_that_are_not_finite_teach_nothing():
    bandit, controller = ChoiceBandit(COUNTS), ChoiceController(COUNTS)
    before = [{name: one.copy() for name, one in made.arrays.items()} for made in (bandit, controller)]
    bandit.learn([(0, 0, 0, 0)], [math.nan])
    controller.learn([(0, 0, 0, 0)], [math.inf], np.random.default_rng(0))
    for made, old in zip((bandit, controller), before, strict=True):
        assert all(np.array_equal(made.arrays[name], one) for name, one in old.items())


@pytest.mark.parametrize("options", [{"estimate": "other"}, {"eta": -1.0}, {"eta": math.nan}])
def test_bandits_refuse_options_out_of_range(options):
    with pytest.raises(BadOption, match="Cannot use manas"):
        ChoiceBandit(COUNTS, **options)


@pytest.mark.parametrize("options", [{"hidden": 0}, {"rate": 0.0}, {"entropy": -1.0}, {"decay": 1.0}, {"buffer": 0}])
def test_controllers_refuse_options_out_of_range(options):
    with pytest.raises(BadOption, match="Cannot use enas"):
        ControllerOptions(**options)


def test_the_controller_is_an_lstm_of_torch():
    controller = ChoiceController(COUNTS, seed=3, options=ControllerOptions(hidden=8))
    values = {name: torch.from_numpy(one) for name, one in controller.arrays.items() if "." not in name}
    lstm = torch.nn.LSTM(8, 8, batch_first=True)
    lstm.load_state_dict(
        {
            "weight_ih_l0": values["read"],
            "weight_hh_l0": values["kept"],
            "bias_ih_l0": values["gates"],
            "bias_hh_l0": torch.zeros(32),
        }
    )
    genomes = [(2, 1, 0, 3), (0, 0, 0, 1)]
    places = torch.tensor(genomes) + torch.tensor([0, 3, 5, 6])
    first = values["embedding"][-1].expand(2, 1, 8)
    with torch.no_grad():
        states, _ = lstm(torch.cat([first, values["embedding"][places]], 1))
        heads = 2.5 * torch.tanh(states @ values["heads"].T)
    found = controller.conditionals(genomes)
    for gene, (start, count) in enumerate(zip((0, 3, 5, 6), COUNTS, strict=True)):
        assert np.allclose(found[gene], heads[:, gene, start : start + count].softmax(1), atol=1e-6)
    assert np.allclose(controller.states(genomes), states[:, -1], atol=1e-6)


def test_a_first_step_follows_the_gradient_of_the_expected_reward():
    """With beta1 = 0, Adam's first step has the sign of the gradient of REINFORCE, which autograd gives too."""
    options = ControllerOptions(hidden=4, entropy=0.0, rate=0.01)
    controller = ChoiceController((2, 2), seed=1, options=options)
    before = controller.arrays["heads"].copy()
    for genome, reward in (((0, 1), 1.0), ((1, 0), 0.0)):  # the first one sets the baseline, and changes nothing
        controller.learn([genome], [reward], np.random.default_rng(0))
    moved = controller.arrays["heads"] - before
    state = ChoiceController((2, 2), seed=1, options=options)
    with torch.no_grad():
        _, states = state._read(np.array([[1, 0]]))
    # Reward 0 is below the baseline 1, so the score of the drawn choice falls along the state, and the other one rises.
    for gene, drawn in enumerate((1, 0)):
        sign = np.sign(states[gene][0].numpy())
        assert np.array_equal(np.sign(moved[2 * gene + drawn]), -sign)
        assert np.array_equal(np.sign(moved[2 * gene + 1 - drawn]), sign)


@pytest.mark.parametrize("memory", [False, True])
def test_a_controller_goes_on_from_its_arrays(memory):
    options = ControllerOptions(hidden=8, memory=memory, buffer=5)
    made = [ChoiceController(COUNTS, seed, options) for seed in (0, 1)]
    rng = np.random.default_rng(0)
    for _ in range(4):
        made[0].learn(made[0].draw(rng, 2), [0.1, 0.9], rng)
    for name, one in made[0].arrays.items():
        made[1].arrays[name][...] = one
    for own in made:
        rng = np.random.default_rng(1)
        for _ in range(3):
            own.learn(own.draw(rng, 2), [0.3, 0.8], rng)
    assert all(np.array_equal(made[1].arrays[name], one) for name, one in made[0].arrays.items())
    assert made[0].likeliest() == made[1].likeliest()


def test_a_controller_learns_a_choice_that_depends_on_the_one_before():
    """The second gene must equal the first one, so no independent distribution of the genes has the best reward."""
    controller, rng = (
        ChoiceController((2, 2), options=ControllerOptions(hidden=16, rate=0.02)),
        np.random.default_rng(0),
    )
    for _ in range(100):
        genomes = controller.draw(rng, 8)
        controller.learn(genomes, [float(a == b) for a, b in genomes], rng)
    after = controller.conditionals([(0, 0), (1, 1)])[1]
    assert min(after[0, 0], after[1, 1]) > 0.8
    assert np.allclose([one.sum() for one in controller.probabilities()], 1)
