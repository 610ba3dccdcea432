"""Linear regions: the number of activation patterns of an untrained network over small images."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from nasctl.api import (
    Add,
    BadOption,
    Builder,
    Candidate,
    Direction,
    Fidelity,
    Input,
    Network,
    Transform,
    Zero,
    module_kind,
    node_modules,
    only_maps,
    only_rectified,
    version_of_layers,
    with_one_channel,
)

__all__ = ["LinearRegions"]


class LinearRegions:
    """Number of distinct on/off patterns that a one-channel copy of the network shows over small images.

    Between rectifiers a network is linear, so examples with the same pattern lie in the same linear region. In the full
    network every example would have a region of its own. The copy therefore has one channel in every convolution and,
    if the search space repeats cells, one cell per stage. The images are random one-channel windows of the batch's
    images. Weights are drawn from N(0, 2 / n), where n is the number of inputs of one output. The score is at most
    `samples`.

    Differences from the released code (github.com/VITA-Group/TENAS): the released code cuts each 3 x 3 window from
    another image. A network that halves odd sizes in two ways cannot take 3 x 3 windows. The released code also counts
    over three batches of 1,000, leaves out the stem, and counts rectifiers that do not lead to the output. Here
    patterns are counted exactly, not by sums of half-precision products. Swish, h-swish and the like count as
    rectifiers, although they are not piecewise linear; `naswot` has the definition.

    References:
        Chen et al., "Neural architecture search on ImageNet in four GPU hours: A theoretically inspired perspective"
        (TE-NAS), ICLR 2021, arXiv:2102.11535, section 3.1.2.

    Args:
        size: Height and width of the windows in pixels.
        samples: Number of windows.
    """

    unit = "regions"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"module"})
    version = "1"
    version_on = version_of_layers

    def inapplicable_reason(self, given: Input, example: Network) -> str:
        """Return why the score does not apply to networks like the example; "" if it does."""
        return only_maps(given, example) or only_rectified(given, example)

    def __init__(self, size: int = 4, samples: int = 1000) -> None:
        if size < 1 or samples < 2:
            raise BadOption(
                "size must be at least 1 and samples must be at least 2, "
                f"got size={size},samples={samples} (options of linear_regions)"
            )
        self._size, self._samples = size, samples

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: All windows lie in one region, for example because no path leads to the output. Also raised if
                windows of this size do not fit the network, the network takes no images, or a layer has a fixed number
                of channels.
            ArithmeticError: The outputs of the copy are not finite.
        """
        setting = candidate.setting
        if len(candidate.input.shape) != 3:
            raise ValueError("linear regions are counted on images, but the network takes no images")
        thin = _one_channel_copy(candidate.space.reduced(Fidelity(cells=1)).network(candidate.genome), self._size)
        windows = _random_windows(candidate.batch()[0].numpy(force=True), self._size, self._samples, setting.seed)
        number = _count_regions(candidate, thin, torch.from_numpy(windows).to(setting.device), setting.seed)
        if number < 2:
            raise ValueError("all windows lie in one linear region")
        return float(number)


def _one_channel_copy(network: Network, size: int) -> Network:
    """Return the network with one channel in every convolution, for images (1, size, size).

    Raises:
        ValueError: At this size, the inputs of an addition have different shapes, or an activation is empty.
    """
    net, mapping = Builder((1, size, size)), {-1: -1}
    for k, node in enumerate(network.nodes):
        layer = with_one_channel(node)
        inputs = [mapping[source] for source in node.inputs]
        try:
            mapping[k] = net.add(layer, *inputs, name=node.name)
        except Exception:  # a traced layer runs to find its shape
            raise ValueError(f"it needs a copy with one channel, which the layer {node.name} does not allow") from None
        uneven = isinstance(layer, Add) and len({net.shape(source) for source in inputs}) > 1
        if uneven or min(net.shape(mapping[k])) < 1:
            raise ValueError(f"the network cannot take images of {size} x {size}; change the size of linear_regions")
    return net.build(mapping[network.output])


def _random_windows(images: np.ndarray, size: int, number: int, seed: int) -> np.ndarray:
    """Return random one-channel windows of images (B, C, H, W), as an array (number, 1, size, size).

    Raises:
        ValueError: The images are smaller than the windows.
    """
    if min(images.shape[2:]) < size:
        raise ValueError(f"the images are smaller than {size} x {size}; reduce the size of linear_regions")
    all_windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(2, 3))
    rng = np.random.default_rng(seed)
    chosen = tuple(rng.integers(0, end, number) for end in all_windows.shape[:4])
    return np.ascontiguousarray(all_windows[chosen][:, None])


def _count_regions(candidate: Candidate, network: Network, images: torch.Tensor, seed: int) -> int:
    """Count the distinct patterns over the images of the rectifiers that lead to the output."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = network.module()
        for layer in module.modules():
            if module_kind(layer) in ("convolution", "linear"):
                nn.init.kaiming_normal_(layer.get_parameter("weight"))
                if getattr(layer, "bias", None) is not None:
                    nn.init.zeros_(layer.get_parameter("bias"))
    live = {network.output}
    for k in range(len(network.nodes) - 1, -1, -1):
        is_live = k in live and not isinstance(network.nodes[k].layer, Zero)
        live |= set(network.nodes[k].inputs) if is_live else set()
    titles, parts = {part: name for name, part in module.named_children()}, node_modules(module, network)
    names = {titles[part] for k, part in enumerate(parts) if k in live}
    recorder = candidate.rectifier_codes(module, network)
    with torch.no_grad():
        try:
            outputs = module.to(images.device)(images)
        except (RuntimeError, IndexError) as error:
            raise ValueError(f"the copy with one channel cannot run: {str(error).partition(chr(10))[0]}") from None
    recorder.close()
    if not torch.isfinite(outputs).all():
        raise ArithmeticError("the outputs of the one-channel network are not finite")
    if recorder.failure:
        raise recorder.failure
    codes = [one.packed for name, one in recorder.codes.items() if name.partition(".")[0].partition("#")[0] in names]
    return len({code.tobytes() for code in np.concatenate(codes, axis=1)}) if codes else 0
