"""Networks with early exits made of a trained one: stages, shares of images, costs, and what the space refuses."""

import pickle

import numpy as np
import pytest
import torch
from compression.exit_networks import exits_spec, exits_table

from nasctl import registry
from nasctl.api import Add, Builder, Classifier, Conv
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.compression import depth_exits
from nasctl.compression.exit_places import Exit, exit_places, with_exits
from nasctl.compression.exit_shares import expected, expected_error
from nasctl.compression.labelled_data import labelled_data
from nasctl.compression.variant_accuracy import validation_batches
from nasctl.data import source
from nasctl.errors import NasctlError
from nasctl.networks import python_source
from nasctl.networks.early_exit import EarlyExit, ExitHead, exit_stages, running_costs
from nasctl.search.default_objectives import default_objectives
from nasctl.search.metrics import make_objective
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.training.folder import CURRENT_STORE
from nasctl.training.trainable import trainable


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    token = CURRENT_STORE.set(str(folder / "store.db"))
    yield exits_spec(folder)
    CURRENT_STORE.reset(token)


@pytest.fixture(scope="module")
def space(spec):
    return registry.create("spaces", spec)


def images(space, number=60):
    return validation_batches(space.base, labelled_data(space.base, "digits"), number)


def candidate(space, genome):
    needs = frozenset({"network", "trained_weights"})
    return Candidate(space, genome, Setting(source("digits")), needs)


def staged(network):
    """Return the class of a network's stand-alone source."""
    names = {}
    exec(python_source.source(network), names)
    return names["Net"]


def chain():
    """Return a network of two convolutions, with an exit between them."""
    net = Builder((2, 4, 4))
    x = net.add(Conv(3), *net.inputs, name="first")
    x = net.add(Conv(5), x, name="second")
    base = net.build(net.add(Classifier(4), x, name="head"))
    return base, with_exits(base, [Exit("exit1", 0, ExitHead(4), 0.7)])


def test_an_image_that_leaves_costs_the_layers_up_to_its_exit():
    base, network = chain()
    first, second, head, last = 2 * 3 * 16, 3 * 5 * 16, 3 * 4, 5 * 4
    costs = running_costs(network, lambda span: span.emission.macs)
    assert costs == [first + head, first + head + second + last]
    assert network.macs == costs[-1]
    assert running_costs(base, lambda span: span.emission.macs) == [base.macs] == [first + second + last]
    assert expected([0.25, 0.75], costs) == costs[0] / 4 + 3 * costs[1] / 4
    outcomes = [costs[0]] + [costs[1]] * 3
    assert expected_error([0.25, 0.75], costs, 4) == pytest.approx(np.std(outcomes) / 2)


def test_stages_hand_on_what_later_ones_read():
    _, network = chain()
    names = [node.name for node in network.nodes]
    first, second = exit_stages(network)
    assert [names[k] for k in first.nodes] == ["first", "exit1.pool", "exit1.flatten", "exit1.linear"]
    assert (first.inputs, [names[k] for k in first.outputs]) == ((-1,), ["first"])
    assert ([names[k] for k in second.inputs], second.outputs) == (["first"], ())
    assert sorted((*first.nodes, *second.nodes, network.output)) == list(range(len(network.nodes)))


def test_places_divide_the_macs_and_lie_between_blocks(space):
    network = space.base.network
    places = exit_places(network, 3)
    assert [round(4 * one.share) for one in places] == [1, 2, 3]
    spans = {network.spans[one.span].name for one in places}
    assert spans == {span.name for span in network.spans} & spans
    assert exit_places(network, 50) == sorted(set(exit_places(network, 50)))


def test_exits_lie_where_a_later_block_reads_an_earlier_value_too():
    net = Builder((2, 4, 4))
    first = net.add(Conv(3), *net.inputs, name="first")
    second = net.add(Conv(3), first, name="second")
    third = net.add(Conv(3), second, name="third")
    base = net.build(net.add(Classifier(4), net.add(Add(), first, third, name="sum"), name="head"))
    places = exit_places(base, 2)
    assert [base.spans[one.span].name for one in places] == ["first", "second"]
    stages = exit_stages(with_exits(base, [Exit("exit1", places[1].span, ExitHead(4), 0.7)]))
    assert len(stages[0].outputs) == len(stages[1].inputs) == 2


def test_without_exits_the_given_network_answers(space):
    genome = (0,) * len(space.genes)
    assert space.network(genome) == space.base.network
    batches, _ = images(space)
    with torch.no_grad():
        assert torch.equal(space.evaluator(batches)(genome)[0], space.base.module()(batches[0]))
    value = registry.create("objectives", "expected_macs")(candidate(space, genome))
    assert value == space.base.network.macs


def test_images_leave_alike_in_searches_modules_and_source(space):
    batches, _ = images(space)
    run, seen = space.evaluator(batches), set()
    for genome in [(1, 1, 1), (2, 0, 3), (3, 3, 3), (0, 2, 0)]:
        network, module = space.network(genome), space.module(genome)
        net = staged(network)().eval()
        net.load_state_dict(module.state_dict())
        exits, expected_exits = [], run.exits(genome)
        with torch.no_grad():
            for found, batch in zip(run(genome), batches, strict=True):
                assert torch.equal(found, module(batch))
                logits, left = net.leave(batch)
                torch.testing.assert_close(logits, found, rtol=1e-5, atol=1e-5)
                exits.append(left)
        assert torch.equal(torch.cat(exits), expected_exits)
        seen |= set(expected_exits.tolist())
    assert len(seen) > 2  # or else nothing was compared


