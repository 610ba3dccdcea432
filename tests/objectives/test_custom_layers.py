"""Metrics on layers with code of their own: plug-ins' modules, subclasses, and layers that no metric can speak of."""

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from layer_networks import SETTING, ModuleSpace, Recurrent, Tail, candidate, scores
from torch import nn

from nasctl.api import (
    Builder,
    Call,
    Conv,
    Fidelity,
    Flatten,
    Gene,
    GlobalAvgPool,
    Input,
    Layer,
    Linear,
    ReLU,
    SeparableConv1d,
    layer_kind,
)
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import version_on
from nasctl.networks.layer_kinds import class_kind, switch_point
from nasctl.networks.torch_functions import custom_facts
from nasctl.registry import create, names

WEIGHT_METRICS = ("l2_norm", "snip", "grad_norm", "plain", "zico", "gradsign", "ntk_trace", "synflow")


@dataclass(frozen=True)
class Own(Layer):
    """A layer with a module class of a plug-in."""

    kind: type[nn.Module]
    arguments: tuple[object, ...] = ()

    def params(self, *inputs):
        return sum(one.numel() for one in self.kind(*self.arguments).parameters())

    def module(self, *inputs):
        return Call(self.kind, *self.arguments)


class Chain:
    """A stem, some layers in its shape, and a classifier."""

    input, genes = Input((3, 8, 8)), (Gene("one", (0,)),)

    def __init__(self, *layers):
        self._layers = layers

    def canonical(self, genome):
        return genome

    def reduced(self, fidelity):
        return self

    def network(self, genome):
        net = Builder(self.input.shape)
        x = net.add(Conv(6, 3, bias=True), *net.inputs, name="stem")
        for k, layer in enumerate(self._layers):
            x = net.add(layer, x, name=f"middle{k}")
        x = net.add(Flatten(), net.add(GlobalAvgPool(), x, name="pool"), name="flat")
        return net.build(net.add(Linear(4), x, name="fc"))


class Convolved(nn.Conv2d):
    """A subclass with a forward method of its own, which adds nothing."""

    def forward(self, x):
        return super().forward(x)


class Renamed(nn.BatchNorm2d):
    """A subclass without anything of its own."""


class ByHand(nn.Module):
    """A convolution of a free parameter, and a rectifier function."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(6, 6, 3, 3), 5**0.5))
        self.scale = nn.Parameter(torch.ones(6, 1, 1))

    def forward(self, x):
        return F.relu(F.conv2d(x, self.kernel, padding=1) * self.scale)


class Whole(nn.Module):
    """The same of layers."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.ReLU()

    def forward(self, x):
        return self.act(self.conv(x))


class Standardised(nn.Conv2d):
    """A convolution whose kernel has mean 0 and variance 1, by the kernel of batch norms."""

    def forward(self, x):
        rows = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(rows, None, None, training=True).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Mean(nn.Module):
    """The deviation from the mean of the batch."""

    def forward(self, x):
        return x - x.mean(0, keepdim=True)


class Statistics(nn.Module):
    def forward(self, x):
        return F.batch_norm(x, None, None, training=True)


class Turned(nn.Module):
    """A rectifier of values with the channels in front."""

    def forward(self, x):
        return F.relu(x.transpose(0, 1)).transpose(0, 1)


class Normed(nn.Module):
    def forward(self, x):
        return F.group_norm(x, 2)


