"""The text of a setting says what a value was measured on, and reads back as the same setting."""

import pickle
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from nasctl import registry
from nasctl.api import Candidate, Fidelity, NasctlError, Setting
from nasctl.candidates.setting import DEFAULT_DATA, make_setting, parts
from nasctl.candidates.weights_source import DrawnWeights
from nasctl.data import default_source, source
from nasctl.evaluation.task import Task
from nasctl.networks.weights import initialised
from nasctl.search.run import Run
from nasctl.testing import Chain

TOKENS = "rnn:vocabulary=50,length=9,layers=2,width=4,hidden=5"
IMAGES = "nb201:channels=4,cells=1"
DRAWN = "fidelity=batch=64,repeats=1,seed=0,device=cpu,threads=1"


@dataclass(frozen=True)
class ConstantWeights:
    """A source of weights for tests: one number everywhere."""

    value: float

    def __str__(self):
        return f"constant-{self.value}"

    def module(self, network, genome, seed, init):
        module = initialised(network, seed, init)
        for parameter in module.parameters():
            nn.init.constant_(parameter, self.value)
        return module


# --- data ---


@pytest.mark.parametrize(
    ("space", "setting", "text"),
    [
        (IMAGES, Setting(), f"data=dead_leaves,{DRAWN}"),
        (TOKENS, Setting(), f"data=tokens,{DRAWN}"),
        (IMAGES, Setting(source("noise"), seed=3), f"data=noise,{DRAWN.replace('seed=0', 'seed=3')}"),
        (TOKENS, Setting(seed=3), f"data=tokens,{DRAWN.replace('seed=0', 'seed=3')}"),
    ],
)
def test_values_are_filed_under_the_data_that_was_used(space, setting, text):
    metric = registry.create("objectives", "synflow" if space == IMAGES else "hidden_covariance")
    task = Task(registry.create("spaces", space), {"metric": metric}, setting)
    assert task.record(space).labels["metric"] == f"metric v{metric.version} @ {text}"
    assert Run(space, ("params",), setting=setting).asked["setting"] == text


