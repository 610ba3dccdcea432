"""The spaces of AutoFormer: width and depth of a vision transformer, heads and MLP ratio of each layer; 1e9 to 1e16.

References:
    Chen et al., "AutoFormer: Searching transformers for visual recognition", ICCV 2021, arXiv:2107.00651, table 1;
    `AutoFormer/model/supernet_transformer.py` and `AutoFormer/model/module/multihead_super.py` of
    github.com/microsoft/Cream, with the flags of its README: `--gp --change_qk --relative_position`.
    Shaw et al., "Self-attention with relative position representations", NAACL 2018, arXiv:1803.02155, equations 3 and
    4. Here a vector is the sum of one vector per image dimension.
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
    Reference,
    Shape,
    Softmax,
    WeightedValues,
    validate,
)
from nasctl.spaces._published import genome_of, under_options

__all__ = ["AutoFormer"]

PATCH_SIZE = 16  # height and width of a patch in pixels
HEAD_WIDTH = 64  # units of an attention head
MAX_OFFSET = 14  # largest row or column offset with its own relative position vector, in patches


class SupernetChoices(NamedTuple):
    """The choices of a supernet: width and depth once, heads and MLP ratio in every layer."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    ratios: tuple[float, ...]  # units of the MLP's hidden layer per unit of width


SUPERNETS = {
    "t": SupernetChoices((192, 216, 240), (12, 13, 14), (3, 4), (3.5, 4.0)),
    "s": SupernetChoices((320, 384, 448), (12, 13, 14), (5, 6, 7), (3.0, 3.5, 4.0)),
    "b": SupernetChoices((528, 576, 624), (14, 15, 16), (8, 9, 10), (3.0, 3.5, 4.0)),
}

SOURCE = "Chen et al., ICCV 2021, abstract; AutoFormer/experiments/subnet of github.com/microsoft/Cream"
# A published network that users look for here, with the reason why no option makes it.
MISSING = {"autoformer-t": "it has layers of ratio 3, which the published choices of supernet=t lack"}

# Supernet -> width, heads and ratios of each layer, and accuracy of its released network. The released T is not in the
# space of its supernet.
PUBLISHED = {
    "s": (
        384,
        (6, 6, 5, 7, 5, 5, 5, 6, 6, 7, 7, 6, 7),
        (3.0, 3.5, 3.0, 3.5, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.5, 4.0),
        0.817,
    ),
    "b": (
        576,
        (9, 9, 9, 9, 9, 10, 9, 9, 10, 9, 10, 9, 9, 10),
        (3.5, 3.5, 4.0, 3.5, 4.0, 3.5, 3.5, 3.0, 4.0, 4.0, 3.0, 4.0, 3.0, 3.5),
        0.824,
    ),
}


