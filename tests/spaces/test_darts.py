"""Known answers about the cells of DARTS: published networks, torch's own operations, nodes with other numbers."""

import gzip
import json
import random
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch.nn.functional import batch_norm, conv2d, relu

from nasctl import registry
from nasctl.api import BadOption, Builder, Candidate, FactorizedReduction, Fidelity, Setting
from nasctl.architectures import known_values
from nasctl.spaces.darts import OPERATIONS, Separable, TwiceSeparable
from nasctl.testing import drawn

V1 = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])"
)
V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)
KEY = (
    "[[(0, 3), (1, 3), (0, 3), (1, 3), (1, 3), (0, 2), (0, 2), (2, 5)], "
    "[(0, 0), (1, 0), (2, 2), (1, 0), (0, 0), (2, 2), (2, 2), (1, 0)]]"
)  # V2 as NASLib writes it


TABLE = "zc_nasbench301_725.json.gz"


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", "darts")


@pytest.fixture
def benchmark(data, monkeypatch):
    monkeypatch.setenv("NASCTL_DATA", str(data("nb301-darts").parent))
    return registry.create("benchmarks", "darts")


# Parameters are those that the logs of DARTS print.
@pytest.mark.parametrize(
    ("spec", "genotype", "params", "macs"),
    [
        ("darts", V2, 3_349_342, 528.36),
        ("darts:stem=imagenet,channels=48,cells=14,classes=1000,resolution=224", V2, 4_718_752, 529.91),
        ("darts:channels=32,cells=8", V2, 919_722, 159.77),
        ("darts", V1, 3_169_414, 500.99),
    ],
)
def test_published_networks(spec, genotype, params, macs):
    space = registry.create("spaces", spec)
    network = space.network(space.parse(genotype))
    assert (network.params, round(network.macs / 1e6, 2)) == (params, macs)


def test_parameters_of_nasbench301(data):
    """NASLib's table counts all but the scales and shifts of batch norms on edges, which it has not."""
    content = gzip.decompress((data("nb301-darts") / TABLE).read_bytes())
    table, space = json.loads(content)["cifar10"], registry.create("spaces", "darts:channels=32,cells=8")
    genomes = {key: space.parse(key) for key in table}
    assert len({space.canonical(genome) for genome in genomes.values()}) == 725
    for key, genome in genomes.items():
        network = space.network(genome)
        norms = [node for node in network.nodes if ".edge" in node.name and node.name.endswith(".norm")]
        counted = network.params - sum(node.layer.params(*node.in_shapes) for node in norms)
        assert counted == round(1e6 * table[key]["params"]["score"])


def test_notation(space):
    assert space.parse(KEY) == space.parse(V2) == space.parse(V2.replace(", ", ",\n"))
    assert space.spell(space.parse(V1)) == V1.replace(
        "[('sep_conv_3x3', 1), ('sep_conv_3x3', 0)", "[('sep_conv_3x3', 0), ('sep_conv_3x3', 1)"
    ).replace("('skip_connect', 2), ('max_pool_3x3', 0), ", "('max_pool_3x3', 0), ('skip_connect', 2), ").replace(
        "('skip_connect', 2), ('avg_pool_3x3', 0)]", "('avg_pool_3x3', 0), ('skip_connect', 2)]"
    )
    assert all(space.parse(space.spell(genome)) == genome for genome in drawn(space, 50))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Genotype()",
        V2[:-1],
        V2.replace("dil_conv_3x3', 2", "dil_conv_7x7', 2"),
        V2.replace("dil_conv_3x3', 2", "dil_conv_3x3', 0"),  # one value twice
        V2.replace("('max_pool_3x3', 0)", "('max_pool_3x3', 2)", 1),  # a node that comes later
        V2.replace("range(2, 6)", "[3, 4, 5]"),
        KEY.replace("(2, 5)", "(2, 7)"),
        KEY.replace("(2, 5)", "(5, 5)"),
        KEY.replace("(2, 5)", "(2, \u0665)"),  # a digit of another script
        KEY.replace("(2, 5)", "(2, 5), (2, 5)"),
        "[" * 10_000,
    ],
)
def test_other_texts_are_no_genotype(space, text):
    assert space.parse(text) is None


def renumbered(cell):
    """Every way to number the nodes of a cell, as NASLib writes one."""
    found = set()
    for order in permutations(range(2, 6)):
        number = {0: 0, 1: 1, **{old: new for new, old in enumerate(order, start=2)}}
        nodes = [[(number[source], operation) for source, operation in cell[2 * k - 4 : 2 * k - 2]] for k in order]
        if all(source < k for k, node in enumerate(nodes, start=2) for source, _ in node):
            found.add(tuple(edge for node in nodes for edge in sorted(node)))
    return found


def test_numbers_of_nodes_make_no_other_cell(space):
    rng = random.Random(0)
    for _ in range(50):
        pairs = [sorted(rng.sample(range(node + 2), 2)) for node in range(4)]
        normal = [(source, rng.randrange(len(OPERATIONS))) for pair in pairs for source in pair]
        same = {space.parse(str([list(one), normal])) for one in renumbered(normal)}
        (canonical,) = {space.canonical(genome) for genome in same}
        assert canonical[:11] in {genome[:11] for genome in same}
        other = [*normal[:3], (normal[3][0], (normal[3][1] + 1) % len(OPERATIONS)), *normal[4:]]
        if tuple(other) not in renumbered(normal):
            assert space.canonical(space.parse(str([other, normal]))) != canonical