def test_vectors_keep_the_label_of_images():
    setting = Task(Chain(), {}).setting
    candidate = Candidate(Chain(), (1, 1), setting, frozenset())
    assert str(setting) == f"data=dead_leaves,{DRAWN}"
    noise = Candidate(Chain(), (1, 1), replace(setting, data=source("noise")), frozenset())
    for one, other in zip(candidate.batch(), noise.batch(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("space", "data"), [(TOKENS, "tokens"), (IMAGES, "dead_leaves")])
def test_a_setting_from_the_command_line_has_the_data_of_the_space(space, data):
    made = registry.create("spaces", space)
    assert str(make_setting(made, "batch=64", None, 0)) == f"data={data},{DRAWN}"
    assert make_setting(made, "batch=64", None, 0) == make_setting(made, "batch=64", data, 0)
    assert make_setting(made, "batch=64", None, 0) == Task(made, {}).setting


def test_a_copy_for_a_worker_is_the_same_setting():
    for setting in (Setting(), Setting(default_source("tokens"), seed=4, weights=ConstantWeights(0.5))):
        copy = pickle.loads(pickle.dumps(setting))
        assert (copy, hash(copy), str(copy)) == (setting, hash(setting), str(setting))


# --- text ---


@pytest.mark.parametrize(
    "text",
    [
        f"data=dead_leaves,{DRAWN}",
        "data=photos.zip#b5330deb,fidelity=size=16,cells=1,batch=32,repeats=2,seed=7,device=cuda:0,threads=4",
        "data=a,fidelity=b,seed=1,device=c,threads=2.zip#b5330deb,fidelity=batch=64,repeats=1,seed=0,device=cpu,threads=1",
        "data=a,weights=b.zip#b5330deb,fidelity=batch=64,repeats=1,seed=0,device=cpu,threads=1",
        f"data=dead_leaves,{DRAWN},weights=supernet.pt#00ff00ff",
        f"data=a,weights=b.zip#b5330deb,{DRAWN},weights=supernet.pt#00ff00ff",
    ],
)
def test_a_text_reads_back_as_itself(text):
    assert str(Setting.parse(text)) == text


def test_the_fields_of_a_text():
    text = "data=photos.zip#b5330deb,fidelity=size=16,cells=1,batch=32,repeats=2,seed=7,device=cuda:0,threads=4"
    found = Setting.parse(text)
    assert (found.fidelity, found.seed, found.device, found.threads) == (Fidelity(16, 1, 32, 2), 7, "cuda:0", 4)
    assert found.weights == DrawnWeights()
    named = {"data": "photos.zip#b5330deb", "fidelity": "size=16,cells=1,batch=32,repeats=2", "weights seed": "7"}
    named |= {"torch device": "cuda:0", "threads": "4"}
    assert parts(text) == named
    assert parts(f"{text},weights=supernet.pt#00ff00ff") == named | {"weights": "supernet.pt#00ff00ff"}
    setting = Setting(source("noise"), Fidelity(8), 3, "cuda:1", 2, ConstantWeights(0.5))
    assert replace(Setting.parse(str(setting)), data=setting.data, weights=setting.weights) == setting


def test_a_text_that_is_no_setting_is_refused():
    for text in ("", "data=noise", f"data=noise,{DRAWN},weights=", f"data=noise,{DRAWN},weights=a,b"):
        with pytest.raises(NasctlError, match=r"Cannot read the setting .*: another version of nasctl wrote it"):
            Setting.parse(text)


def test_what_only_a_text_names_cannot_be_used():
    space = registry.create("spaces", IMAGES)
    recorded = Setting.parse(f"data=photos.zip#b5330deb,{DRAWN},weights=supernet.pt#00ff00ff")
    candidate = Candidate(space, (0,) * 6, recorded, frozenset())
    with pytest.raises(NasctlError, match=r"Cannot read examples of photos\.zip#b5330deb"):
        candidate.batch()
    with pytest.raises(NasctlError, match=r"Cannot load the weights supernet\.pt#00ff00ff"):
        candidate.module()


# --- weights ---


def test_drawn_weights_change_no_label():
    assert str(Setting()) == f"data=dead_leaves,{DRAWN}"
    assert str(Setting(weights=DrawnWeights())) == str(Setting())
    assert Setting().data == DEFAULT_DATA


def test_drawn_weights_follow_from_the_seed():
    space = registry.create("spaces", IMAGES)
    setting = Setting(seed=5)
    found = Candidate(space, (1,) * 6, setting, frozenset()).module("kaiming").state_dict()
    expected = initialised(space.network((1,) * 6), 5, "kaiming").state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_values_of_other_weights_are_filed_apart():
    space, metrics = registry.create("spaces", IMAGES), {"synflow": registry.create("objectives", "synflow")}
    labels = [
        Task(space, metrics, Setting(weights=weights)).record(IMAGES).labels["synflow"]
        for weights in (DrawnWeights(), ConstantWeights(0.5), ConstantWeights(0.25))
    ]
    assert labels[1:] == [f"{labels[0]},weights=constant-0.5", f"{labels[0]},weights=constant-0.25"]


def test_modules_come_from_the_source_of_weights():
    space = registry.create("spaces", IMAGES)
    module = Candidate(space, (0,) * 6, Setting(weights=ConstantWeights(0.5)), frozenset()).module()
    assert all((parameter == 0.5).all() for parameter in module.parameters())


@pytest.mark.parametrize("text", ["", "a,b"])
def test_a_source_of_weights_has_a_text_without_commas(text):
    class Unnamed(ConstantWeights):
        def __str__(self):
            return text

    with pytest.raises(ValueError, match="Cannot file values under the weights"):
        Setting(weights=Unnamed(0.5))