class AutoFormer:
    """Vision transformers on patches of 16 x 16 pixels: AutoFormer's supernets T, S and B.

    Every layer is attention followed by an MLP, each behind a layer norm and added to its input. Attention has learned
    relative position vectors in its scores and in its values. A head is 64 units wide whatever the width of the layer.
    The classifier reads the mean over all positions but the class token.

    Parameters equal those of AutoFormer: its published S and B networks have 22,891,432 and 53,691,688. Its published T
    is not in `supernet=t`, because it has layers of ratio 3, which the published list of T omits. MACs count the matrix
    products of AutoFormer's code, including those with relative positions. AutoFormer's own counter has other terms for
    relative positions.

    Departure: dropout and stochastic depth are omitted, because they only regularise training.

    Args:
        supernet: t, s or b.
        resolution: Height and width of the images in pixels, a multiple of 16.
        classes: Outputs of the classifier.
    """

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=16),
    }

    def __init__(self, supernet: str = "t", resolution: int = 224, classes: int = 1000) -> None:
        if supernet not in SUPERNETS:
            raise BadOption(f"supernet must be {', '.join(SUPERNETS)}, got {supernet!r} (option of vit)")
        if not 16 <= resolution <= 4096 or resolution % PATCH_SIZE:
            raise BadOption(f"resolution must be a multiple of 16 up to 4096, got {resolution} (option of vit)")
        if classes < 1:
            raise BadOption(f"classes must be 1 or more, got {classes} (option of vit)")
        self.input = Input((3, resolution, resolution))
        self._choices = SUPERNETS[supernet]
        self.genes: Sequence[Gene] = tuple(_genes(self._choices))
        self._attentions = [Attention(heads) for heads in self._choices.heads]
        self._logits = Linear(classes)
        self.references = {}
        if supernet in PUBLISHED:
            published = Reference(self._published_genome(*PUBLISHED[supernet][:3]), SOURCE, PUBLISHED[supernet][3])
            options: dict[str, tuple[object, object]] = {"resolution": (resolution, 224), "classes": (classes, 1000)}
            self.references[f"autoformer-{supernet}"] = under_options(published, options)
        self.missing_references = MISSING | {
            f"autoformer-{other}": f"give supernet={other}" for other in PUBLISHED if other != supernet
        }

    def _published_genome(self, width: int, heads: Sequence[int], ratios: Sequence[float]) -> Genome:
        """Return the genome of a released network."""
        values: dict[str, object] = {"width": width, "depth": len(heads)}
        for k, (number, ratio) in enumerate(zip(heads, ratios, strict=True), start=1):
            values |= {f"layer{k}.heads": number, f"layer{k}.ratio": ratio}
        return genome_of(self.genes, values)

    def canonical(self, genome: Genome) -> Genome:
        """Set heads and ratios of layers beyond the depth to choice 0; no other gene is redundant."""
        validate(self.genes, genome)
        active = 2 + 2 * self._choices.depths[genome[1]]
        return (*genome[:active], *[0] * (len(genome) - active))

    def network(self, genome: Genome) -> Network:
        width, depth = self._choices.widths[genome[0]], self._choices.depths[genome[1]]
        net = Builder(self.input.shape)
        x = net.add(Stem(width), *net.inputs, name="stem")
        for (attention, mlp), heads, ratio in zip(LAYER_NAMES[:depth], genome[2::2], genome[3::2], strict=False):
            x = net.add(self._attentions[heads], x, name=attention)
            x = net.add(_mlp(width, self._choices.ratios[ratio]), x, name=mlp)
        x = net.add(LayerNorm(), x, name="norm")
        x = net.add(MeanPatch(), x, name="mean")
        return net.build(net.add(self._logits, x, name="logits"))

    def reduced(self, fidelity: Fidelity) -> AutoFormer:
        """Return the space on smaller images, so with fewer patches; no layer is removed, because depth is a gene."""
        reduced, largest = copy(self), self.input.shape[-1]
        size = max(PATCH_SIZE, min(largest, fidelity.size or largest) // PATCH_SIZE * PATCH_SIZE)
        reduced.input = Input((3, size, size))
        return reduced


LAYER_NAMES = [(f"layer{k}.attention", f"layer{k}.mlp") for k in range(1, 17)]


def _genes(choices: SupernetChoices) -> Iterator[Gene]:
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
    """Patch embedding, class token and learned position embedding: (C, H, W) -> (T, width).

    T is 1 + H / 16 * W / 16. The class token is at position 0.
    """

    width: int

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(PatchEmbedding(self.width, PATCH_SIZE), *inputs, name="patches")
        x = net.add(FlattenMap(), x, name="tokens")
        x = net.add(ClassToken(), x, name="class")
        return net.add(PositionEmbedding(), x, name="positions")


@dataclass(frozen=True, slots=True)
class Attention:
    """Layer norm and attention with relative positions, added to the input: (T, D) -> (T, D)."""

    heads: int

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y, project = net.add(LayerNorm(), x, name="norm"), Linear(HEAD_WIDTH * self.heads)
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

    units: int  # outputs of the first linear layer

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y = net.add(LayerNorm(), x, name="norm")
        return net.add(Add(), x, net.add(FeedForward(self.units), y, name="forward"), name="add")


@dataclass(frozen=True, slots=True)
class RelativePositions(Layer):
    """Products with learned relative position vectors of image patches, added to the second input.

    All heads share the vectors. With `keys`, the products are of queries, (T, D), scaled by 1 / sqrt(head width), and
    are added to scores, (heads, T, T). Otherwise they are of attention weights, (heads, T, T), and are added to the
    attended values, (T, D). Position 0 is the class token.
    """

    keys: bool

    def out(self, *inputs: Shape) -> Shape:
        return inputs[1]

    def params(self, *inputs: Shape) -> int:
        # Rows and columns each have an entry per offset, -14 to 14, and one for the class token.
        return 2 * (2 * MAX_OFFSET + 2) * HEAD_WIDTH

    def macs(self, *inputs: Shape) -> int:
        length, width = inputs[0 if self.keys else 1]
        return length**2 * width

    def module(self, *inputs: Shape) -> Call:
        from nasctl.spaces import _vit

        return Call(_vit.RelativePositions, isqrt(inputs[0][-2] - 1), HEAD_WIDTH, MAX_OFFSET, keys=self.keys)


@dataclass(frozen=True, slots=True)
class MeanPatch(Layer):
    """The mean over all positions but the first, which is the class token: (T, D) -> (D,)."""

    def out(self, *inputs: Shape) -> Shape:
        return (inputs[0][1],)

    def module(self, *inputs: Shape) -> Call:
        from nasctl.spaces import _vit

        return Call(_vit.MeanPatch)