def built(block, channels):
    """A block's module on images of 8 x 8, and its weights in the order in which they are used."""
    net = Builder((channels, 8, 8))
    module = net.build(net.add(block, *net.inputs, name="block")).module()
    return module, [part.weight for part in module.modules() if isinstance(part, torch.nn.Conv2d)]


def normed(x):
    return batch_norm(x, None, None, training=True)


def test_operations_are_those_of_torch():
    x = torch.randn(2, 6, 8, 8)
    module, (depthwise, pointwise) = built(Separable(5, stride=2, dilation=2), 6)
    expected = normed(conv2d(conv2d(relu(x), depthwise, stride=2, padding=4, dilation=2, groups=6), pointwise))
    torch.testing.assert_close(module(x), expected)
    module, (one, two, three, four) = built(TwiceSeparable(3, stride=2), 6)
    middle = normed(conv2d(conv2d(relu(x), one, stride=2, padding=1, groups=6), two))
    torch.testing.assert_close(module(x), normed(conv2d(conv2d(relu(middle), three, padding=1, groups=6), four)))
    module, (even, odd) = built(FactorizedReduction(4), 6)
    halves = [conv2d(relu(x), even, stride=2), conv2d(relu(x)[:, :, 1:, 1:], odd, stride=2)]
    torch.testing.assert_close(module(x), normed(torch.cat(halves, 1)))


def test_reduced_has_fewer_cells_and_smaller_images(space):
    for cells, whole in ((2, 8), (1, 5)):
        small, other = (
            space.reduced(Fidelity(16, cells)),
            registry.create("spaces", f"darts:cells={whole},resolution=16"),
        )
        assert all(small.network(genome) == other.network(genome) for genome in drawn(space, 5))
    assert space.reduced(Fidelity(cells=7)).network(drawn(space, 1)[0]) == space.network(drawn(space, 1)[0])
    assert space.reduced(Fidelity(1)).input.shape == (3, 8, 8)


@pytest.mark.parametrize(
    "options", ["stem=mnist", "stem=imagenet", "channels=7", "cells=2", "classes=0", "resolution=7"]
)
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption):
        registry.create("spaces", f"darts:{options}")


def test_the_table_is_read_as_truth(data):
    found = known_values.read(data("nb301-darts") / TABLE, "darts", "val_accuracy")
    assert (len(found.values), found.rows, found.skipped) == (725, 725, 0)
    assert np.mean(list(found.values.values())) == pytest.approx(93.121766)


def test_rows_under_the_name_of_a_data_set_are_a_table(space, tmp_path):
    path = tmp_path / "table.json"
    rows = {space.spell(genome): {"acc": k, "snip": {"score": -k}} for k, genome in enumerate(drawn(space, 5))}
    for content in (rows, {"cifar10": rows}):
        path.write_text(json.dumps(content))
        assert list(known_values.read(path, "darts", "acc").values.items()) == [
            *zip(drawn(space, 5), range(5), strict=True)
        ]


def test_the_benchmark_has_the_published_scores(benchmark):
    (scene,) = benchmark.scenes.values()
    assert (len(benchmark.genomes), scene.accuracy.max()) == (725, pytest.approx(94.48888, abs=1e-5))
    for name, rho in (("naswot", 0.5549), ("l2_norm", 0.5236), ("synflow", 0.2165), ("jacov", -0.0405)):
        assert spearmanr(benchmark.column(name).values, scene.accuracy).statistic == pytest.approx(rho, abs=1e-4)


def test_synflow_has_the_order_of_the_table(benchmark):
    published, ours = benchmark.column("synflow").values[::60], registry.create("objectives", "synflow")
    space = registry.create("spaces", "darts:channels=32,cells=8")
    setting = Setting(fidelity=Fidelity(batch=2))
    found = [ours(Candidate(space, genome, setting, ours.needs)) for genome in benchmark.genomes[::60]]
    assert spearmanr(found, published).statistic > 0.99


def test_a_cell_that_is_not_listed_stands_for_the_nearest(benchmark, space):
    for listed in benchmark.genomes[::100]:
        assert benchmark.space.canonical(listed) == listed
    for genome in drawn(space, 50):
        steps = [sum(a != b for a, b in zip(space.canonical(genome), one, strict=True)) for one in benchmark.genomes]
        assert benchmark.space.canonical(genome) == benchmark.genomes[steps.index(min(steps))]


def test_norms_behind_pools_have_no_weights(space):
    genome = space.parse(V1)
    normed = registry.create("spaces", "darts:pool_norms=true").network(genome)
    plain = space.network(genome)
    assert (normed.params, normed.macs) == (plain.params, plain.macs)
    behind = [node for node in normed.nodes if normed.nodes[node.inputs[0]].name.endswith("pool")]
    pools = [node for node in plain.nodes if "Pool2d" in str(node.layer.module(*node.in_shapes))]
    assert len(behind[:-1]) == len(pools[:-1]) > 0  # the last is the classifier's
    assert {str(node.layer.module(*node.in_shapes)) for node in behind[:-1]} <= {
        f"nn.BatchNorm2d({channels}, affine=False)" for channels in (36, 72, 144)
    }
