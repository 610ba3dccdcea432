"""Strategies that learn from a teacher, and `attentive`: the contract of `distil`, and trainings that go on."""

import pytest
import torch
from supernets.stack import problem
from supernets.test_given_weights import largest_weights
from supernets.test_own_losses import Encoder, supernet, teacher, text, text_teacher

from nasctl import registry
from nasctl.supernets.learner import SupernetLearner
from nasctl.testing import StrategyContract, strategy_context
from nasctl.training.loop import train


class TestDistil(StrategyContract):
    """The file of the teacher is read in the first step of a training, which the contract has not."""

    @pytest.fixture(scope="class")
    def context(self):
        return strategy_context(Encoder())

    @pytest.fixture(params=["distil:teacher=t", "distil:teacher=t,random=0", "distil:teacher=t,random=3,heads=2"])
    def strategy(self, request):
        return request.param


def from_weights(strategy):
    state = largest_weights().state_dict()
    return problem(strategy, start=lambda module: module.load_state_dict(state))


def taught_by_blocks(path):
    spec = "nb201:resolution=8,cells=1,channels=4,classes=3"
    teacher(path, registry.create("spaces", spec).canonical((3,) * 6))
    return supernet(f"blockwise:teacher={path},paths=2", spec=spec)


def taught_by_attention(path):
    text_teacher(path)
    return text(f"distil:teacher={path},random=1")


MADE = {
    "attentive": lambda path: problem("attentive:listed=100,candidates=2,random=1"),
    "attentive:up=worst": lambda path: problem("attentive:up=worst,listed=100,candidates=2,random=1"),
    "blockwise:teacher": taught_by_blocks,
    "distil": taught_by_attention,
    "elastic": lambda path: from_weights("elastic"),
    "elastic:teacher=given": lambda path: from_weights("elastic:teacher=given"),
}


@pytest.mark.parametrize(
    "name", [one if one == "elastic" else pytest.param(one, marks=pytest.mark.slow) for one in MADE]
)
def test_a_paused_training_ends_in_the_same_bits(name, tmp_path):
    asked = MADE[name](tmp_path / "t.safetensors")
    whole = train(asked, tmp_path / "a", learner=SupernetLearner)
    train(asked, tmp_path / "b", learner=SupernetLearner, until=3)
    again = train(asked, tmp_path / "b", learner=SupernetLearner)
    assert whole.state.keys() == again.state.keys()
    assert [key for key in whole.state if not torch.equal(whole.state[key], again.state[key])] == []
    assert whole.results == again.results
