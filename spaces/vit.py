"""The spaces of AutoFormer: width and depth of a vision transformer, heads and MLP ratio of each layer; 1e9 to 1e16.

References:
    Chen et al., "AutoFormer: Searching transformers for visual recognition", ICCV 2021, arXiv:2107.00651, table 1;
    `AutoFormer/model/supernet_transformer.py` and `AutoFormer/model/module/multihead_super.py` of
    github.com/microsoft/Cream, with the flags of its README: `--gp --change_qk --relative_position`.
    Shaw et al., "Self-attention with relative position representations", NAACL 2018, arXiv:1803.02155, equations 3
    and 4, here with vectors that are sums over two dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from math import isqrt
from typing import NamedTuple

from nasctl.api import (
    Add,
    AttentionScores,
    BadOption,
    Builder,
    Call,
    ClassToken,
    FeedForward,
    Fidelity,
    FlattenMap,
    Gene,
    Genome,
    Input,
    Layer,
    LayerNorm,
    Linear,
    Network,
    PatchEmbedding,
    PositionEmbedding,
    Shape,
    Softmax,
    WeightedValues,
    validate,
)

__all__ = ["AutoFormer"]

PATCH, HEAD, REACH = 16, 64, 14  # height of a patch; width of a head; the farthest that relative positions tell apart


class Choices(NamedTuple):
    """What the genome chooses from: the width and the number of layers once, the rest in every layer."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    ratios: tuple[float, ...]  # of the middle of the MLP to the width


SUPERNETS = {
    "t": Choices((192, 216, 240), (12, 13, 14), (3, 4), (3.5, 4.0)),
    "s": Choices((320, 384, 448), (12, 13, 14), (5, 6, 7), (3.0, 3.5, 4.0)),
    "b": Choices((528, 576, 624), (14, 15, 16), (8, 9, 10), (3.0, 3.5, 4.0)),
}


