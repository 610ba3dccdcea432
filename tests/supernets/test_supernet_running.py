"""The training of a supernet: names, the loss that counts as diverged, and results by network."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from supernets.small_space import Two
from training.examples import colour, images

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.supernets.learner import HARMLESS, SupernetLearner
from nasctl.supernets.question import Supernet, widest
from nasctl.supernets.report import SupernetReport
from nasctl.supernets.running import SupernetLog, seconds_of
from nasctl.training.evaluation import Result
from nasctl.training.events import Evaluated, Ranks, StepDone
from nasctl.training.folder import TrainingFolder
from nasctl.training.recipe import Recipe
from nasctl.training.training import Work

SPACE = "nats_size:classes=3,resolution=8"
ASKED = Supernet(SPACE, "entangled", "sandwich:distance=kl,random=2", "classes", "photos", Recipe(epochs=1))


def test_the_name_shows_strategy_and_share_and_ends_in_a_digest():
    first, other = ASKED.name, replace(ASKED, seed=1).name
    assert first.startswith("nats_size-sandwich-entangled-")
    assert first[:-8] == other[:-8]
    assert first != other
    assert replace(ASKED, torch_device="cuda:1").identity == replace(ASKED, torch_device="cuda:0").identity
    assert replace(ASKED, recipe=Recipe(epochs=1, evaluate=0)).name == first  # a field that changes no weights
    assert replace(ASKED, called="mine").name == "mine"
    with pytest.raises(NasctlError, match="cannot be called 'a/b'"):
        replace(ASKED, called="a/b")


@pytest.mark.parametrize(("strategy", "factor"), [("sandwich", 1.0), ("single_path", HARMLESS), ("fair", HARMLESS)])
def test_the_loss_of_varying_networks_may_be_worse_than_chance(strategy, factor):
    problem = replace(ASKED, strategy=strategy).problem(colour(images()))
    learner = SupernetLearner(replace(problem, space=Two(classes=3)), Ranks())
    assert learner.harmless_loss == pytest.approx(factor * learner.learning.chance)


def test_images_are_read_at_the_largest_resolution():
    class Elastic:
        def __init__(self, space):
            self._space, self.genes, self.input = space, space.genes, space.input

        def canonical(self, genome):
            return genome

        def network(self, genome):
            side = 16 if genome[0] == 1 else 8
            return registry.create("spaces", f"nats_size:resolution={side}").network(genome)

    space = Elastic(registry.create("spaces", "nats_size:resolution=8"))
    assert len(space.genes[0].choices) > 2
    assert widest(space).input_shapes == ((3, 16, 16),)


def test_the_seconds_of_a_training_are_those_up_to_its_checkpoint():
    entries = [{"event": "checkpoint", "step": k, "seconds": 1.5 * k} for k in (2, 4)]
    assert seconds_of(entries, 3) == 3.0
    assert seconds_of(entries) == 6.0
    assert seconds_of([]) == 0.0


def small(strategy, **fields):
    problem = replace(ASKED, strategy=strategy, share="blocks", **fields).problem(colour(images(side=8)))
    return replace(problem, space=Two(classes=3))


def test_networks_with_untrained_weights_are_not_judged_and_said_once(tmp_path):
    said, problem = [], small("single_path", recipe=Recipe(epochs=1, batch=8))
    log = SupernetLog(
        ASKED, problem.data, TrainingFolder(tmp_path), Work(workers=0, note=said.append), lambda event: None
    )
    learner = log.make_learner(problem, Ranks())
    assert learner.evaluate("validation", None, lambda: False) == {}
    assert len(said) == 2  # the first sentence is the size
    assert "not judged while no step has reached some of their weights: largest, sample 1, sample 2" in said[1]
    given, labels = (torch.from_numpy(one[:8]) for one in problem.data.examples("train", np.arange(8)))
    learner.step(given, labels, 0, 0.1)
    (trained,) = (one.genomes[0] for one in learner.strategy.passes(0))
    judged = learner.evaluate("validation", None, lambda: False)
    assert [name for name, genome in learner.judged.items() if genome == trained] == list(judged)
    assert len(said) == 2
    assert all(one.grad is None for one in learner.weights.tensors.values())  # they take no memory between steps


def test_a_second_learner_of_a_training_begins_after_the_first_is_gone(tmp_path, monkeypatch):
    problem, alive = small("sandwich:random=1"), []
    log = SupernetLog(ASKED, problem.data, TrainingFolder(tmp_path), Work(workers=0), lambda event: None)
    begin = SupernetLearner.__init__

    def counted(self, *given):
        assert all(one() is None for one in alive)
        begin(self, *given)
        alive.append(weakref.ref(next(iter(self.weights.tensors.values()))))

    name = next(iter(log.make_learner(problem, Ranks()).weights.tensors))
    monkeypatch.setattr(SupernetLearner, "__init__", counted)
    assert name in log.make_learner(problem, Ranks()).weights.tensors
    log.make_learner(problem, Ranks())
    assert len(alive) == 2


def test_results_are_shown_though_fewer_networks_are_judged(capsys):
    report, results = SupernetReport(ASKED, colour(images())), iter(range(10, 20))

    def judged(name):
        result = Result(1.0, next(results) / 100, None, 100, 0.01)
        report.follow(Evaluated("validation", result, 1, 1.0, name))

    with report:
        judged("smallest")
        judged("sample 2")
        report.follow(StepDone(1, 6, 1, 1.0, None, 1.0, 0.1))
        judged("largest")
    lines = [line for line in capsys.readouterr().err.splitlines() if "validation of" in line]
    assert "validation of the smallest 10.0%" in lines[0]
    assert lines[0].endswith("samples 11.0%")
    assert "validation of the largest 12.0%" in lines[1]
