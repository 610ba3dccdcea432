"""Variants of a trained network with fewer channels: groups of channels, and smaller modules that compute the same."""

import numpy as np
import pytest
import torch
from export.trained_file import write_trained
from torch import nn

from nasctl import registry
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.compression.channel_groups import channel_map
from nasctl.compression.channel_space import ChannelVariants, _networks
from nasctl.compression.labelled_data import labelled_data
from nasctl.compression.mask_options import MaskOptions
from nasctl.compression.trained_base import TrainedBase
from nasctl.compression.variant_accuracy import validation_batches
from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.networks.node import attribute_name
from nasctl.networks.sparse_layer import SparseLayer
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.sampling import unseen
from nasctl.problem.space import Input

OWN = '''
import torch
from torch import nn

SIZE, MEAN, DEVIATION = (8, 8), (77.0,), (95.0,)


class Net(nn.Module):
    """A residual sum, depthwise and grouped convolutions, a gate, a concatenation, and functions."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.inner, self.second = nn.Conv2d(8, 12, 3, padding=1), nn.Conv2d(12, 8, (3, 1), padding=(1, 0))
        self.depth, self.between = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 6, 1)
        self.grouped = nn.Conv2d(6, 8, 3, padding=1, groups=2)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.left, self.right = nn.Conv2d(8, 6, 1), nn.Conv2d(8, 10, 1)
        self.last, self.head = nn.BatchNorm2d(16), nn.Linear(16 * 4, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = self.depth(x + self.second(nn.functional.hardswish(self.inner(x))))
        x = x * torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        x = self.grouped(self.between(x))
        x = self.last(torch.cat([self.left(x), torch.sigmoid(self.right(x))], 1))
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 2), 1))


def net():
    torch.manual_seed(0)
    made = Net()
    for norm in (made.norm, made.last):
        nn.init.normal_(norm.running_mean, 0.2, 0.1)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
        nn.init.uniform_(norm.weight, 0.5, 2.0)
        nn.init.normal_(norm.bias)
    return made
'''


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(OWN)
    return f"sparse:of={path}:net,data=digits,structured=yes"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "digits.safetensors"
    write_trained(path, steps=6, class_names=tuple("0123456789"))
    return f"sparse:of={path},structured=yes"


def drawn(space, number):
    return [space.canonical(one) for one in unseen(space, np.random.default_rng(0), number)]


def images(space):
    return validation_batches(space.base, labelled_data(space.base, "digits"), 60)[0]


def masked(base, networks, genome):
    """Return the module of the given network in which removed channels reach no later layer."""
    module = base.module()
    for k, node in enumerate(base.network.nodes):
        if networks._map.roles[k] == "mixes":
            weight = module.get_submodule(attribute_name(node.name)).weight
            removed = torch.ones(weight.shape[1], dtype=torch.bool)
            removed[networks._places(node.inputs[0], dict(enumerate(genome)))] = False
            weight.data[:, removed] = 0
    return module


def test_channels_that_a_sum_adds_are_one_group(own):
    space = registry.create("spaces", own)
    nodes = space.base.network.nodes
    found = channel_map(space.base.network)
    groups = {tuple(nodes[k].name for k in one.producers): len(one.labels) for one in found.groups}
    # The inputs and outputs of the grouped convolution stay, and so do the logits.
    wanted = {("stem", "second", "excite"): 8, ("inner",): 12, ("squeeze",): 4, ("left",): 6, ("right",): 10}
    assert groups == wanted
    assert [gene.name for gene in space.genes] == [
        f"{one[0]}.sparsity" for one in sorted(wanted, key=lambda one: [n.name for n in nodes].index(one[0]))
    ]


@pytest.mark.parametrize("which", ["own", "weights"])
def test_a_smaller_module_computes_what_the_masked_one_does(which, request):
    space = registry.create("spaces", f"{request.getfixturevalue(which)},recalibrate=off")
    networks = _networks(space.variants)
    for genome in [*drawn(space, 3), (0,) * len(space.genes)]:
        small, wanted = space.module(genome), masked(space.base, networks, genome)
        with torch.no_grad():
            found, expected = small(images(space)[0]), wanted(images(space)[0])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert sum(p.numel() for p in small.parameters()) == space.network(genome).params < space.base.network.params
        assert space.network(genome).macs < space.base.network.macs


