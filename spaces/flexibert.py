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
    parse_json,
    validate,
)
from nasctl.spaces._encoders import Embeddings, FeedForward, add_span_conv, check_options, choice_index

__all__ = ["FlexiBERT"]

# Choice of the operation gene -> (type, parameter) in the JSON of the authors' code.
OPERATIONS = {
    "sdp": ("sa", "sdp"),
    "wma": ("sa", "wma"),
    "dft": ("l", "dft"),
    "dct": ("l", "dct"),
    "c5": ("c", 5),
    "c9": ("c", 9),
    "c13": ("c", 13),
}
# Operations that are attention alone.
SIMILARITIES = ("sdp", "wma")
MAX_CHARACTERS = 20_000  # longest configuration that is parsed
MAX_FEED_FORWARD_LAYERS = 1000  # feed-forward layers of the deepest network; each has a gene

LayerRow = tuple[int, int, str, tuple[int, ...]]  # width, heads, operation, units of each feed-forward layer


class FlexiBERT:
    """Encoders whose layers each have their own width, heads, operation and feed-forward units.

    Where the width changes, a linear layer connects one layer to the next. Positions are relative: each layer learns a
    vector for every distance between two tokens. The operations are:

    - `sdp`: scaled dot-product attention.
    - `wma`: attention with a matrix between queries and keys, shared by all heads.
    - `dft` and `dct`: a transform of the layer's input over positions and values, added to attention by distance alone.
    - `c5`, `c9` and `c13`: in half of the heads convolution with a kernel that depends on the position, attention in
      the others.

    The default space is the space of the encoders with published accuracies, an early version of the code: attention
    and one feed-forward layer. `operations=sdp,wma,dft,dct,c5,c9,stacks=1,3,units=512,1024` gives the 3.32 billion
    encoders that the paper searches. `operations=sdp,wma,dft,dct,c5,c9,c13,stacks=1,2,3` gives the code's final small
    space. The code's large space also has `hidden=128,256,512,layers=2,4,6,heads=2,4,8,units=512,1024,2048,4096`.

    Departures: there is no dropout, and no mask, because all sequences have the same length. Parameters that the code
    holds and never uses are omitted: vectors for absolute positions and for distances that a sequence does not have,
    the matrix of `wma` in layers with `sdp`, and the keys of `dft` and `dct`. Later code, written for other papers,
    splits a layer's heads among operations; this space does not.

    Args:
        classes: Outputs of the linear layer on the pooled first token.
        length: Tokens of a sequence.
        vocabulary: Number of distinct tokens.
        hidden: Choices of the width of a layer.
        layers: Choices of the number of layers.
        heads: Choices of the heads of a layer. Each must divide every width, and be even if there is convolution.
        units: Choices of the units of a feed-forward layer.
        operations: Choices of the operation of a layer.
        stacks: Choices of the number of feed-forward layers in a layer, each with its own units.
    """

    share = "entangled"  # of weights in a supernet: layers differ in size, or operations in name

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
        check_options("flexibert", vocabulary, length, classes)
        numbers = {"hidden": hidden, "layers": layers, "heads": heads, "units": units, "stacks": stacks}
        for name, choices in numbers.items():
            if not choices or list(choices) != sorted(set(choices)) or choices[0] < 1:
                given = ",".join(map(str, choices))
                raise BadOption(f"{name} must be 1 or more, distinct and ascending, got {given} (option of flexibert)")
        if layers[-1] * stacks[-1] > MAX_FEED_FORWARD_LAYERS:
            raise BadOption(
                f"layers times stacks must be at most {MAX_FEED_FORWARD_LAYERS}, got {layers[-1] * stacks[-1]}"
                " (options of flexibert)"
            )
        _check_operations(operations)
        # Convolution takes half of the heads.
        head_divisor = 2 if any(OPERATIONS[name][0] == "c" for name in operations) else 1
        if any(number % head_divisor or width % number for width in hidden for number in heads):
            raise BadOption(
                "every width in hidden must be a multiple of every number in heads, and heads must be even where"
                f" there is convolution, got hidden={','.join(map(str, hidden))},heads={','.join(map(str, heads))}"
                " (options of flexibert)"
            )
        self.input = Input((length,), "tokens", vocabulary)
        self._layers, self._stacks, self._units = layers, stacks, units
        self._choices = (hidden, heads, operations)
        self.genes: Sequence[Gene] = tuple(self._genes())
        self._embeddings = [Embeddings(vocabulary, width, positions=False) for width in hidden]
        self._logits = PooledLogits(classes)
        self._names = [(f"layer{k}", f"project{k}") for k in range(layers[-1])]

    def canonical(self, genome: Genome) -> Genome:
        """Set every gene of a layer or feed-forward layer that the network does not have to choice 0."""
        validate(self.genes, genome)
        return self._encode([*self._layer_rows(genome)])

    def spell(self, genome: Genome) -> str:
        """Return the configuration of the authors' code as JSON.

        `l` is the number of layers. All other keys hold a list with one entry per layer: `h` widths, `n` heads, `o` and
        `p` operations and `f` lists of units. If the space has only attention and one feed-forward layer, the JSON has
        the form of the published accuracies: `a` lists heads, `s` similarities and `f` units.
        """
        h, n, names, f = zip(*self._layer_rows(genome), strict=True)
        if self._stacks == (1,) and {*self._choices[2]} <= {*SIMILARITIES}:
            return json.dumps({"l": len(h), "a": n, "h": h, "s": names, "f": [units for (units,) in f]})
        o, p = zip(*(OPERATIONS[name] for name in names), strict=True)
        return json.dumps({"l": len(h), "h": h, "n": n, "o": o, "p": p, "f": f})

    def parse(self, text: str) -> Genome | None:
        """Return the genome of a configuration in either form, or None if the text is something else."""
        if len(text) > MAX_CHARACTERS or not text.lstrip().startswith("{"):
            return None
        try:
            content = parse_json(text)
            genome = self._encode([*zip(*_parse_columns(content), strict=True)])
            return genome if genome[0] == choice_index(self._layers, content["l"]) else None
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    def network(self, genome: Genome) -> Network:
        net, rows = Builder(self.input.shape), [*self._layer_rows(genome)]
        x = net.add(self._embeddings[genome[1]], *net.inputs, name="embeddings")
        for (width, heads, operation, units), (name, bridge) in zip(rows, self._names, strict=False):
            if net.shape(x)[1] != width:
                x = net.add(Linear(width), x, name=bridge)
            x = net.add(Layer(heads, operation, units), x, name=name)
        return net.build(net.add(self._logits, x, name="logits"))

    def reduced(self, fidelity: Fidelity) -> FlexiBERT:
        """Return the space with shorter sequences; no layer is removed, because the number of layers is a gene."""
        reduced, (length,) = copy(self), self.input.shape
        reduced.input = Input((max(2, min(length, fidelity.size or length)),), "tokens", self.input.vocabulary)
        return reduced

    def _layer_rows(self, genome: Genome) -> Iterator[LayerRow]:
        """Yield the choices of each layer that the network has."""
        hidden, heads, operations = self._choices
        layers = self._layers[genome[0]]
        each = (len(genome) - 1) // self._layers[-1]
        for k in range(layers):
            h, n, o, *rest = genome[1 + each * k : 1 + each * (k + 1)]
            depth = self._stacks[rest.pop(0) if len(self._stacks) > 1 else 0]
            yield hidden[h], heads[n], operations[o], tuple(self._units[f] for f in rest[:depth])

    def _encode(self, rows: Sequence[LayerRow]) -> Genome:
        """Return the genome of a network with these layers.

        Raises:
            ValueError: The space has no such network.
        """
        genome = [choice_index(self._layers, len(rows))]
        for *values, units in rows:
            genome += map(choice_index, self._choices, values)
            depth = choice_index(self._stacks, len(units))
            genome += [depth] if len(self._stacks) > 1 else []
            genome += [choice_index(self._units, unit) for unit in units] + [0] * (self._stacks[-1] - len(units))
        return (*genome, *(0,) * (len(self.genes) - len(genome)))

    def _genes(self) -> Iterator[Gene]:
        hidden, heads, operations = self._choices
        # Not ordered: another layer may be narrower than the last one, and another width may remove a linear layer.
        yield Gene("layers", self._layers)
        for k in range(self._layers[-1]):
            yield Gene(f"layer{k}.hidden", hidden)
            yield Gene(f"layer{k}.heads", heads)  # not ordered: more heads shorten the distance vectors
            yield Gene(f"layer{k}.operation", operations)
            if len(self._stacks) > 1:  # The default space has no choice here, and so no gene.
                yield Gene(f"layer{k}.stacks", self._stacks)  # not ordered: an added one may be narrower
            for j in range(self._stacks[-1]):
                yield Gene(f"layer{k}.units{j}", self._units, ordered=True)


