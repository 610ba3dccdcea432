"""The space of sparse variants of a trained network: masks, packed weights, recalibrated norms, and what it refuses."""

import pickle

import numpy as np
import pytest
import torch
from export.trained_file import write_trained

from nasctl import registry
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.compression.labelled_data import calibration_pixels, labelled_data
from nasctl.compression.packed_weights import kept_places, packed_places
from nasctl.compression.recalibrated_variants import prunable_layers
from nasctl.compression.variant_accuracy import validation_batches
from nasctl.compression.weight_scores import weight_scores
from nasctl.data import source
from nasctl.errors import NasctlError
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row
from nasctl.networks.executable import construct
from nasctl.networks.layer_kinds import is_batch_norm
from nasctl.networks.layers import Conv
from nasctl.networks.node import attribute_name
from nasctl.networks.quantized_layer import parameter_numbers
from nasctl.networks.sparse_layer import SparseLayer, code_bits, kept_number, low_bits
from nasctl.problem.sampling import unseen
from nasctl.search.metrics import make_objective
from nasctl.search.run import Run
from nasctl.store.store import Store

CLASSES = tuple("0123456789")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "digits.safetensors"
    write_trained(path, steps=6, class_names=CLASSES)
    return path


@pytest.fixture(scope="module")
def space(weights):
    return registry.create("spaces", f"sparse:of={weights}")


def drawn(space, number):
    return [space.canonical(one) for one in unseen(space, np.random.default_rng(0), number)]


def uniform(space, sparsity):
    return space.references[f"uniform-{sparsity}"].genome


def images(space):
    return validation_batches(space.base, labelled_data(space.base, "digits"), 60)


def value(objective, space, genome):
    return registry.create("objectives", objective)(
        Candidate(space, genome, Setting(), frozenset({"network", "trained_weights"}))
    )


@pytest.mark.parametrize("sparsity", [0.05, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99])
def test_packed_weights_are_read_as_they_were_written(sparsity):
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(12, 8, 3, 3, generator=draw)
    layer = SparseLayer(Conv(12, 3, bias=True), sparsity)
    made = construct(layer.module((8, 8, 8)))
    kept = kept_number(weight.numel(), sparsity)
    places = kept_places(torch.rand(weight.shape, generator=draw), kept)
    packed = packed_places(places, weight.numel())
    bias = torch.randn(12, generator=draw)
    made.load_state_dict({"positions": packed, "values": weight.flatten()[places], "layer.bias": bias})
    wanted = torch.zeros(weight.numel())
    wanted[places] = weight.flatten()[places]
    assert torch.equal(made.layer.weight.flatten(), wanted)
    assert layer.params((8, 8, 8)) == kept + 12
    assert layer.place_bits((8, 8, 8)) == 8 * len(packed)
    assert layer.macs((8, 8, 8)) == Conv(12, 3, bias=True).macs((8, 8, 8))


def test_places_take_few_bits():
    # A bitmap takes a bit for each weight; 5% of 10,000 places have an entropy of 2,864 bits.
    assert low_bits(10_000, 5_000) == -1
    assert 2_864 < code_bits(10_000, 500, low_bits(10_000, 500)) < 1.1 * 2_864
    sizes = [32 * kept + code_bits(700, kept, low_bits(700, kept)) for kept in range(1, 660)]
    assert sizes == sorted(sizes)  # fewer weights never take more


def test_masks_keep_the_weights_of_largest_magnitude(space):
    module, nodes = space.module(uniform(space, 0.9)), space.base.network.nodes
    for k in prunable_layers(nodes):
        weight = space.base.state[f"{attribute_name(nodes[k].name)}.weight"]
        found = module.get_submodule(attribute_name(nodes[k].name)).layer.weight
        kept = kept_number(weight.numel(), 0.9)
        assert int((found != 0).sum()) == kept
        assert torch.equal(found[found != 0], weight[found != 0])
        assert weight[found != 0].abs().min() >= weight[found == 0].abs().max()


def test_a_dense_variant_is_the_given_network(space):
    genome, (batches, _) = uniform(space, 0), images(space)
    assert space.network(genome) == space.base.network
    with torch.no_grad():
        assert torch.equal(space.evaluator(batches)(genome)[0], space.base.module()(batches[0]))


def test_many_variants_have_the_outputs_of_their_modules(space):
    batches, _ = images(space)
    run, first = space.evaluator(batches), drawn(space, 2)
    near = [space.canonical((*one[:-2], 0, 0)) for one in first]  # these share values with the first
    for genome in [*first, *near, *first]:
        module = space.module(genome)
        with torch.no_grad():
            assert all(torch.equal(a, module(b)) for a, b in zip(run(genome), batches, strict=True))


def test_norms_behind_pruned_layers_have_the_statistics_of_calibration_images(space, weights):
    genome = uniform(space, 0.8)
    module, plain = space.module(genome), registry.create("spaces", f"sparse:of={weights},recalibrate=off")
    fixed = plain.module(genome)
    names = [attribute_name(node.name) for node in space.base.network.nodes if is_batch_norm(node)]
    moments = {}
    for name in names:

        def note(_, given, name=name):
            moments[name] = torch.var_mean(given[0], (0, 2, 3), correction=0)

        module.get_submodule(name).register_forward_pre_hook(note)
        before = space.base.state[f"{name}.running_var"]
        assert torch.equal(fixed.get_submodule(name).running_var, before)
        assert not torch.equal(module.get_submodule(name).running_var, before)
    with torch.no_grad():
        module(space.base.normalised(calibration_pixels(space.calibration)))
    for name, (variance, mean) in moments.items():
        norm = module.get_submodule(name)
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-6)


