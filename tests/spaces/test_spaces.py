"""Known answers about the search spaces."""

import csv
import gzip
import hashlib
import itertools
import random
from ast import literal_eval

import pytest

from nasctl import registry
from nasctl.api import BadOption, Fidelity
from nasctl.testing import drawn

KERNELS, EXPANSIONS = (3, 5, 7), (3, 4, 6)


def mbconv(depths, kernels, expansions):
    """The genome of an Once-for-All network, written stage by stage with active blocks alone."""
    genome = []
    for depth, ks, es in zip(depths, kernels, expansions, strict=True):
        pairs = [(KERNELS.index(k), EXPANSIONS.index(e)) for k, e in zip(ks, es, strict=True)]
        genome += [depth - 2, *itertools.chain(*pairs, *[(0, 0)] * (4 - depth))]
    return tuple(genome)


def uniform(depth, kernel, expand):
    return mbconv([depth] * 5, [[kernel] * depth] * 5, [[expand] * depth] * 5)


@pytest.mark.parametrize(
    ("options", "genome", "macs", "params"),
    [
        ("width=1.0,resolution=128", uniform(2, 3, 3), 41.48, 3.411),
        ("width=1.0", uniform(2, 3, 3), 121.28, 3.411),
        ("width=1.0", uniform(3, 5, 4), 250.75, 4.552),
        ("width=1.0", uniform(4, 7, 6), 566.17, 7.665),
        ("resolution=128", uniform(2, 3, 3), 65.54, 4.602),
        ("width=1.2", uniform(4, 7, 6), 843.10, 10.702),
        (  # LG-G8/note10@30ms, published as 339M and 7.5M
            "",
            mbconv(
                [2, 3, 3, 3, 4],
                [[3, 3], [5, 3, 3], [5, 5, 3], [3, 3, 3], [3, 3, 3, 3]],
                [[3, 3], [4, 3, 4], [4, 4, 3], [6, 4, 4], [6, 6, 4, 3]],
            ),
            339.35,
            7.466,
        ),
        (  # pixel1@20ms
            "width=1.0,resolution=152",
            mbconv(
                [2] * 5, [[3, 3], [5, 5], [7, 3], [5, 3], [3, 7]], [[3, 3], [3, 3], [4, 3], [3, 4], [6, 6]]
            ),
            76.66,
            4.305,
        ),
    ],
)  # fmt: skip
def test_mbconv_is_once_for_all(options, genome, macs, params):
    # Architectures of github.com/mit-han-lab/once-for-all, counted by its authors' rule (see its README).
    network = registry.create("spaces", f"mbconv:{options}").network(genome)
    assert (round(network.macs / 1e6, 2), round(network.params / 1e6, 3)) == (macs, params)


def test_mbconv_counts_what_dynast_counted(data):
    space = registry.create("spaces", "mbconv:width=1.0")
    rows = 0
    for path in data("ofa-latency").glob("dynast_*.csv"):
        for row in csv.DictReader(path.read_text().splitlines()):
            net, start = literal_eval(row["Sub-network"]), 0
            stages = []
            for stage, depth in enumerate(net["d"]):
                start = 4 * stage
                stages.append((depth, net["ks"][start : start + depth], net["e"][start : start + depth]))
            network = space.network(mbconv(*zip(*stages, strict=True)))
            if row["MACs"]:
                assert network.macs == int(float(row["MACs"]))
            if row["Model Parameters"]:
                assert network.params == int(float(row["Model Parameters"]))
            rows += 1
    assert rows == 2373


def test_mbconv_merges_what_only_differs_beyond_the_depth():
    space = registry.create("spaces", "mbconv")
    genome = uniform(2, 3, 3)
    other = (*genome[:5], 2, 1, *genome[7:])  # block 2 of stage 1, which a depth of 2 leaves out
    assert space.canonical(other) == genome
    assert space.network(other) == space.network(genome)
    sizes = [len({space.canonical((0,) * 9 * s + g + (0,) * 9 * (4 - s)) for g in stage_genomes()}) for s in (0, 4)]
    assert sizes == [7371, 7371]  # 9**2 + 9**3 + 9**4


def stage_genomes():
    return itertools.product(range(3), repeat=9)


