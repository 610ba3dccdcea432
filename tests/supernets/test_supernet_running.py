"""The training of a supernet: names, the loss that counts as diverged, and results by network."""

from dataclasses import replace

import pytest
from supernets.small_space import Two
from training.examples import colour, images

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.supernets.learner import HARMLESS, SupernetLearner
from nasctl.supernets.question import Supernet, widest
from nasctl.supernets.running import seconds_of
from nasctl.training.events import Ranks
from nasctl.training.recipe import Recipe

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
