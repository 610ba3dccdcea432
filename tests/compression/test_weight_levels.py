"""Levels of quantised weights against brute force, and packed weights against the reference reader."""

import numpy as np
import pytest
import torch

from nasctl.compression.weight_levels import magnitudes, quantized_tensor, rounded
from nasctl.networks.executable import construct
from nasctl.networks.layers import Conv
from nasctl.networks.quantized_layer import QuantizedLayer

WEIGHT = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("exponent", [1.0, 0.5])
@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_weights_become_the_nearest_level(bits, exponent):
    shares = torch.linspace(-1.2, 1.2, 997)
    levels = magnitudes(bits, exponent)
    every = torch.cat([-levels.flip(0)[:-1], levels])
    nearest = every[(shares[:, None] - every).abs().argmin(1)]
    whole = rounded(shares, bits, exponent)
    found = whole.sign() * levels[whole.abs()]
    assert torch.allclose((found - shares).abs(), (nearest - shares).abs(), atol=1e-6)


def test_levels_are_those_of_the_power_function():
    # NUPES: |q / n|^(1 / a), n = 2^(b-1) - 1; with b = 3 and a = 0.5 the squares of 0, 1/3, 2/3 and 1.
    assert magnitudes(3, 0.5).tolist() == pytest.approx([0, 1 / 9, 4 / 9, 1])
    assert magnitudes(3, 1.0).tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_more_freedom_never_has_a_larger_error(bits):
    def error(levels, per_tensor):
        found = quantized_tensor(WEIGHT, bits, levels, per_tensor)
        return float((found.values - WEIGHT).square().sum())

    assert error("power", False) <= error("uniform", False) <= error("uniform", True)
    largest = WEIGHT.abs().flatten(1).amax(1).view(-1, 1, 1, 1)
    plain = rounded(WEIGHT / largest, bits, 1.0) / (2 ** (bits - 1) - 1) * largest
    assert error("uniform", False) <= float((plain - WEIGHT).square().sum()) + 1e-4


@pytest.mark.parametrize("levels", ["uniform", "power"])
@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8, 16])
def test_packed_weights_are_read_as_they_were_written(bits, levels):
    found = quantized_tensor(WEIGHT, bits, levels)
    layer = QuantizedLayer(Conv(6, 3), bits, 8, levels)
    made = construct(layer.module((4, 8, 8)))
    state = made.state_dict() | {"packed": found.packed, "scale": found.scale}
    made.load_state_dict(state | {"exponent": torch.tensor(found.exponent)})
    assert torch.equal(made.layer.weight, found.values)
    numbers = np.unpackbits(found.packed.numpy(), bitorder="little")[: WEIGHT.numel() * bits].reshape(-1, bits)
    whole = (numbers.astype(int) << np.arange(bits)).sum(1) - (2 ** (bits - 1) - 1)
    assert whole.tolist() == found.whole.flatten().tolist()
    assert layer.stored_bits((4, 8, 8)) == 8 * len(found.packed) + 32 * (6 + 6 + (levels == "power") + 2)


def test_a_channel_of_zeros_stays_zero():
    weight = WEIGHT.clone()
    weight[2] = 0
    assert not quantized_tensor(weight, 3, "power").values[2].any()


@pytest.mark.parametrize("per_tensor", [False, True])
def test_exponents_are_those_of_all_weights(monkeypatch, per_tensor):
    # The centre of the kernels has long tails, which want a small exponent, and the corners none.
    weight = torch.empty(128, 128, 3, 3).uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(0))
    weight[:, :, 1, 1] = torch.randn(128, 128, generator=torch.Generator().manual_seed(1)) ** 3
    found = quantized_tensor(weight, 8, "power", per_tensor).exponent
    monkeypatch.setattr("nasctl.compression.weight_levels.SAMPLE", weight.numel())
    assert found == pytest.approx(quantized_tensor(weight, 8, "power", per_tensor).exponent, abs=0.051)
    corners = quantized_tensor(weight[:, :, ::2, ::2], 8, "power", per_tensor).exponent
    assert corners > found + 0.2
