"""Every metric of weights speaks of every layer with weights: the same number as plain torch, or a refusal by name."""

import math

import pytest
import torch
import torch.nn.functional as F
from layer_networks import NETWORKS, SETTING, SHAPE, ModuleSpace, Tail, candidate, scores
from torch import library, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from nasctl.api import Network
from nasctl.networks.torch_functions import node_facts

GRADIENTS = ("l2_norm", "snip", "grad_norm", "plain", "grasp", "zico")
PER_SAMPLE = ("gradsign", "ntk_cond", "ntk_trace")
HIDDEN_OUTPUTS = {"MultiheadAttention", "LSTM", "GRU", "RNN", "@", "einsum"}
NOT_LINEAR = {"Bilinear", "MultiheadAttention", "LSTM", "GRU", "RNN"}


SCHEMA = "(Tensor x, Tensor w) -> Tensor"
FUNCTIONS = {
    "matmul": torch.matmul,
    "linalg.matmul": torch.linalg.matmul,
    "linalg.vecdot": lambda x, w: torch.linalg.vecdot(x[:, :, None], w),
    "multi_dot": lambda x, w: torch.linalg.multi_dot([x[:, 0], w, w.detach().T]),
    "einsum": lambda x, w: torch.einsum("bti,io->bto", x, w),
    "aten": lambda x, w: torch.ops.aten.matmul(x, w),
    "_addmm_activation": lambda x, w: torch._addmm_activation(x.new_zeros(6), x[:, 0], w),
    "cdist": torch.cdist,
    "cdist of another norm": lambda x, w: torch.cdist(x, w, p=1.0),
    "cosine_similarity": lambda x, w: torch.cosine_similarity(x[:, :, None], w, -1),
    "mul": lambda x, w: x[..., None] * w,
}
NO_PRODUCT = ("cdist of another norm", "cosine_similarity", "mul")


class Weighted(nn.Module):
    """A function of the input and a parameter."""

    def __init__(self, function):
        super().__init__()
        self.w, self.function = nn.Parameter(torch.rand(6, 6)), function

    def forward(self, x):
        return self.function(x, self.w).flatten(1)


def weights_of(module, kind):
    """The weights of a network of `NETWORKS`, told by name and not by class."""
    own = NETWORKS[kind][1]
    named = dict(module.named_parameters())
    found = [one for name, one in named.items() if name in ("stem.weight", "fc.weight")]
    more = [
        one
        for name, one in named.items()
        if any(name.endswith(f".{end}") for end in own) and name not in ("stem.weight", "fc.weight")
    ]
    found += [one for one in more if all(one is not other for other in found)]
    assert len(found) == 2 + len(own)
    return found


@pytest.mark.parametrize("kind", NETWORKS)
def test_metrics_of_gradients_equal_plain_torch(kind):
    given = candidate(NETWORKS[kind][0])
    module, (x, labels), (more, others) = given.module(), given.batch(0), given.batch(1)
    weights = weights_of(module, kind)
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernel cannot be differentiated twice
        loss = F.cross_entropy(module(x), labels)
        first = torch.autograd.grad(loss, weights, create_graph=True)
    second = torch.autograd.grad(F.cross_entropy(module(more), others), weights)
    flow = sum((a * a.detach()).sum() for a in first)
    products = torch.autograd.grad(flow, weights)  # H g
    first = [one.detach() for one in first]
    ratios = [((a.abs() + b.abs()) / (a - b).abs())[a != b].sum() for a, b in zip(first, second, strict=True)]
    right = {
        "l2_norm": sum(float(one.detach().norm()) for one in weights),
        "snip": sum(float((w * g).detach().abs().sum()) for w, g in zip(weights, first, strict=True)),
        "grad_norm": sum(float(one.norm()) for one in first),
        "plain": sum(float((w * g).detach().sum()) for w, g in zip(weights, first, strict=True)),
        "grasp": -sum(float((w * hg).detach().sum()) for w, hg in zip(weights, products, strict=True)),
        "zico": sum(math.log(float(one)) for one in ratios if one > 0),
    }
    found = scores(NETWORKS[kind][0], *GRADIENTS)
    for name, value in right.items():
        assert found[name] == pytest.approx(value, rel=2e-2 if name in ("grasp", "zico") else 1e-4, abs=1e-4), name


