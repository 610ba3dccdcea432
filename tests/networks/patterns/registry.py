"""The registry of small modules in the manner of published families, which tests trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

Shape = tuple[int, ...]
PATTERNS: dict[str, Pattern] = {}


@dataclass(frozen=True)
class Pattern:
    """A small module, its input and what is known about its costs.

    Attributes:
        name: Name of the class or function that makes the module.
        make: Function without arguments that makes the module.
        shape: Shape of one example.
        vocabulary: Number of tokens if the input is integers; 0 if the input is real numbers.
        uncounted: Closed form of the multiply-accumulates that torch's FlopCounterMode does not see (mv, dot, ...),
            less those that it sees and whose results nothing reads.
        unused: Number of parameters that the module does not use in evaluation mode; a network does not have them.
        negative: The module is no fixed graph of layers for every batch; a refusal is right, an exact network too.
        family: Name of the file.
    """

    name: str
    make: Callable[[], nn.Module]
    shape: Shape
    vocabulary: int
    uncounted: int
    unused: int
    negative: bool
    family: str


def pattern(
    *shape: int,
    vocabulary: int = 0,
    uncounted: int = 0,
    unused: int = 0,
    negative: bool = False,
    **options: object,
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Return a decorator that registers a class or function that makes a module for examples of this shape."""

    def register(make: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        name, family = make.__name__, make.__module__.rpartition(".")[2]
        if name in PATTERNS:
            raise ValueError(f"Cannot register {name}: a pattern of that name exists. Choose another name.")
        PATTERNS[name] = Pattern(name, lambda: make(**options), shape, vocabulary, uncounted, unused, negative, family)
        return make

    return register
