"""The space of NAS-Bench-BERT: small encoders with a choice of token mixing in each layer; 10,621,440 networks.

References:
    Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023, arXiv:2306.00288,
    table 1; `search_space.json` and `modeling_electra.py` of github.com/aaronserianni/training-free-nas.
    Clark et al., "ELECTRA: Pre-training text encoders as discriminators rather than generators", ICLR 2020,
    arXiv:2003.10555. The space varies its small model.
    Tuli et al., "FlexiBERT: Are current transformer architectures too homogeneous and rigid?", JAIR 77, 2023,
    arXiv:2205.11656. The space uses its operations.
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
    parse_json,
    validate,
)
from nasctl.spaces._encoders import Embeddings, FeedForward, add_span_conv, check_options, choice_index

__all__ = ["Bert"]

HIDDEN = (128, 256)  # choices of the encoder's width
LAYERS = (2, 4)  # choices of the number of layers
OPERATIONS = ("SDP", "WMA", "DFT", "DCT", "DSC5", "DSC9")
# Type and parameter of each operation in the benchmark's JSON, in the order of OPERATIONS.
BENCHMARK_OPERATIONS = (("SA", "SDP"), ("SA", "WMA"), ("LT", "DFT"), ("LT", "DCT"), ("DSC", 5), ("DSC", 9))
HEADS = (2, 4)  # choices of the heads of a layer
UNITS = (512, 1024)  # choices of the units of a feed-forward layer
DEPTHS = (1, 3)  # choices of the feed-forward layers in a layer
EMBEDDING_WIDTH = 128  # width of the token embedding, which is projected to the encoder's width
GLOBAL_GENES = 2  # genes of the whole network
GENES_PER_LAYER = 4  # operation, heads, units, depth
LAYER_NAMES = [f"layer{k}" for k in range(LAYERS[-1])]
MAX_CHARACTERS = 20_000  # longest configuration that is parsed


class Bert:
    """Encoders of two or four layers, each with attention, a Fourier or cosine transform, or span convolution.

    SDP is scaled dot-product attention. WMA adds one more matrix between queries and keys. DFT and DCT are a linear
    layer and a transform of each head over positions and values, without a shortcut. DSC5 and DSC9 give half of the
    width to attention and half to a convolution whose kernel depends on the position.

    Parameters equal those of the benchmark's PyTorch code with two errors of the code corrected: its table of metrics
    uses a width of 256 and 1024 feed-forward units for every encoder, whatever its configuration says. With
    `length=512` the number of positions equals that of the code; with a smaller length, positions that are never used
    are left out.

    The benchmark's scores may not come from these operations. The TensorFlow code that is released as the training code
    compares operation names by identity. The comparison never holds, so the code uses scaled dot-product attention
    everywhere.

    Departures: there is no dropout, and no mask, because all sequences have the same length.

    Args:
        classes: Outputs of the linear layer on the first token, as in fine-tuning on a task.
        length: Tokens of a sequence.
        vocabulary: Number of distinct tokens.
    """

    share = "entangled"  # of weights in a supernet: layers differ in size, or operations in name

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=32),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=8),
    }

    def __init__(self, classes: int = 2, length: int = 128, vocabulary: int = 30522) -> None:
        check_options("bert", vocabulary, length, classes)
        self.input = Input((length,), "tokens", vocabulary)
        self.genes: Sequence[Gene] = tuple(_genes())
        self._embeddings, self._logits = Embeddings(vocabulary, EMBEDDING_WIDTH), FirstLogits(classes)
        self._project = [None if hidden == EMBEDDING_WIDTH else Linear(hidden) for hidden in HIDDEN]
        choices = product(*(range(len(choice)) for choice in (OPERATIONS, HEADS, UNITS, DEPTHS)))
        self._layers: dict[Genome, Layer] = {choice: _layer(*choice) for choice in choices}

    def canonical(self, genome: Genome) -> Genome:
        """Set every gene of a layer beyond the number of layers to choice 0."""
        validate(self.genes, genome)
        active = GLOBAL_GENES + GENES_PER_LAYER * LAYERS[genome[1]]
        return genome[:active] + (0,) * (len(genome) - active)

    def spell(self, genome: Genome) -> str:
        """Return the benchmark's configuration as JSON: `hidden_size`, and `nas_config` with its `encoder_layers`."""
        layers = []
        for operation, heads, units, depth in self._layer_choices(genome):
            kind, parameter = BENCHMARK_OPERATIONS[operation]
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
        """Return the genome of a configuration in the benchmark's JSON.

        The configuration may be inside `model_hparam_overrides`.

        Returns:
            The genome, or None if the text is not such a configuration.
        """
        if len(text) > MAX_CHARACTERS or not text.lstrip().startswith("{"):
            return None
        try:
            content = parse_json(text)
            content = content.get("model_hparam_overrides", content)
            layers = content["nas_config"]["encoder_layers"]
            genome = [choice_index(HIDDEN, content["hidden_size"]), choice_index(LAYERS, len(layers))]
            for layer in layers:
                kind = (layer["operation_type"], layer["operation_parameter"])
                genome += [choice_index(BENCHMARK_OPERATIONS, kind), choice_index(HEADS, layer["num_operation_heads"])]
                genome += [
                    choice_index(UNITS, layer["feed_forward_dimension"]),
                    choice_index(DEPTHS, layer["num_feed_forward"]),
                ]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return (*genome, *(0,) * (len(self.genes) - len(genome)))

    def network(self, genome: Genome) -> Network:
        net = Builder(self.input.shape)
        x = net.add(self._embeddings, *net.inputs, name="embeddings")
        if project := self._project[genome[0]]:
            x = net.add(project, x, name="project")
        for name, choice in zip(LAYER_NAMES, self._layer_choices(genome), strict=False):
            x = net.add(self._layers[choice], x, name=name)
        return net.build(net.add(self._logits, x, name="logits"))

    def reduced(self, fidelity: Fidelity) -> Bert:
        """Return the space with shorter sequences; no layer is removed, because the number of layers is a gene."""
        reduced, (length,) = copy(self), self.input.shape
        reduced.input = Input((max(2, min(length, fidelity.size or length)),), "tokens", self.input.vocabulary)
        return reduced

    def _layer_choices(self, genome: Genome) -> Iterator[Genome]:
        """Yield the genes of each layer that the network has: operation, heads, units, depth."""
        for k in range(LAYERS[genome[1]]):
            yield genome[GLOBAL_GENES + GENES_PER_LAYER * k : GLOBAL_GENES + GENES_PER_LAYER * (k + 1)]