@pytest.mark.parametrize("kind", NETWORKS)
def test_metrics_of_single_examples_equal_examples_one_by_one(kind):
    given = candidate(NETWORKS[kind][0])
    module, (x, labels) = given.module(), given.batch()
    weights = weights_of(module, kind)

    def gradients(quantity):
        rows = [torch.autograd.grad(quantity(module(x[k : k + 1]), labels[k : k + 1]), weights) for k in range(len(x))]
        return torch.stack([torch.cat([one.flatten() for one in row]) for row in rows]).double()

    logits, losses = gradients(lambda out, label: out.sum()), gradients(F.cross_entropy)
    targets = gradients(lambda out, label: out[0, label[0]])
    values = torch.linalg.eigvalsh(logits @ logits.T)
    found = scores(NETWORKS[kind][0], *PER_SAMPLE)
    assert found["ntk_cond"] == pytest.approx(float(values[-1] / values[0]), rel=1e-2)
    assert found["ntk_trace"] == pytest.approx(float(targets.square().sum() / len(x)) ** 0.5, rel=1e-4)
    # A gradient of 0 up to rounding has a sign in one of the two ways of computing it.
    assert found["gradsign"] == pytest.approx(float(losses.sign().sum(0).abs().sum()), rel=1e-2)


@pytest.mark.parametrize("kind", NETWORKS)
def test_fisher_equals_plain_torch_or_names_the_layer(kind):
    found = scores(NETWORKS[kind][0], "fisher", "snip")
    assert isinstance(found["snip"], float)  # what fisher cannot see spoils no other metric
    if kind in HIDDEN_OUTPUTS:
        assert "the outputs of the products inside " in found["fisher"]
        return
    given = candidate(NETWORKS[kind][0])
    module, (x, labels) = given.module(), given.batch()
    outputs = []
    for name in ("stem", {"F.conv2d": "conv2d", "F.linear": "linear"}.get(kind, "layer"), "fc"):
        part = module.get_submodule(name)
        part.register_forward_hook(lambda part, inputs, output: outputs.append((part, output)))
    loss = F.cross_entropy(module(x), labels)
    total = 0.0
    for part, output in outputs:
        (slope,) = torch.autograd.grad(loss, output, retain_graph=True)
        channels = -1 if isinstance(part, nn.Linear | nn.Bilinear) else 1
        terms = (output * slope).movedim(channels, 1).reshape(len(x), output.shape[channels], -1).sum(2)
        total += part.weight.numel() / output.shape[channels] * float(terms.detach().square().mean(0).sum()) / 2
    assert found["fisher"] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("kind", NETWORKS)
def test_synflow_equals_plain_torch_or_names_the_layer(kind):
    found = scores(NETWORKS[kind][0], "synflow")["synflow"]
    if kind in NOT_LINEAR:
        assert "needs layers that are linear in their input, and layer (" in found
        return
    module = candidate(NETWORKS[kind][0]).module().double()
    for name, parameter in module.named_parameters():
        parameter.data = torch.zeros_like(parameter) if "bias" in name else parameter.data.abs()
    weights = weights_of(module, kind)
    signals = torch.autograd.grad(module(torch.ones(1, *SHAPE, dtype=torch.double)).sum(), weights)
    total = sum(float((w * signal).detach().sum()) for w, signal in zip(weights, signals, strict=True))
    assert found == pytest.approx(math.log10(total), rel=1e-9)


class Renamed(nn.BatchNorm2d):
    """A subclass without anything of its own."""


class NormOnly(nn.Module):
    def __init__(self, normalise):
        super().__init__()
        self.normalise = normalise
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6, 4)

    def forward(self, x):
        x = F.relu(self.normalise(self.first(x)))
        return self.fc(F.relu(self.normalise(self.second(x))).mean((2, 3)))


FUNCTIONAL_NORMS = {
    "F.layer_norm": lambda x: F.layer_norm(x, (6, 8, 8)),
    "F.group_norm": lambda x: F.group_norm(x, 3),
    "F.instance_norm": lambda x: F.instance_norm(x),
    "F.batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "F.rms_norm": lambda x: F.rms_norm(x, (8, 8)),
    "F.local_response_norm": lambda x: F.local_response_norm(x, 3),
}
NORMS = {
    "BatchNorm2d": lambda: nn.BatchNorm2d(6),
    "SyncBatchNorm": lambda: nn.SyncBatchNorm(6),
    "GroupNorm": lambda: nn.GroupNorm(3, 6),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(6),
    "affine InstanceNorm2d": lambda: nn.InstanceNorm2d(6, affine=True, track_running_stats=True),
    "LayerNorm": lambda: nn.LayerNorm((6, 8, 8)),
    "RMSNorm": lambda: nn.RMSNorm((6, 8, 8)),
    "LocalResponseNorm": lambda: nn.LocalResponseNorm(3),
}


