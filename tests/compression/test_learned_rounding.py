"""Learned rounding against the best of all roundings, and what it promises for every layer."""

from itertools import product

import pytest
import torch

from nasctl.compression.input_moments import InputMoments
from nasctl.compression.learned_rounding import learned_tensor
from nasctl.compression.weight_levels import quantized_tensor


def case(outputs, length, seed=0):
    """Weights, and moments of inputs that depend on each other, as those of neighbouring pixels."""
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, length, generator=draw)
    columns = torch.randn(400, length, generator=draw) @ torch.randn(length, length, generator=draw)
    columns = columns + 3 * torch.randn(400, 1, generator=draw)
    return weight, InputMoments(1, columns.T.cov().unsqueeze(0))


def error(weight, found, moments):
    difference = found.values - weight
    return float(((difference @ moments.covariance[0]) * difference).sum())


def test_the_best_roundings_of_a_few_weights_are_nearly_found():
    # With the scale of the nearest values, all 2^8 roundings of a row of eight weights are tried.
    ratios = []
    for seed in range(2):
        weight, moments = case(1, 8, seed)
        nearest = quantized_tensor(weight, 3, "uniform")
        low = (weight / nearest.scale * 3).floor().clamp(-3, 2)
        every = (low + torch.tensor(list(product((0, 1), repeat=8)))) * nearest.scale / 3 - weight
        best = float(((every @ moments.covariance[0]) * every).sum(1).min())
        found = error(weight, learned_tensor(weight, nearest, moments, False), moments)
        ratios.append((found - best) / (error(weight, nearest, moments) - best + 1e-9))
    assert sum(ratios) / len(ratios) < 0.25


@pytest.mark.parametrize(("bits", "levels"), [(2, "uniform"), (3, "power"), (6, "uniform")])
def test_outputs_are_closer_and_levels_stay_levels(bits, levels):
    weight, moments = case(12, 30)
    weight[3] = 0
    nearest = quantized_tensor(weight, bits, levels)
    found = learned_tensor(weight, nearest, moments, levels == "power")
    assert error(weight, found, moments) < 0.9 * error(weight, nearest, moments)
    assert found.whole.abs().max() <= 2 ** (bits - 1) - 1
    assert not found.values[3].any()
    assert 0.3 <= found.exponent <= 1
    assert levels == "power" or found.exponent == 1
    assert (found.scale > 0).all()


def test_one_scale_stays_one_scale_and_the_same_call_gives_the_same_weights():
    weight, moments = case(6, 20)
    nearest = quantized_tensor(weight, 3, "power", per_tensor=True)
    found, again = (learned_tensor(weight, nearest, moments, True) for _ in range(2))
    assert found.scale.shape == (1,)
    assert torch.equal(found.values, again.values)


def test_layers_without_inputs_keep_the_nearest_values():
    weight = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    nearest = quantized_tensor(weight, 3, "uniform")
    assert learned_tensor(weight, nearest, InputMoments(1, torch.zeros(1, 5, 5)), False) is nearest
