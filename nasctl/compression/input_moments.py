"""Second moments of the inputs of layers on calibration images: errors of weights give errors of outputs by them.

References:
    Nagel et al., "Up or down? Adaptive rounding for post-training quantization", ICML 2020, arXiv:2004.10568.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nasctl.compression.calibration import noting
from nasctl.compression.layer_columns import groups_of, some_columns

MOST_COLUMNS = 8192  # columns of a layer, over all images

MOST_LENGTH = 1152  # of a column whose moments are kept whole; longer ones are cut, with no moments between the pieces

SEED = 0  # of the positions of columns

DAMPING = 0.01  # share of the mean variance that is added to each variance, for the noise of rounded inputs


@dataclass(frozen=True)
class InputMoments:
    """Covariance of the columns that a layer's weights multiply.

    A column is cut into S pieces of k numbers, of S * k = K; inputs of different pieces count as independent.

    Attributes:
        groups: Groups of the layer, G.
        covariance: Of each piece, (G * S, k, k) float32, G * S pieces.
    """

    groups: int
    covariance: Tensor

    def pieces(self, weight: Tensor) -> Tensor:
        """Return weights by piece, (G * S, outputs / G, k), a copy.

        Args:
            weight: Weights, (outputs, K).
        """
        groups, (number, size, _) = self.groups, self.covariance.shape
        cut = weight.view(groups, len(weight) // groups, number // groups, size)
        return cut.transpose(1, 2).reshape(number, -1, size)

    def whole(self, pieces: Tensor) -> Tensor:
        """Return weights by output channel, (outputs, K), the inverse of `pieces`."""
        groups, (number, rows, size) = self.groups, pieces.shape
        cut = pieces.view(groups, number // groups, rows, size)
        return cut.transpose(1, 2).reshape(groups * rows, -1)


@torch.no_grad()
def input_moments(
    module: nn.Module,
    parts: Mapping[int, nn.Module],
    means: Mapping[int, Tensor],
    batches: Iterable[Tensor],
    images: int,
) -> dict[int, InputMoments]:
    """Return the moments of the inputs of some layers of a module, by the keys of the layers.

    Args:
        module: The module in float32, in evaluation mode.
        parts: The layers.
        means: The mean column of each layer, (G, K).
        batches: Normalised images, (B, C, H, W) each.
        images: Number of images.
    """
    sums: dict[int, Tensor] = {}
    counts = dict.fromkeys(parts, 0)
    generators = {key: torch.Generator().manual_seed(SEED) for key in parts}

    def add(key: int, x: Tensor) -> None:
        columns = some_columns(parts[key], x, -(-MOST_COLUMNS // images), generators[key])
        centred = columns - means[key].float().unsqueeze(1)
        groups, number, length = centred.shape
        size = _piece(length)
        pieces = centred.view(groups, number, -1, size).transpose(1, 2).reshape(-1, number, size)
        found = pieces.transpose(1, 2) @ pieces
        sums[key] = sums[key] + found if key in sums else found
        counts[key] += number

    with noting(parts, add):
        for some in batches:
            module(some)
    return {key: InputMoments(groups_of(parts[key]), _damped(sums[key] / counts[key])) for key in parts}


def _damped(covariance: Tensor) -> Tensor:
    """Return covariances in which no direction has no variance: rounded inputs vary where exact ones do not."""
    variances = covariance.diagonal(dim1=1, dim2=2)
    return covariance + DAMPING * variances.mean() * torch.eye(covariance.shape[-1])


def _piece(length: int) -> int:
    """Return the largest divisor of the length of a column that is not above `MOST_LENGTH`."""
    return max(size for size in range(1, min(length, MOST_LENGTH) + 1) if length % size == 0)


__all__ = ["InputMoments", "input_moments"]