def normed(norm):
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)]
    body = [one for conv in layers for one in (conv, *([norm()] if norm else []), nn.ReLU())]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))


@pytest.mark.parametrize("kind", NORMS)
def test_synflow_is_the_same_whatever_norm_follows(kind):
    without = scores(lambda: normed(None), "synflow", "expected_synflow")
    found = scores(lambda: normed(NORMS[kind]), "synflow", "expected_synflow")
    assert isinstance(found["synflow"], float)
    assert found == without


@pytest.mark.parametrize("kind", FUNCTIONAL_NORMS)
def test_synflow_is_the_same_whatever_norm_a_function_computes(kind):
    without = scores(lambda: NormOnly(lambda x: x), "synflow")["synflow"]
    found = scores(lambda: NormOnly(FUNCTIONAL_NORMS[kind]), "synflow")["synflow"]
    assert found == pytest.approx(without, rel=1e-12)


def test_a_norm_by_hand_has_no_synflow():
    found = scores(lambda: NormOnly(lambda x: x / x.square().mean((1, 2, 3), keepdim=True).sqrt()), "synflow")
    assert "synflow needs layers that are linear in their input, and " in found["synflow"]


RECTIFIERS = {
    "ReLU6": (nn.ReLU6, F.relu6),
    "LeakyReLU": (nn.LeakyReLU, F.leaky_relu),
    "ELU": (nn.ELU, F.elu),
    "CELU": (nn.CELU, F.celu),
    "SELU": (nn.SELU, F.selu),
    "GELU": (nn.GELU, F.gelu),
    "SiLU": (nn.SiLU, F.silu),
    "Mish": (nn.Mish, F.mish),
    "Hardswish": (nn.Hardswish, F.hardswish),
    "Softplus": (nn.Softplus, F.softplus),
    "Hardtanh": (nn.Hardtanh, F.hardtanh),
    "Threshold": (lambda: nn.Threshold(0.1, 0.0), lambda x: F.threshold(x, 0.1, 0.0)),
    "ReLU": (nn.ReLU, lambda x: x.clamp(min=0)),
}
OF_UNITS = ("naswot", "swap", "linear_regions")


