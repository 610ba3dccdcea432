"""Statistics of batch norms for one network of a supernet, from fixed training batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from nasctl.training.labelled import TrainingData
from nasctl.training.streams import generator

BATCHES = 4  # of 64 examples, unless a supernet says otherwise

BATCH = 64


def calibration_batches(examples: Tensor) -> Sequence[Tensor]:
    """Return examples in batches of at most 64 that differ by one example at most, since each counts alike."""
    return examples.tensor_split(max(1, -(-len(examples) // BATCH)))


def calibration_examples(data: TrainingData, seed: int) -> tuple[Tensor, Tensor]:
    """Return the first training examples of an order of a seed, as the data give them, and their labels."""
    order = generator(seed, "calibration").permutation(data.size("train"))[: BATCH * BATCHES]
    examples, labels = data.examples("train", np.sort(order))
    return torch.from_numpy(examples), torch.from_numpy(labels)


@torch.no_grad()
def calibrate(module: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Set the running statistics of all batch norms to the mean over batches; other weights stay as they are.

    Shared weights have no statistics of their own: those of one network are wrong for another. The result depends on
    the module and the batches alone, so it is the same however often it is done.

    Args:
        module: The module, which is in evaluation mode afterwards.
        batches: Inputs of the module.

    References:
        Yu & Huang, "Universally slimmable networks and improved training techniques", ICCV 2019, arXiv:1903.05134,
        section 3.2.
    """
    norms = [one for one in module.modules() if isinstance(one, _NormBase) and one.track_running_stats]
    if norms:
        before = [one.momentum for one in norms]
        for one in norms:
            one.reset_running_stats()
            one.momentum = None  # a cumulative mean
        module.train()
        for inputs in batches:
            module(*inputs)
        for one, momentum in zip(norms, before, strict=True):
            one.momentum = momentum
            if one.num_batches_tracked is not None:
                one.num_batches_tracked.zero_()
    module.eval()


__all__ = ["BATCH", "BATCHES", "calibrate", "calibration_batches", "calibration_examples"]
