"""The columns that layers multiply against the layers themselves."""

import pytest
import torch
from torch import nn

from nasctl.compression.input_moments import InputMoments, input_moments
from nasctl.compression.layer_columns import groups_of, mean_columns, some_columns

LAYERS = [
    (nn.Conv2d(4, 6, 3, 2, 1), (4, 7, 6)),
    (nn.Conv2d(4, 8, (3, 2), 1, 1, 2, groups=2), (4, 9, 8)),
    (nn.Conv2d(4, 4, 3, padding="same", groups=4, padding_mode="reflect"), (4, 6, 6)),
    (nn.Conv1d(3, 5, 3, 2), (3, 11)),
    (nn.Conv3d(2, 3, 2, 1, 1), (2, 3, 4, 3)),
    (nn.Linear(5, 7), (5,)),
    (nn.Linear(5, 7), (3, 5)),
]


def products(layer, columns):
    """Weights times columns, (..., outputs), without the bias."""
    groups = groups_of(layer)
    weight = layer.weight.double().reshape(groups, -1, columns.shape[-1])
    return (columns.double() @ weight.transpose(1, 2)).movedim(0, -2).flatten(-2)


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_weights_times_the_mean_column_are_the_mean_output(layer, shape):
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = layer(x).double() - (layer.bias.double() if isinstance(layer, nn.Linear) else 0)
        mean = out.flatten(0, -2).mean(0) if isinstance(layer, nn.Linear) else out.transpose(0, 1).flatten(1).mean(1)
        bias = 0 if isinstance(layer, nn.Linear) else layer.bias.double()
        found = products(layer, mean_columns(layer, x).unsqueeze(1)).flatten()
    torch.testing.assert_close(found, mean - bias, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_all_columns_give_all_outputs(layer, shape):
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = layer(x)
        rows = out.flatten(0, -2) if isinstance(layer, nn.Linear) else out.flatten(2).transpose(1, 2).flatten(0, 1)
        found = products(layer, some_columns(layer, x, 1000, torch.Generator())) + layer.bias
    torch.testing.assert_close(found, rows.double(), atol=1e-5, rtol=1e-4)


def test_columns_are_drawn_from_all_positions():
    layer, x = nn.Conv2d(1, 1, 1), torch.arange(64.0).view(1, 1, 8, 8).repeat(40, 1, 1, 1)
    found = some_columns(layer, x, 9, torch.Generator().manual_seed(0)).view(40, 9)
    assert all(len(set(row.tolist())) == 9 for row in found)
    assert set(found.flatten().tolist()) == set(range(64))


@pytest.mark.parametrize("longest", [1152, 6])
def test_moments_are_those_of_the_columns(monkeypatch, longest):
    monkeypatch.setattr("nasctl.compression.input_moments.MOST_LENGTH", longest)
    monkeypatch.setattr("nasctl.compression.input_moments.DAMPING", 0.0)
    layer, x = nn.Conv2d(4, 8, 3, groups=2), torch.randn(6, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    means = {0: mean_columns(layer, x)}
    found = input_moments(layer, {0: layer}, means, [x[:4], x[4:]], len(x))[0]
    columns = some_columns(layer, x, 1000, torch.Generator())
    exact = torch.stack([one.T.cov(correction=0) for one in columns])
    size = found.covariance.shape[-1]
    cut = exact.view(2, 18 // size, size, 18 // size, size).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
    torch.testing.assert_close(found.covariance, cut.reshape(-1, size, size), atol=1e-5, rtol=1e-4)
    weight = layer.weight.detach().reshape(8, -1)
    assert torch.equal(found.whole(found.pieces(weight)), weight)


def test_pieces_are_those_of_the_weights_of_a_group():
    moments = InputMoments(2, torch.zeros(4, 3, 3))
    pieces = moments.pieces(torch.arange(24).view(4, 6))
    assert pieces[1].tolist() == [[3, 4, 5], [9, 10, 11]]
    assert pieces[2].tolist() == [[12, 13, 14], [18, 19, 20]]
