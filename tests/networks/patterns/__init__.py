"""Small modules in the manner of published families, written for the tests of `Network.from_module`."""

from importlib import import_module

from .registry import PATTERNS, Pattern

FAMILIES = (
    "convnets", "classic", "mobile", "norms", "transformers", "windows", "hierarchical",
    "mixers", "dense", "sequences", "products", "structure", "negative", "negative_values",
)  # fmt: skip
for family in FAMILIES:
    import_module(f".{family}", __name__)

__all__ = ["PATTERNS", "Pattern"]
