"""Strategies with weights and losses of their own: resumption, several processes, and what each of them trains."""

from dataclasses import replace
from itertools import product
from threading import Thread

import numpy as np
import pytest
import torch
from training.examples import QUICK, colour, images, words
from training.test_distributed import Group

from nasctl import registry
from nasctl.errors import BadOption, NasctlError
from nasctl.networks.blocks import Classifier, ConvNormAct
from nasctl.networks.graph import Builder
from nasctl.networks.layers import Linear
from nasctl.networks.sequences import AttentionScores, Embedding, MeanToken, Softmax, WeightedValues
from nasctl.networks.weights import initialised
from nasctl.problem.space import Gene, Input
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.problem import SupernetProblem
from nasctl.supernets.request import SupernetRequest
from nasctl.supernets.strategies.distil import Distil
from nasctl.supernets.teacher import TrainedTeacher
from nasctl.supernets.trained_supernet import SupernetFacts, TrainedSupernet, write
from nasctl.training import trained_weights
from nasctl.training.events import Evaluated, Ranks
from nasctl.training.loop import train
from nasctl.training.trained_weights import Facts
from nasctl.training.trained_weights import write as write_weights

SPEC = "nb201:resolution=8,cells=1,channels=4,classes=3"
SHORT = replace(QUICK, epochs=2, batch=8, warmup=0.0, evaluate=0)
STRATEGIES = ["experts:hidden=8", "blockwise:paths=2,hidden=8,width=4", "cross_path:queue=20,hidden=8,width=4"]


class Chain:
    """A stem, two blocks of two choices each, and a classifier; the last choice of the first block is wider."""

    genes = (Gene("one.kernel", (1, 3)), Gene("two.kernel", (1, 3)), Gene("two.width", (4, 6)))
    input = Input((3, 8, 8))

    def canonical(self, genome):
        return tuple(genome)

    def network(self, genome):
        kernel, other, width = (gene.choices[k] for gene, k in zip(self.genes, genome, strict=True))
        net = Builder(self.input.shape)
        x = net.add(ConvNormAct(4, 3, 2), *net.inputs, name="stem")
        x = net.add(ConvNormAct(4, kernel), x, name="one.0")
        x = net.add(ConvNormAct(width, other), x, name="two.0")
        return net.build(net.add(Classifier(3), x, name="classifier"))


def chain(strategy, recipe=SHORT):
    space = Chain()
    network, data = space.network((1, 1, 1)), colour(images(number=32, side=8))
    return SupernetProblem(
        network,
        space.input,
        data,
        recipe,
        3,
        "s",
        space=space,
        share="blocks",
        strategy=strategy,
    )


def supernet(strategy, recipe=SHORT, spec=SPEC, share="blocks"):
    space = registry.create("spaces", spec)
    network = space.network(space.canonical((0,) * len(space.genes)))
    data = colour(images(number=48, side=8))
    return SupernetProblem(
        network, Input(network.input_shapes[0]), data, recipe, 3, "s", space=space, share=share, strategy=strategy
    )


def trained(path, asked, state):
    """Write trained weights, and return them as they are read."""
    examples = torch.from_numpy(asked.data.inputs[:8])
    facts = SupernetFacts(
        SPEC, "blocks", asked.strategy, 3, 6, "classes", ("0", "1", "2"), (128.0,) * 3, (64.0,) * 3, "d", {}, {}, "0"
    )
    write(path / "w.safetensors", state, examples, facts)
    return TrainedSupernet(path / "w.safetensors")


