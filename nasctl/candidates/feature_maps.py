"""The feature maps of an untrained network's blocks on Gaussian noise, and the gains of gradients between the maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from math import ceil, prod, sqrt

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasctl.candidates.applicability import only_maps
from nasctl.candidates.block_outputs import map_positions
from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import node_modules
from nasctl.problem.space import Input


class FeatureMaps:
    """The output maps of blocks, (B, C, H, W), from the stem to the global pool, from one forward pass as in AZ-NAS.

    `block_outputs.map_positions` says which layers put out the map of a block. Maps of one-dimensional convolutions,
    (B, C, L), and of three-dimensional ones are maps, too. The input is N(0, 1). Weights are N(0, 2 / n) with n inputs
    of one output, biases are 0, and batch norms use the statistics of the batch.

    Args:
        network: The network of the module.
        module: The module, in training mode, with those weights. The pass changes it, so use it for nothing else.
        batch: The number of examples.
        seed: The seed of the input and of the random gradients.
        device: The torch device of the module.

    Raises:
        ValueError: No block of the network puts out a map.
    """

    def __init__(self, network: Network, module: nn.Module, batch: int, seed: int, device: str) -> None:
        self._seed, shape = seed, (batch, *network.input_shapes[0])
        positions = map_positions(network) if len(shape) == 4 else []
        sizes = {len(network.nodes[position].out_shape) for position in positions}
        reason = only_maps(Input(network.input_shapes[0]), network) if 2 in sizes else ""
        if not positions or reason:
            raise ValueError(reason or "the network has no blocks that put out maps")
        self._names = [network.nodes[position].name for position in positions]
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)
        module.requires_grad_(False)
        parts = node_modules(module, network)
        if repeated := [network.nodes[k].name for k in positions if parts.count(parts[k]) > 1]:
            raise ValueError(f"the layer {repeated[0]} runs more than once, so its maps cannot be told apart")
        self.maps: list[Tensor] = []  # with the autograd graph that `gains` needs
        for position in positions:
            parts[position].register_forward_hook(lambda part, inputs, output: self.maps.append(output))
        module(x.to(memory_format=torch.channels_last).requires_grad_())  # the layout is a third faster on CPUs

    @cached_property
    def entropies(self) -> list[float]:
        """The entropy of each map's variance over the principal components of its channels, in nats.

        It is ``-sum p log(p + 1e-8)`` with p the eigenvalues of the covariance of the channels over all positions of
        all examples, divided by their sum.

        Raises:
            ValueError: A map is constant.
            ArithmeticError: A map is not finite.
        """
        return [_entropy(_rows(one.detach(), [1] * (one.ndim - 2))) for one in self.maps]

    @cached_property
    def gains(self) -> list[float]:
        """The amplification of gradients by each block: one largest singular value for every map but the first.

        The matrix is ``G'^T G / (B H W)``. G, (B H W, C), holds random signs as gradients of the map, and G' the
        gradients of the previous map that follow from G. If the previous map has s times the size, s x s of its
        positions count as channels of one position; positions beyond its end, if s does not divide its size, count as
        zeros.

        Raises:
            ValueError: A map does not depend on the previous map, or is larger than it.
            ArithmeticError: A gradient is not finite.
        """
        rng = np.random.default_rng(self._seed)
        return [
            _gain(before, after, rng, name)
            for (before, after), name in zip(pairwise(self.maps), self._names[1:], strict=True)
        ]


def _rows(maps: Tensor, windows: Sequence[int]) -> Tensor:
    """Return maps, (B, C, ...), as rows of disjoint windows, (B times windows, C times places of a window) float64."""
    batch, channels, *sizes = maps.shape
    split = [part for size, window in zip(sizes, windows, strict=True) for part in (size // window, window)]
    outer, inner = range(2, 2 + len(split), 2), range(3, 3 + len(split), 2)
    parts = maps.reshape(batch, channels, *split).permute(0, *outer, 1, *inner)
    return parts.reshape(-1, channels * prod(windows)).double()


def _spectrum(matrix: Tensor) -> Tensor:
    """Return the squares of a matrix's singular values, ascending, clamped at 0 against rounding.

    Raises:
        ArithmeticError: A value of the matrix is not finite.
    """
    rows, columns = matrix.shape
    gram = matrix.T @ matrix if columns <= rows else matrix @ matrix.T
    if not torch.isfinite(gram).all():
        raise ArithmeticError("the maps of the network or their gradients are not finite")
    values: Tensor = torch.linalg.eigvalsh(gram)
    return values.clamp(min=0)


def _entropy(rows: Tensor) -> float:
    """Return the entropy of one map; see `FeatureMaps.entropies`."""
    spectrum = _spectrum(rows - rows.mean(0))
    total = spectrum.sum()
    if total == 0:
        raise ValueError("a block puts out the same everywhere, so its map has no principal components")
    shares = spectrum / total
    return -float((shares * torch.log(shares + 1e-8)).sum())


def _gain(before: Tensor, after: Tensor, rng: np.random.Generator, name: str) -> float:
    """Return the gain between two maps, the second of the layer `name`; see `FeatureMaps.gains`."""
    if before.ndim != after.ndim:
        raise ValueError(f"the block that ends with {name} reshapes its map, which trainability has no meaning for")
    gradient = _signs(after, rng)
    # The graph is kept because blocks may share a part of it.
    (passed,) = torch.autograd.grad(after, before, gradient, retain_graph=True, materialize_grads=True)
    sizes, out_sizes = before.shape[2:], after.shape[2:]
    if any(size < out_size for size, out_size in zip(sizes, out_sizes, strict=True)):
        raise ValueError(f"the block that ends with {name} enlarges its map, which trainability has no meaning for")
    windows = [ceil(size / out_size) for size, out_size in zip(sizes, out_sizes, strict=True)]
    missing = [window * out - size for window, out, size in zip(windows, out_sizes, sizes, strict=True)]
    passed = F.pad(passed, [end for one in reversed(missing) for end in (0, one)])
    matrix = _rows(passed, windows).T @ _rows(gradient, [1] * len(windows)) / (len(after) * prod(out_sizes))
    gain = sqrt(float(_spectrum(matrix)[-1]))
    if gain == 0.0:
        raise ValueError("no gradient passes from a block to the one before")
    return gain


def _signs(like: Tensor, rng: np.random.Generator) -> Tensor:
    """Return random signs, -1 and 1, in a shape (B, C, ...), with channels last in memory, as the maps have them."""
    batch, channels, *sizes = like.shape
    bits = np.unpackbits(np.frombuffer(rng.bytes(ceil(like.numel() / 8)), np.uint8), count=like.numel())
    signs = torch.from_numpy(bits).to(like.device).to(like.dtype) * 2 - 1
    return signs.view(batch, *sizes, channels).movedim(-1, 1)
