"""Known answers about the module of NAS-Bench-101: published parameters, the number of modules, what is repaired."""

import hashlib
from itertools import product

import pytest
import torch

from nasctl import registry
from nasctl.api import BadOption, Builder, Fidelity, Truncate
from nasctl.spaces.nb101 import EDGES, MAX_EDGES, OPERATIONS
from nasctl.testing import drawn

CHAIN = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]
NUMBERS = {2: 1, 3: 6, 4: 84, 5: 2_441, 6: 62_010, 7: 359_082}  # different modules, by vertices; 423,624 in all


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", "nb101")


def genome(operations, edges):
    """Of a graph whose last vertex, the output, has the next number after those of the operations."""
    last = len(operations) + 1
    ends = {(source, 6 if target == last else target) for source, target in edges}
    return (*operations, *(0,) * (6 - last), *(int(edge in ends) for edge in EDGES))


# The benchmark's own `trainable_parameters`; the last two are the largest and the smallest of all modules.
@pytest.mark.parametrize(
    ("operations", "edges", "params"),
    [
        ((), [(0, 1)], 882_570),
        ((0,), [(0, 1), (1, 2)], 10_177_674),
        ((0,) * 5, CHAIN, 47_358_090),
        ((0,) * 5, [*CHAIN, (0, 2), (0, 3), (0, 6)], 49_979_274),
        ((2,) * 5, [(0, 1), (1, 2), (1, 4), (1, 6), (2, 3), (2, 6), (3, 6), (4, 5), (5, 6)], 227_274),
    ],
)
def test_published_parameters(space, operations, edges, params):
    assert space.network(genome(operations, edges)).params == params


def fingerprint(edges, operations):
    """The benchmark's hash of a graph: equal for two exactly if they are isomorphic (`graph_util.hash_module`)."""

    def digest(text):
        return hashlib.md5(str(text).encode()).hexdigest()

    labels = ["input", *operations, "output"]
    into = [[a for a, b in edges if b == vertex] for vertex in range(len(labels))]
    outof = [[b for a, b in edges if a == vertex] for vertex in range(len(labels))]
    hashes = [digest((len(into[v]), len(outof[v]), label)) for v, label in enumerate(labels)]
    for _ in labels:
        hashes = [
            digest((sorted(hashes[a] for a in into[v]), sorted(hashes[b] for b in outof[v]), label, hashes[v]))
            for v, label in enumerate(labels)
        ]
    return digest(sorted(hashes))


def graphs(vertices):
    """The edges of every graph that the benchmark considers, equal ones included."""
    edges = [edge for edge in EDGES if edge[1] < vertices]
    for bits in range(1 << len(edges)):
        chosen = [edge for k, edge in enumerate(edges) if bits >> k & 1]
        sources, targets = ({edge[side] for edge in chosen} for side in (0, 1))
        if len(chosen) <= MAX_EDGES and len(sources) == len(targets) == vertices - 1:
            yield chosen


@pytest.mark.parametrize("vertices", [2, 3, 4, 5])
def test_canonical_tells_what_the_benchmark_tells_apart(space, vertices):
    labelled = [
        (edges, operations) for edges in graphs(vertices) for operations in product(range(3), repeat=vertices - 2)
    ]
    pairs = {(fingerprint(*one), space.canonical(genome(one[1], one[0]))) for one in labelled}
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs}) == NUMBERS[vertices]


@pytest.mark.slow  # half a minute
def test_there_are_423624_modules(space):
    found = set()
    for vertices in NUMBERS:
        for edges in graphs(vertices):
            plain = genome((0,) * (vertices - 2), edges)
            if space.canonical(plain) == plain:  # edges are compared before operations
                found |= {
                    hash(space.canonical((*operations, *plain[vertices - 2 :])))
                    for operations in product(range(3), repeat=vertices - 2)
                }
    assert len(found) == sum(NUMBERS.values()) == 423_624