@dataclass(frozen=True, slots=True)
class Layer:
    """One of OPERATIONS followed by feed-forward layers: (T, D) -> (T, D)."""

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
    """Self-attention with an additional matrix between queries and keys: (T, D) -> (T, D).

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
        y = _add_attention(net, queries, keys, values, self.heads)
        return net.add(Linear(width), y, name="output")


@dataclass(frozen=True, slots=True)
class Transform:
    """A linear layer, and the "DFT" or "DCT" of each head over positions and values: (T, D) -> (T, D)."""

    kind: str
    heads: int

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y = net.add(Linear(net.shape(x)[1]), x, name="input")
        return net.add(Fourier(self.heads) if self.kind == "DFT" else Cosine(self.heads), y, name="transform")


@dataclass(frozen=True, slots=True)
class SpanConv:
    """Attention in half of the heads and span-based dynamic convolution in the other half: (T, D) -> (T, D).

    The kernels are computed at each position from the span around it. The number of heads must be even.
    """

    kernel: int
    heads: int

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        width = net.shape(x)[1]
        half, heads = width // 2, self.heads // 2
        queries, keys, values = (net.add(Linear(half), x, name=name) for name in ("query", "key", "value"))
        z = add_span_conv(net, x, queries, self.kernel, heads)
        y = _add_attention(net, queries, keys, values, heads)
        return net.add(Linear(width), net.add(ConcatFeatures(), y, z, name="join"), name="output")


@dataclass(frozen=True, slots=True)
class FirstLogits:
    """A linear layer on the vector of the first token: (T, D) -> (classes,)."""

    classes: int

    def emit(self, net: Builder, *inputs: int) -> int:
        return net.add(Linear(self.classes), net.add(FirstToken(), *inputs, name="first"), name="linear")


def _add_attention(net: Builder, queries: int, keys: int, values: int, heads: int) -> int:
    weights = net.add(AttentionScores(heads), queries, keys, name="scores")
    weights = net.add(Softmax(), weights, name="weights")
    return net.add(WeightedValues(), weights, values, name="attend")


def _genes() -> Iterator[Gene]:
    yield Gene("hidden", HIDDEN, ordered=True)
    yield Gene("layers", LAYERS, ordered=True)
    for name in LAYER_NAMES:
        yield Gene(f"{name}.operation", OPERATIONS)
        yield Gene(f"{name}.heads", HEADS)  # not ordered: more heads make the transform matrices smaller
        yield Gene(f"{name}.units", UNITS, ordered=True)
        yield Gene(f"{name}.depth", DEPTHS, ordered=True)
