"""Expected SynFlow: what SynFlow is on average over all initial weights, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nasctl.api import (
    Add,
    AvgPool,
    BatchNorm,
    Candidate,
    ChannelShuffle,
    Concat,
    Conv,
    Direction,
    Emission,
    Flatten,
    GlobalAvgPool,
    HSigmoid,
    HSwish,
    Linear,
    MaxPool,
    Multiply,
    Network,
    Node,
    ReLU,
    ReLU6,
    Shape,
    Shift,
    Sigmoid,
    Swish,
    Transform,
    Zero,
    only_maps,
)

__all__ = ["ExpectedSynFlow"]

Array = npt.NDArray[np.float64]

PASSED = (BatchNorm, ChannelShuffle, ReLU, ReLU6, HSwish, Swish, Sigmoid, HSigmoid, Multiply)
# They change a non-negative signal in a way whose expectation has no closed form.
BENT = (ReLU6, HSwish, Swish, Sigmoid, HSigmoid, Multiply, MaxPool)
NOTHING = -(1 << 20)  # the exponent of zeros: below that of any number


class ExpectedSynFlow:
    """The logarithm, to base 10, of the expectation of SynFlow's sum over PyTorch's initial weights.

    In SynFlow's network every output is a sum over paths of products of magnitudes of weights, at most one of each
    layer. The magnitudes are independent, so the expectation R of its output is what it puts out when every magnitude
    is replaced by its mean: 1 / (2 sqrt(n)) for weights from U(-1/sqrt(n), 1/sqrt(n)), n being the number of inputs of
    one output. All channels of a value then hold the same map, so one map, (H, W), stands for them. A convolution of
    k x k in g groups is a box filter with the gain C / g / (2 sqrt(n)); zero padding stays, so maps fall off towards
    their borders. R is linear in every layer, so ``sum |w * dR/dw|`` over the weights of one layer is the derivative
    of R with respect to a factor of that layer's gain, at 1; over all layers it is that with respect to a factor of
    all gains, which one forward pass carries along. There is no seed, no data and no module.

    Biases are left out, as in `synflow`. The expectation is exact where all activations are ReLUs, which do nothing to
    a non-negative signal. With `linear` it covers other networks: as in `synflow`, activations (ReLU6, h-swish, swish,
    the sigmoids) are taken as the identity and the gates of squeeze-and-excitation as 1. The maximum of a window, which
    `synflow` does take, is then that of the expected map, which is at most the expected maximum. The channels of a
    concatenation are represented by their mean map, which is all that dense layers see.

    References:
        Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS 2020,
        arXiv:2006.05467, equations 1 and 2, for what the expectation is of.
        He et al., "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852, equation 15 with a = sqrt(5), for the
        distribution of the weights. The closed form is nasctl's own.

    Args:
        linear: Whether to take as linear what is not.
    """

    unit = "log10"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"scored"})
    version = "1"
    inapplicable_reason = staticmethod(only_maps)

    def __init__(self, linear: bool = False) -> None:
        self._linear = linear

    def remarks(self, space: str, example: Network) -> list[str]:
        """What is taken as linear, if the space has any of it."""
        bent = sorted({type(node.layer).__name__ for node in example.nodes if isinstance(node.layer, BENT)})
        return [f"takes as linear what is not ({', '.join(bent)})"] if bent and self._linear else []

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: No signal gets through, or the network has a layer that the expectation is not known for.
            ArithmeticError: A single block makes more of the signal than double precision holds.
        """
        network = candidate.scored
        with np.errstate(over="ignore", invalid="ignore"):
            score, exponent = _flow(network, self._linear, rescaled=False)
            if not math.isfinite(score):  # only networks of hundreds of layers pay for the exponents
                score, exponent = _flow(network, self._linear, rescaled=True)
        if not math.isfinite(score):
            raise ArithmeticError("the signal is not finite")
        if score == 0.0:
            raise ValueError("no path leads from the input to the output")
        return math.log10(score) + exponent * math.log10(2)


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An expected map, and its derivative with respect to a factor of all gains; times a power of two."""

    maps: Array  # (2, H, W)
    exponent: int = 0
    mixed: bool = False  # whether the channels that it stands for hold different maps


class Term(NamedTuple):
    """What a chain of layers makes of one value of a program: gain * left @ x @ right."""

    source: int  # place of the value
    left: Array | None = None  # (H', H); None for the identity
    right: Array | None = None  # (W, W')
    gain: float = 1.0
    weighted: int = 0  # layers with weights in the chain

    def then(self, left: Array | None = None, right: Array | None = None, gain: float = 1.0, weighted: int = 0) -> Term:
        """With one more layer."""
        rows, columns = self.left, self.right
        if left is not None and right is not None:
            rows = left if rows is None else left @ rows
            columns = right if columns is None else columns @ right
        return Term(self.source, rows, columns, self.gain * gain, self.weighted + weighted)

    def plain(self, source: int) -> bool:
        """Whether it is that value as it is."""
        return self.left is None and (self.source, self.gain, self.weighted) == (source, 1.0, 0)


class Step(NamedTuple):
    """One value of a program: the sum of the terms, and the largest of each window of it if there is a pool."""

    terms: tuple[Term, ...]
    pool: MaxPool | None = None


class Program(NamedTuple):
    """What an emission makes of expected maps: values are its inputs, then one for each step, the last its output."""

    steps: tuple[Step, ...]
    mixed: bool  # whether the channels of the output hold different maps


def _flow(network: Network, linear: bool, rescaled: bool) -> tuple[float, int]:
    """``sum |w * dR/dw|`` as a number and a power of two to multiply it with."""
    values = {-1 - k: _ones(shape) for k, shape in enumerate(network.input_shapes)}
    channels = 1
    for at, inputs, emission in _live(network):
        values[at] = _made(emission, tuple([values[i] for i in inputs]), linear, rescaled)
        channels = emission.out_shape[0]  # in the end, of the output
    output = values[network.output]
    return channels * float(output.maps[1].sum()), output.exponent


def _live(network: Network) -> list[tuple[int, tuple[int, ...], Emission]]:
    """What the output depends on: the place of each value, those of what it is made of, and how it is made."""
    needed, found = {network.output}, []
    for _, inputs, start, emission in reversed(network.spans):
        at = start + emission.output
        if at in needed and emission.output >= 0:
            needed.update(inputs)
            found.append((at, inputs, emission))
    found.reverse()
    return found


@lru_cache(maxsize=64)
def _ones(shape: Shape) -> Value:
    """The input: ones, which no gain changes."""
    if len(shape) not in (1, 3):
        raise ValueError(f"expected SynFlow knows images and vectors, and no input of {'x'.join(map(str, shape))}")
    ones = np.zeros((2, *(shape[1:] or (1, 1))))
    ones[0] = 1.0
    return Value(ones)


@lru_cache(maxsize=128)
def _made(emission: Emission, inputs: tuple[Value, ...], linear: bool, rescaled: bool) -> Value:
    """What an emission makes of its inputs; kept, because networks of a space begin alike, where maps are largest."""
    program = _program(emission, linear, tuple([value.mixed for value in inputs]))
    if not rescaled:
        return Value(_run(program, [value.maps for value in inputs]), 0, program.mixed)
    top = max(value.exponent for value in inputs)
    maps = _run(program, [np.ldexp(value.maps, value.exponent - top) for value in inputs])
    largest = float(maps.max())
    shift = math.frexp(largest)[1]  # 0 for what is not finite, which stays so
    return Value(np.ldexp(maps, -shift), top + shift if largest else NOTHING, program.mixed)


def _run(program: Program, inputs: list[Array]) -> Array:
    """The output of a program, (2, H', W'); changes none of the inputs."""
    values = inputs
    for terms, pool in program.steps:
        total: Array | None = None
        for source, left, right, gain, weighted in terms:
            value = values[source]
            if left is not None and right is not None:
                value = left @ value @ right  # its gain is in `left`
            elif gain != 1.0 or weighted:
                value = value * gain
            if weighted:
                value[1] += value[0] if weighted == 1 else weighted * value[0]
            total = value if total is None else total + value
        assert total is not None
        values.append(total if pool is None else _largest(total, pool))
    return values[-1]


def _largest(pair: Array, pool: MaxPool) -> Array:
    """The largest of each window of the map, and the derivative where it stands."""
    reach, padding = (pool.kernel, pool.kernel), (pool.kernel - 1) // 2
    around = ((0, 0), (padding, padding), (padding, padding))
    padded = np.pad(pair, around, constant_values=-math.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, (1, 2))[:, :: pool.stride, :: pool.stride]
    flat = windows.reshape(*windows.shape[:3], -1)
    places: Array = np.take_along_axis(flat, flat[:1].argmax(-1, keepdims=True), -1)[..., 0]
    return places


@lru_cache(maxsize=1 << 10)
def _program(emission: Emission, linear: bool, mixed: tuple[bool, ...]) -> Program:
    """Compile an emission; candidates share most of theirs, hence the cache.

    Args:
        emission: What stands in a network.
        linear: Whether to take as linear what is not.
        mixed: For each input, whether its channels hold different maps.
    """
    terms = {-1 - k: Term(k) for k in range(len(mixed))}
    blended = {-1 - k: one for k, one in enumerate(mixed)}
    steps: list[Step] = []

    def step(*parts: Term, pool: MaxPool | None = None) -> Term:
        folded = [part if part.left is None else part._replace(left=part.gain * part.left) for part in parts]
        steps.append(Step(tuple(folded), pool))
        return Term(len(mixed) + len(steps) - 1)

    for k in _needed(emission):
        node = emission.nodes[k]
        layer, given = node.layer, [terms[i] for i in _sources(node)]
        if isinstance(layer, BENT) and not linear:
            raise ValueError(f"no closed form is known with {type(layer).__name__}; try expected_synflow:linear")
        blended[k] = any(blended[i] for i in _sources(node))
        if isinstance(layer, PASSED):
            terms[k] = given[0]
        elif isinstance(layer, Add):
            terms[k] = step(*given)
        elif isinstance(layer, Concat):
            shares = [shape[0] / node.out_shape[0] for shape in node.in_shapes]
            terms[k] = step(*(one.then(gain=share) for one, share in zip(given, shares, strict=True)))
            blended[k] = True
        elif isinstance(layer, MaxPool):
            terms[k] = step(given[0], pool=layer)
        else:
            terms[k] = _mapped(node, given[0], blended[k])
            blended[k] &= not isinstance(layer, Conv | Linear)
    last = terms[emission.output]
    if not last.plain(len(mixed) + len(steps) - 1) or not steps:
        step(last)
    return Program(tuple(steps), blended[emission.output])


def _needed(emission: Emission) -> list[int]:
    """The nodes that the output depends on, in order."""
    needed = {emission.output}
    for k in reversed(range(len(emission.nodes))):
        needed |= set(_sources(emission.nodes[k])) if k in needed else set()
    return sorted(k for k in needed if k >= 0)


def _sources(node: Node) -> tuple[int, ...]:
    """The inputs of a node, a gate left out."""
    return node.inputs[:1] if isinstance(node.layer, Multiply) else node.inputs


def _mapped(node: Node, given: Term, blended: bool) -> Term:
    """The term of a layer with one input."""
    layer, shape = node.layer, node.in_shapes[0]
    if isinstance(layer, Zero):
        return given.then(gain=0.0)
    if isinstance(layer, Linear) and len(shape) == 1:
        return given.then(gain=math.sqrt(shape[0]) / 2, weighted=1)
    if isinstance(layer, GlobalAvgPool | Flatten):  # what comes after weighs all places of a flattened map alike
        rows, columns = (np.full((1, size), 1 / size) for size in shape[1:] or (1, 1))
        return given.then(rows, columns.T)
    if isinstance(layer, AvgPool):
        padding = (layer.kernel - 1) // 2
        taps = (_taps(size, layer.kernel, layer.stride, padding, 1) for size in shape[1:])
        rows, columns = (one / one.sum(1, keepdims=True) for one in taps)
        return given.then(rows, columns.T)
    if isinstance(layer, Shift):
        rows, columns = (np.eye(size, k=1) for size in shape[1:])
        return given.then(rows, columns.T)
    if not isinstance(layer, Conv):
        raise ValueError(f"no closed form is known with {type(layer).__name__} @ {'x'.join(map(str, shape))}")
    if layer.groups > 1 and blended:
        raise ValueError("no closed form is known for a grouped convolution of concatenated channels")
    inputs = shape[0] // layer.groups
    gain = inputs / (2 * math.sqrt(layer.kernel**2 * inputs))
    if layer.kernel == layer.stride == 1:
        return given.then(gain=gain, weighted=1)
    padding = layer.dilation * (layer.kernel - 1) // 2
    rows, columns = (_taps(size, layer.kernel, layer.stride, padding, layer.dilation) for size in shape[1:])
    return given.then(rows, columns.T, gain, 1)


def _taps(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Array:
    """Which values a window reads at each of its places along one direction, (out, size)."""
    places = np.arange(0, size + 2 * padding - dilation * (kernel - 1), stride)[:, None, None] - padding
    read = places + dilation * np.arange(kernel)[:, None]  # (out, kernel, 1)
    taps: Array = (read == np.arange(size)).sum(1).astype(np.float64)
    return taps
