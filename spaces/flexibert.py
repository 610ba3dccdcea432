"""The space of FlexiBERT: encoders whose layers differ in width, heads, operation and feed-forward units.

References:
    Tuli et al., "FlexiBERT: Are current transformer architectures too homogeneous and rigid?", JAIR 77, 2023,
    arXiv:2205.11656; `design_space/*.yaml` and
    `transformers/src/transformers/models/bert/modeling_modular_bert.py` of github.com/jha-lab/txf_design-space.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from nasctl.api import (
    Add,
    AttentionScores,
    BadOption,
    Block,
    Builder,
    ConcatFeatures,
    Cosine,
    Fidelity,
    FirstToken,
    Fourier,
    Gene,
    Genome,
    HeadLinear,
    Input,
    LayerNorm,
    Linear,
    Network,
    RelativeScores,
    Softmax,
    Tanh,
    WeightedValues,
    validate,
)
from nasctl.spaces._encoders import Embeddings, FeedForward, check, convolved, place

__all__ = ["FlexiBERT"]

OPERATIONS = {  # and what the code calls them
    "sdp": ("sa", "sdp"),
    "wma": ("sa", "wma"),
    "dft": ("l", "dft"),
    "dct": ("l", "dct"),
    "c5": ("c", 5),
    "c9": ("c", 9),
    "c13": ("c", 13),
}
SIMILARITIES = ("sdp", "wma")
LONGEST = 20_000  # characters of a configuration that are read
MOST = 1000  # feed-forward layers, which a genome has a gene for

Row = tuple[int, int, str, tuple[int, ...]]  # of a layer: width, heads, operation, units of its feed-forward layers


class FlexiBERT:
    """Encoders whose layers each have a width, heads, an operation and feed-forward units of their own.

    Where the width changes, a linear layer leads from one layer to the next. Positions are relative: each layer learns
    a vector for every distance between two tokens. Operations are `sdp`, attention by scaled products of queries and
    keys; `wma`, with a matrix between them that all heads share; `dft` and `dct`, a transform over places and values of
    what the layer gets, added to attention that asks for distances alone; and `c5`, `c9` and `c13`, convolution whose
    kernel depends on the place in half of the heads, attention in the others.

    Without options the space is that of the encoders with published accuracies, an early one of the code: attention,
    and one feed-forward layer. `operations=sdp,wma,dft,dct,c5,c9,stacks=1,3,units=512,1024` are the 3.32 billion
    encoders that the paper searches, and `operations=sdp,wma,dft,dct,c5,c9,c13,stacks=1,2,3` is the code's final small
    space. The large one has `hidden=128,256,512,layers=2,4,6,heads=2,4,8,units=512,1024,2048,4096` too.

    Departures: no dropout, and no mask, for all sequences have one length. What the code holds and never uses is left
    out: vectors for absolute positions and for distances that a sequence does not have, the matrix of `wma` in layers
    with `sdp`, and the keys of `dft` and `dct`. Later code, of other papers, splits a layer's heads among operations.

    Args:
        classes: Outputs of the linear layer on the pooled first token.
        length: Tokens of a sequence.
        vocabulary: Number of tokens that there are.
        hidden: Widths of a layer.
        layers: Numbers of layers.
        heads: Heads of a layer, each a divisor of every width, and even if there is convolution.
        units: Units of a feed-forward layer.
        operations: Operations of a layer.
        stacks: Numbers of feed-forward layers in a layer, each with units of its own.
    """

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=32),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=8),
    }

    def __init__(
        self,
        classes: int = 2,
        length: int = 128,
        vocabulary: int = 30522,
        hidden: tuple[int, ...] = (128, 256),
        layers: tuple[int, ...] = (2, 4),
        heads: tuple[int, ...] = (2, 4),
        units: tuple[int, ...] = (512, 1024, 2048),
        operations: tuple[str, ...] = SIMILARITIES,
        stacks: tuple[int, ...] = (1,),
    ) -> None:
        check("flexibert", vocabulary, length, classes)
        numbers = {"hidden": hidden, "layers": layers, "heads": heads, "units": units, "stacks": stacks}
        for name, choices in numbers.items():
            if not choices or list(choices) != sorted(set(choices)) or choices[0] < 1:
                given = ",".join(map(str, choices))
                raise BadOption(f"flexibert wants {name} of 1 or more in ascending order, not {name}={given}")
        if layers[-1] * stacks[-1] > MOST:
            raise BadOption(f"flexibert has up to {MOST} feed-forward layers: give smaller layers= or stacks=")
        _check_operations(operations)
        every = 2 if any(OPERATIONS[one][0] == "c" for one in operations) else 1  # half of the heads convolve
        if any(number % every or width % number for width in hidden for number in heads):
            raise BadOption(
                "flexibert splits widths into heads: every one of hidden= has to be a multiple of all heads=, "
                "and these even where there is convolution"
            )
        self.input = Input((length,), "tokens", vocabulary)
        self._layers, self._stacks, self._units = layers, stacks, units
        self._choices = (hidden, heads, operations)
        self.genes: Sequence[Gene] = tuple(self._genes())
        self._embeddings = [Embeddings(vocabulary, width, positions=False) for width in hidden]
        self._logits = PooledLogits(classes)
        self._names = [(f"layer{k}", f"project{k}") for k in range(layers[-1])]

    def canonical(self, genome: Genome) -> Genome:
        """The genome with the first choice at every gene of a layer that there is not."""
        validate(self.genes, genome)
        return self._genome([*self._rows(genome)])

    def spell(self, genome: Genome) -> str:
        """The code's configuration, as JSON: `l` layers, and lists with one entry for each of them.

        `h` has widths, `n` heads, `o` and `p` operations and `f` lists of units. Where the space has only attention and
        one feed-forward layer, it is the configuration that accuracies are published of: `a` has heads, `s`
        similarities and `f` units.
        """
        h, n, names, f = zip(*self._rows(genome), strict=True)
        if self._stacks == (1,) and {*self._choices[2]} <= {*SIMILARITIES}:
            return json.dumps({"l": len(h), "a": n, "h": h, "s": names, "f": [units for (units,) in f]})
        o, p = zip(*(OPERATIONS[name] for name in names), strict=True)
        return json.dumps({"l": len(h), "h": h, "n": n, "o": o, "p": p, "f": f})

    def parse(self, text: str) -> Genome | None:
        """The genome of such a configuration, of either kind; none if the text is something else."""
        if len(text) > LONGEST or not text.lstrip().startswith("{"):
            return None
        try:
            content = json.loads(text)
            genome = self._genome([*zip(*_columns(content), strict=True)])
            return genome if genome[0] == place(self._layers, content["l"]) else None
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    def network(self, genome: Genome) -> Network:
        net, rows = Builder(self.input.shape), [*self._rows(genome)]
        x = net.add(self._embeddings[genome[1]], *net.inputs, name="embeddings")
        for (width, heads, operation, units), (name, bridge) in zip(rows, self._names, strict=False):
            if net.shape(x)[1] != width:
                x = net.add(Linear(width), x, name=bridge)
            x = net.add(Layer(heads, operation, units), x, name=name)
        return net.build(net.add(self._logits, x, name="logits"))

    def reduced(self, fidelity: Fidelity) -> FlexiBERT:
        """Shorter sequences; layers are genes, so none is left out."""
        reduced, (length,) = copy(self), self.input.shape
        reduced.input = Input((max(2, min(length, fidelity.size or length)),), "tokens", self.input.vocabulary)
        return reduced

    def _rows(self, genome: Genome) -> Iterator[Row]:
        """What is chosen in each layer that there is."""
        hidden, heads, operations = self._choices
        layers = self._layers[genome[0]]
        each = (len(genome) - 1) // self._layers[-1]
        for k in range(layers):
            h, n, o, *rest = genome[1 + each * k : 1 + each * (k + 1)]
            depth = self._stacks[rest.pop(0) if len(self._stacks) > 1 else 0]
            yield hidden[h], heads[n], operations[o], tuple(self._units[f] for f in rest[:depth])

    def _genome(self, rows: Sequence[Row]) -> Genome:
        """The genome with these layers.

        Raises:
            ValueError: The space has no such layers.
        """
        genome = [place(self._layers, len(rows))]
        for *values, units in rows:
            genome += map(place, self._choices, values)
            depth = place(self._stacks, len(units))
            genome += [depth] if len(self._stacks) > 1 else []
            genome += [place(self._units, one) for one in units] + [0] * (self._stacks[-1] - len(units))
        return (*genome, *(0,) * (len(self.genes) - len(genome)))

    def _genes(self) -> Iterator[Gene]:
        hidden, heads, operations = self._choices
        # Layers and widths that are added may make the last layer narrower, or take a linear layer between two away.
        yield Gene("layers", self._layers)
        for k in range(self._layers[-1]):
            yield Gene(f"layer{k}.hidden", hidden)
            yield Gene(f"layer{k}.heads", heads)  # more heads have shorter vectors for distances
            yield Gene(f"layer{k}.operation", operations)
            if len(self._stacks) > 1:  # else genomes without options would be longer than the choices that there are
                yield Gene(f"layer{k}.stacks", self._stacks)  # one that is added may be narrower than the last
            for j in range(self._stacks[-1]):
                yield Gene(f"layer{k}.units{j}", self._units, ordered=True)


def _check_operations(operations: Sequence[str]) -> None:
    unknown = [one for one in operations if one not in OPERATIONS]
    if unknown or not operations or len({*operations}) != len(operations):
        given = ",".join(operations)
        raise BadOption(f"flexibert wants operations={','.join(OPERATIONS)} or some of them, not operations={given}")


def _columns(content: Any) -> Iterable[Iterable[Any]]:
    """A configuration as a stranger wrote it: widths, heads, operations and units, each of all layers."""
    if "s" in content:
        return content["h"], content["a"], content["s"], [[units] for units in content["f"]]
    written = zip(content["o"], content["p"], strict=True)
    operations = [[*OPERATIONS][place(OPERATIONS.values(), one)] for one in written]
    return content["h"], content["n"], operations, content["f"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One of OPERATIONS and feed-forward layers, each of both with a shortcut and a layer norm: (T, D) -> (T, D)."""

    heads: int
    operation: str
    units: tuple[int, ...]

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y = net.add(self._mix(), x, name="mix")
        x = net.add(LayerNorm(), net.add(Add(), y, x, name="add"), name="norm")
        return net.add(FeedForward(self.units), x, name="forward")

    def _mix(self) -> Block:
        if self.operation in SIMILARITIES:
            return RelativeAttention(self.heads, self.operation == "wma")
        if self.operation in ("dft", "dct"):
            return RelativeTransform(self.heads, self.operation)
        return RelativeConv(self.heads, int(self.operation.removeprefix("c")))