def test_stages_do_not_run_for_images_that_have_left(space):
    genome = (3, 3, 3)
    net = staged(space.network(genome))().eval()
    net.load_state_dict(space.module(genome).state_dict())
    (batch, *_), _ = images(space)
    sizes = []
    for number in range(4):
        stage = getattr(net, f"stage{number + 1}")
        setattr(net, f"stage{number + 1}", lambda *x, stage=stage: sizes.append(len(x[0])) or stage(*x))
    with torch.no_grad():
        _, left = net.leave(batch)
        counts = left.bincount(minlength=4)
        assert sizes == [n for n in (len(batch) - counts.cumsum(0) + counts).tolist() if n]
        sizes.clear()
        net.leave(batch[left.argmin()][None])
    assert sizes == [1] * (int(left.min()) + 1)


def test_classifiers_are_trained_once_and_alike(space, spec, monkeypatch):
    before = {key: value for key, value in space.module((1, 1, 1)).state_dict().items() if key.startswith("exit")}
    again = space.exits._train()
    assert again.keys() == before.keys()
    assert all(torch.equal(value, again[key]) for key, value in before.items())
    depth_exits._heads.cache_clear()
    monkeypatch.setattr(depth_exits, "train", lambda *_: pytest.fail("trained again"))
    copy = pickle.loads(pickle.dumps(registry.create("spaces", spec)))
    assert torch.equal(copy.module((1, 0, 0)).exit1_linear.weight, before["exit1_linear.weight"])
    kept = [key for key in copy.module((0, 1, 0)).state_dict() if key.startswith("exit")]
    assert kept == ["exit2_linear.weight", "exit2_linear.bias"]


def test_classifiers_learn(space):
    batches, labels = images(space, 179)
    run = space.evaluator(batches)
    right = (torch.cat(run((3, 3, 3))).argmax(1) == torch.cat(labels)).double().mean()
    assert right > 0.3  # chance is 0.1


def test_expected_macs_are_the_mean_over_the_images_of_accuracy(space, spec, tmp_path):
    run = Run(
        spec, ("accuracy:images=60", "expected_macs:images=60"), "random:batch=4", setting=Setting(source("digits"))
    )
    seen = [one.evaluation for one in run.search(Store(tmp_path / "store.db"), 4)]
    batches, _ = images(space)
    for one in seen:
        costs = running_costs(space.network(one.genome), lambda span: span.emission.macs)
        exits = space.evaluator(batches).exits(one.genome)
        assert one.values["expected_macs:images=60"] == pytest.approx(np.mean([costs[k] for k in exits]))


def test_expected_latency_is_that_of_the_stages_that_run(space, spec, tmp_path):
    genome = (2, 0, 2)
    network = space.network(genome)
    path = exits_table(spec, tmp_path)
    metric = make_objective(f"expected_latency@{path}")[1]
    rows = metric.table.blocks
    one = candidate(space, genome)
    shares = metric._shares(one)
    ends = [k + 1 for k, span in enumerate(network.spans) if span.name.startswith("exit")]
    sums = [sum(rows[span.emission.key].ms for span in network.spans[:end]) for end in (*ends, -1)]
    assert metric(one) == pytest.approx(sum(s * (sums[k] + 0.5 * (k + 1)) for k, s in enumerate(shares)))
    assert metric.label == "expected_latency@table"
    assert make_objective(f"latency@{path}")[1](one) == pytest.approx(sums[-1] + 0.5)


def test_costs_of_a_search_that_names_none_are_expected_macs(space, spec):
    assert default_objectives(spec, space, "", with_device=False).objectives == ("accuracy", "expected_macs")


def test_networks_without_exits_have_no_expected_costs():
    for metric in ("expected_macs", "expected_latency@titan-xp-b64"):
        with pytest.raises(NasctlError, match="no early exits"):
            _ = Run("nbmacro", (metric,)).task


def test_a_network_with_exits_is_not_trained(space):
    with pytest.raises(NasctlError, match="early exits"):
        trainable(space.network((1, 0, 0)), space.input, "classes", 10, 0)


@pytest.mark.parametrize("options", ["kind=width", "thresholds=0.5,0.9", "thresholds=1", "places=0", "epochs=0"])
def test_options_out_of_range_are_refused(spec, options):
    text = ",".join(one for one in spec.split(",") if one.partition("=")[0] != options.partition("=")[0])
    text = text.partition(",0.5")[0] if options.startswith("thresholds") else text
    with pytest.raises(NasctlError, match="Cannot"):
        registry.create("spaces", f"{text},{options}")


def test_a_choice_of_exits_is_free_in_latency_tables():
    layer = EarlyExit((0.5,))
    assert layer.out((10,), (10,)) == (10,)
    assert layer.params((10,), (10,)) == layer.macs((10,), (10,)) == 0
