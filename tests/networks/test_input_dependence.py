"""Networks whose choices let nothing through."""

import pytest

from nasctl import registry
from nasctl.networks.input_dependence import ignores_images
from nasctl.supernets.report import blind_lines


@pytest.mark.parametrize(
    ("spec", "genome", "is_blind"),
    [
        ("nb201:channels=4,cells=1,resolution=8", (0, 0, 0, 0, 0, 0), True),
        ("nb201:channels=4,cells=1,resolution=8", (3, 3, 0, 0, 0, 0), True),  # no edge enters the last node
        ("nb201:channels=4,cells=1,resolution=8", (0, 0, 0, 1, 0, 0), False),
        ("tnb101_micro:channels=4,cells=1,resolution=32", (3, 3, 3, 0, 0, 0), True),
        ("nbmacro:resolution=8", (0,) * 8, False),
        ("rnn:vocabulary=40,length=6,hidden=8,width=8", None, False),  # reads words
    ],
)
def test_a_network_without_a_path_from_input_to_output_ignores_images(spec, genome, is_blind):
    space = registry.create("spaces", spec)
    network = space.network(genome or space.canonical((0,) * len(space.genes)))
    assert ignores_images(network) == is_blind
    said = blind_lines(network, "mine", " --store s.db")
    assert bool(said) == is_blind
    assert all(one.endswith("nasctl supernet select mine --by perturbation --store s.db") for one in said)