@pytest.mark.parametrize("which", ["own", "weights"])
def test_many_variants_have_the_outputs_of_their_modules(which, request):
    space = registry.create("spaces", request.getfixturevalue(which))
    batches = images(space)
    run, first = space.evaluator(batches), drawn(space, 2)
    for genome in [*first, *((*one[:-1], 0) for one in first), *first]:
        module = space.module(genome)
        with torch.no_grad():
            assert all(torch.equal(a, module(b)) for a, b in zip(run(genome), batches, strict=True))


def test_channels_of_the_smallest_filters_are_removed(weights):
    space = registry.create("spaces", weights)
    network, genome = space.base.network, space.canonical(tuple(0 for _ in space.genes))
    networks = _networks(space.variants)
    group = next(one for one in networks._map.groups if len(one.producers) == 1)
    (place,) = group.producers
    filters = space.base.state[f"{attribute_name(network.nodes[place].name)}.weight"].abs().flatten(1).sum(1)
    kept = networks._places(place, dict(enumerate(genome)))
    rest = sorted(set(range(len(filters))) - set(kept.tolist()))
    assert filters[kept].min() >= filters[rest].max()


def test_a_whole_variant_is_the_given_network(weights):
    space = registry.create("spaces", weights)
    genome = space.references["uniform-0"].genome
    assert space.network(genome) == space.base.network
    with torch.no_grad():
        assert torch.equal(space.evaluator(images(space))(genome)[0], space.base.module()(images(space)[0]))


def test_costs_fall_with_the_channels(weights):
    space = registry.create("spaces", weights)
    genomes = [one.genome for one in space.references.values()]
    for objective in ("params", "macs", "size", "memory"):
        metric = registry.create("objectives", objective)
        found = [metric(Candidate(space, one, Setting(), frozenset({"network"}))) for one in genomes]
        assert found == sorted(found, reverse=True)
        assert found[-1] < found[0]
    assert not any(isinstance(node.layer, SparseLayer) for node in space.network(genomes[-1]).nodes)


def test_each_layer_keeps_a_channel(own):
    space = registry.create("spaces", f"{own},sparsities=0,0.99")
    shapes = [node.out_shape for node in space.network((0,) * len(space.genes)).nodes]
    assert all(min(shape) > 0 for shape in shapes)


def test_a_network_without_such_channels_is_refused(tmp_path):
    path = tmp_path / "flat.py"
    path.write_text(
        "import torch\nfrom torch import nn\n\nSIZE, MEAN, DEVIATION = (8, 8), (77.0,), (95.0,)\n\n\n"
        "def net():\n    torch.manual_seed(0)\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    with pytest.raises(NasctlError, match="Cannot remove channels"):
        registry.create("spaces", f"sparse:of={path}:net,data=digits,structured=yes")


def test_a_network_is_traced_with_its_groups():
    network = Network.from_module(nn.Sequential(nn.Conv2d(3, 5, 3), nn.PReLU(5), nn.Conv2d(5, 4, 1)), (3, 8, 8))
    assert channel_map(network).groups == ()  # a slope for each channel


class Drawn:
    """A network with drawn weights in place of a trained one."""

    calibration = None

    def __init__(self, name):
        space = registry.create("spaces", name).reduced(Fidelity(size=32))
        network = space.network(unseen(space, np.random.default_rng(0), 1)[0])
        torch.manual_seed(0)
        state = network.module().state_dict()
        for key, one in state.items():
            if key.endswith("running_mean"):
                one.normal_()
            elif key.endswith("running_var"):
                one.uniform_(0.5, 2.0)
        shape = network.input_shapes[0]
        self.base = TrainedBase(name, network, state, Input(shape), None, (0.0,) * shape[0], (1.0,) * shape[0])


IMAGES = ("attentivenas", "bossnas", "darts", "hytra", "mbconv", "nb101", "nbmacro", "resnet", "tnb101_micro", "vit")


@pytest.mark.slow  # seconds for each of many
@pytest.mark.parametrize("name", IMAGES)
def test_networks_of_all_kinds_lose_channels_exactly(name):
    given = Drawn(name)
    network = given.base.network
    variants = ChannelVariants(given, (0.9, 0.5, 0.2), MaskOptions("magnitude", recalibrate=False))
    genome = tuple(np.random.default_rng(1).integers(0, 3, len(variants.genes)).tolist())
    small, wanted = variants.module(genome), masked(given.base, _networks(variants), genome)
    x = torch.randn(2, *network.input_shapes[0], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference, largest = (small(x) - wanted(x)).abs().max(), wanted(x).abs().max()
    assert difference < 1e-5 * largest
    assert sum(p.numel() for p in small.parameters()) == variants.network(genome).params < network.params