def one_step(learner, asked, number=0):
    given, labels = (torch.from_numpy(one[:8]) for one in asked.data.examples("train", list(range(32))))
    return learner.step(given, labels, number, 0.1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_paused_training_with_own_weights_ends_in_the_same_bits(strategy, tmp_path):
    asked = chain(strategy, replace(SHORT, ema=0.5))
    whole = train(asked, tmp_path / "a", learner=SupernetLearner)
    train(asked, tmp_path / "b", learner=SupernetLearner, until=3)
    again = train(asked, tmp_path / "b", learner=SupernetLearner)
    assert whole.state.keys() == again.state.keys()
    assert [key for key in whole.state if not torch.equal(whole.state[key], again.state[key])] == []
    assert whole.results == again.results


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_ranks_have_the_same_weights(strategy, tmp_path):
    asked, group, outcomes = chain(strategy), Group(2), [None, None]

    def run(rank):
        with group.turn:
            place, ranks = tmp_path / str(rank), group.ranks(rank)
            outcomes[rank] = train(asked, place, ranks=ranks, learner=SupernetLearner, until=4)

    threads = [Thread(target=run, args=(rank,)) for rank in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    first, second = (one.state for one in outcomes)
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


def test_experts_mix_slices_of_all_copies():
    asked = chain("experts:copies=3,hidden=8")
    learner = SupernetLearner(asked, Ranks())
    for number in range(3):  # the last layer of the router leaves zero, then the first one learns too
        one_step(learner, asked, number)
    genome = learner.context.largest
    shares = learner.strategy.mixture(genome)
    assert shares.shape == (len(learner.context.layers), 3)
    assert torch.allclose(shares.sum(1), torch.ones(len(shares)))
    assert float(shares.detach().std(1).max()) > 0
    other = learner.strategy.mixture(learner.context.smallest)
    assert not torch.equal(shares, other)
    views = learner.weights.views(genome)
    parameter, slot, _ = learner.weights.hull.cuts(genome)[0]
    row = learner.context.layers.index(slot.partition("|")[0].rpartition(".")[0])
    copies = torch.stack([own[slot] for own in learner.weights.parameters])
    assert not torch.equal(copies[0], copies[1])
    expected = (shares[row].view(-1, *[1] * (copies.ndim - 1)) * copies).sum(0)
    assert torch.allclose(views[parameter], expected)
    assert bool((learner.weights.visits == learner.weights.visits[0]).all())


def test_a_trained_mixture_gives_the_weights_that_were_trained(tmp_path):
    asked = supernet("experts:hidden=8")
    learner = SupernetLearner(asked, Ranks())
    for number in range(3):
        one_step(learner, asked, number)
    found = trained(tmp_path, asked, learner.state())
    genome = learner.strategy.passes(2)[0].genomes[0]
    views, own = found.weights.views(genome), learner.weights.views(genome)
    assert views.keys() == own.keys()
    assert all(torch.equal(views[name], own[name]) for name in own)
    module = found.module(genome)
    assert all(torch.equal(module.get_parameter(name), own[name]) for name in own)


def test_one_expert_is_a_single_path_training(tmp_path):
    alone, mixed = (
        train(chain(one), tmp_path / one[:3], learner=SupernetLearner, until=3)
        for one in ("single_path", "experts:copies=1,hidden=8")
    )
    slots = [key for key in alone.state if key.startswith("slots/")]
    assert slots
    assert all(torch.equal(alone.state[key], mixed.state[key]) for key in slots)


def test_blocks_are_trained_one_after_another(tmp_path):
    learner = SupernetLearner(chain("blockwise:hidden=8,width=4"), Ranks())
    strategy = learner.strategy
    assert [block.groups for block in strategy._blocks] == [("stem", "one"), ("two",)]
    assert [block.genes.tolist() for block in strategy._blocks] == [[True, False, False], [False, True, True]]
    changed = []
    for number in range(8):
        before = {name: value.detach().clone() for name, value in learner.weights.tensors.items()}
        average = {name: value for name, value in before.items() if name.endswith("@1")}
        one_step(learner, chain("single_path"), number)
        moved = {name for name, value in learner.weights.tensors.items() if not torch.equal(value, before[name])}
        changed.append({name.partition(".")[0] for name in moved})
        assert {name.removesuffix("@1") for name in moved & average.keys()} == moved - average.keys()
    assert changed == [{"stem", "one"}] * 3 + [set()] + [{"two"}] * 3 + [set()]
    visits = learner.weights.visits_by_slot()
    assert sum(count for name, count in visits.items() if name.startswith("stem.conv.weight")) == 3 * 4
    assert not any(count for name, count in visits.items() if name.startswith("classifier"))


def test_the_score_of_a_network_is_the_sum_of_the_effects_of_its_choices():
    strategy = SupernetLearner(chain("blockwise:hidden=8,width=4", replace(SHORT, epochs=50)), Ranks()).strategy
    assert strategy.table is None
    assert strategy.score((0, 0, 0)) is None
    truth = (np.array([0.5, 0.25]), np.array([0.5, 0.75]), np.array([0.0, 0.1]))
    for step in range(200):
        genomes = [one.genomes[0] for one in strategy.passes(step)]
        block = strategy._block_of(step)
        own = (0,) if block == 0 else (1, 2)
        strategy.told(
            step, [1 + (-1) ** step * 0.3 + sum(truth[gene][one[gene]] for gene in own) for one in genomes], []
        )
        if block == 1:  # the best choice of the first block is kept for the second
            assert {one[0] for one in genomes} == {1}
    table = strategy.table
    assert [len(one) for one in table] == [2, 2, 2]
    for effects, right in zip(table, truth, strict=True):
        assert effects[1] - effects[0] == pytest.approx(right[1] - right[0], abs=0.02)
    scores = {genome: strategy.score(genome) for genome in product((0, 1), repeat=3)}
    assert min(scores, key=scores.get) == (1, 0, 0)
    assert scores[1, 0, 0] == pytest.approx(2 + 0.25 + 0.5, abs=0.05)


def test_a_supernet_without_labels_is_judged_by_its_scores(tmp_path):
    events = []
    outcome = train(chain("blockwise:hidden=8,width=4"), tmp_path, events.append, learner=SupernetLearner)
    judged = [event.result for event in events if isinstance(event, Evaluated) and event.part == "test"]
    assert outcome.results["test"] == judged[0]
    assert all(one.accuracy is None for one in judged)
    assert all(0 < one.loss < 8 for one in judged)


def teacher(path, genome, spec=SPEC):
    """Write a network with drawn weights as a training does."""
    module = initialised(registry.create("spaces", spec).network(genome), 5)
    facts = Facts(spec, genome, "t", "classes", ("0", "1", "2"), (128.0,) * 3, (64.0,) * 3, "d", {}, {}, "0")
    write_weights(path, module.state_dict(), facts)
    return module.eval()


def test_a_teacher_gives_the_outputs_of_its_layers(tmp_path):
    genome = registry.create("spaces", SPEC).canonical((3,) * 6)
    path = tmp_path / "t.safetensors"
    module, found = teacher(path, genome), TrainedTeacher(path)
    inputs, kept = torch.rand(2, 3, 8, 8), []
    module.get_submodule("stem_norm").register_forward_hook(lambda part, given, output: kept.append(output))
    values = found.values((inputs,), ["stem", ""])
    assert torch.equal(values[""], module(inputs))
    assert torch.equal(values["stem"], kept[0])
    data = replace(colour(images(number=48, side=8)), mean=(90.0,) * 3, deviation=(50.0,) * 3)
    pixels = 255 * torch.rand(2, 3, 8, 8)
    facts = trained_weights.read(path)[1]
    own, given = (
        (pixels - torch.tensor(one.mean).view(1, -1, 1, 1)) / torch.tensor(one.deviation).view(1, -1, 1, 1)
        for one in (facts, data)
    )
    assert not torch.allclose(own, given)
    scaled = TrainedTeacher(path, data).values((given,), [""])[""]
    torch.testing.assert_close(scaled, module(own), rtol=1e-3, atol=1e-4)
    with pytest.raises(NasctlError, match="reads inputs of"):
        found.values((torch.rand(2, 3, 4, 4),), [""])


def test_blocks_learn_from_those_of_a_teacher(tmp_path):
    path = tmp_path / "t.safetensors"
    teacher(path, registry.create("spaces", SPEC).canonical((3,) * 6))
    asked = supernet(f"blockwise:teacher={path},paths=2")
    learner = SupernetLearner(asked, Ranks())
    assert learner.weights.copies == 1
    losses = [float(one_step(learner, asked, 0)[0]) for _ in range(8)]
    assert losses[-1] < losses[0]
    wrong = torch.rand(8, 5, 8, 8)
    with pytest.raises(NasctlError, match=r"values of shape \(5, 8, 8\)"):
        learner.strategy._check_shapes(0, learner.context.largest, wrong, wrong)
    teacher(path, registry.create("spaces", SPEC).canonical((2,) * 6))
    again = SupernetLearner(asked, Ranks())
    for name, value in again.strategy.arrays.items():
        value[...] = learner.strategy.arrays[name]
    with pytest.raises(NasctlError, match="has changed since the training began"):
        one_step(again, asked, 1)


def test_two_paths_share_no_choice_and_leave_the_classifier_to_labels():
    asked = chain("cross_path:queue=20,hidden=8,width=4")
    learner = SupernetLearner(asked, Ranks())
    for step in range(20):
        first, second = (one.genomes[0] for one in learner.strategy.passes(step))
        assert not any(one == other for one, other in zip(first, second, strict=True))
    before = {name: value.detach().clone() for name, value in learner.weights.tensors.items()}
    queue = learner.strategy.modules["heads"].queue.clone()
    one_step(learner, asked)
    moved = {name for name, value in learner.weights.tensors.items() if not torch.equal(value, before[name])}
    assert {name.removesuffix("@1") for name in moved if name.endswith("@1")} == {
        name for name in moved if not name.endswith("@1")
    }
    assert any(name.startswith("classifier") for name in moved)
    after = learner.strategy.modules["heads"].queue
    assert not torch.equal(after[:16], queue[:16])
    assert torch.equal(after[16:], queue[16:])


def test_mixed_images_have_no_two_views():
    with pytest.raises(NasctlError, match="Give mixup=0"):
        SupernetLearner(chain("cross_path", replace(SHORT, mixup=0.2)), Ranks())


TEXT = "bert:vocabulary=20,length=12"


class Encoder:
    """Encoders of one layer, with or without attention."""

    genes = (Gene("width", (8, 16)), Gene("attention", (False, True)))
    input = Input((12,), "tokens", 20)

    def canonical(self, genome):
        return tuple(genome)

    def network(self, genome):
        width, attends = (gene.choices[k] for gene, k in zip(self.genes, genome, strict=True))
        net = Builder(self.input.shape)
        x = net.add(Embedding(20, 16), *net.inputs, name="words")
        if attends:
            query, key, value = (net.add(Linear(width), x, name=f"mix.{one}") for one in ("query", "key", "value"))
            weights = net.add(Softmax(), net.add(AttentionScores(2), query, key, name="mix.scores"), name="mix.weights")
            x = net.add(Linear(16), net.add(WeightedValues(), weights, value, name="mix.attend"), name="mix.output")
        x = net.add(Linear(16), x, name="last")
        return net.build(net.add(Linear(2), net.add(MeanToken(), x, name="mean"), name="logits"))


def text(strategy):
    space, data = Encoder(), words("masked words", number=16)
    return SupernetProblem(
        space.network((1, 1)), space.input, data, SHORT, 3, "s", space=space, share="entangled", strategy=strategy
    )


def text_teacher(path, spec=TEXT, choice=1, data=None):
    """Write an encoder with drawn weights."""
    space = registry.create("spaces", spec)
    genome = space.canonical(tuple(min(choice, len(gene.choices) - 1) for gene in space.genes))
    module = initialised(space.network(genome), 5)
    data = str(words("masked words", number=16)) if data is None else data
    write_weights(path, module.state_dict(), Facts(spec, genome, "t", "masked words", None, (), (), data, {}, {}, "0"))
    return space.network(genome)


def test_encoders_learn_the_relations_of_a_teacher(tmp_path):
    path = tmp_path / "t.safetensors"
    text_teacher(path)
    asked = text(f"distil:teacher={path},random=1")
    learner = SupernetLearner(asked, Ranks())
    given, labels = (torch.from_numpy(one[:8]) for one in asked.data.examples("train", list(range(16))))
    losses = [float(learner.step(given, labels, 0, 0.01)[0]) for _ in range(5)]
    assert losses[-1] < losses[0]
    trained_slots = {name for name, count in learner.weights.visits_by_slot().items() if count}
    assert any("query" in name for name in trained_slots)
    assert any(name.startswith("head") for name in trained_slots)
    assert all(one.genomes[0][1] == 1 for step in range(9) for one in learner.strategy.passes(step))


def test_relations_are_softmaxes_over_words_and_a_network_has_none_from_itself():
    vectors = torch.randn(2, 5, 8)
    strategy = Distil.__new__(Distil)
    strategy._heads = 2
    found = strategy._relations(vectors)
    first = (vectors[0, :, :4] @ vectors[0, :, :4].T / 2).softmax(1)
    assert torch.allclose(found[0, 0].exp(), first, atol=1e-6)
    with pytest.raises(NasctlError, match="divisor"):
        strategy._relations(torch.randn(2, 5, 7))


def test_a_teacher_of_another_text_is_refused(tmp_path):
    path = tmp_path / "t.safetensors"
    text_teacher(path, "bert:vocabulary=21,length=12")
    learner = SupernetLearner(text(f"distil:teacher={path}"), Ranks())
    given, labels = (torch.from_numpy(one[:8]) for one in words("masked words").examples("train", list(range(8))))
    with pytest.raises(NasctlError, match="a vocabulary of 21"):
        learner.step(given, labels, 0, 0.01)
    text_teacher(path, data="another text split=0.8-0.1-0.1 seed=0")
    with pytest.raises(NasctlError, match=r"(?s)was trained on another text.*whose words have other numbers"):
        SupernetLearner(text(f"distil:teacher={path}"), Ranks()).step(given, labels, 0, 0.01)
    with pytest.raises(BadOption, match="teacher=FILE"):
        SupernetLearner(text("distil"), Ranks())


def test_a_supernet_is_known_by_the_content_of_its_teacher(tmp_path, monkeypatch):
    first, second = tmp_path / "t.safetensors", tmp_path / "copy.safetensors"
    teacher(first, registry.create("spaces", SPEC).canonical((3,) * 6))
    second.write_bytes(first.read_bytes())
    monkeypatch.chdir(tmp_path)

    def asked(path):
        spec = f"blockwise:teacher={path},paths=2"
        return SupernetRequest("nb201:resolution=8,cells=1,channels=4", "digits", strategy=spec).supernet()[0]

    one, other = asked("t.safetensors"), asked(second)
    assert one.name == other.name
    assert f"teacher={first}" in one.strategy
    assert f"teacher={one.teacher}" in one.known_strategy
    assert (len(one.teacher), str(tmp_path) in str(one.spec)) == (16, False)
    teacher(first, registry.create("spaces", SPEC).canonical((2,) * 6))
    assert asked(first).name != one.name
    with pytest.raises(NasctlError, match="Cannot learn from the teacher nowhere: there is no such file"):
        asked("nowhere")
