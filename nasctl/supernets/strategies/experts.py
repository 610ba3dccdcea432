"""Several copies of the shared weights, mixed for each network by a router: a mixture of supernets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nasctl.api import BadOption, Genome, Pass, StrategyContext

__all__ = ["Experts"]


class Experts:
    """Train one random network a step, whose weights are a mixture of several copies of the shared weights.

    A router reads the genome, as one number for each choice of each gene, and gives the share of every copy in each
    layer. So two networks may have different weights in the same place. Router and copies learn together from the
    labels. All shares are equal at first, and the copies begin with different values.

    Args:
        copies: Copies of the shared weights.
        hidden: Units of the router.
        random: Random networks in each step.

    References:
        Jawahar et al., "Mixture-of-Supernets: improving weight-sharing supernet training with
        architecture-routed mixture-of-experts", ACL Findings 2024, arXiv:2306.04845, section 3: the layer-wise
        mixture.
    """

    def __init__(self, context: StrategyContext, copies: int = 2, hidden: int = 128, random: int = 1) -> None:
        if copies < 1 or hidden < 1 or random < 1:
            raise BadOption(
                f"Cannot mix experts with copies={copies},hidden={hidden},random={random}. Give 1 or more of each."
            )
        self._context, self._random, self.copies = context, random, copies
        counts = [len(gene.choices) for gene in context.space.genes]
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self._router = _router(int(self._starts[-1]), hidden, len(context.layers) * copies, context.seed)
        self.modules: Mapping[str, nn.Module] = {"router": self._router}

    def mixture(self, genome: Genome) -> Tensor:
        weight = next(self._router.parameters())
        encoded = torch.zeros(int(self._starts[-1]), device=weight.device)
        encoded[torch.from_numpy(self._starts[:-1] + np.asarray(genome))] = 1
        scores: Tensor = self._router(encoded)
        return scores.view(-1, self.copies).float().softmax(1)

    def passes(self, step: int) -> Sequence[Pass]:
        rng = self._context.rng(step)
        return tuple(Pass((self._context.draw(rng),)) for _ in range(self._random))

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        pass

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {}


def _router(inputs: int, hidden: int, outputs: int, seed: int) -> nn.Sequential:
    """Return a network of two linear layers, the first with the values of a seed and the last with zeros."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first, last = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(first, nn.ReLU(), last)
