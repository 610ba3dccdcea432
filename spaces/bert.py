"""The space of NAS-Bench-BERT: small encoders in which each layer mixes tokens in its own way; 10,621,440 networks.

References:
    Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
    arXiv:2306.00288, table 1; `search_space.json` and `modeling_electra.py` of
    github.com/aaronserianni/training-free-nas.
    Clark et al., "ELECTRA: Pre-training text encoders as discriminators rather than generators", ICLR 2020,
    arXiv:2003.10555, whose small model it varies.
    Tuli et al., "FlexiBERT: Are current transformer architectures too homogeneous and rigid?", JAIR 77, 2023,
    arXiv:2205.11656, whose operations it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import product

from nasctl.api import (
    Add,
    AttentionScores,
    Block,
    Builder,
    ConcatFeatures,
    Cosine,
    Fidelity,
    FirstToken,
    Fourier,
    Gene,
    Genome,
    Input,
    LayerNorm,
    Linear,
    Network,
    SelfAttention,
    Softmax,
    WeightedValues,
    validate,
)
from nasctl.spaces._encoders import Embeddings, FeedForward, check, convolved, place

__all__ = ["Bert"]

HIDDEN, LAYERS = (128, 256), (2, 4)
OPERATIONS = ("SDP", "WMA", "DFT", "DCT", "DSC5", "DSC9")
KINDS = (("SA", "SDP"), ("SA", "WMA"), ("LT", "DFT"), ("LT", "DCT"), ("DSC", 5), ("DSC", 9))  # as the benchmark has it
HEADS, UNITS, DEPTHS = (2, 4), (512, 1024), (1, 3)
EMBEDDING = 128  # values of a token's vector before the encoder
GLOBAL, EACH = 2, 4  # genes of the whole network, and of one layer
NAMES = [f"layer{k}" for k in range(LAYERS[-1])]
LONGEST = 20_000  # characters of a configuration that are read


class Bert:
    """Encoders of two or four layers, each with attention, a Fourier or cosine transform, or span convolution.

    SDP is attention by scaled products, and WMA has a matrix more between queries and keys. DFT and DCT are a linear
    layer and a transform of each head over places and values, without a shortcut. DSC5 and DSC9 give half of the values
    to attention and half to a convolution whose kernel depends on the place.

    Parameters are those of the PyTorch code beside the benchmark, once its two slips are undone: its table of metrics
    holds 256 hidden values and 1024 feed-forward units for every encoder, whatever its configuration says.
    `length=512` has as many positions as that code; a shorter network leaves out those that it does not use.

    It is doubtful whether the benchmark's scores are of these operations. The TensorFlow code that is released as what
    trained the encoders compares the operations' names by identity, which never holds, and so has attention by scaled
    products everywhere.

    Departures: no dropout, and no mask, for all sequences have one length.

    Args:
        classes: Outputs of the linear layer on the first token, as in fine-tuning on a task.
        length: Tokens of a sequence.
        vocabulary: Number of tokens that there are.
    """

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=32),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=8),
    }

    def __init__(self, classes: int = 2, length: int = 128, vocabulary: int = 30522) -> None:
        check("bert", vocabulary, length, classes)
        self.input = Input((length,), "tokens", vocabulary)
        self.genes: Sequence[Gene] = tuple(_genes())
        self._embeddings, self._logits = Embeddings(vocabulary, EMBEDDING), FirstLogits(classes)
        self._project = [None if hidden == EMBEDDING else Linear(hidden) for hidden in HIDDEN]
        choices = product(*(range(len(one)) for one in (OPERATIONS, HEADS, UNITS, DEPTHS)))
        self._layers: dict[Genome, Layer] = {one: _layer(*one) for one in choices}

    def canonical(self, genome: Genome) -> Genome:
        """The genome with the first choice at every gene of a layer that there is not."""
        validate(self.genes, genome)
        live = GLOBAL + EACH * LAYERS[genome[1]]
        return genome[:live] + (0,) * (len(genome) - live)

    def spell(self, genome: Genome) -> str:
        """The benchmark's configuration, as JSON: `hidden_size`, and `nas_config` with its `encoder_layers`."""
        layers = []
        for operation, heads, units, depth in self._chosen(genome):
            kind, parameter = KINDS[operation]
            layers.append(
                {
                    "operation_type": kind,
                    "operation_parameter": parameter,
                    "num_operation_heads": HEADS[heads],
                    "feed_forward_dimension": UNITS[units],
                    "num_feed_forward": DEPTHS[depth],
                }
            )
        return json.dumps({"hidden_size": HIDDEN[genome[0]], "nas_config": {"encoder_layers": layers}})

    def parse(self, text: str) -> Genome | None:
        """The genome of such a configuration, or of `hparams` around it; none if the text is something else."""
        if len(text) > LONGEST or not text.lstrip().startswith("{"):
            return None
        try:
            content = json.loads(text)
            content = content.get("model_hparam_overrides", content)
            layers = content["nas_config"]["encoder_layers"]
            genome = [place(HIDDEN, content["hidden_size"]), place(LAYERS, len(layers))]
            for layer in layers:
                kind = (layer["operation_type"], layer["operation_parameter"])
                genome += [place(KINDS, kind), place(HEADS, layer["num_operation_heads"])]
                genome += [place(UNITS, layer["feed_forward_dimension"]), place(DEPTHS, layer["num_feed_forward"])]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return (*genome, *(0,) * (len(self.genes) - len(genome)))

    def network(self, genome: Genome) -> Network:
        net = Builder(self.input.shape)
        x = net.add(self._embeddings, *net.inputs, name="embeddings")
        if project := self._project[genome[0]]:
            x = net.add(project, x, name="project")
        for name, choice in zip(NAMES, self._chosen(genome), strict=False):
            x = net.add(self._layers[choice], x, name=name)
        return net.build(net.add(self._logits, x, name="logits"))

    def reduced(self, fidelity: Fidelity) -> Bert:
        """Shorter sequences; layers are genes, so none is left out."""
        reduced, (length,) = copy(self), self.input.shape
        reduced.input = Input((max(2, min(length, fidelity.size or length)),), "tokens", self.input.vocabulary)
        return reduced

    def _chosen(self, genome: Genome) -> Iterator[Genome]:
        """The choices at the genes of each layer that there is: operation, heads, units, depth."""
        for k in range(LAYERS[genome[1]]):
            yield genome[GLOBAL + EACH * k : GLOBAL + EACH * (k + 1)]


