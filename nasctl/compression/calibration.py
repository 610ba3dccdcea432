"""Statistics of the inputs of layers on calibration images: ranges for each number of bits, and mean columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nasctl.compression.layer_columns import mean_columns
from nasctl.errors import NasctlError
from nasctl.networks.quantized_layer import Levels

BATCH = 64  # images that are run at once

BINS = 2048  # of the histogram from which ranges are chosen

SHRINKING = tuple(k / 20 for k in range(6, 21))  # shares of the observed range that are tried

SEARCHED_BITS = 8  # bits up to which a part of the observed range is tried

INPUT_EXPONENTS = tuple(k / 20 for k in range(6, 21))  # exponents of power levels that are tried: 0.3 to 1

LEAST_RANGE = 1e-30  # of the values of an input that is not taken as 0; the steps of smaller ones are no float32


InputChoice = tuple[int, Levels]  # the bits of an input, and the spacing of its values


class InputRange(NamedTuple):
    """The values that an input is rounded to: multiples of a step from `low` to `high`, or powers as many.

    With an exponent below 1, an integer q from `low` to `high` is the value m * step * sign(q) * |q / m|^(1 / exponent)
    of `QuantizedWeights`, where m is the larger magnitude of `low` and `high`.
    """

    step: float
    low: float
    high: float
    exponent: float = 1.0

    def applied(self, x: Tensor) -> Tensor:
        """Return rounded values, as `QuantizedWeights` computes them."""
        step, low, high = map(torch.tensor, (self.step, self.low, self.high))
        if self.exponent == 1.0:
            found: Tensor = (x / step).round().clamp(low, high) * step
            return found
        most, exponent = torch.maximum(high, -low), torch.tensor(self.exponent)
        shares = x / (step * most)
        levels = (shares.sign() * shares.abs() ** exponent * most).round().clamp(low, high) / most
        return levels.sign() * levels.abs() ** (1 / exponent) * (step * most)


@dataclass
class InputStatistics:
    """Statistics of the input of a layer over all calibration images.

    Attributes:
        low: Least value, 0 at most.
        high: Greatest value, 0 at least.
        mean: Mean column that the layer's weights multiply, (G, K) float64; see `layer_columns`.
        histogram: Number of values in each of `BINS` equal parts of the range from `low` to `high`.
        ranges: The range of least squared error for each choice of bits and levels.
        rounded_mean: Mean column of the rounded input, by choice.
    """

    low: float = 0.0
    high: float = 0.0
    mean: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    histogram: Tensor = field(default_factory=lambda: torch.zeros(BINS, dtype=torch.float64))
    ranges: dict[InputChoice, InputRange] = field(default_factory=dict)
    rounded_mean: dict[InputChoice, Tensor] = field(default_factory=dict)


@torch.no_grad()
def input_statistics(
    module: nn.Module,
    parts: Mapping[int, nn.Module],
    pixels: Tensor,
    normalised: Callable[[Tensor], Tensor],
    choices: Sequence[InputChoice],
) -> dict[int, InputStatistics]:
    """Return the statistics of the inputs of some layers of a module, by the keys of the layers.

    Args:
        module: The module in float32, in evaluation mode.
        parts: The layers.
        pixels: Images with values from 0 to 255, (N, C, H, W).
        normalised: Returns images as the module takes them.
        choices: Bits and levels that inputs may have.

    Raises:
        NasctlError: An input is not finite.
    """
    found = {key: InputStatistics() for key in parts}

    def extremes(key: int, x: Tensor) -> None:
        one, (low, high) = found[key], map(float, x.aminmax())
        if not math.isfinite(high - low):
            raise NasctlError(
                "Cannot calibrate the layers of the trained network: values between them are infinite or no numbers on"
                " some images. Check the weights, and MEAN and DEVIATION of FILE.py."
            )
        one.low, one.high = min(one.low, low), max(one.high, high)
        one.mean = one.mean + mean_columns(parts[key], x) * (len(x) / len(pixels))

    def counts(key: int, x: Tensor) -> None:
        one = found[key]
        if one.high > one.low:
            one.histogram += torch.histc(x.float(), BINS, one.low, one.high).double()

    def rounded(key: int, x: Tensor) -> None:
        one = found[key]
        for choice, range_ in one.ranges.items():
            mean = mean_columns(parts[key], range_.applied(x)) * (len(x) / len(pixels))
            one.rounded_mean[choice] = one.rounded_mean.get(choice, 0) + mean

    for note in (extremes, counts):
        _run(module, parts, batches(pixels, normalised), note)
    for one in found.values():
        one.ranges = {choice: _range(one, *choice) for choice in choices}
    _run(module, parts, batches(pixels, normalised), rounded)
    return found


def batches(pixels: Tensor, normalised: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    """Yield images as a module takes them, (B, C, H, W)."""
    for some in torch.split(pixels, BATCH):
        yield normalised(some)


def _run(
    module: nn.Module, parts: Mapping[int, nn.Module], images: Iterable[Tensor], note: Callable[[int, Tensor], None]
) -> None:
    """Run a module on images, and note the inputs of its layers."""
    with noting(parts, note):
        for some in images:
            module(some)


@contextmanager
def noting(parts: Mapping[int, nn.Module], note: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Call a function with the key and the input of each layer that runs."""
    hooks = [
        part.register_forward_pre_hook(lambda _, inputs, key=key: note(key, inputs[0])) for key, part in parts.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _range(found: InputStatistics, bits: int, levels: Levels) -> InputRange:
    """Return the range of least squared error: the observed one, or up to `SEARCHED_BITS` bits a part of it.

    Power levels have the exponent of least squared error as well, 1 for equal errors.
    """
    low, high = found.low, found.high
    if high - low < LEAST_RANGE:  # an input that is 0 on all images
        return InputRange(1.0, 0.0, 2.0**bits - 1)
    shares = SHRINKING if bits <= SEARCHED_BITS else (1.0,)
    middles = low + (torch.arange(BINS, dtype=torch.float64) + 0.5) * ((high - low) / BINS)
    exponents = INPUT_EXPONENTS if levels == "power" else (1.0,)
    best, least = _steps(low, high, bits), float("inf")
    for exponent, share in product(reversed(exponents), reversed(shares)):
        # An input without negative values keeps its least value, 0.
        tried = _steps(low * share, high * share, bits)._replace(exponent=exponent)
        error = float(((tried.applied(middles) - middles).square() * found.histogram).sum())
        if error < least:
            best, least = tried, error
    return best


def _steps(low: float, high: float, bits: int) -> InputRange:
    """Return the 2^bits multiples of a step from about `low` to `high`, of which 0 is one."""
    most = 2**bits - 1
    step = float(torch.tensor((high - low) / most, dtype=torch.float32))  # as the module has it
    zero = round(-low / step)
    return InputRange(step, float(-zero), float(most - zero))


__all__ = ["InputChoice", "InputRange", "InputStatistics", "batches", "input_statistics", "noting"]