def test_dead_vertices_and_numbers_make_no_difference(space):
    alive = genome((0, 2), [(0, 1), (1, 2), (0, 2), (2, 3)])
    assert space.canonical(alive) == alive
    # The same at vertices 2 and 4; vertex 1 leads nowhere, 3 comes from nowhere, 5 is alone.
    hidden = genome((1, 0, 1, 2, 1), [(0, 2), (2, 4), (0, 4), (4, 6), (0, 1), (3, 6)])
    assert space.canonical(hidden) == alive
    assert space.network(hidden) == space.network(alive)


def test_what_is_no_module_is_repaired(space):
    assert space.canonical(genome((1,) * 5, CHAIN[:3])) == genome((), [(0, 1)])
    everything = space.canonical((0,) * 5 + (1,) * 21)
    kept = [edge for edge, there in zip(EDGES, everything[5:], strict=True) if there]
    assert kept == sorted([*CHAIN, (2, 4), (3, 5), (4, 6)], key=lambda edge: edge[::-1])  # the longest went
    for one in drawn(space, 300):
        assert 1 <= sum(space.canonical(one)[5:]) <= MAX_EDGES


def test_channels_are_shared_and_truncated(space):
    # Three vertices before the output share 128 channels; vertex 1 has 43, which vertex 3 with 42 reads too.
    network = space.network(genome((0, 0, 0), [(0, 1), (1, 2), (1, 3), (1, 4), (2, 4), (3, 4)]))
    module = [node for node in network.nodes if node.name.startswith("stack0.0.")]
    widths = {node.name.split(".")[2]: node.out_shape[0] for node in module}
    assert widths == {"edge01": 43, "vertex1": 43, "vertex2": 43, "edge13": 42, "vertex3": 42, "concat": 128}
    net = Builder((43, 2, 2))
    cut = net.build(net.add(Truncate(42), *net.inputs, name="cut")).module()
    x = torch.randn(3, 43, 2, 2)
    assert torch.equal(cut(x), x[:, :42])


def test_notation(space):
    text = (
        "api.ModelSpec(matrix=[[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1],\n [0, 0, 0, 0]], "
        "ops=['input', 'conv3x3-bn-relu', 'maxpool3x3', 'output'])"
    )
    assert space.parse(text) == genome((0, 2), [(0, 1), (0, 2), (1, 2), (2, 3)])
    assert space.spell(space.parse(text)) == text.replace("api.", "").replace("\n", "")
    assert all(space.parse(space.spell(one)) == space.canonical(one) for one in drawn(space, 100))
    for old, new in [
        ("0, 1, 1, 0", "0, 1, 1"),
        ("0, 1, 1, 0", "1, 1, 1, 0"),  # a vertex that reads itself
        ("0, 1, 1, 0", "0, 0, 0, 0"),  # no path
        ("[0, 0, 0, 0]", "[1, 0, 0, 0]"),  # backwards
        ("[0, 0, 0, 0]", "[0, 0, 0, 0], [0, 0, 0, 0]"),
        ("maxpool3x3", "maxpool5x5"),
        ("'input', ", ""),
        ("])", "]"),
    ]:
        assert space.parse(text.replace(old, new)) is None
    full = [[int(a < b) for b in range(7)] for a in range(7)]
    assert space.parse(f"ModelSpec(matrix={full}, ops={['input', *[OPERATIONS[0]] * 5, 'output']})") is None


def test_reduced_has_fewer_modules_and_smaller_images(space):
    small, other = space.reduced(Fidelity(size=16, cells=1)), registry.create("spaces", "nb101:cells=1,resolution=16")
    assert all(small.network(one) == other.network(one) for one in drawn(space, 5))
    assert space.reduced(Fidelity(size=1)).input.shape == (3, 4, 4)


@pytest.mark.parametrize("options", ["channels=4", "cells=0", "classes=0", "resolution=3"])
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption):
        registry.create("spaces", f"nb101:{options}")