@dataclass(frozen=True, slots=True)
class RelativeAttention:
    """Self-attention in which queries also ask for distances: (T, D) -> (T, D).

    With `weighted`, queries are multiplied by a matrix before they meet the keys, and ask for distances as they were.
    """

    heads: int
    weighted: bool

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        width = net.shape(x)[1]
        queries, keys, values = (net.add(Linear(width), x, name=name) for name in ("query", "key", "value"))
        asked = net.add(HeadLinear(self.heads), queries, name="weight") if self.weighted else queries
        scores = net.add(AttentionScores(self.heads), asked, keys, name="scores")
        return net.add(Linear(width), _attended(net, self.heads, queries, values, scores), name="output")


@dataclass(frozen=True, slots=True)
class RelativeTransform:
    """Attention by distances alone, and the "dft" or "dct" of x over places and values: (T, D) -> (T, D).

    References:
        Lee-Thorp et al., "FNet: Mixing tokens with Fourier transforms", NAACL 2022, arXiv:2105.03824, equation 3.
    """

    heads: int
    kind: str

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        width = net.shape(x)[1]
        queries, values = (net.add(Linear(width), x, name=name) for name in ("query", "value"))
        y = _attended(net, self.heads, queries, values)
        transformed = net.add(Fourier() if self.kind == "dft" else Cosine(), x, name="transform")
        return net.add(Linear(width), net.add(Add(), y, transformed, name="join"), name="output")


