"""Blocks are written for people as in drawings: class, kernel, expansion, stride and the rest."""

import pytest

from nasctl import registry
from nasctl.networks.block_notation import block_notation

TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.mark.parametrize(
    ("space", "genome", "block", "text"),
    [
        ("mbconv", (0,) * 45, "stem", f"ConvNormAct 3{TIMES}3 /2 hswish"),
        ("mbconv", (0,) * 45, "stage1.0", f"MBConv 3{TIMES}3 e3 /2"),
        ("mbconv", (0,) * 45, "stage2.0", f"MBConv 3{TIMES}3 e3 /2 se"),
        ("nb201", (1, 2, 3, 4, 0, 1), "stem", f"ConvNormAct 3{TIMES}3"),
        ("vit", (0,) * 30, "stem", "Stem"),
        ("fbnet", (0,) * 22, "stem", f"ConvNormAct 3{TIMES}3 /2"),
    ],
)
def test_a_block_is_one_short_line(space, genome, block, text):
    made = registry.create("spaces", space)
    spans = {span.name: span for span in made.network(made.canonical(genome)).spans}
    assert block_notation(spans[block].emission) == text
