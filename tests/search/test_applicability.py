"""Metrics that say nothing of a space are refused before anything is measured."""

import re

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from nasctl import registry
from nasctl.api import (
    Add,
    Builder,
    Classifier,
    ClassToken,
    Conv,
    Embedding,
    FeedForward,
    FirstToken,
    FlattenMap,
    Gene,
    HSwish,
    Input,
    LayerNorm,
    Linear,
    MaxPool,
    Network,
    PatchEmbedding,
    PositionEmbedding,
    ReLU,
    ReLU6,
    SelfAttention,
    Sigmoid,
    Tanh,
    only_attention,
    only_maps,
)
from nasctl.candidates.setting import Setting
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.hardware.profiling.network_call import network_call
from nasctl.problem.fidelity import Fidelity
from nasctl.search import applicability
from nasctl.search.run import Run

IMAGES_ONLY = {"epe_nas", "jacov"}
CONVOLUTIONS_ONLY = {
    "expected_synflow",
    "expressivity",
    "linear_regions",
    "progressivity",
    "synflow",
    "trainability",
    "zen",
}


class Transformer:
    """Two layers of attention over an image's patches, or over tokens."""

    def __init__(self, kind):
        self.input = Input((3, 32, 32)) if kind == "images" else Input((12,), "tokens", 50)
        self.genes = (Gene("heads", (2, 4)),)

    def canonical(self, genome):
        return genome

    def reduced(self, fidelity):
        return self

    def network(self, genome):
        net = Builder(self.input.shape)
        if self.input.kind == "images":
            x = net.add(PatchEmbedding(16, 8), *net.inputs, name="patches")
            x = net.add(ClassToken(), net.add(FlattenMap(), x, name="tokens"), name="class")
        else:
            x = net.add(Embedding(50, 16), *net.inputs, name="embedding")
        x = net.add(PositionEmbedding(), x, name="positions")
        for block, name in ((SelfAttention(2 + 2 * genome[0]), "attention"), (FeedForward(40), "feed")):
            y = net.add(block, net.add(LayerNorm(), x, name=f"{name}_norm"), name=name)
            x = net.add(Add(), x, y, name=f"{name}_add")
        return net.build(net.add(Linear(5), net.add(FirstToken(), x, name="first"), name="head"))


@pytest.mark.parametrize(("kind", "out"), [("images", set()), ("tokens", IMAGES_ONLY)])
def test_every_metric_gives_a_number_or_says_why_not(kind, out):
    space = Transformer(kind)
    names = [name for name in registry.trusted("objectives") if registry.optional("objectives", name)]
    metrics = {name: registry.create("objectives", name) for name in names if name not in ("lga", "trained")}
    refused = applicability.inapplicable_reasons(space, metrics)
    assert CONVOLUTIONS_ONLY | out <= refused.keys()
    metrics = {name: metric for name, metric in metrics.items() if name not in refused}
    assert {"params", "macs", "snip", "naswot", "gradsign", "ntk_cond", "zico"} <= metrics.keys()
    task = Task(space, metrics, Setting(fidelity=Fidelity(batch=8)))
    found = measure(task, (1,), {name: name for name in metrics})
    assert {name: one.error for name, one in found.items() if one.error} == {}


def test_recurrent_cells_have_no_rectifiers_and_put_out_logits_everywhere():
    space = registry.create("spaces", "rnn:vocabulary=50,length=8,hidden=12,width=8")
    names = ["naswot", "swap", "ntk_cond", "ntk_trace", "gradsign", "lga", "snip", "grad_norm", "hidden_covariance"]
    refused = applicability.inapplicable_reasons(space, {name: registry.create("objectives", name) for name in names})
    assert set(names) - refused.keys() == {"snip", "grad_norm", "hidden_covariance"}
    assert refused["naswot"] == "these networks have no rectifiers"
    assert refused["lga"] == "these networks put out logits at every place of an example"


def test_a_hybrid_of_convolution_and_attention_has_no_feed_forward_layers():
    names = ("activation_distance", "synaptic_saliency", "head_confidence")
    metrics = {name: registry.create("objectives", name) for name in names}
    assert applicability.inapplicable_reasons(registry.create("spaces", "hytra:resolution=32"), metrics).keys() == {
        *names[:2]
    }


def test_what_suits_is_what_people_get_by_default():
    asked = ("synflow", "jacov", "snip", "naswot")
    assert applicability.first_applicable(Transformer("tokens"), asked, 3) == ["snip", "naswot"]
    assert applicability.first_applicable(Transformer("images"), asked, 2) == ["jacov", "snip"]
    assert applicability.first_applicable(registry.create("spaces", "nb201"), asked, 3) == ["synflow", "jacov", "snip"]