def _check_operations(operations: Sequence[str]) -> None:
    unknown = [name for name in operations if name not in OPERATIONS]
    if unknown or not operations or len({*operations}) != len(operations):
        given = ",".join(operations)
        raise BadOption(
            f"operations must be distinct names out of {','.join(OPERATIONS)}, got {given!r} (option of flexibert)"
        )


def _parse_columns(content: Any) -> Iterable[Iterable[Any]]:
    """Return the widths, heads, operations and units of all layers from an untrusted configuration."""
    if "s" in content:
        return content["h"], content["a"], content["s"], [[units] for units in content["f"]]
    written = zip(content["o"], content["p"], strict=True)
    operations = [[*OPERATIONS][choice_index(OPERATIONS.values(), pair)] for pair in written]
    return content["h"], content["n"], operations, content["f"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One of OPERATIONS and feed-forward layers, each with a shortcut and a layer norm: (T, D) -> (T, D)."""

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
    """Self-attention with scores for the distance between positions: (T, D) -> (T, D).

    With `weighted`, queries are multiplied by a matrix before their product with the keys. Distance scores use the
    unweighted queries.
    """

    heads: int
    weighted: bool

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        width = net.shape(x)[1]
        queries, keys, values = (net.add(Linear(width), x, name=name) for name in ("query", "key", "value"))
        weighted_queries = net.add(HeadLinear(self.heads), queries, name="weight") if self.weighted else queries
        scores = net.add(AttentionScores(self.heads), weighted_queries, keys, name="scores")
        return net.add(Linear(width), _add_relative_attention(net, self.heads, queries, values, scores), name="output")


@dataclass(frozen=True, slots=True)
class RelativeTransform:
    """Attention by distance alone, plus the "dft" or "dct" of x over positions and values: (T, D) -> (T, D).

    References:
        Lee-Thorp et al., "FNet: Mixing tokens with Fourier transforms", NAACL 2022, arXiv:2105.03824, equation 3.
    """

    heads: int
    kind: str

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        width = net.shape(x)[1]
        queries, values = (net.add(Linear(width), x, name=name) for name in ("query", "value"))
        y = _add_relative_attention(net, self.heads, queries, values)
        transformed = net.add(Fourier() if self.kind == "dft" else Cosine(), x, name="transform")
        return net.add(Linear(width), net.add(Add(), y, transformed, name="join"), name="output")


@dataclass(frozen=True, slots=True)
class RelativeConv:
    """Attention with distance scores in half of the heads, convolution in the other half: (T, D) -> (T, D).

    The number of heads must be even.
    """

    heads: int
    kernel: int

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        width, heads = net.shape(x)[1], self.heads // 2
        queries, keys, values = (net.add(Linear(width // 2), x, name=name) for name in ("query", "key", "value"))
        y = _add_relative_attention(
            net, heads, queries, values, net.add(AttentionScores(heads), queries, keys, name="scores")
        )
        z = add_span_conv(net, x, queries, self.kernel, heads)
        return net.add(Linear(width), net.add(ConcatFeatures(), y, z, name="join"), name="output")


@dataclass(frozen=True, slots=True)
class PooledLogits:
    """A linear layer with tanh on the vector of the first token, and a linear layer: (T, D) -> (classes,)."""

    classes: int

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(FirstToken(), *inputs, name="first")
        x = net.add(Tanh(), net.add(Linear(net.shape(x)[0]), x, name="pool"), name="act")
        return net.add(Linear(self.classes), x, name="linear")


def _add_relative_attention(net: Builder, heads: int, queries: int, values: int, scores: int | None = None) -> int:
    """Add attention by the queries' scores for distances, plus `scores` if given, and return its output."""
    attention_scores = net.add(RelativeScores(heads), queries, name="distances")
    if scores is not None:
        attention_scores = net.add(Add(), scores, attention_scores, name="add")
    return net.add(WeightedValues(), net.add(Softmax(), attention_scores, name="weights"), values, name="attend")