class AutoFormer:
    """Vision transformers of patches of 16 x 16: AutoFormer's supernets T, S and B.

    Every layer is attention, with learned vectors for relative positions in its scores and in what it gathers, and an
    MLP, each behind a layer norm and added to its input. A head is 64 wide whatever the width of the layer. What is
    classified is the mean of all places but the class token's.

    Parameters are those of AutoFormer: the S and the B that it found have 22,891,432 and 53,691,688. Its T is not in
    `supernet=t`: it has layers of ratio 3, which the published list of T leaves out. MACs are those of the matrix
    products of its code, those with relative positions included; its own counter has other terms for these.

    Departure: dropout and the dropping of whole layers, which have no place in an untrained network, are left out.

    Args:
        supernet: t, s or b.
        resolution: Height and width of the images, a multiple of 16.
        classes: Outputs of the classifier.
    """

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=16),
    }

    def __init__(self, supernet: str = "t", resolution: int = 224, classes: int = 1000) -> None:
        if supernet not in SUPERNETS:
            raise BadOption(f"vit takes supernet={' or supernet='.join(SUPERNETS)}, not {supernet}")
        if not 16 <= resolution <= 4096 or resolution % PATCH:
            raise BadOption(f"vit cuts images into 16 x 16: resolution={resolution} has to be a multiple of 16 to 4096")
        if classes < 1:
            raise BadOption(f"vit needs at least one class, not classes={classes}")
        self.input = Input((3, resolution, resolution))
        self._choices = SUPERNETS[supernet]
        self.genes: Sequence[Gene] = tuple(_genes(self._choices))
        self._attentions = [Attention(heads) for heads in self._choices.heads]
        self._logits = Linear(classes)

    def canonical(self, genome: Genome) -> Genome:
        """The first choice for heads and ratios of layers beyond the depth; nothing else is redundant."""
        validate(self.genes, genome)
        active = 2 + 2 * self._choices.depths[genome[1]]
        return (*genome[:active], *[0] * (len(genome) - active))

    def network(self, genome: Genome) -> Network:
        width, depth = self._choices.widths[genome[0]], self._choices.depths[genome[1]]
        net = Builder(self.input.shape)
        x = net.add(Stem(width), *net.inputs, name="stem")
        for (attention, mlp), heads, ratio in zip(NAMES[:depth], genome[2::2], genome[3::2], strict=False):
            x = net.add(self._attentions[heads], x, name=attention)
            x = net.add(_mlp(width, self._choices.ratios[ratio]), x, name=mlp)
        x = net.add(LayerNorm(), x, name="norm")
        x = net.add(MeanPatch(), x, name="mean")
        return net.build(net.add(self._logits, x, name="logits"))

    def reduced(self, fidelity: Fidelity) -> AutoFormer:
        """Smaller images, so fewer places; layers are genes, so none is left out."""
        reduced, largest = copy(self), self.input.shape[-1]
        size = max(PATCH, min(largest, fidelity.size or largest) // PATCH * PATCH)
        reduced.input = Input((3, size, size))
        return reduced


NAMES = [(f"layer{k}.attention", f"layer{k}.mlp") for k in range(1, 17)]


def _genes(choices: Choices) -> Iterator[Gene]:
    yield Gene("width", choices.widths, ordered=True)
    yield Gene("depth", choices.depths, ordered=True)
    for k in range(1, max(choices.depths) + 1):
        yield Gene(f"layer{k}.heads", choices.heads, ordered=True)
        yield Gene(f"layer{k}.ratio", choices.ratios, ordered=True)


@cache
def _mlp(width: int, ratio: float) -> MLP:
    return MLP(int(width * ratio))


@dataclass(frozen=True, slots=True)
class Stem:
    """Patches as a sequence behind a class token, with a learned vector added to each place: (C, H, W) -> (T, width).

    T is 1 + H / 16 * W / 16.
    """

    width: int

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(PatchEmbedding(self.width, PATCH), *inputs, name="patches")
        x = net.add(FlattenMap(), x, name="tokens")
        x = net.add(ClassToken(), x, name="class")
        return net.add(PositionEmbedding(), x, name="positions")


@dataclass(frozen=True, slots=True)
class Attention:
    """Layer norm and attention with relative positions, added to the input: (T, D) -> (T, D)."""

    heads: int

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y, project = net.add(LayerNorm(), x, name="norm"), Linear(HEAD * self.heads)
        queries, keys, values = (net.add(project, y, name=name) for name in ("query", "key", "value"))
        weights = net.add(AttentionScores(self.heads), queries, keys, name="scores")
        weights = net.add(RelativePositions(keys=True), queries, weights, name="relative_keys")
        weights = net.add(Softmax(), weights, name="weights")
        y = net.add(WeightedValues(), weights, values, name="attend")
        y = net.add(RelativePositions(keys=False), weights, y, name="relative_values")
        y = net.add(Linear(net.shape(x)[1]), y, name="output")
        return net.add(Add(), x, y, name="add")


@dataclass(frozen=True, slots=True)
class MLP:
    """Layer norm and two linear layers with GELU between them, added to the input: (T, D) -> (T, D)."""

    units: int  # in the middle

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y = net.add(LayerNorm(), x, name="norm")
        return net.add(Add(), x, net.add(FeedForward(self.units), y, name="forward"), name="add")


@dataclass(frozen=True, slots=True)
class RelativePositions(Layer):
    """Adds products with learned vectors for how far apart two places of an image are, which all heads share.

    With `keys`, of queries (T, D) to scores (heads, T, T), over the root of a head's width; else of weights
    (heads, T, T) to what the heads gather, (T, D). The first place is the class token's.
    """

    keys: bool

    def out(self, *inputs: Shape) -> Shape:
        return inputs[1]

    def params(self, *inputs: Shape) -> int:
        return 2 * (2 * REACH + 2) * HEAD  # for rows and columns: as many steps either way, none, and the class token

    def macs(self, *inputs: Shape) -> int:
        length, width = inputs[0 if self.keys else 1]
        return length**2 * width

    def module(self, *inputs: Shape) -> Call:
        from nasctl.spaces import _vit

        return Call(_vit.RelativePositions, isqrt(inputs[0][-2] - 1), HEAD, REACH, keys=self.keys)


@dataclass(frozen=True, slots=True)
class MeanPatch(Layer):
    """The mean of all vectors but the first, which is the class token's: (T, D) -> (D,)."""

    def out(self, *inputs: Shape) -> Shape:
        return (inputs[0][1],)

    def module(self, *inputs: Shape) -> Call:
        from nasctl.spaces import _vit

        return Call(_vit.MeanPatch)