class Called(nn.Module):
    """An activation as a layer or as a function."""

    def __init__(self, act):
        super().__init__()
        self.conv, self.act, self.fc = nn.Conv2d(3, 6, 3, padding=1), act, nn.Linear(6, 4)

    def forward(self, x):
        return self.fc(self.act(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize("kind", RECTIFIERS)
def test_a_rectifier_is_the_same_as_a_layer_and_as_a_function(kind):
    layer, function = RECTIFIERS[kind]
    names = ("naswot", "swap", "linear_regions", "snip", "grasp", "synflow")
    one, other = scores(lambda: Called(layer()), *names), scores(lambda: Called(function), *names)
    assert one == pytest.approx(other, rel=1e-3)
    assert all(isinstance(value, float) for value in one.values())


@pytest.mark.parametrize(
    "same",
    [lambda: nn.PReLU(init=0.0), lambda: nn.PReLU(6, init=0.0), lambda: nn.LeakyReLU(0.0), lambda: nn.Threshold(0, 0)],
)
def test_rectifiers_that_equal_a_relu_score_like_a_relu(same):
    names = (*OF_UNITS, "snip", "grad_norm", "grasp", "synflow", "jacov", "gradsign", "expressivity")
    found = scores(lambda: Tail(nn.Conv2d(6, 5, 3), 5, same() if not isinstance(same(), nn.PReLU) else None), *names)
    right = scores(lambda: Tail(nn.Conv2d(6, 5, 3), 5), *names)
    assert found == pytest.approx(right, rel=1e-2)
    one = scores(lambda: Called(same()), *names)
    assert one == pytest.approx(scores(lambda: Called(nn.ReLU()), *names), rel=1e-2)


@pytest.mark.parametrize("act", [nn.Tanh, nn.Sigmoid, nn.Hardsigmoid, nn.Softsign])
def test_networks_without_rectifiers_have_no_units(act):
    found = scores(lambda: Called(act()), *OF_UNITS)
    assert "has no rectifiers" in found["naswot"]
    assert all(isinstance(one, str) for one in found.values())
    check = candidate(lambda: Called(act()))
    from nasctl.api import only_rectified

    assert only_rectified(check.input, check.network) == "these networks have no rectifiers"
    assert only_rectified(check.input, Network.from_module(Called(F.relu), SHAPE)) == ""


TWINS = [
    "l2_norm",
    "snip",
    "grad_norm",
    "plain",
    "fisher",
    "grasp",
    "zico",
    "gradsign",
    "ntk_cond",
    "ntk_trace",
    "jacov",
    "epe_nas",
    "naswot",
    "swap",
    "synflow",
    "zen",
    "expressivity",
    "progressivity",
    "trainability",
    "lga",
]


def twin(dimensions):
    """A network of one-dimensional layers, or the same with a height of 1."""
    conv, norm, pool = {
        1: (nn.Conv1d, nn.BatchNorm1d, nn.AdaptiveAvgPool1d),
        2: (nn.Conv2d, nn.BatchNorm2d, nn.AdaptiveAvgPool2d),
        3: (nn.Conv3d, nn.BatchNorm3d, nn.AdaptiveAvgPool3d),
    }[dimensions]

    def wide(size, other=1):
        return (*[other] * (dimensions - 1), size) if dimensions > 1 else size

    shape = {1: (3, 64), 2: (3, 1, 64), 3: (3, 1, 1, 64)}[dimensions]
    return nn.Sequential(
        nn.Flatten(1), nn.Unflatten(1, shape),
        conv(3, 8, wide(5), stride=wide(2), padding=wide(2, 0), bias=False), norm(8), nn.ReLU(),
        conv(8, 8, wide(3), padding=wide(1, 0), groups=8, bias=False), norm(8), nn.ReLU(),
        conv(8, 6, wide(3), stride=wide(2), padding=wide(1, 0), bias=False), norm(6), nn.ReLU(),
        pool(1), nn.Flatten(), nn.Linear(6, 4),
    )  # fmt: skip


def test_one_and_three_dimensions_score_like_two_with_a_size_of_one():
    right = scores(lambda: twin(2), *TWINS)
    assert [name for name, value in right.items() if isinstance(value, str)] == []
    for dimensions in (1, 3):
        found = scores(lambda dimensions=dimensions: twin(dimensions), *TWINS)
        for name, value in right.items():
            assert found[name] == pytest.approx(value, rel=2e-2 if name == "grasp" else 2e-3), (dimensions, name)


def test_the_space_of_one_network_is_scored_by_the_setting():
    assert ModuleSpace(lambda: twin(1)).network((0,)).out_shape == (4,)
    assert SETTING.batch == 6


def test_weights_of_functions_are_those_that_macs_count():
    operator = library.custom_op("nasctl_test::product", lambda x, w: x @ w, mutates_args=(), schema=SCHEMA)
    operator.register_fake(lambda x, w: x.new_empty(*x.shape[:-1], w.shape[-1]))
    torch.utils.flop_counter.register_flop_formula(torch.ops.nasctl_test.product)(
        lambda x, w, out_shape=None, **options: 2 * math.prod(x) * w[-1]
    )
    for name, function in {**FUNCTIONS, "custom": lambda x, w: torch.ops.nasctl_test.product(x, w)}.items():
        network = Network.from_module(Weighted(function), (4, 6))
        last = [node for node in network.nodes if node.params == 36]
        macs = sum(node.layer.macs(*node.in_shapes) for node in last)
        weights = set().union(*(node_facts(node).weights for node in last))
        assert (macs > 0, len(weights)) == (name not in NO_PRODUCT, int(name not in NO_PRODUCT)), name


def test_synflow_counts_products_by_every_name():
    same = ("matmul", "linalg.matmul", "einsum", "aten")
    found = {
        scores(ModuleSpace(lambda name=name: Weighted(FUNCTIONS[name]), (4, 6)), "synflow")["synflow"] for name in same
    }
    assert len(found) == 1
    assert isinstance(*found, float)
    assert "linear" in scores(ModuleSpace(lambda: Weighted(torch.cdist), (4, 6)), "synflow")["synflow"]
