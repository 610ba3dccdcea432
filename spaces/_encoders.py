"""The parts that encoders of text share: embeddings, feed-forward layers, convolutions, and the options of all."""

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

MOST = 10_000_000  # tokens of a vocabulary; far more than any model has, and far less than memory is large


def check(space: str, vocabulary: int, length: int, classes: int) -> None:
    """Check the options that all such spaces have.

    Raises:
        BadOption: One of them makes no network.
    """
    if not 2 <= vocabulary <= MOST:
        raise BadOption(f"{space} needs a vocabulary of 2 to {MOST} tokens, not vocabulary={vocabulary}")
    if not 2 <= length <= 4096:
        raise BadOption(f"{space} takes sequences of 2 to 4096 tokens, not length={length}")
    if classes < 1:
        raise BadOption(f"{space} needs at least one class, not classes={classes}")


def place(choices: Iterable[object], value: object) -> int:
    """Where a value that a stranger wrote stands among the choices.

    Raises:
        ValueError: It is none of them.
    """
    # Types are compared because 2.0 and True equal whole numbers.
    return [(type(one), one) for one in choices].index((type(value), value))


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A vector for each token, its segment and, if `positions`, its place, normalised: (T,) -> (T, width).

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
    """Linear layers of so many units, each with GELU, one that goes back to D, a shortcut and a layer norm.

    (T, D) -> (T, D).
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


def convolved(net: Builder, x: int, queries: int, kernel: int, heads: int) -> int:
    """Add a convolution of x, (T, D), with kernels made at each place of what is around it and of queries, (T, D').

    Its output is (T, D'), as wide as the queries.

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
