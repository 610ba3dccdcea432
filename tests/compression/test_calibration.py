"""Statistics of the inputs of layers: ranges, mean columns, and inputs that have none."""

import pytest
import torch
from torch import nn

from nasctl.compression.calibration import input_statistics
from nasctl.compression.layer_columns import mean_columns
from nasctl.errors import NasctlError


def statistics(pixels, factor=1.0):
    layer = nn.Conv2d(3, 4, 3, padding=1)
    return layer, input_statistics(nn.Sequential(layer), {0: layer}, pixels, lambda x: x.float() * factor, (2, 8))[0]


def test_means_are_those_of_all_images_and_hold_a_number_for_each_weight_of_a_channel():
    pixels = torch.randint(-99, 99, (70, 3, 8, 8), generator=torch.Generator().manual_seed(0))  # more than one batch
    layer, found = statistics(pixels)
    assert found.mean.shape == found.rounded_mean[8].shape == (1, 27)
    torch.testing.assert_close(found.mean, mean_columns(layer, pixels.float()), atol=1e-9, rtol=1e-9)
    rounded = found.ranges[2].applied(pixels.float())
    torch.testing.assert_close(found.rounded_mean[2], mean_columns(layer, rounded), atol=1e-9, rtol=1e-9)
    assert rounded.unique().numel() <= 4


def test_inputs_that_are_not_finite_are_refused():
    with pytest.raises(NasctlError, match="infinite or no numbers"):
        statistics(torch.ones(2, 3, 4, 4), float("inf"))


@pytest.mark.parametrize("factor", [0.0, 1e-44])
def test_inputs_without_a_range_become_zero(factor):
    found = statistics(torch.ones(2, 3, 4, 4), factor)[1]
    assert not found.ranges[8].applied(torch.full((3,), factor)).any()
