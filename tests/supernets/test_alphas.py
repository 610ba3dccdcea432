"""Parameters of choices: factors of each method, their gradients, and Adam."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nasctl.errors import BadOption
from nasctl.supernets.strategies._alphas import Alphas

METHODS = ("darts", "drnas", "gdas")


class Networks:
    """Networks of one process, or of several with the rows that they would give."""

    def __init__(self, *others):
        self.others = others

    def gathered(self, own):
        return torch.cat([own, *self.others])


def alphas(method="darts", **options):
    genes = [SimpleNamespace(choices=range(count)) for count in (3, 1, 4)]
    return Alphas(SimpleNamespace(space=SimpleNamespace(genes=genes), seed=1), method, **options)


@pytest.mark.parametrize("method", METHODS)
def test_factors_are_distributions_and_follow_the_generator(method):
    made = alphas(method)
    first, again = (made.factors(made.leaves(), np.random.default_rng(0), 0.5) for _ in range(2))
    assert first.keys() == {0, 2}  # a single choice needs no factor
    for gene, own in first.items():
        assert own.dtype == torch.float32
        assert float(own.detach().sum()) == pytest.approx(1)
        assert torch.equal(own, again[gene])
    assert [one.shape for one in made.probabilities()] == [(3,), (1,), (4,)]
    assert all(one.sum() == pytest.approx(1) for one in made.probabilities())


@pytest.mark.parametrize("method", METHODS)
def test_gradients_lead_to_the_best_choice(method):
    made = alphas(method, rate=0.05)
    for step in range(100):
        leaves = made.leaves()
        factors = made.factors(leaves, np.random.default_rng(step), step / 100)
        loss = (factors[0] - torch.tensor([0.0, 1.0, 0.0])).square().sum() - factors[2][3]
        made.update(torch.autograd.grad(loss, leaves, allow_unused=True), 8, Networks())
    first, _, last = made.probabilities()
    assert first.argmax() == 1
    assert last.argmax() == 3
    assert min(first.max(), last.max()) > 0.7


@pytest.mark.slow
def test_draws_of_a_dirichlet_distribution_have_the_mean_of_the_probabilities():
    made = alphas("drnas")
    made.arrays["alphas"][:] = [0.0, 1.0, -1.0, 0.0, *[0.0] * 4]
    leaves = made.leaves()
    draws = torch.stack([made.factors(leaves, np.random.default_rng(k), 0)[0].detach() for k in range(500)])
    concentrations = torch.tensor([1.0, 2.0, np.exp(-1.0)], dtype=torch.float32)
    assert torch.allclose(draws.mean(0), concentrations / concentrations.sum(), atol=0.05)
    assert np.allclose(made.probabilities()[0], concentrations / concentrations.sum())


def test_updates_are_those_of_adam():
    made, rng = alphas(rate=0.1, decay=0.01), np.random.default_rng(0)
    own = torch.tensor(made.arrays["alphas"].copy(), requires_grad=True)
    adam = torch.optim.Adam([own], lr=0.1, betas=(0.5, 0.999), weight_decay=0.01)
    for _ in range(5):
        gradient = torch.from_numpy(rng.standard_normal(8))
        own.grad = gradient.clone()
        adam.step()
        made.update(list(gradient.split([3, 1, 4])), 2, Networks())
    assert np.allclose(made.arrays["alphas"], own.detach())


def test_the_gradient_is_the_mean_over_the_examples_of_all_processes():
    one, both = alphas(), alphas()
    gradients = [torch.full((count,), float(count), dtype=torch.float64) for count in (3, 1, 4)]
    other = torch.tensor([[-6.0] * 3 + [-2.0] + [-8.0] * 4 + [6.0]], dtype=torch.float64)  # sums over six examples
    both.update(gradients, 2, Networks(other))
    one.update([torch.zeros_like(own) for own in gradients], 8, Networks())
    assert np.allclose(both.arrays["alphas"], one.arrays["alphas"], atol=1e-12)


def test_a_gradient_that_is_not_finite_changes_nothing():
    made = alphas()
    before = made.arrays["alphas"].copy()
    made.update([torch.full((3,), torch.nan), None, None], 4, Networks())
    assert np.array_equal(made.arrays["alphas"], before)
    assert made.arrays["alpha_updates"] == 0


def test_refusals():
    with pytest.raises(BadOption, match="method=darts"):
        alphas("sgd")
    with pytest.raises(BadOption, match="rate=0"):
        alphas(rate=0.0)
