"""The adaptive alpha divergence: closed forms of its gradient."""

import pytest
import torch

from nasctl.supernets import distances
from nasctl.supernets.distances import distance_loss


def gradient(outputs, teacher, distance):
    outputs = outputs.clone().requires_grad_()
    distance_loss(outputs, teacher, distance).backward()
    return outputs.grad


@pytest.mark.slow
def test_the_gradient_is_that_of_the_larger_of_two_divergences():
    """With alpha 1 the divergence is KL(p, q); with -1 it is (sum of q^2 / p - 1) / 2."""
    draw = torch.Generator().manual_seed(0)
    outputs, teacher = torch.randn(64, 5, generator=draw), torch.randn(64, 5, generator=draw)
    p, z = teacher.softmax(1), outputs.clone().requires_grad_()
    q = z.softmax(1)
    inside = (q / p).amax(1) < distances.CLIP  # elsewhere ratios are clipped
    assert 10 < inside.sum() < 64
    forward, backward = (p * (p / q).log()).sum(1), ((q * q / p).sum(1) - 1) / 2
    torch.maximum(forward, backward).sum().backward()
    found = gradient(outputs, teacher, "alpha") * len(outputs)
    torch.testing.assert_close(found[inside], z.grad[inside], rtol=1e-4, atol=1e-6)


def reference(outputs, teacher, limit=5.0):
    """Return the gradient of the sum over examples as AlphaNet's code has it, in float64."""
    z = outputs.double().requires_grad_()
    p, q, logarithms = teacher.double().softmax(1), z.softmax(1).detach(), z.log_softmax(1)
    ratio = p / q
    inverse = (1 / ratio).clamp(0, limit)
    sizes = (q * ratio * ratio.log()).sum(1), (q * (inverse / 2 - 0.5)).sum(1)
    losses = -(q * ratio * logarithms).sum(1), -(q * (0.5 - inverse) * logarithms).sum(1)
    torch.where(sizes[1] > sizes[0], losses[1], losses[0]).sum().backward()
    return z.grad.float(), sizes[1] > sizes[0], inverse.amax(1) == limit


def test_gradients_are_those_of_the_authors_code_where_ratios_are_limited_too():
    draw = torch.Generator().manual_seed(2)
    outputs, teacher = 2 * torch.randn(256, 5, generator=draw), 2 * torch.randn(256, 5, generator=draw)
    expected, inverted, limited = reference(outputs, teacher)
    assert (inverted & limited).sum() > 5
    found = gradient(outputs, teacher, "alpha") * len(outputs)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_a_network_that_equals_its_teacher_has_no_gradient():
    outputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    for distance in ("kl", "alpha"):
        assert gradient(outputs, outputs, distance).abs().max() < 1e-6


def test_a_confident_teacher_makes_no_large_gradient():
    teacher = torch.tensor([[20.0, 0.0, 0.0]])
    found = gradient(-teacher, teacher, "alpha")
    assert found.isfinite().all()
    assert found.abs().max() <= 1.01  # the difference of two probabilities


def test_a_sure_teacher_teaches_a_network_that_guesses_as_much_as_by_kl():
    teacher = torch.zeros(1, 1000)
    teacher[0, 0] = 50.0
    kl, alpha = (gradient(torch.zeros(1, 1000), teacher, one) for one in ("kl", "alpha"))
    assert float(kl[0, 0]) == pytest.approx(-0.999, abs=1e-3)
    torch.testing.assert_close(alpha, kl)


def test_the_limit_of_ratios_decides_how_much_a_network_is_taught_that_is_sure_where_the_teacher_is_not():
    """The ratio is 98. With its limit of 5 the divergence is (0.98 * 5 - 1) / 2, less than the 3.8 of alpha 1."""
    outputs, teacher = torch.tensor([[0.98, 0.01, 0.01]]).log(), torch.tensor([[0.01, 0.495, 0.495]]).log()
    q, ratio = outputs.exp(), (outputs - teacher).exp()
    torch.testing.assert_close(gradient(outputs, teacher, "alpha1000"), q * (ratio - (q * ratio).sum()))
    torch.testing.assert_close(gradient(outputs, teacher, "alpha"), gradient(outputs, teacher, "kl"))
    for wrong in ("alpha0", "alfa", "alpha-3", "kl10"):
        with pytest.raises(ValueError, match=wrong):
            distance_loss(teacher, teacher, wrong)