class Gated(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


def test_a_plug_in_s_functions_count_like_layers():
    by_hand = scores(Chain(Own(ByHand)), *WEIGHT_METRICS, "naswot", "swap", "grasp")
    whole = scores(Chain(Own(Whole)), *WEIGHT_METRICS, "naswot", "swap", "grasp")
    assert by_hand == pytest.approx(whole, rel=1e-2)
    module = Candidate(Chain(Own(ByHand)), (0,), SETTING, frozenset({"module"}))
    assert list(module.weights_of(module.module())) == ["stem.weight", "fc.weight", "middle0.kernel"]


def test_a_subclass_counts_like_its_base():
    metrics = (*WEIGHT_METRICS, "zen", "ntk_cond", "expressivity", "fisher")
    options = (6, 6, 3, 1, 1)
    for one, base in (
        (Own(Renamed, (6,)), Own(nn.BatchNorm2d, (6,))),
        (Own(Convolved, options), Own(nn.Conv2d, options)),
    ):
        both = [scores(Chain(layer, Own(nn.BatchNorm2d, (6,)), ReLU()), *metrics) for layer in (one, base)]
        assert both[0] == pytest.approx(both[1], rel=1e-3)
        assert all(isinstance(value, float) for value in both[0].values())


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(6, 6, 1, bias=False), nn.Conv2d(6, 6, 1, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(self.a(x).relu())


def test_a_weight_of_two_layers_counts_once_with_all_its_gradients():
    given = Candidate(Chain(Own(Tied), ReLU()), (0,), SETTING, frozenset({"module"}))
    module, (x, labels) = given.module(), given.batch()
    weights = [module.stem.weight, module.fc.weight, module.middle0.a.weight]
    assert list(given.weights_of(module)) == ["stem.weight", "middle0.a.weight", "fc.weight"]
    rows = [torch.autograd.grad(module(x[k : k + 1])[0, labels[k]], weights) for k in range(len(x))]
    trace = sum(float(one.square().sum()) for row in rows for one in row)
    gradients = torch.autograd.grad(F.cross_entropy(module(x), labels), weights)
    found = scores(Chain(Own(Tied), ReLU()), "ntk_trace", "grad_norm")
    assert found["ntk_trace"] == pytest.approx((trace / len(x)) ** 0.5, rel=1e-4)
    assert found["grad_norm"] == pytest.approx(sum(float(one.norm()) for one in gradients), rel=1e-4)


def test_a_standardised_kernel_counts_as_a_weight_and_its_norm_as_one():
    found = scores(Chain(Own(Standardised, (6, 6, 3, 1, 1)), ReLU()), "snip", "l2_norm", "synflow")
    plain = scores(Chain(Own(nn.Conv2d, (6, 6, 3, 1, 1)), ReLU()), "l2_norm", "synflow")
    assert isinstance(found["snip"], float)
    assert (found["l2_norm"], found["synflow"]) == pytest.approx((plain["l2_norm"], plain["synflow"]), rel=1e-6)


@pytest.mark.parametrize("kind", [Mean, Statistics])
@pytest.mark.parametrize("metric", ["gradsign", "ntk_cond", "ntk_trace"])
def test_a_layer_that_mixes_examples_has_no_gradients_of_single_ones(kind, metric):
    found = scores(Chain(Own(kind), ReLU()), metric, "snip")
    assert f"middle0 ({kind.__name__}) mixes the examples of a batch" in found[metric]
    assert isinstance(found["snip"], float)


def test_rectifiers_without_the_examples_in_front_have_no_codes():
    setting = replace(SETTING, fidelity=Fidelity(batch=5))
    found = scores(Chain(Own(Turned)), "naswot", "swap", "snip", setting=setting)
    assert "middle0 (Turned) rectifies values of shape 6x5x8x8, without the examples in front" in found["naswot"]
    assert found["naswot"] == found["swap"]
    assert isinstance(found["snip"], float)


@pytest.mark.parametrize("kind", [Gated, nn.Softmax2d])
def test_a_layer_that_is_not_linear_has_no_synflow(kind):
    found = scores(Chain(Own(kind)), "synflow")["synflow"]
    assert f"middle0 ({kind.__name__})" in found


def test_zen_is_about_batch_norms():
    norm = Own(nn.BatchNorm2d, (6,))
    assert isinstance(scores(Chain(norm, ReLU()), "zen")["zen"], float)
    assert "middle1 is another norm" in scores(Chain(norm, Own(nn.GroupNorm, (2, 6)), ReLU()), "zen")["zen"]
    assert "middle0 is another norm" in scores(Chain(Own(Normed)), "zen")["zen"]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_of_torch_have_hidden_states(kind):
    found = scores(lambda: Recurrent(kind(6, 6, batch_first=True)), "hidden_covariance")["hidden_covariance"]
    given = candidate(lambda: Recurrent(kind(6, 6, batch_first=True)))
    module, (x, _) = given.module().eval(), given.batch()
    outputs = []
    module.layer.register_forward_hook(lambda part, inputs, output: outputs.append(output.detach().double()))
    module(x)
    states = F.pad(outputs[0], (0, 0, 1, 0))[:, :-1].permute(2, 0, 1).flatten(1)
    values = torch.linalg.eigvalsh(torch.corrcoef(states)) + 1e-5
    assert found == pytest.approx(-float((values.log() + 1 / values).sum()), rel=1e-4)


def test_a_stack_of_recurrent_layers_hides_its_states():
    found = scores(lambda: Recurrent(nn.LSTM(6, 6, 2, batch_first=True)), "hidden_covariance")["hidden_covariance"]
    assert "layer (SequenceLSTM) shows only the states of its last layer" in found


def test_a_separable_convolution_is_two_convolutions():
    class Sequences(Chain):
        input = Input((3, 8, 8))

        def network(self, genome):
            net = Builder(self.input.shape)
            x = net.add(Own2d(), *net.inputs, name="rows")
            x = net.add(SeparableConv1d(5, 3), x, name="separable")
            return net.build(net.add(Linear(4), net.add(Flatten(), x, name="flat"), name="fc"))

    @dataclass(frozen=True)
    class Own2d(Layer):
        def out(self, *inputs):
            return (64, 3)

        def module(self, *inputs):
            return Call("FlattenMap")

    given = Candidate(Sequences(), (0,), SETTING, frozenset({"module"}))
    weights = given.weights_of(given.module())
    assert [*weights] == ["separable.depthwise.weight", "separable.pointwise.weight", "fc.weight"]
    found = scores(Sequences(), "l2_norm")["l2_norm"]
    assert found == pytest.approx(sum(float(one.detach().norm()) for one in weights.values()), rel=1e-5)


def test_kinds_of_layers_are_those_of_their_base_classes():
    kinds = {
        nn.LazyConv1d: "convolution",
        nn.ConvTranspose3d: "convolution",
        nn.modules.linear.NonDynamicallyQuantizableLinear: "linear",
        nn.SyncBatchNorm: "norm",
        nn.CrossMapLRN2d: "norm",
        Renamed: "norm",
        nn.LSTMCell: "recurrent",
        nn.GRU: "recurrent",
        nn.ReLU6: "rectifier",
        nn.RReLU: "rectifier",
        nn.Tanh: "activation",
        nn.Softmin: "softmax",
        nn.EmbeddingBag: "embedding",
        nn.MultiheadAttention: "attention",
        nn.MaxPool2d: "other",
    }
    assert {kind: class_kind(kind) for kind in kinds} == kinds
    assert (switch_point(nn.Threshold(0.5, 0)), switch_point(nn.Hardtanh()), switch_point(nn.ReLU6())) == (0.5, -1, 0)


def test_embeddings_and_position_tables_are_no_weights():
    space = create("spaces", "rnn:vocabulary=40,length=6,hidden=8,width=8")
    net = space.network(space.canonical((0,) * len(space.genes)))
    assert {layer_kind(node) for node in net.nodes} == {"other"}
    assert all(custom_facts(node.layer, node.in_shapes).failure == "" for node in net.nodes)
    table, scores_of = net.nodes[0], net.nodes[-1]
    assert custom_facts(table.layer, table.in_shapes).weights == frozenset()
    assert custom_facts(scores_of.layer, scores_of.in_shapes).weights == frozenset()


@pytest.mark.parametrize(
    ("space", "weights", "blocks"),
    [
        ("bert", "2", "2"),
        ("flexibert", "2", "2"),
        ("rnn", "1", "2"),
        ("nb201", "1", "2"),
        ("darts", "1", "3"),
        ("nats_size", "1", "3"),
    ],
)
def test_versions_rise_only_where_values_changed(space, weights, blocks):
    made = create("spaces", space)
    assert version_on(create("objectives", "snip"), made) == weights
    assert version_on(create("objectives", "params"), made) == "1"
    if made.input.kind == "images":
        assert version_on(create("objectives", "trainability"), made) == blocks


CHANGED = [
    "snip",
    "l2_norm",
    "grad_norm",
    "fisher",
    "grasp",
    "zico",
    "plain",
    "gradsign",
    "lga",
    "ntk_cond",
    "ntk_trace",
    "epe_nas",
    "jacov",
    "linear_regions",
    "naswot",
    "swap",
    "expected_synflow",
    "hidden_covariance",
    "synflow",
    "macs",
    "zen",
    "expressivity",
    "progressivity",
    "trainability",
]


class Choice(Chain):
    """A chain with one of two rectifiers; the first network drawn has that of nasctl."""

    genes = (Gene("act", (0, 1)), Gene("other", tuple(range(8))))

    def network(self, genome):
        return Chain((Own(nn.LeakyReLU), ReLU())[genome[0]]).network(genome)


@pytest.mark.parametrize("metric", CHANGED)
def test_versions_rise_on_networks_with_layers_of_other_classes(metric):
    objective = create("objectives", metric)
    risen = str(int(objective.version) + 1)
    assert version_on(objective, Chain(Own(nn.LeakyReLU))) == risen
    assert version_on(objective, ModuleSpace(lambda: Tail(nn.GroupNorm(2, 6), 6))) == risen
    assert version_on(objective, Choice()) == risen
    if metric not in ("expressivity", "progressivity", "trainability"):  # the blocks of this network have changed
        assert version_on(objective, Chain(ReLU())) == objective.version


def test_every_metric_gives_a_number_or_one_sentence_on_every_layer():
    for build in (lambda: Tail(nn.ConvTranspose2d(6, 5, 2, 2), 5), lambda: Recurrent(nn.LSTM(6, 6, batch_first=True))):
        metrics = [
            name
            for name in names("objectives")
            if name
            not in ("accuracy", "expected_latency", "expected_macs", "latency", "lga", "loss", "score", "trained")
        ]
        for name, value in scores(ModuleSpace(build), *metrics).items():
            assert isinstance(value, float) or value.startswith(("ValueError: ", "ArithmeticError: ")), (name, value)