def test_costs_are_those_of_the_files(space):
    genome = drawn(space, 1)[0]
    network, module = space.network(genome), space.module(genome)
    norms = sum(p.numel() for p in module.parameters())  # biases, gains and shifts
    state = {key: one for key, one in module.state_dict().items() if key.endswith((".values", ".positions"))}
    values = sum(one.numel() for key, one in state.items() if key.endswith(".values"))
    assert value("params", space, genome) == network.params == values + norms
    assert value("size", space, genome) == sum(one.nbytes for one in state.values()) + 4 * norms
    assert value("macs", space, genome) == space.base.network.macs
    assert "SparseLayer(layer=Conv(" in " ".join(span.emission.key for span in network.spans)
    assert value("size:bits=1", space, genome) < value("size:bits=1", space, uniform(space, 0))


@pytest.mark.parametrize("mask", ["random", "snip", "synflow"])
def test_other_masks_keep_as_many_weights(weights, mask):
    space = registry.create("spaces", f"sparse:of={weights},mask={mask},sparsities=0.5,0.9")
    first, second = (space.module(uniform(space, one)).state_dict() for one in (0.5, 0.9))
    assert {key: len(one) for key, one in first.items() if key.endswith("values")}
    for key in (key for key in first if key.endswith("values")):
        assert set(second[key].tolist()) <= set(first[key].tolist())  # masks are nested


def test_scores_are_those_of_the_papers(space):
    base, data = space.base, space.calibration
    nodes = [base.network.nodes[k] for k in prunable_layers(base.network.nodes)]
    snip = weight_scores(base, nodes, "snip", 0, data)
    pixels = base.normalised(calibration_pixels(data))
    chosen = np.linspace(0, data.size("train") - 1, len(pixels)).astype(np.int64)
    labels = torch.from_numpy(data.examples("train", chosen)[1])
    module, first = base.module(), attribute_name(nodes[0].name)
    torch.nn.functional.cross_entropy(module(pixels), labels).backward()
    weight = module.get_submodule(first).weight
    torch.testing.assert_close(snip[nodes[0].name], (weight * weight.grad).abs(), rtol=1e-3, atol=1e-8)
    flows = weight_scores(base, nodes, "synflow", 0, data)
    # Each layer conserves the flow of the network, as long as it is on all paths: Tanaka et al., theorem 2.
    assert float(flows[nodes[0].name].sum()) == pytest.approx(float(flows[nodes[-1].name].sum()), rel=1e-9)
    drawn_scores = [weight_scores(base, nodes, "random", seed, data)[nodes[0].name] for seed in (0, 0, 1)]
    assert torch.equal(drawn_scores[0], drawn_scores[1])
    assert not torch.equal(drawn_scores[0], drawn_scores[2])


def test_references_begin_a_search(space, weights, tmp_path):
    names = {"uniform-0", "uniform-0.5", "uniform-0.95", "overall-0.9"}
    assert names <= set(space.references)
    assert not any("overall" in one for one in registry.create("spaces", f"sparse:of={weights},mask=random").references)
    run = Run(f"sparse:of={weights}", ("accuracy", "size"), "random:batch=4", setting=Setting(source("digits")))
    seen = [one.evaluation for one in run.search(Store(tmp_path / "store.db"), 3)]
    assert all(0 <= one.values["accuracy"] <= 100 for one in seen)
    assert len({one.values["size"] for one in seen}) > 1


def test_layers_of_few_weights_have_one_genome_for_equal_masks(weights):
    space = registry.create("spaces", f"sparse:of={weights},sparsities=0,0.998,0.999")
    sizes = [space.base.network.nodes[k] for k in prunable_layers(space.base.network.nodes)]
    sizes = [parameter_numbers(node.layer, *node.in_shapes)[0] for node in sizes]
    few = [k for k, size in enumerate(sizes) if kept_number(size, 0.998) == 1]
    genome = tuple(1 if k in few else 2 for k in range(len(space.genes)))
    assert few
    assert all(space.canonical(genome)[k] == 0 for k in few)


def test_latency_is_that_of_the_given_network(space, weights, tmp_path):
    base, path = space.base.network, tmp_path / "table.json"
    rows = {span.emission.key: Row(1.0 + k) for k, span in enumerate(base.spans)}
    LatencyTable("table", "cpu", 1, rows, overhead=0.5).save(path)
    metric = make_objective(f"latency@{path}")[1]
    found = [metric(Candidate(space, one, Setting(), frozenset({"network"}))) for one in drawn(space, 2)]
    assert found == [metric.table.latency(base)] * 2
    remarks = metric.remarks(f"sparse:of={weights}", space.network(drawn(space, 1)[0]))
    assert any("multiply with zeros" in one for one in remarks)


def test_a_copy_in_another_process_has_the_same_networks(space):
    genome, copied = drawn(space, 1)[0], pickle.loads(pickle.dumps(space))
    first, second = space.module(genome).state_dict(), copied.module(genome).state_dict()
    assert all(torch.equal(one, second[key]) for key, one in first.items())


@pytest.mark.parametrize(
    "options", ["sparsities=0.5,0.2", "sparsities=0.01", "sparsities=1", "mask=largest", "seed=-1", "structured=2"]
)
def test_impossible_options_are_refused(weights, options):
    with pytest.raises(NasctlError):
        registry.create("spaces", f"sparse:of={weights},{options}")
