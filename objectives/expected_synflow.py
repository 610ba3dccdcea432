"""Expected SynFlow: the expectation of SynFlow over all initial weights, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nasctl.api import (
    GELU,
    Add,
    AvgPool,
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
    Tanh,
    Transform,
    Zero,
    layer_kind,
    only_maps,
    version_of_layers,
)

__all__ = ["ExpectedSynFlow"]

Array = npt.NDArray[np.float64]

# Layers that pass an expected map on unchanged, beside norms and activations.
IDENTITY_LAYERS = (ChannelShuffle, Multiply)
# Layers of nasctl whose expected output has no closed form, even for a non-negative signal.
NONLINEAR_LAYERS = (ReLU6, HSwish, Swish, Sigmoid, HSigmoid, GELU, Tanh, Multiply, MaxPool)
# Rectifiers of torch that do not change a non-negative signal.
EXACT_RECTIFIERS = ("ReLU", "LeakyReLU", "PReLU", "RReLU", "ELU", "CELU")
ZERO_EXPONENT = -(1 << 20)  # binary exponent of a map of zeros, below the exponent of any double


class ExpectedSynFlow:
    """Base-10 logarithm of the expectation of SynFlow's sum over PyTorch's initial weights.

    SynFlow replaces every weight by its magnitude. Every output is then a sum over paths of products of magnitudes,
    with at most one weight of each layer per product. The magnitudes are independent. The expectation R of the
    network's output is therefore the output of the network in which every magnitude is replaced by its mean. For
    weights drawn from U(-1/sqrt(n), 1/sqrt(n)), where n is the number of inputs of one output, the mean is 1 / (2
    sqrt(n)).

    All channels of an activation then hold the same map, so one map, (H, W), represents them. A k x k convolution in g
    groups is a box filter with gain C / g / (2 sqrt(n)). Zero padding is kept, so maps decay towards their borders.

    R is linear in every layer. Hence ``sum |w * dR/dw|`` over the weights of one layer is the derivative of R with
    respect to a factor of that layer's gain, at factor 1. The sum over all layers is the derivative with respect to one
    factor of all gains. A single forward pass propagates the map and this derivative. The score uses no seed, no data
    and no module.

    Biases are left out, as in `synflow`. The expectation is exact if all activations are ReLUs, which do not change a
    non-negative signal. The option `linear` extends the score to other networks. As in `synflow`, activations (ReLU6,
    h-swish, swish, sigmoids) are then treated as the identity, and the gates of squeeze-and-excitation as 1. A max
    pool, which `synflow` computes exactly, takes the maximum of the expected map, which is at most the expected
    maximum. The channels of a concatenation are represented by their mean map, which is the only input that dense
    layers depend on.

    References:
        Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS 2020,
        arXiv:2006.05467, equations 1 and 2, for SynFlow.
        He et al., "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852, equation 15 with a = sqrt(5), for the
        distribution of the weights.
        The closed form was derived for nasctl.

    Args:
        linear: Treat nonlinear layers as linear.
    """

    unit = "log10"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"scored"})
    version = "1"
    version_on = version_of_layers
    inapplicable_reason = staticmethod(only_maps)

    def __init__(self, linear: bool = False) -> None:
        self._linear = linear
        self.substitutes = ("synflow",) if linear else ("expected_synflow:linear", "synflow")

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return a remark that lists the nonlinear layers treated as linear, if the search space has any."""
        nonlinear = sorted({_title(node) for node in example.nodes if _is_nonlinear(node)})
        return [f"treats nonlinear layers as linear ({', '.join(nonlinear)})"] if nonlinear and self._linear else []

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: No path leads from the input to the output, or the network has a layer without a closed form.
            ArithmeticError: A single block amplifies the signal beyond double precision.
        """
        network = candidate.scored
        with np.errstate(over="ignore", invalid="ignore"):
            score, exponent = _expected_sum(network, self._linear, rescaled=False)
            if not math.isfinite(score):  # only networks of hundreds of layers overflow and need exponents
                score, exponent = _expected_sum(network, self._linear, rescaled=True)
        if not math.isfinite(score):
            raise ArithmeticError("the signal is not finite")
        if score == 0.0:
            raise ValueError("no path leads from the input to the output")
        return math.log10(score) + exponent * math.log10(2)


class NoClosedFormError(Exception):
    """The error that a layer has no closed form.

    Args:
        layer: The layer.
        remedy: What to try, after a semicolon.
    """

    def __init__(self, layer: str, remedy: str = "") -> None:
        super().__init__(layer)
        self.layer, self.remedy = layer, remedy


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedMap:
    """An expected map and its derivative with respect to a factor of all gains, times a power of two."""

    maps: Array  # (2, H, W)
    exponent: int = 0
    channels_differ: bool = False  # True if the represented channels hold different maps


class Term(NamedTuple):
    """A chain of layers applied to one value of a program: gain * left @ x @ right."""

    source: int  # position of the value in the program
    left: Array | None = None  # (H', H); None for the identity
    right: Array | None = None  # (W, W')
    gain: float = 1.0
    weighted: int = 0  # weighted layers in the chain

    def then(self, left: Array | None = None, right: Array | None = None, gain: float = 1.0, weighted: int = 0) -> Term:
        """Return the chain with one more layer."""
        rows, columns = self.left, self.right
        if left is not None and right is not None:
            rows = left if rows is None else left @ rows
            columns = right if columns is None else columns @ right
        return Term(self.source, rows, columns, self.gain * gain, self.weighted + weighted)

    def is_value(self, source: int) -> bool:
        """Return True if the term is the unchanged value at `source`."""
        return self.left is None and (self.source, self.gain, self.weighted) == (source, 1.0, 0)


class Step(NamedTuple):
    """A value of a program: the sum of some terms, followed by a max pool if there is one."""

    terms: tuple[Term, ...]
    pool: MaxPool | None = None


class Program(NamedTuple):
    """A compiled span. Its values are its inputs, then one value per step; the last value is the output."""

    steps: tuple[Step, ...]
    channels_differ: bool  # True if the channels of the output hold different maps


def _expected_sum(network: Network, linear: bool, rescaled: bool) -> tuple[float, int]:
    """Return ``sum |w * dR/dw|`` as a mantissa and a binary exponent.

    Args:
        network: Network at the fidelity of the setting.
        linear: Treat nonlinear layers as linear.
        rescaled: Rescale every map by a power of two, which avoids overflow.
    """
    values = {-1 - k: _input_map(shape) for k, shape in enumerate(network.input_shapes)}
    channels = 1
    for name, at, inputs, emission in _live_spans(network):
        try:
            values[at] = _span_output(emission, tuple([values[i] for i in inputs]), linear, rescaled)
        except NoClosedFormError as error:
            raise ValueError(f"no closed form is known for {error.layer} in {name}{error.remedy}") from None
        channels = emission.out_shape[0]  # the last span leaves the channels of the output here
    output = values[network.output]
    return channels * float(output.maps[1].sum()), output.exponent


def _live_spans(network: Network) -> list[tuple[str, int, tuple[int, ...], Emission]]:
    """Return name, position, input positions and emission of each span that the output depends on."""
    needed, found = {network.output}, []
    for span in reversed(network.spans):
        at = span.start + span.emission.output
        if at in needed and span.emission.output >= 0:
            needed.update(span.inputs)
            found.append((span.name, at, span.inputs, span.emission))
    found.reverse()
    return found


@lru_cache(maxsize=64)
def _input_map(shape: Shape) -> ExpectedMap:
    """Return the map of the input: ones, with derivative 0."""
    if len(shape) not in (1, 3):
        raise ValueError(f"expected_synflow takes images and vectors, but the input is {'x'.join(map(str, shape))}")
    ones = np.zeros((2, *(shape[1:] or (1, 1))))
    ones[0] = 1.0
    return ExpectedMap(ones)


@lru_cache(maxsize=128)
def _span_output(emission: Emission, inputs: tuple[ExpectedMap, ...], linear: bool, rescaled: bool) -> ExpectedMap:
    """Return the output of a span for some inputs.

    Results are cached because networks of one space share their first spans, where maps are largest.
    """
    program = _compile(emission, linear, tuple([value.channels_differ for value in inputs]))
    if not rescaled:
        return ExpectedMap(_run_program(program, [value.maps for value in inputs]), 0, program.channels_differ)
    top = max(value.exponent for value in inputs)
    maps = _run_program(program, [np.ldexp(value.maps, value.exponent - top) for value in inputs])
    largest = float(maps.max())
    shift = math.frexp(largest)[1]  # 0 if `largest` is not finite, so the map stays non-finite
    return ExpectedMap(np.ldexp(maps, -shift), top + shift if largest else ZERO_EXPONENT, program.channels_differ)


def _run_program(program: Program, inputs: list[Array]) -> Array:
    """Return the output of a program, (2, H', W'), without changing its inputs."""
    values = inputs
    for terms, pool in program.steps:
        total: Array | None = None
        for source, left, right, gain, weighted in terms:
            value = values[source]
            if left is not None and right is not None:
                value = left @ value @ right  # the compiler has multiplied `left` by the gain
            elif gain != 1.0 or weighted:
                value = value * gain
            if weighted:
                value[1] += value[0] if weighted == 1 else weighted * value[0]
            total = value if total is None else total + value
        assert total is not None
        values.append(total if pool is None else _max_pool(total, pool))
    return values[-1]


def _max_pool(pair: Array, pool: MaxPool) -> Array:
    """Return the maximum of each window of the map, and the derivative at the position of that maximum."""
    reach, padding = (pool.kernel, pool.kernel), (pool.kernel - 1) // 2
    margins = ((0, 0), (padding, padding), (padding, padding))
    padded = np.pad(pair, margins, constant_values=-math.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, (1, 2))[:, :: pool.stride, :: pool.stride]
    flat = windows.reshape(*windows.shape[:3], -1)
    return np.take_along_axis(flat, flat[:1].argmax(-1, keepdims=True), -1)[..., 0]


@lru_cache(maxsize=1 << 10)
def _compile(emission: Emission, linear: bool, channels_differ: tuple[bool, ...]) -> Program:
    """Compile a span into a program. Programs are cached because candidates share most spans.

    Args:
        emission: Nodes of the span.
        linear: Treat nonlinear layers as linear.
        channels_differ: For each input, whether its channels hold different maps.
    """
    terms = {-1 - k: Term(k) for k in range(len(channels_differ))}
    differ = {-1 - k: one for k, one in enumerate(channels_differ)}
    steps: list[Step] = []

    def step(*parts: Term, pool: MaxPool | None = None) -> Term:
        folded = [part if part.left is None else part._replace(left=part.gain * part.left) for part in parts]
        steps.append(Step(tuple(folded), pool))
        return Term(len(channels_differ) + len(steps) - 1)

    for k in _live_nodes(emission):
        node = emission.nodes[k]
        layer, given = node.layer, [terms[i] for i in _signal_inputs(node)]
        if not linear and _is_nonlinear(node):
            raise NoClosedFormError(_title(node), "; try expected_synflow:linear")
        differ[k] = any(differ[i] for i in _signal_inputs(node))
        if isinstance(layer, IDENTITY_LAYERS) or layer_kind(node) in ("norm", "rectifier", "activation"):
            terms[k] = given[0]
        elif isinstance(layer, Add):
            terms[k] = step(*given)
        elif isinstance(layer, Concat):
            shares = [shape[0] / node.out_shape[0] for shape in node.in_shapes]
            terms[k] = step(*(one.then(gain=share) for one, share in zip(given, shares, strict=True)))
            differ[k] = True
        elif isinstance(layer, MaxPool):
            terms[k] = step(given[0], pool=layer)
        else:
            terms[k] = _layer_term(node, given[0], differ[k])
            differ[k] &= not isinstance(layer, Conv | Linear)
    last = terms[emission.output]
    if not last.is_value(len(channels_differ) + len(steps) - 1) or not steps:
        step(last)
    return Program(tuple(steps), differ[emission.output])


def _is_nonlinear(node: Node) -> bool:
    """Return whether the expected output of a layer has no closed form, even for a non-negative signal."""
    if isinstance(node.layer, ReLU):
        return False
    if isinstance(node.layer, NONLINEAR_LAYERS):
        return True
    return layer_kind(node) in ("rectifier", "activation") and _title(node) not in EXACT_RECTIFIERS


def _title(node: Node) -> str:
    """Return the name of a layer's class: the one of torch for a traced layer."""
    call = node.layer.module(*node.in_shapes)
    traced = type(node.layer).__module__.endswith("torch_layers") and isinstance(call.factory, str)
    return str(call.factory).removeprefix("nn.") if traced else type(node.layer).__name__


