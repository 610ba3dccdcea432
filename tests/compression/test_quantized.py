"""The space of quantised variants of a trained network: its weights, its identity, and what it refuses."""

import pickle
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from export.trained_file import write_trained
from PIL import Image

from nasctl import registry
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.determinism import deterministic_torch
from nasctl.candidates.objective import version_on
from nasctl.candidates.setting import Setting
from nasctl.compression import quantizer
from nasctl.compression.folded_norms import FoldedNetwork
from nasctl.compression.labelled_data import labelled_data, same_content
from nasctl.compression.learned_images import learned_doubts
from nasctl.compression.memoised_outputs import MemoisedOutputs
from nasctl.compression.variant_accuracy import validation_batches
from nasctl.data import source
from nasctl.errors import NasctlError
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row
from nasctl.networks.executable import Executable
from nasctl.networks.layer_kinds import is_batch_norm
from nasctl.networks.quantized_layer import QuantizedLayer
from nasctl.problem.sampling import unseen
from nasctl.search.metrics import make_objective
from nasctl.search.run import Run
from nasctl.store.store import Store

CLASSES = tuple("0123456789")

OWN = """
import torch
from torch import nn

SIZE, MEAN, DEVIATION = (8, 8), (77.0,), (95.0,)


def net():
    torch.manual_seed(0)
    block = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, bias=False), nn.ReLU()]
    made = nn.Sequential(*block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10))
    made[1].running_mean += 0.3
    made[1].running_var *= 2.0
    return made
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "digits.safetensors"
    write_trained(path, steps=6, class_names=CLASSES)
    return path


@pytest.fixture(scope="module")
def space(weights):
    return registry.create("spaces", f"quantized:of={weights}")


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return f"quantized:of={path}:net,data=digits"


def drawn(space, number):
    return [space.canonical(one) for one in unseen(space, np.random.default_rng(0), number)]


def every(space, **picks):
    """Return the genome with the same choices in all layers."""
    return space.canonical(tuple(gene.choices.index(picks[gene.name.rpartition(".")[2]]) for gene in space.genes))


def images(space):
    data = labelled_data(space.base, "digits")
    return validation_batches(space.base, data, 60)


def test_folded_norms_compute_the_same(space):
    folded = FoldedNetwork(space.base)
    batches, _ = images(space)
    wide = space.module(every(space, weights=16, levels="uniform", inputs=16))
    with torch.no_grad():
        torch.testing.assert_close(wide(batches[0]), space.base.module()(batches[0]), rtol=0, atol=5e-3)
    norms = [sum(map(is_batch_norm, nodes)) for nodes in (folded.nodes, space.base.network.nodes)]
    assert norms[0] < norms[1]


def test_many_variants_have_the_outputs_of_their_modules(space):
    batches, _ = images(space)
    run = space.evaluator(batches)
    first = drawn(space, 2)
    near = [space.canonical((*one[:-2], 0, 0)) for one in first]  # these share values with the first
    for genome in [*first, *near, *first]:
        module = space.module(genome)
        with torch.no_grad():
            assert all(torch.equal(a, module(b)) for a, b in zip(run(genome), batches, strict=True))


def test_values_that_are_dropped_are_computed_again(space):
    batches, _ = images(space)
    folded = FoldedNetwork(space.base)
    modules = [space.module(genome) for genome in drawn(space, 2)]
    parts = [list(module.children()) for module in modules]
    for limit in (0, 40_000, 400_000):  # bytes: none, some and most values of a variant
        run = MemoisedOutputs(folded.nodes, folded.output, batches, frozenset(folded.folded), limit)
        for which in ([0] * 99, [1] * 99, [0] * 5 + [1] * 94, [0] * 9 + [1] * 90, [0] * 99):
            choices = which[: len(folded.nodes)]
            found = run(choices, lambda k, choices=choices: parts[choices[k]][k])
            mixed = Executable(folded.nodes, folded.output, [parts[one][k] for k, one in enumerate(choices)])
            with torch.no_grad():
                assert torch.equal(found[0], mixed.eval()(batches[0]))


def test_costs_follow_from_the_layers(space):
    genome = every(space, weights=4, levels="uniform", inputs=8)
    network = space.network(genome)
    candidate = Candidate(space, genome, Setting(), frozenset({"network"}))
    size = registry.create("objectives", "size")(candidate)
    state = space.module(genome).state_dict()
    single = sum(key.rpartition(".")[2] in ("exponent", "input_high") for key in state)  # not stored, or implied
    stored = sum(one.nbytes for key, one in state.items() if "running" not in key and "num_batches" not in key)
    assert size == stored - 4 * single
    assert registry.create("objectives", "params")(candidate) == network.params
    quantised = sum(n.layer.macs(*n.in_shapes) for n in network.nodes if isinstance(n.layer, QuantizedLayer))
    bitops = registry.create("objectives", "bitops")(candidate)
    assert bitops == 32 * quantised + 1024 * (network.macs - quantised)
    assert all("weights=4, inputs=8" in s.emission.key for s in network.spans if "Quantized" in s.emission.key)


def test_biases_keep_the_mean_output(own):
    space = registry.create("spaces", own)
    genome = every(space, weights=2, levels="uniform", inputs=3)
    exact, rounded = space.base.module(), space.module(genome)
    pixels = torch.from_numpy(labelled_data(space.base, "digits").examples("train", np.arange(0, 1437, 6))[0])
    x = space.base.normalised(pixels)
    with torch.no_grad():
        first, (conv, norm, *_) = next(rounded.children()), exact.children()
        behind = norm(conv(x))
        shift = (first(x) - behind).mean((0, 2, 3)).abs()
        first.layer.bias.zero_()
    assert shift.max() < 0.02 * behind.std()


def test_accuracy_and_size_can_be_searched(space, weights, tmp_path):
    run = Run(f"quantized:of={weights}", ("accuracy", "size"), "random:batch=4", setting=Setting(source("digits")))
    seen = [one.evaluation for one in run.search(Store(tmp_path / "store.db"), 3)]
    assert all(0 <= one.values["accuracy"] <= 100 for one in seen)
    assert len({one.values["size"] for one in seen}) > 1
    batches, labels = images(space)
    again = Run(f"quantized:of={weights}", ("accuracy:images=60", "size"), setting=Setting(source("digits")))
    candidate = Candidate(space, seen[0].genome, again.task.setting, frozenset({"network", "trained_weights"}))
    right = sum(
        int((a.argmax(1) == b).sum()) for a, b in zip(space.evaluator(batches)(seen[0].genome), labels, strict=True)
    )
    assert again.task.metrics["accuracy:images=60"](candidate) == pytest.approx(100 * right / 60)


def test_a_changed_file_is_another_space_and_is_refused_in_a_run(weights, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(weights.read_bytes())
    spec = f"quantized:of={path}"
    space, before = pickle.loads(pickle.dumps(registry.create("spaces", spec))), registry.spelled_out("spaces", spec)
    write_trained(path, steps=1, class_names=CLASSES)
    after = registry.spelled_out("spaces", spec)
    assert before != after
    with pytest.raises(NasctlError, match="has changed"):
        space.module(drawn(registry.create("spaces", spec), 1)[0])
    with pytest.raises(NasctlError, match="has changed"):
        registry.create("spaces", before)
    path.write_bytes(weights.read_bytes())
    assert registry.spelled_out("spaces", spec) == before


def test_the_same_network_in_another_file_has_the_same_digest(weights, tmp_path):
    other = Path(tmp_path / "copy.safetensors")
    other.write_bytes(weights.read_bytes())
    specs = [registry.options("spaces", f"quantized:of={one}")["digest"] for one in (weights, other)]
    assert specs[0] == specs[1]


@pytest.mark.parametrize("bits", [2, 16])
def test_levels_of_2_and_of_16_bits_are_uniform(space, bits):
    genome = every(space, weights=bits, levels="power", inputs=8)
    assert genome == every(space, weights=bits, levels="uniform", inputs=8)
    assert (
        genome
        != every(space, weights=4, levels="power", inputs=8)
        != every(space, weights=4, levels="uniform", inputs=8)
    )


def test_learned_rounding_is_closer_to_the_given_network(own):
    space, learned = (registry.create("spaces", f"{own},learned={one}") for one in ("off", "on"))
    batches, _ = images(space)
    with torch.no_grad():
        exact = space.base.module()(batches[0])
    for levels in ("uniform", "power"):
        genome = every(space, weights=3, levels=levels, inputs=16)
        found = learned.evaluator(batches)(genome)[0]
        with torch.no_grad():
            assert torch.equal(found, learned.module(genome)(batches[0]))
        assert (found - exact).square().mean() < (space.evaluator(batches)(genome)[0] - exact).square().mean()
    wide = every(space, weights=8, levels="power", inputs=8)
    assert torch.equal(learned.evaluator(batches)(wide)[0], space.evaluator(batches)(wide)[0])


def test_weights_do_not_depend_on_the_threads_of_a_search(own, monkeypatch):
    seen, known = [], quantizer.quantized_tensor
    monkeypatch.setattr(quantizer, "quantized_tensor", lambda *a: seen.append(torch.get_num_threads()) or known(*a))
    space = registry.create("spaces", f"{own},weights=5,activations=7")
    with deterministic_torch(2):
        space.module(drawn(space, 1)[0])
        assert torch.get_num_threads() == 2
    assert set(seen) == {1}


def test_an_option_that_was_added_later_is_no_part_of_earlier_names(weights):
    spec = f"quantized:of={weights}"
    assert "learned" not in registry.spelled_out("spaces", spec)
    assert registry.spelled_out("spaces", f"{spec},learned=off") == registry.spelled_out("spaces", spec)
    assert "learned=true" in registry.spelled_out("spaces", f"{spec},learned")


def test_a_table_of_the_given_networks_blocks_prices_variants_as_that_network(space, weights, tmp_path):
    base, spec = space.base.network, f"quantized:of={weights}"
    rows = {span.emission.key: Row(1.0 + k) for k, span in enumerate(base.spans)}
    path = tmp_path / "table.json"
    LatencyTable("table", "cpu", 1, rows, overhead=0.5).save(path)
    metric = make_objective(f"latency@{path}")[1]
    found = [metric(Candidate(space, one, Setting(), frozenset({"network"}))) for one in drawn(space, 2)]
    assert found == [metric.table.latency(base)] * 2
    assert any("THE SAME FOR ALL" in one for one in metric.remarks(spec, space.network(drawn(space, 1)[0])))
    assert version_on(metric, space) != metric.version == version_on(metric, registry.create("spaces", "nbmacro"))


@pytest.mark.parametrize("metric", ["synflow", "naswot", "trained"])
def test_metrics_that_draw_weights_are_refused(weights, metric):
    with pytest.raises(NasctlError, match="draws weights"):
        _ = Run(f"quantized:of={weights}", (metric,), setting=Setting(source("digits"))).task


def test_accuracy_needs_labels_and_trained_networks(weights):
    with pytest.raises(NasctlError, match="--data"):
        Run(f"quantized:of={weights}", ("accuracy",)).check()
    with pytest.raises(NasctlError, match="on the CPU"):
        Run(f"quantized:of={weights}", ("accuracy",), setting=Setting(source("digits"), device="meta")).check()
    with pytest.raises(NasctlError, match="untrained"):
        _ = Run("nbmacro", ("accuracy",)).task


@pytest.mark.parametrize("options", ["split=abc", "split=0.9", "split=0.9-0", "split_seed=-5", "images=0"])
def test_bad_splits_are_refused_with_the_objective(options):
    with pytest.raises(NasctlError, match="Cannot"):
        make_objective(f"accuracy:{options}")


def test_data_of_other_classes_is_refused_before_the_run_is_stored(weights, tmp_path):
    (folder := tmp_path / "photos").mkdir()
    for name in "ab":
        (folder / name).mkdir()
        for k in range(10):
            Image.fromarray(np.full((8, 8), 20 * k, np.uint8)).save(folder / name / f"{k}.png")
    store = Store(tmp_path / "s.db")
    run = Run(f"quantized:of={weights}", ("accuracy", "size"), setting=Setting(source(str(folder))))
    with pytest.raises(NasctlError, match="has 2 classes, and the network learned 10"):
        next(run.search(store, 1))
    assert store.runs() == []


def test_images_that_the_network_may_have_learned_are_warned_of(space, own):
    def said(metric, space):
        return make_objective(metric)[1].setting_remarks(space, Setting(source("digits")))

    assert [line for line in said("accuracy", space) if "learned" in line] == []
    assert "the given network has" in said("accuracy:images=60", space)[0]
    assert "another split" in said("accuracy:split=0.5-0.4-0.1", space)[-1]
    assert "another split" in said("accuracy:split_seed=1", space)[-1]
    assert "not known" in said("accuracy", registry.create("spaces", own))[-1]
    assert "other.zip#12" in learned_doubts(space.base, "other.zip#12 split=0.8-0.1-0.1 seed=0")[0]


def test_other_data_under_the_name_of_the_trainings_data_is_refused(space):
    with pytest.raises(NasctlError, match="which is other data"):
        labelled_data(replace(space.base, data="digits#00 split=0.8-0.1-0.1 seed=0"), "")
    assert not same_content("a.zip#12 split=1-0-0", "a.zip#13 split=1-0-0")
    assert same_content("a.zip#12 split=1-0-0", "b.zip#12 split=0.8-0.2-0")


@pytest.mark.parametrize("options", ["weights=1,4", "weights=8,4", "activations=32", "levels=log"])
def test_bits_out_of_range_are_refused(weights, options):
    with pytest.raises(NasctlError, match="Cannot"):
        registry.create("spaces", f"quantized:of={weights},{options}")


def test_an_unknown_network_is_refused_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NasctlError, match="nasctl train"):
        registry.create("spaces", "quantized:of=nothing")


def test_one_choice_needs_no_gene(weights):
    space = registry.create("spaces", f"quantized:of={weights},weights=4,8,activations=8,levels=power")
    assert prod(len(gene.choices) for gene in space.genes) == 2 ** len(space.genes)
    assert {
        layer.levels
        for node in space.network((0,) * len(space.genes)).nodes
        if isinstance(layer := node.layer, QuantizedLayer)
    } == {"power"}


@pytest.mark.slow
def test_levels_of_inputs_are_a_gene_where_both_are_choices(weights):
    space = registry.create("spaces", f"quantized:of={weights},weights=4,levels=uniform,input_levels=both")
    picks = [every(space, inputs=bits, input_levels=one) for bits in (2, 16) for one in ("uniform", "power")]
    assert picks[0] != picks[1]
    assert picks[2] == picks[3]  # 16 bits are uniform
    batches, _ = images(space)
    run = space.evaluator(batches)
    for genome in picks[:2]:
        module = space.module(genome)
        with torch.no_grad():
            assert all(torch.equal(a, module(b)) for a, b in zip(run(genome), batches, strict=True))
    sizes = [
        registry.create("objectives", "size")(Candidate(space, one, Setting(), frozenset({"network"}))) for one in picks
    ]
    layers = len(space.genes) // 2
    assert sizes[1] - sizes[0] == 4 * layers  # an exponent
    alone = registry.create("spaces", f"quantized:of={weights},weights=4,levels=uniform,input_levels=power")
    assert [gene.name.rpartition(".")[2] for gene in alone.genes] == ["inputs"] * layers
    for bits, genome in ((2, picks[1]), (16, picks[2])):
        state = space.module(genome).state_dict()
        assert all(
            torch.equal(one, state[key]) for key, one in alone.module(every(alone, inputs=bits)).state_dict().items()
        )


def test_the_option_of_input_levels_left_earlier_spaces_as_they_were(weights):
    spec = f"quantized:of={weights}"
    assert registry.spelled_out("spaces", f"{spec},input_levels=uniform") == registry.spelled_out("spaces", spec)
    with pytest.raises(NasctlError, match=r"Cannot use input_levels=cubic\. Give input_levels=uniform, "):
        registry.create("spaces", f"{spec},input_levels=cubic")
