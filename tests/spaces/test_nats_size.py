"""Known answers about the size space of NATS-Bench."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from nasctl import registry
from nasctl.api import BadOption, Fidelity, InvalidGenome
from nasctl.testing import drawn

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
CORNERS = list(itertools.product((0, 7), repeat=5))


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", "nats_size")


def counted(widths, classes=10, size=32):
    """Parameters and MACs of the benchmark's network, by a formula for each of its convolutions."""
    c1, c2, c3, c4, c5 = widths
    convolutions = [(3, 3, c1, size)]  # kernel, channels in and out, size of the output
    for start, stop, side in ((c1, c1, size), (c2, c3, size // 2), (c4, c5, size // 4)):
        convolutions += [(3, start, stop, side)] * 2 + [(3, stop, stop, side)] * 3
        convolutions += [(1, start, stop, side)] if start != stop else []
    norms = sum(out for _, _, out, _ in convolutions) + c5
    for start, stop, side in ((c1, c2, size // 2), (c3, c4, size // 4)):
        convolutions += [(3, start, stop, side), (3, stop, stop, side), (1, start, stop, side)]
        norms += 2 * stop  # none behind the 1x1
    params = sum(kernel**2 * start * stop for kernel, start, stop, _ in convolutions)
    macs = sum(kernel**2 * start * stop * side**2 for kernel, start, stop, side in convolutions)
    return params + 2 * norms + (c5 + 1) * classes, macs + c5 * classes


def test_costs_are_those_that_the_benchmark_prints(space):
    # Architecture 12 on CIFAR-10 in notebooks/issue-21.ipynb and create-query-sss.ipynb of github.com/D-X-Y/NATS-Bench:
    # 0.067378 million parameters and 7.991706 million FLOPs, which count the classifier's bias as well.
    genome = next(itertools.islice(itertools.product(range(8), repeat=5), 12, None))
    assert space.spell(genome) == "8:8:8:16:40"
    network = space.network(genome)
    assert (network.params, network.macs + 10) == (67_378, 7_991_706)


@pytest.mark.parametrize(
    ("text", "params", "macs"),
    [
        ("8:8:8:8:8", 11_714, 4_481_104),
        ("64:64:56:64:24", 536_618, 257_061_104),  # 93.65% on CIFAR-10, a best that it shares with 64:64:56:64:64
        ("64:64:64:64:64", 713_674, 274_399_872),
    ],
)
def test_smallest_best_and_largest(space, text, params, macs):
    network = space.network(space.parse(text))
    assert (network.params, network.macs) == (params, macs) == counted([int(word) for word in text.split(":")])


@pytest.mark.parametrize(("options", "classes", "size"), [("", 10, 32), ("classes=120,resolution=16", 120, 16)])
def test_counts_what_a_formula_counts(options, classes, size):
    space = registry.create("spaces", f"nats_size:{options}" if options else "nats_size")
    for genome in [*CORNERS, *drawn(space, 100)]:
        network = space.network(genome)
        widths = [8 * (choice + 1) for choice in genome]
        assert (network.params, network.macs) == counted(widths, classes, size)


@pytest.mark.parametrize(("text", "channels"), [("8:16:16:32:32", 8), ("16:32:32:64:64", 16)])
def test_is_nas_bench_201_where_channels_double(space, text, channels):
    cells = registry.create("spaces", f"nb201:channels={channels},cells=1")
    torch.manual_seed(0)
    ours = space.network(space.parse(text)).module().eval()
    theirs = cells.network(cells.parse(CELL)).module().eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(x), theirs(x))


def test_a_cell_computes_what_the_benchmarks_code_computes(space):
    # As InferCell and FactorizedReduce of github.com/D-X-Y/AutoDL-Projects have it: a skip with stride 1 has no ReLU.
    network = space.network(space.parse("8:16:24:16:16"))
    module = network.module().train()
    names = [node.name for node in network.nodes]
    values = {}
    for name, part in zip(names, module.children(), strict=True):
        part.register_forward_hook(lambda part, inputs, out, name=name: values.update({name: out}))
    module(torch.randn(4, 3, 32, 32))
    weights = {name: part.weight for name, part in zip(names, module.children(), strict=True) if name.endswith("conv")}

    def norm(x, edge, kernel):
        found = F.conv2d(x, weights[f"cell2.edge{edge}.conv"], padding=kernel // 2)
        return F.batch_norm(found, None, None, training=True)

    x0 = values["reduction1.add"]
    x1 = norm(x0.relu(), "01", 3)
    x2 = norm(x0.relu(), "02", 3) + norm(x1.relu(), "12", 3)
    x3 = norm(x0, "03", 1) + norm(x1.relu(), "13", 3) + norm(x2.relu(), "23", 3)
    torch.testing.assert_close(values["cell2.node3"], x3)
    assert not any("edge03" in name for name in names if not name.startswith("cell2"))  # equal channels: the identity


def test_only_the_first_gene_is_ordered(space):
    assert [gene.ordered for gene in space.genes] == [True, False, False, False, False]
    fewer, more = (len(space.network(space.parse(text)).nodes) for text in ("8:8:16:8:8", "8:16:16:8:8"))
    assert more == fewer - 2  # equal channels need no convolution and no norm to skip


def test_every_genome_is_a_candidate_of_its_own(space):
    assert all(space.canonical(genome) == genome for genome in itertools.product(range(8), repeat=5))
    with pytest.raises(InvalidGenome):
        space.canonical((0, 0, 0, 0, 8))


def test_reads_and_writes_the_benchmarks_strings(space):
    assert space.spell((7, 7, 6, 7, 2)) == "64:64:56:64:24"
    assert all(space.parse(space.spell(genome)) == genome for genome in drawn(space, 50))
    for text in (
        "",
        "64:64:56:64",
        "64:64:56:64:24:8",
        "64:64:56:64:12",
        "64:64:56:64:+8",
        "64:64:56:64:08",
        "8:8:8:8:72",
    ):
        assert space.parse(text) is None


@pytest.mark.parametrize("options", ["classes=0", "resolution=0", "resolution=30"])
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption):
        registry.create("spaces", f"nats_size:{options}")


def test_reduced_has_smaller_images(space):
    small, other = space.reduced(Fidelity(size=18)), registry.create("spaces", "nats_size:resolution=16")
    assert all(small.network(genome) == other.network(genome) for genome in drawn(space, 5))
    assert space.reduced(Fidelity(size=1)).input.shape == (3, 4, 4)
