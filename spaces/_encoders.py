"""Parts that text encoders share: embeddings, feed-forward layers, span convolution and validation of options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nasctl.api import (
    GELU,
    Add,
    BadOption,
    Builder,
    DynamicConv,
    Embedding,
    LayerNorm,
    Linear,
    Multiply,
    PositionEmbedding,
    SeparableConv1d,
    TokenType,
)

MAX_VOCABULARY = 10_000_000  # tokens; above every published model, and small enough for an embedding to fit in memory


def check_options(space: str, vocabulary: int, length: int, classes: int) -> None:
    """Validate the options that all spaces of text encoders share.

    Raises:
        BadOption: An option is out of range.
    """
    if not 2 <= vocabulary <= MAX_VOCABULARY:
        raise BadOption(f"vocabulary must be 2 to {MAX_VOCABULARY} tokens, got {vocabulary} (option of {space})")
    if not 2 <= length <= 4096:
        raise BadOption(f"length must be 2 to 4096 tokens, got {length} (option of {space})")
    if classes < 1:
        raise BadOption(f"classes must be 1 or more, got {classes} (option of {space})")


def choice_index(choices: Iterable[object], value: object) -> int:
    """Return the index of an untrusted value among the choices.

    Raises:
        ValueError: The value is not one of the choices.
    """
    # Types are compared too, because 2.0 == 2 and True == 1.
    return [(type(choice), choice) for choice in choices].index((type(value), value))


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The sum of token, segment and, if `positions`, position embeddings, with a layer norm: (T,) -> (T, width).

    References:
        Devlin et al., "BERT: Pre-training of deep bidirectional transformers for language understanding", NAACL 2019,
        arXiv:1810.04805, figure 2.
    """

    vocabulary: int
    width: int
    positions: bool = True

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(Embedding(self.vocabulary, self.width), *inputs, name="tokens")
        x = net.add(TokenType(), x, name="segment")
        x = net.add(PositionEmbedding(), x, name="positions") if self.positions else x
        return net.add(LayerNorm(), x, name="norm")


@dataclass(frozen=True, slots=True)
class FeedForward:
    """Linear layers with GELU, a linear layer back to D, a shortcut and a layer norm: (T, D) -> (T, D).

    `units` holds the units of each layer with GELU.
    """

    units: tuple[int, ...]

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y = x
        for k, units in enumerate(self.units):
            y = net.add(Linear(units), y, name=f"widen{k}")
            y = net.add(GELU(), y, name=f"act{k}")
        y = net.add(Linear(net.shape(x)[1]), y, name="narrow")
        return net.add(LayerNorm(), net.add(Add(), y, x, name="add"), name="norm")


def add_span_conv(net: Builder, x: int, queries: int, kernel: int, heads: int) -> int:
    """Add a span-based dynamic convolution of x, (T, D), and return its output, (T, D').

    The kernel at each position is computed from the span of x around the position and from the queries, (T, D').

    References:
        Jiang et al., "ConvBERT: Improving BERT with span-based dynamic convolution", NeurIPS 2020, arXiv:2008.02496,
        figure 3 and equations 4 to 6.
    """
    width = net.shape(queries)[1]
    spans = net.add(SeparableConv1d(width, kernel), x, name="spans")
    kernels = net.add(Multiply(), spans, queries, name="span_queries")
    kernels = net.add(Linear(heads * kernel), kernels, name="kernels")
    values = net.add(Linear(width), x, name="conv_value")
    return net.add(DynamicConv(heads), values, kernels, name="conv")
