"""Training of shared weights: resumption, several processes, passes, calibration and distances."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from paths import TESTS
from training.examples import QUICK, colour, images

from nasctl import registry
from nasctl.networks.weights import initialised
from nasctl.problem.space import Input
from nasctl.problem.strategy import Pass
from nasctl.supernets.calibration import calibrate
from nasctl.supernets.distances import distance_loss
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.problem import SupernetProblem
from nasctl.supernets.trained_supernet import SupernetFacts, TrainedSupernet, write
from nasctl.training.events import Evaluated, Ranks
from nasctl.training.loop import train

SPEC = "nb201:resolution=8,cells=1,channels=4,classes=3"


def supernet(strategy="single_path", recipe=QUICK, spec=SPEC, share="blocks", side=8):
    space = registry.create("spaces", spec)
    network = space.network(space.canonical((0,) * len(space.genes)))
    data = colour(images(number=48, side=side))
    return SupernetProblem(
        network, Input(network.input_shapes[0]), data, recipe, 3, "s", space=space, share=share, strategy=strategy
    )


@pytest.mark.parametrize(
    "strategy",
    [
        "single_path",
        pytest.param("fair", marks=pytest.mark.slow),
        pytest.param("sandwich:random=1,distance=alpha", marks=pytest.mark.slow),
    ],
)
def test_a_paused_training_ends_in_the_same_bits(strategy, tmp_path):
    asked = supernet(strategy, replace(QUICK, ema=0.5, evaluate=0))
    whole = train(asked, tmp_path / "a", learner=SupernetLearner)
    train(asked, tmp_path / "b", learner=SupernetLearner, until=2)
    again = train(asked, tmp_path / "b", learner=SupernetLearner)
    assert whole.state.keys() == again.state.keys()
    assert all(torch.equal(whole.state[key], again.state[key]) for key in whole.state)
    assert whole.results == again.results


def test_each_evaluation_judges_the_largest_the_smallest_and_samples(tmp_path):
    events = []
    train(supernet("fair", replace(QUICK, epochs=1)), tmp_path, events.append, learner=SupernetLearner)
    names = [event.subnet for event in events if isinstance(event, Evaluated) and event.part == "test"]
    assert names == ["largest", "smallest", "sample 1", "sample 2", "sample 3"]


class One:
    """A strategy of one network."""

    def __init__(self, genome):
        self.genome, self.arrays = genome, {}

    def passes(self, step):
        return (Pass((self.genome,)),)

    def told(self, step, losses, norms):
        self.losses = losses


def test_a_supernet_of_one_network_trains_as_the_network_does():
    """From the same weights, steps of the shared tensors are those of the module, bit for bit."""
    asked = supernet(recipe=replace(QUICK, flip=False, crop=0, cutout=0, clip=0.0))
    learner = SupernetLearner(asked, Ranks())
    genome = learner.context.largest
    learner.strategy = One(genome)
    network = asked.space.network(genome)
    module = initialised(network, 0).train()
    with torch.no_grad():
        for name, view in learner.weights.views(genome).items():
            view.copy_(module.get_parameter(name))
    decayed, plain = ([p for p in module.parameters() if (p.ndim > 1) == large] for large in (True, False))
    sgd = torch.optim.SGD(
        [{"params": decayed, "weight_decay": QUICK.weight_decay}, {"params": plain}], 0.1, 0.9, nesterov=True
    )
    for step in range(4):
        given, labels = (torch.from_numpy(one[:16]) for one in asked.data.examples("train", list(range(48))))
        loss, _ = learner.step(given, labels, step, 0.05)
        inputs = ((given.float() - 128) / 64).contiguous(memory_format=torch.channels_last)
        right = torch.nn.functional.cross_entropy(module(inputs), labels, label_smoothing=QUICK.smoothing)
        sgd.zero_grad()
        right.backward()
        for group in sgd.param_groups:
            group["lr"] = 0.05
        sgd.step()
        assert float(loss) == float(right.detach())
    assert all(torch.equal(view, module.get_parameter(name)) for name, view in learner.weights.views(genome).items())


def test_slots_without_a_pass_keep_their_values():
    asked = supernet()
    learner = SupernetLearner(asked, Ranks())
    before = {name: value.detach().clone() for name, value in learner.weights.tensors.items()}
    learner.strategy = One(learner.context.smallest)
    given, labels = (torch.from_numpy(one[:16]) for one in asked.data.examples("train", list(range(48))))
    learner.step(given, labels, 0, 0.1)
    used = {slot for _, slot, _ in learner.weights.hull.cuts(learner.context.smallest)}
    changed = {name for name, value in learner.weights.tensors.items() if not torch.equal(value, before[name])}
    assert changed <= used
    assert changed
    assert {name for name, count in learner.weights.visits_by_slot().items() if count} == used


@torch.no_grad()
def loss_of(learner, genome, prepared):
    return float(learner.learning.loss(learner.run(genome, prepared.inputs), prepared.targets))


def test_a_pass_trains_the_best_or_the_worst_of_its_networks():
    asked = supernet()
    learner = SupernetLearner(asked, Ranks())
    given, labels = (torch.from_numpy(one[:16]) for one in asked.data.examples("train", list(range(48))))
    prepared = learner.learning.training(given, labels, 0)
    genomes = tuple({learner.context.draw(learner.context.rng(k)) for k in range(5)})
    losses = {one: loss_of(learner, one, prepared) for one in genomes}
    chosen = {pick: learner._chosen(Pass(genomes, pick), prepared) for pick in ("best", "worst")}
    assert losses[chosen["best"]] == min(losses.values())
    assert losses[chosen["worst"]] == max(losses.values())


def test_calibration_is_the_same_however_often_and_in_whatever_order(tmp_path):
    asked = supernet(recipe=replace(QUICK, epochs=1, evaluate=0))
    learner = SupernetLearner(asked, Ranks())
    outcome = train(asked, tmp_path / "t", learner=SupernetLearner)
    facts = SupernetFacts(
        SPEC, "blocks", "single_path", 3, 3, "classes", ("0", "1", "2"), (128.0,) * 3, (64.0,) * 3, "d", {}, {}, "0"
    )
    write(tmp_path / "w.safetensors", outcome.state, learner.calibration_examples[0], facts)
    trained = TrainedSupernet(tmp_path / "w.safetensors")
    genomes = [learner.context.largest, learner.context.smallest]
    if any(not trained.weights.hull.fits(one) for one in genomes):
        pytest.fail("the hull has no place for the extremes")
    trained.weights.visits[...] = 1
    images_ = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8)
    first = [trained.module(one)(*trained.inputs(one, images_)) for one in genomes]
    again = [trained.module(one)(*trained.inputs(one, images_)) for one in reversed(genomes)][::-1]
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    module = trained.module(genomes[0])
    state = {name: value.clone() for name, value in module.state_dict().items()}
    calibrate(module, trained.calibration(genomes[0]))
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())


def test_weights_of_a_file_are_those_that_were_trained(tmp_path):
    asked = supernet(recipe=replace(QUICK, epochs=1, evaluate=0))
    outcome = train(asked, tmp_path / "t", learner=SupernetLearner)
    facts = SupernetFacts(
        SPEC, "blocks", "single_path", 3, 3, "classes", ("0", "1", "2"), (128.0,) * 3, (64.0,) * 3, "d", {}, {}, "0"
    )
    write(tmp_path / "w.safetensors", outcome.state, torch.zeros(4, 3, 8, 8, dtype=torch.uint8), facts)
    trained = TrainedSupernet(tmp_path / "w.safetensors")
    assert trained.facts == facts
    assert len(trained.digest) == 16
    assert all(torch.equal(value, outcome.state[f"slots/{name}"]) for name, value in trained.weights.tensors.items())
    assert trained.weights.visits.sum() == outcome.state["visits/slots"].sum() > 0


@pytest.mark.parametrize("distance", ["kl", "alpha"])
def test_distances_are_least_at_the_teacher(distance):
    teacher = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]])
    outputs = teacher.clone().requires_grad_()
    distance_loss(outputs, teacher, distance).backward()
    assert outputs.grad.abs().max() < 1e-6
    outputs = torch.zeros(2, 3, requires_grad=True)
    sgd = torch.optim.SGD([outputs], 1.0)
    for _ in range(300):
        sgd.zero_grad()
        distance_loss(outputs, teacher, distance).backward()
        sgd.step()
    assert torch.allclose(outputs.softmax(1), teacher.softmax(1), atol=1e-3)


SCRIPT = """
import json, sys
from dataclasses import replace
from pathlib import Path
import torch.distributed as distributed
from nasctl.supernets.learner import SupernetLearner
from nasctl.training.events import Ranks, StepDone
from nasctl.training.loop import train
from training.examples import QUICK
from supernets.test_supernet_learner import supernet

rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
if world > 1:
    store = f"file://{folder / 'meeting'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
ranks = Ranks(rank, world, distributed.all_reduce if world > 1 else lambda flat: None)
events = []
recipe = replace(QUICK, batch=15, epochs=4, recovery=100, evaluate=0)
asked = supernet("sandwich:random=1", recipe, "vit:classes=3,resolution=32", "entangled", 32)
outcome = train(asked, folder / str(world), events.append, ranks=ranks, learner=SupernetLearner)
print(json.dumps([event.loss for event in events if isinstance(event, StepDone)]))
"""


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path):
    """Layer norms have no statistics over a batch, so the losses of two shares are those of the whole."""
    found = []
    for world in (1, 2):
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(rank), str(world), str(tmp_path)],
                cwd=TESTS,
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(world)
        ]
        found.append([json.loads(one.communicate(timeout=300)[0].splitlines()[-1]) for one in processes])
    (one,), (first, second) = found
    assert first == second
    assert len(one) >= 10
    assert first[:10] == pytest.approx(one[:10], abs=1e-5)


def test_an_average_of_weights_is_what_is_evaluated_and_written(tmp_path):
    asked = supernet("fair", replace(QUICK, epochs=1, evaluate=0, ema=0.5))
    learners = []

    def made(problem, ranks):
        learners.append(SupernetLearner(problem, ranks))
        return learners[-1]

    outcome = train(asked, tmp_path / "t", learner=made)
    learner = learners[0]
    raw = learner.weights.tensors
    assert not all(torch.equal(value, outcome.state[f"slots/{name}"]) for name, value in raw.items())
    with torch.no_grad():
        for name, value in learner.weights.tensors.items():
            value.copy_(outcome.state[f"slots/{name}"])
    learner._ema = {}
    again = learner.evaluate("test", None, lambda: False)
    assert again["largest"] == outcome.results["test"]