def test_resolution_as_a_gene():
    space = registry.create("spaces", "mbconv:resolutions=160,192,224")
    assert space.genes[0].choices == (160, 192, 224)
    for choice, size in enumerate((160, 192, 224)):
        alone = registry.create("spaces", f"mbconv:resolution={size}")
        assert space.network((choice, *uniform(3, 5, 4))) == alone.network(uniform(3, 5, 4))
    reduced = space.reduced(Fidelity(size=64))
    assert [reduced.network((k, *uniform(2, 3, 3))).input_shapes[0][1] for k in range(3)] == [46, 55, 64]


@pytest.mark.parametrize(
    "spec",
    ["mbconv:width=0", "mbconv:width=nan", "mbconv:resolution=31", "mbconv:resolutions=224,160", "mbconv:classes=0",
     "nb201:resolution=30", "nb201:cells=0", "nbmacro:resolution=4"],
)  # fmt: skip
def test_an_option_that_makes_no_network_is_refused(spec):
    with pytest.raises(BadOption):
        registry.create("spaces", spec)


def test_nbmacro_counts_what_the_benchmark_counts():
    # Of the lines "genome params flops" of all 6,561 networks, sorted, as in data/nas-bench-macro_cifar10.json of
    # github.com/xiusu/NAS-Bench-Macro at 61a2bfc2.
    published = "19f3130b66811a234e9ec0c1df6b654b26399c997f1c281b16fa4e62785d945b"
    space = registry.create("spaces", "nbmacro")
    networks = {genome: space.network(genome) for genome in itertools.product(range(3), repeat=8)}
    lines = (f"{''.join(map(str, genome))} {net.params} {net.macs}" for genome, net in networks.items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == published
    assert (networks[2, 2, 2, 2, 2, 2, 2, 2].params, networks[2, 2, 2, 2, 2, 2, 2, 2].macs) == (2_932_586, 105_660_928)
    assert len({space.canonical(genome) for genome in networks}) == 9 * 21 * 21
    assert space.parse("22212220") == (2, 2, 2, 1, 2, 2, 2, 0)
    assert space.spell((2, 2, 2, 1, 2, 2, 2, 0)) == "22212220"
    assert space.parse("2221222") is space.parse("22212223") is None


def test_nb201_counts_what_the_benchmark_counts():
    space = registry.create("spaces", "nb201")
    for genome in random.Random(0).sample(list(itertools.product(range(5), repeat=6)), 50):
        ones, threes = genome.count(2), genome.count(3)
        assert space.network(genome).params == 73_306 + 243_040 * threes + 28_000 * ones
        assert space.network(genome).macs == 7_783_040 + 35_389_440 * threes + 3_932_160 * ones


def test_nb201_has_5260_functions():
    space = registry.create("spaces", "nb201")
    assert len({space.canonical(genome) for genome in itertools.product(range(5), repeat=6)}) == 5_260
    assert space.canonical((3, 0, 0, 0, 0, 2)) == (0, 0, 0, 0, 0, 0)  # dead ends
    assert space.canonical((1, 0, 3, 0, 0, 1)) == (0, 0, 0, 3, 0, 0)  # skips around one convolution
    shared, separate = (3, 1, 1, 0, 1, 1), (3, 0, 0, 3, 1, 0)  # x + 2 conv(x), against conv(x) + conv'(x)
    assert space.canonical(shared) != space.canonical(separate)


def nb201_rows(data):
    """Yield the rows of the benchmark's table."""
    with gzip.open(data("nb201") / "nb201_table.csv.gz", "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def test_nb201_reads_and_writes_the_benchmarks_strings(data):
    space = registry.create("spaces", "nb201")
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    assert space.parse(text) == (4, 2, 1, 2, 1, 1)
    assert space.parse(text[1:-2]) is None
    for row in nb201_rows(data):
        assert space.spell(space.parse(row["arch_str"])) == row["arch_str"]


@pytest.mark.slow
def test_nb201_has_the_parameters_of_the_benchmark(data):
    space = registry.create("spaces", "nb201")
    for row in nb201_rows(data):
        assert space.network(space.parse(row["arch_str"])).params == round(float(row["params_M_cifar10"]) * 1e6)


@pytest.mark.parametrize("name", ["nb201", "nbmacro"])
def test_canonical_off_keeps_every_genome(name):
    space = registry.create("spaces", f"{name}:canonical=off")
    assert all(space.canonical(genome) == genome for genome in drawn(space, 50))
