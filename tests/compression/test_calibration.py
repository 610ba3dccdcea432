"""Statistics of the inputs of layers: ranges, mean columns, and inputs that have none."""

import pytest
import torch
from torch import nn

from nasctl.compression.calibration import input_statistics
from nasctl.compression.layer_columns import mean_columns
from nasctl.errors import NasctlError
from nasctl.networks.quantized_weights import QuantizedWeights

CHOICES = [(bits, levels) for bits in (2, 4, 8) for levels in ("uniform", "power")]


def statistics(pixels, factor=1.0):
    layer = nn.Conv2d(3, 4, 3, padding=1)
    return layer, input_statistics(nn.Sequential(layer), {0: layer}, pixels, lambda x: x.float() * factor, CHOICES)[0]


def test_means_are_those_of_all_images_and_hold_a_number_for_each_weight_of_a_channel():
    pixels = torch.randint(-99, 99, (70, 3, 8, 8), generator=torch.Generator().manual_seed(0))  # more than one batch
    layer, found = statistics(pixels)
    assert found.mean.shape == found.rounded_mean[8, "uniform"].shape == (1, 27)
    torch.testing.assert_close(found.mean, mean_columns(layer, pixels.float()), atol=1e-9, rtol=1e-9)
    rounded = found.ranges[2, "uniform"].applied(pixels.float())
    torch.testing.assert_close(found.rounded_mean[2, "uniform"], mean_columns(layer, rounded), atol=1e-9, rtol=1e-9)
    assert rounded.unique().numel() <= 4


def test_inputs_that_are_not_finite_are_refused():
    with pytest.raises(NasctlError, match="infinite or no numbers"):
        statistics(torch.ones(2, 3, 4, 4), float("inf"))


@pytest.mark.parametrize("levels", ["uniform", "power"])
@pytest.mark.parametrize("factor", [0.0, 1e-44])
def test_inputs_without_a_range_become_zero(factor, levels):
    found = statistics(torch.ones(2, 3, 4, 4), factor)[1]
    assert not found.ranges[8, levels].applied(torch.full((3,), factor)).any()


def bell(low):
    """Values of a long-tailed distribution, as those behind an activation are: negative ones only with `low`."""
    values = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(0)) ** 3
    return values if low else values.relu()


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_power_levels_of_inputs_are_as_many_and_closer(bits, low):
    values = bell(low)
    ranges = statistics(values)[1].ranges
    uniform, power = (ranges[bits, levels] for levels in ("uniform", "power"))
    assert uniform.exponent == 1 > power.exponent
    assert power.applied(values).unique().numel() <= 2**bits
    errors = [(one.applied(values) - values).square().sum() for one in (uniform, power)]
    assert errors[1] < errors[0]
    assert not power.applied(torch.zeros(1)).any()


@pytest.mark.parametrize("levels", ["uniform", "power"])
def test_layers_round_as_calibration_does(levels):
    values = bell(True)
    found = statistics(values)[1].ranges[4, levels]
    layer = QuantizedWeights("Conv2d", 3, 4, 3, weight_bits=8, input_bits=4, power_inputs=levels == "power")
    layer.input_scale.fill_(found.step)
    layer.input_low.fill_(found.low)
    layer.input_high.fill_(found.high)
    if levels == "power":
        layer.input_exponent.fill_(found.exponent)
    assert torch.equal(layer.rounded(values), found.applied(values))
