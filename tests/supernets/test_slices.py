"""Slices of shared weights give the same network as copies do, in every space."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from nasctl import registry
from nasctl.api import Call, Conv, Fidelity, Flatten, Gene, GlobalAvgPool, Input, Layer, Linear, NasctlError, Network
from nasctl.networks.graph import Builder
from nasctl.problem.space import levels
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.hull import DoesNotFit, Hull, random_genome, sliced
from nasctl.supernets.problem import default_share
from nasctl.supernets.shared_weights import SharedWeights, UntrainedWeights
from nasctl.supernets.skeleton import without_statistics

SMALL = ("nbmacro", "nats_size", "nb201:cells=1", "vit")
LARGE = tuple(
    name for name in registry.names_without_options("spaces") if name not in {spec.partition(":")[0] for spec in SMALL}
)  # their hulls take seconds


def reduced(spec):
    space = registry.create("spaces", spec)
    fast = levels(space).get("fast", Fidelity(size=32))
    return space.reduced(Fidelity(size=fast.size))


def shared(spec, share=None):
    space = reduced(spec)
    task = "masked words" if spec.partition(":")[0] in ("bert", "flexibert") else "classes"
    networks = ElasticNetworks(space, share or default_share(space), task)
    return SharedWeights(Hull.of(networks), seed=0)


def inputs_of(weights, genome, number=2):
    network = weights.networks.space.network(genome)
    (shape,) = network.input_shapes
    torch.manual_seed(1)
    if weights.networks.space.input.kind == "images":
        return (torch.randn(number, *shape),)
    words = torch.randint(weights.networks.space.input.vocabulary, (number, *shape))
    return (
        (words,) if weights.networks.task == "classes" else (words, torch.arange(shape[0]).expand(number, -1) % 3 == 0)
    )


def check(spec, number, share=None):
    weights, rng = shared(spec, share), np.random.default_rng(3)
    for _ in range(number):
        genome = random_genome(weights.networks.space, rng)
        if not weights.hull.fits(genome):
            continue
        inputs, views = inputs_of(weights, genome), weights.views(genome)
        found = functional_call(weights.networks.module(genome), views, inputs)
        copied = weights.module(genome)
        with without_statistics(copied), torch.no_grad():
            assert torch.equal(found, copied(*inputs))
        check_gradients(weights, genome, found)
        check_export(weights, genome, copied, views)


def check_gradients(weights, genome, found):
    """The gradient of the shared tensors is zero outside of the slices."""
    for one in weights.tensors.values():
        one.grad = None
    found.float().square().sum().backward()
    cuts = {}
    for _, slot, cut in weights.hull.cuts(genome):
        mask = cuts.setdefault(slot, torch.zeros(weights.hull.slots[slot].shape, dtype=torch.bool))
        inside = torch.zeros_like(mask)
        inside.view(-1)[sliced(torch.arange(mask.numel()).view(mask.shape), cut).flatten()] = True
        mask |= inside
    for slot, tensor in weights.tensors.items():
        assert (tensor.grad is None) or slot in cuts
        if tensor.grad is not None:
            assert not tensor.grad[~cuts[slot]].any()


def check_export(weights, genome, copied, views):
    """The parameters that an export would write are the slices, and there are as many as the network counts."""
    state = dict(copied.named_parameters(remove_duplicate=False))
    assert all(torch.equal(state[name], view) for name, view in views.items())
    if weights.networks.task == "classes":
        assert sum(one.numel() for one in views.values()) == weights.networks.space.network(genome).params


@pytest.mark.parametrize("spec", SMALL)
def test_slices_are_copies(spec):
    check(spec, 3)


@pytest.mark.slow
@pytest.mark.parametrize("spec", LARGE)
def test_slices_are_copies_in_large_spaces(spec):
    check(spec, 5)


@pytest.mark.slow
@pytest.mark.parametrize("spec", SMALL)
@pytest.mark.parametrize("share", ["entangled", "blocks"])
def test_fifty_networks_of_each_way_to_share(spec, share):
    check(spec, 50, share)


# Weights of the hull in millions: of the prototype that the design rests on, or of the largest network.
HULLS = {
    "nbmacro": ("entangled", 2.98),
    "nb201": ("blocks", 1.70),
    "nats_size": ("entangled", 0.722),
    "mbconv": ("entangled", 10.70),
}


@pytest.mark.parametrize("spec", HULLS)
def test_sizes_of_hulls(spec):
    share, millions = HULLS[spec]
    hull = Hull.of(ElasticNetworks(registry.create("spaces", spec), share))
    assert hull.params / 1e6 == pytest.approx(millions, abs=0.005)


def test_the_hull_of_ordered_genes_is_the_last_network():
    space = registry.create("spaces", "mbconv")
    last = space.network(space.canonical(tuple(len(gene.choices) - 1 for gene in space.genes)))
    assert Hull.of(ElasticNetworks(space, "entangled")).params == last.params


class Toy:
    """A space whose one gene chooses the layer called "mix"."""

    input = Input((3, 8, 8))

    def __init__(self, *layers, name="mix"):
        self._layers, self._name = layers, name
        self.genes = (Gene("mix", tuple(range(len(layers)))),)

    def canonical(self, genome):
        return tuple(genome)

    def network(self, genome):
        net = Builder(self.input.shape)
        x = net.add(self._layers[genome[0]], *net.inputs, name=self._name)
        x = net.add(Flatten(), net.add(GlobalAvgPool(), x, name="pool"), name="flat")
        return net.build(net.add(Linear(2), x, name="logits"))


def hull_of(*layers, share="entangled"):
    return Hull.of(ElasticNetworks(Toy(*layers), share))


def test_a_smaller_kernel_is_the_centre_of_a_larger_one():
    hull = hull_of(Conv(4, 3), Conv(4, 5))
    (cut,) = [cut for name, _, cut in hull.cuts((0,)) if name == "mix.weight"]
    assert cut[2:] == (((1, 3),), ((1, 3),))


def test_layers_of_other_kinds_have_slots_of_their_own():
    assert len(hull_of(Conv(6, 3), Conv(6, 3, groups=3)).slots) == 4  # two convolutions; weight and bias of the logits
    assert len(hull_of(Conv(4, 3), Conv(4, 5)).slots) == 3
    assert len(hull_of(Conv(4, 3), Conv(4, 5), share="blocks").slots) == 4


class Matrix(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(shape))

    def forward(self, x):
        return x * self.table.sum()


@dataclass(frozen=True)
class Table(Layer):
    axes: int

    def params(self, *inputs):
        return 3**self.axes

    def module(self, *inputs):
        return Call(Matrix, *[3] * self.axes)


def test_a_name_that_stands_for_tensors_of_two_kinds_is_named():
    with pytest.raises(NasctlError, match=r"Cannot share the weights of mix\.table\|Matrix: it has [12] axes in one"):
        hull_of(Table(1), Table(2))
    assert len(hull_of(Table(1), Table(2), share="blocks").slots) == 4


def test_a_space_of_ever_new_blocks_is_not_shared_by_blocks(monkeypatch):
    monkeypatch.setattr("nasctl.supernets.hull.MOST_SLOTS", 100)
    with pytest.raises(NasctlError, match=r"by blocks: its networks have more than 100 .* Give share=entangled"):
        Hull.of(ElasticNetworks(registry.create("spaces", "rnn"), "blocks"))


def test_untrained_weights_are_an_error():
    weights = SharedWeights(hull_of(Conv(4, 3), Conv(4, 3, groups=1, dilation=2), share="blocks"), 0)
    weights.count_visit((0,))
    weights.check_trained((0,))
    with pytest.raises(UntrainedWeights, match=r"has reached the weights mix\.weight"):
        weights.check_trained((1,))


def test_a_network_outside_of_the_hull_is_an_error():
    hull = Hull(ElasticNetworks(Toy(Conv(4, 3), Conv(8, 3)), "entangled"))
    hull.add((0,))
    with pytest.raises(DoesNotFit, match=r"mix\.weight"):
        hull.cuts((1,))
    assert issubclass(DoesNotFit, NasctlError)


def test_initial_weights_depend_on_seed_and_slot_alone():
    one, two = (SharedWeights(hull_of(*layers), 5) for layers in ((Conv(4, 3),), (Conv(4, 3), Conv(4, 3))))
    assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    other = SharedWeights(hull_of(Conv(4, 3)), 6)
    assert not torch.equal(one.tensors["mix.weight|Conv2d"], other.tensors["mix.weight|Conv2d"])


@pytest.mark.slow
def test_channels_behind_a_concatenation_keep_their_columns():
    weights = shared("nb101")
    ranged = [axis for slot in weights.hull.slots.values() for axis in slot.axes if axis.ranged]
    assert ranged  # widths of vertices differ between cells
    assert all(len(axis.widest) > 1 for axis in ranged)


def test_a_traced_module_with_shared_layers():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.a(torch.relu(self.a(x))).mean((2, 3)))

    network = Network.from_module(Twice(), (3, 8, 8))

    class One(Toy):
        def network(self, genome):
            return network

    weights = SharedWeights(Hull.of(ElasticNetworks(One(Conv(3)), "entangled")), 0)
    views = weights.views((0,))
    x = torch.rand(2, 3, 8, 8)
    assert sum(one.numel() for one in views.values()) == network.params
    assert torch.equal(functional_call(weights.networks.module((0,)), views, (x,)), weights.module((0,))(x))