def _live_nodes(emission: Emission) -> list[int]:
    """Return the nodes that the output of a span depends on, in order."""
    needed = {emission.output}
    for k in reversed(range(len(emission.nodes))):
        needed |= set(_signal_inputs(emission.nodes[k])) if k in needed else set()
    return sorted(k for k in needed if k >= 0)


def _signal_inputs(node: Node) -> tuple[int, ...]:
    """Return the inputs of a node without gates."""
    return node.inputs[:1] if isinstance(node.layer, Multiply) else node.inputs


def _layer_term(node: Node, given: Term, differ: bool) -> Term:
    """Return the term of a layer with one input."""
    layer, shape = node.layer, node.in_shapes[0]
    if isinstance(layer, Zero):
        return given.then(gain=0.0)
    if isinstance(layer, Linear) and len(shape) == 1:
        return given.then(gain=math.sqrt(shape[0]) / 2, weighted=1)
    if isinstance(layer, GlobalAvgPool | Flatten):  # the next layer has equal mean weights at all positions
        rows, columns = (np.full((1, size), 1 / size) for size in shape[1:] or (1, 1))
        return given.then(rows, columns.T)
    if isinstance(layer, AvgPool):
        padding = (layer.kernel - 1) // 2
        taps = (_tap_counts(size, layer.kernel, layer.stride, padding, 1) for size in shape[1:])
        rows, columns = (one / one.sum(1, keepdims=True) for one in taps)
        return given.then(rows, columns.T)
    if isinstance(layer, Shift):
        rows, columns = (np.eye(size, k=1) for size in shape[1:])
        return given.then(rows, columns.T)
    if not isinstance(layer, Conv):
        raise NoClosedFormError(f"{_title(node)} @ {'x'.join(map(str, shape))}")
    if layer.groups > 1 and differ:
        raise NoClosedFormError("a grouped convolution of concatenated channels")
    inputs = shape[0] // layer.groups
    gain = inputs / (2 * math.sqrt(layer.kernel**2 * inputs))
    if layer.kernel == layer.stride == 1:
        return given.then(gain=gain, weighted=1)
    padding = layer.dilation * (layer.kernel - 1) // 2
    rows, columns = (_tap_counts(size, layer.kernel, layer.stride, padding, layer.dilation) for size in shape[1:])
    return given.then(rows, columns.T, gain, 1)


def _tap_counts(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Array:
    """Return how often each window reads each value along one axis, (out, size)."""
    starts = np.arange(0, size + 2 * padding - dilation * (kernel - 1), stride)[:, None, None] - padding
    read = starts + dilation * np.arange(kernel)[:, None]  # (out, kernel, 1)
    taps: Array = (read == np.arange(size)).sum(1).astype(np.float64)
    return taps
