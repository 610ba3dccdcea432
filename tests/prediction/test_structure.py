import pytest

from nasctl import registry
from nasctl.api import Add, AvgPool, Builder, Conv
from nasctl.prediction.features import FeatureBuilder
from nasctl.prediction.structure import structure_features


def branches():
    """Two branches that are added: 1x1 and 3x3 convolutions, and a pool; then a skip connection and a 3x3."""
    net = Builder((4, 8, 8))
    first = net.add(Conv(channels=4, kernel=1), -1, name="first")
    second = net.add(Conv(channels=4, kernel=3), first, name="second")
    pool = net.add(AvgPool(kernel=3), -1, name="pool")
    both = net.add(Add(), second, pool, name="both")
    last = net.add(Conv(channels=4, kernel=3), both, name="last")
    return net.build(net.add(Add(), both, last, name="sum"))


def test_paths_and_degrees_of_a_small_network():
    found = structure_features(branches())
    assert found["Conv 3: layers"] == 2
    assert found["Conv 3: fewest on a path"] == 0  # the pool, then the skip connection
    assert found["Conv 3: most on a path"] == 2
    assert found["operations: fewest on a path"] == 1
    assert found["operations: most on a path"] == 3
    assert found["log paths"] == pytest.approx(1.386294, abs=1e-6)  # two, then two
    assert found["skip: joined in stage 0"] == 1
    assert found["AvgPool 3: joined in stage 0"] == 1
    assert found["Conv 3: joined last in stage 0"] == 1


@pytest.mark.parametrize("spec", registry.names_without_options("spaces"))
def test_every_space_has_features(spec):
    space = registry.create("spaces", spec)
    genomes = [space.canonical(tuple(k % len(gene.choices) for gene in space.genes)) for k in (0, 1)]
    builder = FeatureBuilder.of(space, ("snip",), genomes)
    features = builder.features(genomes, [{"snip": 1.0}, {}])
    assert features.shape == (2, len(builder.names)) == (2, len(builder.groups))
    assert list(features[0] == features[0]) == [True] * len(builder.names)
    assert (features[1] != features[1]).nonzero()[0].tolist() == [0]  # the metric that failed