@dataclass(frozen=True, slots=True)
class RelativeConv:
    """Half of the heads attend, also by distances, and half convolve: (T, D) -> (T, D), for an even number of heads."""

    heads: int
    kernel: int

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        width, heads = net.shape(x)[1], self.heads // 2
        queries, keys, values = (net.add(Linear(width // 2), x, name=name) for name in ("query", "key", "value"))
        y = _attended(net, heads, queries, values, net.add(AttentionScores(heads), queries, keys, name="scores"))
        z = convolved(net, x, queries, self.kernel, heads)
        return net.add(Linear(width), net.add(ConcatFeatures(), y, z, name="join"), name="output")


@dataclass(frozen=True, slots=True)
class PooledLogits:
    """A linear layer with tanh on the first token's vector, and another: (T, D) -> (classes,)."""

    classes: int

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(FirstToken(), *inputs, name="first")
        x = net.add(Tanh(), net.add(Linear(net.shape(x)[0]), x, name="pool"), name="act")
        return net.add(Linear(self.classes), x, name="linear")


def _attended(net: Builder, heads: int, queries: int, values: int, scores: int | None = None) -> int:
    """Add what heads gather: by how much queries ask of each distance and, if there are scores, by these too."""
    asked = net.add(RelativeScores(heads), queries, name="distances")
    if scores is not None:
        asked = net.add(Add(), scores, asked, name="add")
    return net.add(WeightedValues(), net.add(Softmax(), asked, name="weights"), values, name="attend")
