"""What the blocks of an untrained network make of noise, and how gradients pass between them: AZ-NAS's one forward."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from math import ceil, sqrt

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasctl.networks.graph import Network
from nasctl.networks.layers import GlobalAvgPool


class FeatureMaps:
    """The maps that blocks hand on, (B, C, H, W), from the stem to the global pool.

    A block is all that shares the first two parts of its name ("stage1.0" of "stage1.0.edge01"), and its map is the
    last that another block reads. A block that is the identity has no layer, and so no map. Input is N(0, 1); weights
    are N(0, 2 / n) with n inputs of one output, biases 0, and batch norms use the statistics of the batch.

    Args:
        network: Whose blocks they are.
        module: Of the network, in training mode, with those weights; it is spent afterwards.
        batch: How many examples.
        seed: Of the input, and of the gradients.
        device: Where the module is.

    Raises:
        ValueError: The network has no such maps.
    """

    def __init__(self, network: Network, module: nn.Module, batch: int, seed: int, device: str) -> None:
        self._seed, shape = seed, (batch, *network.input_shapes[0])
        places = ends(network) if len(shape) == 4 else []
        if not places:
            raise ValueError("the network has no blocks that put out maps")
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)
        module.requires_grad_(False)
        parts = list(module.children())
        self.maps: list[Tensor] = []  # with the graph that gradients will pass
        for place in places:
            parts[place].register_forward_hook(lambda part, inputs, output: self.maps.append(output))
        module(x.to(memory_format=torch.channels_last).requires_grad_())  # the layout is a third faster on CPUs

    @cached_property
    def entropies(self) -> list[float]:
        """Of each map, how evenly its variance is spread over the principal components of its channels, in nats.

        ``-sum p log(p + 1e-8)`` with p the eigenvalues of the covariance of the channels over all positions of all
        examples, divided by their sum.

        Raises:
            ValueError: A map is the same everywhere.
            ArithmeticError: A map is not finite.
        """
        return [_entropy(_rows(one.detach(), 1, 1)) for one in self.maps]

    @cached_property
    def gains(self) -> list[float]:
        """How much the blocks amplify gradients: for every map but the first, the largest singular value of a matrix.

        It is ``G'^T G / (B H W)``, where G, (B H W, C), are random signs as gradients of the map and G' what they
        become at the map before. Where that has s times the size, s x s of its positions count as channels of one; what
        lies beyond its end, if s does not divide it, counts as zeros.

        Raises:
            ValueError: A map does not depend on the one before, or is larger.
            ArithmeticError: A gradient is not finite.
        """
        rng = np.random.default_rng(self._seed)
        return [_gain(before, after, rng) for before, after in pairwise(self.maps)]


def ends(network: Network) -> list[int]:
    """The positions of the nodes whose outputs are the maps that blocks hand on."""
    nodes, stop = network.nodes, network.output
    # The way back from the output takes the first input of everything, which no gate lies on: a gate is the second.
    while stop >= 0 and not isinstance(nodes[stop].layer, GlobalAvgPool):
        stop = nodes[stop].inputs[0]
    last = {block: place for place, block in _handed_on(network) if place < stop or stop < 0}
    return sorted(last.values())


def _handed_on(network: Network) -> Iterator[tuple[int, str]]:
    """The nodes that put out maps and that other blocks read, or nobody but the caller, each with its block."""
    nodes = network.nodes
    blocks = [".".join(span.name.split(".")[:2]) for span in network.spans for _ in span.emission.nodes]
    read = {
        source for k, node in enumerate(nodes) for source in node.inputs if source >= 0 and blocks[source] != blocks[k]
    }
    for place in sorted(read | {network.output}):
        if place >= 0 and len(nodes[place].out_shape) == 3:
            yield place, blocks[place]


def _rows(maps: Tensor, high: int, wide: int) -> Tensor:
    """Maps (B, C, H, W) as (B H / high W / wide, C high wide) doubles: windows that do not overlap become rows."""
    batch, channels, height, width = maps.shape
    parts = maps.reshape(batch, channels, height // high, high, width // wide, wide).permute(0, 2, 4, 1, 3, 5)
    return parts.reshape(-1, channels * high * wide).double()


def _spectrum(matrix: Tensor) -> Tensor:
    """The squares of the singular values, ascending; rounding takes none below 0."""
    rows, columns = matrix.shape
    gram = matrix.T @ matrix if columns <= rows else matrix @ matrix.T
    if not torch.isfinite(gram).all():
        raise ArithmeticError("the maps of the network or their gradients are not finite")
    values: Tensor = torch.linalg.eigvalsh(gram)
    return values.clamp(min=0)


def _entropy(rows: Tensor) -> float:
    spectrum = _spectrum(rows - rows.mean(0))
    total = spectrum.sum()
    if total == 0:
        raise ValueError("a block puts out the same everywhere, so its map has no principal components")
    shares = spectrum / total
    return -float((shares * torch.log(shares + 1e-8)).sum())


def _gain(before: Tensor, after: Tensor, rng: np.random.Generator) -> float:
    gradient = _signs(after, rng)
    # The graph is kept because blocks may share a part of it.
    (passed,) = torch.autograd.grad(after, before, gradient, retain_graph=True, materialize_grads=True)
    (height, width), (out_height, out_width) = before.shape[2:], after.shape[2:]
    if height < out_height or width < out_width:
        raise ValueError("a block enlarges its map, which trainability has no meaning for")
    high, wide = ceil(height / out_height), ceil(width / out_width)
    passed = F.pad(passed, (0, wide * out_width - width, 0, high * out_height - height))
    matrix = _rows(passed, high, wide).T @ _rows(gradient, 1, 1) / (len(after) * out_height * out_width)
    gain = sqrt(float(_spectrum(matrix)[-1]))
    if gain == 0.0:
        raise ValueError("no gradient passes from a block to the one before")
    return gain


def _signs(like: Tensor, rng: np.random.Generator) -> Tensor:
    """-1 and 1 at random in a shape (B, C, H, W), laid out with the channels last as the maps are."""
    batch, channels, height, width = like.shape
    bits = np.unpackbits(np.frombuffer(rng.bytes(ceil(like.numel() / 8)), np.uint8), count=like.numel())
    signs = torch.from_numpy(bits).to(like.device).to(like.dtype) * 2 - 1
    return signs.view(batch, height, width, channels).permute(0, 3, 1, 2)