def test_what_does_not_suit_is_one_sentence_before_anything_is_written(monkeypatch, tmp_path):
    create = registry.create
    known = {"text": Transformer("tokens")}
    monkeypatch.setattr(registry, "create", lambda kind, spec, *rest: known.get(spec) or create(kind, spec, *rest))
    for arguments in (["search"], ["objective", "score", "--sample", "3"]):
        typed = [*arguments, "--space", "text", "-o", "macs,synflow", "--store", str(tmp_path / "store")]
        result = CliRunner().invoke(cli, typed)
        assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
        message = "synflow says nothing of this space: it is about images, and these networks take tokens; leave it out"
        assert message in result.stderr
    with pytest.raises(NasctlError, match="jacov says nothing of this space: it needs gradients of the input"):
        Run("text", ("jacov",)).task  # noqa: B018


@pytest.mark.parametrize(("runtime", "precision"), [("torch", "bfloat16"), ("onnxruntime", "float32")])
def test_networks_that_take_tokens_are_timed_with_tokens(runtime, precision):
    network = Transformer("tokens").network((0,))
    timed = network_call(network, runtime, "cpu", 1, 2, precision)
    with torch.no_grad():
        (out,) = timed() if runtime == "onnxruntime" else [timed()]
    assert out.shape == (2, 5)


class Choosing:
    """A chain whose gene chooses the activation, or a pool without a closed form."""

    input = Input((3, 8, 8))

    def __init__(self, *choices):
        self.genes = (Gene("first", choices), Gene("second", choices), Gene("third", choices))

    def canonical(self, genome):
        return genome

    def reduced(self, fidelity):
        return self

    def network(self, genome):
        net = Builder(self.input.shape)
        (x,) = net.inputs
        for k, choice in enumerate(genome):
            x = net.add(Conv(4, 3), x, name=f"conv{k}")
            x = net.add(self.genes[k].choices[choice], x, name=f"choice{k}")
        return net.build(net.add(Classifier(5), x, name="classifier"))


def reason(space, name):
    return applicability.inapplicable_reasons(space, {name: registry.create("objectives", name)}).get(name, "")


def test_a_metric_that_fails_on_most_networks_is_refused_with_what_to_use():
    said = reason(Choosing(ReLU(), MaxPool(3), MaxPool(5), HSwish()), "expected_synflow")
    why = r"it fails on (\d+) of 10 random networks \(no closed form is known for \w+ in choice\d\)"
    assert re.fullmatch(rf"{why}; use expected_synflow:linear", said)
    assert reason(Choosing(ReLU(), MaxPool(3), MaxPool(5), HSwish()), "expected_synflow:linear") == ""
    assert reason(Choosing(ReLU(), ReLU6()), "params") == ""
    # Only a few of the networks have no closed form here.
    assert reason(Choosing(*[ReLU()] * 30, MaxPool(3)), "expected_synflow") == ""


def test_a_metric_applies_if_most_networks_have_what_it_is_about():
    assert reason(Choosing(ReLU(), Tanh()), "naswot") == ""
    assert reason(Choosing(Tanh(), Sigmoid()), "naswot") == "these networks have no rectifiers"


@pytest.mark.parametrize(
    ("space", "remedy"),
    [("nb101", "expected_synflow:linear"), ("mbconv", "expected_synflow:linear"), ("darts", "synflow"), ("nb201", "")],
)
def test_expected_synflow_of_shipped_spaces(space, remedy):
    assert reason(registry.create("spaces", space), "expected_synflow").partition("; use ")[2] == remedy


def test_the_refusal_is_one_sentence(tmp_path):
    typed = ["search", "--space", "nb101", "-o", "macs,expected_synflow", "--store", str(tmp_path / "store")]
    result = CliRunner().invoke(cli, typed)
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "expected_synflow says nothing of this space: it fails on 10 of 10 random networks (" in result.stderr
    assert result.stderr.rstrip().endswith("; use expected_synflow:linear")


def test_networks_of_one_dimensional_convolutions_attend_to_nothing():
    def build(*middle):
        return nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 8, 5), *middle, nn.AdaptiveAvgPool1d(1), nn.Flatten())

    given = Input((3, 8, 8))
    assert only_maps(given, Network.from_module(build(nn.ReLU()), given.shape)) == ""
    attends = "it is about convolutions, and these networks attend to sequences"
    assert only_maps(given, Network.from_module(build(nn.Linear(60, 60)), given.shape)) == attends


def test_attention_inside_one_layer_is_named():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.fc = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 4)

        def forward(self, x):
            x = x.flatten(2)
            return self.fc(self.mix(x, x, x, need_weights=False)[0].mean(1))

    given = Input((3, 2, 4))
    said = only_attention(given, Network.from_module(Attending(), given.shape))
    assert said == "it is about the layers of attention, and mix computes its attention inside one layer"
