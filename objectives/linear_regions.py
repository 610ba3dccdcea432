"""Linear regions: into how many pieces an untrained network cuts the space of its inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from nasctl.api import (
    Add,
    BadOption,
    Builder,
    Candidate,
    ChannelShuffle,
    Conv,
    Direction,
    Fidelity,
    Network,
    Transform,
    Zero,
    only_maps,
)

__all__ = ["LinearRegions"]

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU)


class LinearRegions:
    """The number of different patterns of on and off that a thin copy of the network shows over small images.

    Between rectifiers a network is linear, so examples with one pattern lie in one linear region. In a whole network
    every example has a region of its own; the copy has one channel in every convolution and, where the space repeats
    cells, one cell in each stage. Its images are random windows of one channel of the batch's images. Weights are
    N(0, 2 / n) with n inputs of one output. Values are at most `samples`.

    Departures: the released code (github.com/VITA-Group/TENAS) cuts windows of 3 x 3, which a network that halves odd
    sizes in two ways cannot take, each from another image, counts over three batches of 1,000, leaves out the stem, and
    counts rectifiers that nothing leads on from. Patterns are counted exactly here, not by sums of half-precision
    products. Swish and h-swish count as rectifiers, though nothing is linear between theirs.

    References:
        Chen et al., "Neural architecture search on ImageNet in four GPU hours: A theoretically inspired perspective"
        (TE-NAS), ICLR 2021, arXiv:2102.11535, section 3.1.2.

    Args:
        size: Height and width of the windows.
        samples: How many windows.
    """

    unit = "regions"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"module"})
    version = "1"
    inapplicable_reason = staticmethod(only_maps)

    def __init__(self, size: int = 4, samples: int = 1000) -> None:
        if size < 1 or samples < 2:
            raise BadOption(f"linear_regions needs a size of 1 and 2 samples or more, not {size} and {samples}")
        self._size, self._samples = size, samples

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: All windows lie in one region, as where no path leads to the output; or windows of this size do
                not fit the network, or the network takes no images.
            ArithmeticError: The outputs of the copy are not finite.
        """
        setting = candidate.setting
        if len(candidate.input.shape) != 3:
            raise ValueError("linear regions are counted on images, and the network takes none")
        thin = _thin(candidate.space.reduced(Fidelity(cells=1)).network(candidate.genome), self._size)
        windows = _windows(candidate.batch()[0].numpy(force=True), self._size, self._samples, setting.seed)
        number = _regions(thin, torch.from_numpy(windows).to(setting.device), setting.seed)
        if number < 2:
            raise ValueError("all examples lie in one linear region")
        return float(number)


def _thin(network: Network, size: int) -> Network:
    """The network with one channel in every convolution, for images (1, size, size).

    Raises:
        ValueError: The size is one that layers put beside each other make different sizes of, or none.
    """
    net, at = Builder((1, size, size)), {-1: -1}
    for k, node in enumerate(network.nodes):
        layer = node.layer
        if isinstance(layer, Conv):
            layer = replace(layer, channels=1, groups=1)
        elif isinstance(layer, ChannelShuffle):
            layer = replace(layer, groups=1)
        inputs = [at[source] for source in node.inputs]
        at[k] = net.add(layer, *inputs, name=node.name)
        uneven = isinstance(layer, Add) and len({net.shape(source) for source in inputs}) > 1
        if uneven or min(net.shape(at[k])) < 1:
            raise ValueError(f"the network cannot take images of {size} x {size}; give linear_regions another size")
    return net.build(at[network.output])


def _windows(images: np.ndarray, size: int, number: int, seed: int) -> np.ndarray:
    """Parts of the images (B, C, H, W) at random, each of one channel: (number, 1, size, size).

    Raises:
        ValueError: The images are smaller.
    """
    if min(images.shape[2:]) < size:
        raise ValueError(f"the images are smaller than {size} x {size}; give linear_regions another size")
    all_windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(2, 3))
    rng = np.random.default_rng(seed)
    chosen = tuple(rng.integers(0, end, number) for end in all_windows.shape[:4])
    return np.ascontiguousarray(all_windows[chosen][:, None])


def _regions(network: Network, images: torch.Tensor, seed: int) -> int:
    """How many patterns the rectifiers that lead to the output show over the images, exactly."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = network.module()
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    live, codes = {network.output}, list[np.ndarray]()
    for k in range(len(network.nodes) - 1, -1, -1):
        leads = k in live and not isinstance(network.nodes[k].layer, Zero)
        live |= set(network.nodes[k].inputs) if leads else set()
    leading = nn.ModuleList([part for k, part in enumerate(module.children()) if k in live])
    for part in leading.modules():
        if isinstance(part, RECTIFIERS):
            part.register_forward_pre_hook(
                lambda part, inputs: codes.append(np.packbits((inputs[0] > 0).flatten(1).numpy(force=True), axis=1))
            )
    with torch.no_grad():
        if not torch.isfinite(module.to(images.device)(images)).all():
            raise ArithmeticError("the outputs of the thin network are not finite")
    return len({code.tobytes() for code in np.concatenate(codes, axis=1)}) if codes else 0