@dataclass(frozen=True, slots=True)
class Layer:
    """One of OPERATIONS and a stack of linear layers: (T, D) -> (T, D)."""

    operation: str
    heads: int
    units: int
    depth: int = 1

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        if self.operation in ("DFT", "DCT"):
            x = net.add(Transform(self.operation, self.heads), x, name="mix")
        else:
            y = net.add(self._mix(), x, name="mix")
            x = net.add(LayerNorm(), net.add(Add(), y, x, name="add"), name="norm")
        return net.add(FeedForward((self.units,) * self.depth), x, name="forward")

    def _mix(self) -> Block:
        if self.operation == "SDP":
            return SelfAttention(self.heads)
        return (
            WeightedAttention(self.heads) if self.operation == "WMA" else SpanConv(int(self.operation[3:]), self.heads)
        )


def _layer(operation: int, heads: int, units: int, depth: int) -> Layer:
    return Layer(OPERATIONS[operation], HEADS[heads], UNITS[units], DEPTHS[depth])


@dataclass(frozen=True, slots=True)
class WeightedAttention:
    """Self-attention in which a matrix more stands between queries and keys: (T, D) -> (T, D).

    References:
        Luong et al., "Effective approaches to attention-based neural machine translation", EMNLP 2015,
        arXiv:1508.04025, section 3.1, "general".
    """

    heads: int

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        width = net.shape(x)[1]
        queries, keys, values = (net.add(Linear(width), x, name=name) for name in ("query", "key", "value"))
        queries = net.add(Linear(width, bias=False), queries, name="weight")
        y = _attended(net, queries, keys, values, self.heads)
        return net.add(Linear(width), y, name="output")


@dataclass(frozen=True, slots=True)
class Transform:
    """A linear layer, and the "DFT" or "DCT" of each head over places and values: (T, D) -> (T, D)."""

    kind: str
    heads: int

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y = net.add(Linear(net.shape(x)[1]), x, name="input")
        return net.add(Fourier(self.heads) if self.kind == "DFT" else Cosine(self.heads), y, name="transform")


@dataclass(frozen=True, slots=True)
class SpanConv:
    """Half of the heads attend, and half convolve with kernels made at each place of what is around it.

    (T, D) -> (T, D), for an even number of heads.
    """

    kernel: int
    heads: int

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        width = net.shape(x)[1]
        half, heads = width // 2, self.heads // 2
        queries, keys, values = (net.add(Linear(half), x, name=name) for name in ("query", "key", "value"))
        z = convolved(net, x, queries, self.kernel, heads)
        y = _attended(net, queries, keys, values, heads)
        return net.add(Linear(width), net.add(ConcatFeatures(), y, z, name="join"), name="output")


@dataclass(frozen=True, slots=True)
class FirstLogits:
    """A linear layer on the first token's vector: (T, D) -> (classes,)."""

    classes: int

    def emit(self, net: Builder, *inputs: int) -> int:
        return net.add(Linear(self.classes), net.add(FirstToken(), *inputs, name="first"), name="linear")


def _attended(net: Builder, queries: int, keys: int, values: int, heads: int) -> int:
    weights = net.add(AttentionScores(heads), queries, keys, name="scores")
    weights = net.add(Softmax(), weights, name="weights")
    return net.add(WeightedValues(), weights, values, name="attend")


def _genes() -> Iterator[Gene]:
    yield Gene("hidden", HIDDEN, ordered=True)
    yield Gene("layers", LAYERS, ordered=True)
    for name in NAMES:
        yield Gene(f"{name}.operation", OPERATIONS)
        yield Gene(f"{name}.heads", HEADS)  # more heads have smaller transforms
        yield Gene(f"{name}.units", UNITS, ordered=True)
        yield Gene(f"{name}.depth", DEPTHS, ordered=True)
