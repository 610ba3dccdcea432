"""Whether the output of a network depends on its input."""

from __future__ import annotations

import torch

from nasctl.networks.graph import Network
from nasctl.networks.weights import initialised

EXAMPLES = 8


def ignores_images(network: Network) -> bool:
    """Return whether a network puts out the same for all images, because zeros cut every path to its output.

    Args:
        network: The network. One that reads no images is not tried, and False is returned.
    """
    (shape, *others) = network.input_shapes
    if others or len(shape) != 3:
        return False
    images = torch.randn(EXAMPLES, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():  # batch norms of this batch keep the signal of deep networks in its range
        outputs = initialised(network, 0).train()(images)
    return bool(torch.allclose(outputs[1:], outputs[:1].expand_as(outputs[1:]), rtol=1e-5, atol=1e-7))


__all__ = ["ignores_images"]
