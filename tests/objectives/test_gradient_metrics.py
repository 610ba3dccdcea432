"""Known answers of the metrics made of gradients of a batch: closed forms, and plain code for the papers' formulas."""

import csv
import gzip
import math
from collections import Counter
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau, spearmanr
from torch import nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_hook

from nasctl import registry
from nasctl.api import Fidelity, Setting
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.gradients import Weight
from nasctl.candidates.shared_pass import Salience, shared_pass
from nasctl.data import source
from nasctl.networks.executable import Executable
from nasctl.testing import Chain, drawn

METRICS = ("snip", "grad_norm", "fisher", "plain", "grasp", "zico", "epe_nas")
SPACES = (  # ReLU; ReLU and depthwise; h-swish, squeeze-and-excitation, kernels larger than the image
    "nb201:channels=4,cells=1,resolution=16",
    "nbmacro:resolution=16",
    "mbconv:width=0.3,resolution=64,classes=10",
)
SETTING = Setting(fidelity=Fidelity(batch=16))
NOISE = Setting(source("noise"), Fidelity(batch=64))  # chains take no images
K = 1e-5


@pytest.fixture(params=SPACES)
def given(request):
    return candidate(request.param)


def candidate(spec=SPACES[0], genome=None, setting=SETTING, names=METRICS):
    space = registry.create("spaces", spec)
    genome = space.canonical(drawn(space, 3)[-1] if genome is None else genome)
    return Candidate(space, genome, setting, needs_of(names))


def needs_of(names):
    return frozenset().union(*(registry.create("objectives", name).needs for name in names))


def scored(name, given):
    return registry.create("objectives", name)(given)


def weights_of(module):
    return [part.weight for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]


def examples_of(given, place=0):
    # The same layout in memory as nasctl's own pass: rounding errors may turn a unit that is all but zero.
    images, labels = given.batch(place)
    return images.to(memory_format=torch.channels_last), labels


def gradients_of(given, place=0):
    module, (images, labels) = given.module(), examples_of(given, place)
    nn.functional.cross_entropy(module(images), labels).backward()
    return [(weight.detach(), weight.grad) for weight in weights_of(module)]


def test_snip_is_the_gradient_of_a_mask_of_ones(given):
    module, (images, labels) = given.module(), examples_of(given)
    weights = dict(module.named_parameters())
    masks = {name: torch.ones_like(weight, requires_grad=True) for name, weight in weights.items() if weight.ndim > 1}
    masked = {name: weight * masks.get(name, 1.0) for name, weight in weights.items()}
    loss = nn.functional.cross_entropy(functional_call(module, masked, (images,)), labels)
    gradients = torch.autograd.grad(loss, list(masks.values()))
    assert scored("snip", given) == pytest.approx(sum(float(gradient.abs().sum()) for gradient in gradients), rel=1e-6)


def test_grad_norm_and_plain_by_backward(given):
    pairs = gradients_of(given)
    assert scored("grad_norm", given) == pytest.approx(sum(float(g.norm()) for _, g in pairs), rel=1e-6)
    terms = [float((w.double() * g.double()).sum()) for w, g in pairs]
    assert scored("plain", given) == pytest.approx(sum(terms), abs=1e-5 * scored("snip", given))


def test_fisher_by_hooks(given):
    module, (images, labels) = given.module(), examples_of(given)
    outputs = {}
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_hook(
                lambda part, inputs, output: (output.retain_grad(), outputs.update({part: output}))[1]
            )
    nn.functional.cross_entropy(module(images), labels).backward()
    score = 0.0
    for part, output in outputs.items():
        products = (output * output.grad).detach().double()
        sums = products.sum((2, 3)) if products.ndim == 4 else products
        score += float(
            (sums**2).mean(0).mul(0.5).abs().view(-1, *[1] * (part.weight.ndim - 1)).expand_as(part.weight).sum()
        )
    assert scored("fisher", given) == pytest.approx(score, rel=1e-5)


def test_grasp_by_finite_differences(given):
    module, (images, labels) = given.module().double(), given.batch()
    weights = weights_of(module)
    start = [weight.detach().clone() for weight in weights]

    def gradient(step, along):
        for weight, value, change in zip(weights, start, along, strict=True):
            weight.data = value + step * change
        return torch.autograd.grad(nn.functional.cross_entropy(module(images.double()), labels), weights)

    steepest = gradient(0.0, start)
    # So short that no rectifier switches, which would count as curvature.
    step = 1e-9 / max(float(part.abs().max()) for part in steepest)
    pairs = zip(gradient(step, steepest), gradient(-step, steepest), start, strict=True)
    score = -sum(float((w * (ahead - behind)).sum()) for ahead, behind, w in pairs) / (2 * step)
    gradient(0.0, start)
    found = shared_pass(module, images.double(), labels, frozenset({"gradients", "curvature"}))
    exact = -sum(float((found.gradients[name].gradient * bent).sum()) for name, bent in found.curvature.items())
    assert exact == pytest.approx(score, rel=2e-2)  # so short a step leaves so much rounding, with h-swish
    assert scored("grasp", given) == pytest.approx(score, rel=0.1)  # its difference is one of single precision


def test_curvature_is_what_differentiating_twice_gives():
    given = candidate()
    module, (images, labels) = given.module().double(), given.batch()
    weights = weights_of(module)
    found = shared_pass(module, images.double(), labels, frozenset({"curvature"})).curvature
    loss = nn.functional.cross_entropy(module(images.double()), labels)
    first = torch.autograd.grad(loss, weights, create_graph=True)
    along = sum((weight.detach() * part).sum() for weight, part in zip(weights, first, strict=True))
    for mine, theirs in zip(found.values(), torch.autograd.grad(along, weights), strict=True):
        assert float((mine - theirs).norm()) < 1e-6 * float(theirs.norm())


def test_layers_in_front_of_norms_add_nothing_to_plain():
    given = candidate()
    module, (images, labels) = given.module().double(), given.batch()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 1e-15  # the loss depends on the scale of the weights by this alone
    found = shared_pass(module, images.double(), labels, frozenset({"gradients"}))
    nodes = given.scored.nodes
    normed = {nodes[k].name for node in nodes if type(node.layer).__name__ == "BatchNorm" for k in node.inputs}
    layers = {f"{name.replace('.', '_')}.weight" for name in normed} & set(found.gradients)
    assert len(layers) > 4
    for name in layers:
        weight, gradient = found.gradients[name]
        assert abs(float((weight * gradient).sum())) < 1e-9 * float(weight.norm() * gradient.norm())


def test_zico_by_statistics_over_batches(given):
    batches = [[gradient.flatten().numpy() for _, gradient in gradients_of(given, place)] for place in (0, 1)]
    score = 0.0
    for layer in zip(*batches, strict=True):
        gradients = np.array(layer, np.float64)  # (2, P)
        deviation, mean = np.std(gradients, axis=0), np.mean(np.abs(gradients), axis=0)
        total = np.sum(mean[deviation > 0] / deviation[deviation > 0])
        score += np.log(total) if total > 0 else 0.0
    assert scored("zico", given) == pytest.approx(score, rel=1e-5)


@pytest.mark.parametrize("classes", [10, 100, 120])
def test_epe_nas_class_by_class(classes):
    setting = Setting(fidelity=Fidelity(batch=40))
    given = candidate(f"nb201:channels=4,cells=1,resolution=16,classes={classes}", setting=setting)
    images, labels = examples_of(given)
    images.requires_grad_()
    given.module()(images).sum().backward()
    by_class = {}
    for jacobian, label in zip(images.grad.flatten(1).double().numpy(), labels.tolist(), strict=True):
        by_class.setdefault(label, []).append(jacobian)
    sums = {}
    for label, jacobians in by_class.items():
        pairs = [(one, other) for one in jacobians for other in jacobians]
        sums[label] = sum(math.log(abs(np.corrcoef(one, other)[0, 1]) + K) for one, other in pairs)
    if classes <= 100:
        expected = sum(map(abs, sums.values()))
    else:
        means = [total / len(by_class[label]) for label, total in sums.items() if len(by_class[label]) > 1]
        expected = sum(abs(one - other) for one in means for other in means) / len(means)
    assert scored("epe_nas", given) == pytest.approx(expected, rel=1e-4)


def test_a_linear_layer():
    given = Candidate(Chain(1), (1,), NOISE, needs_of(METRICS))  # 3 -> 5
    (weight,) = (parameter.detach().double().numpy() for parameter in given.module().parameters())

    def softmax(place):
        images, labels = given.batch(place)
        odds = np.exp(images.numpy() @ weight.T)
        chances = odds / odds.sum(1, keepdims=True)
        return images.numpy(), chances, (chances - np.eye(5)[labels]) / len(images)

    images, chances, surplus = softmax(0)
    gradient = surplus.T @ images
    along = images @ gradient.T  # how the logits change along the gradient
    bent = (chances * (along - (chances * along).sum(1, keepdims=True))).T @ images / len(images)
    images1, _, surplus1 = softmax(1)
    other = surplus1.T @ images1
    expected = {
        "plain": (weight * gradient).sum(),
        "fisher": 3 / 2 * ((images @ weight.T * surplus) ** 2).mean(0).sum(),
        "grasp": -(weight * bent).sum(),
        "zico": math.log(((abs(gradient) + abs(other)) / abs(gradient - other)).sum()),
    }
    assert scored("grasp", given) == pytest.approx(expected.pop("grasp"), rel=5e-4)  # a difference of two gradients
    assert {name: scored(name, given) for name in expected} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("outputs", [5, 120])
def test_epe_nas_where_all_jacobians_are_the_same(outputs):
    # As in a linear network: every correlation is 1.
    given = Candidate(Chain(2, (outputs, outputs)), (1, 1), NOISE, needs_of(METRICS))
    images = np.array(list(Counter(given.batch()[1].tolist()).values()))
    several = images[images > 1]
    sums = (images**2).sum() if outputs == 5 else abs(several - several[:, None]).sum() / len(several)
    assert scored("epe_nas", given) == pytest.approx(math.log(1 + K) * sums, rel=1e-6)


@pytest.mark.parametrize(("outputs", "batch"), [(5, 1), (120, 16)])
def test_epe_nas_needs_images_of_a_class(outputs, batch):
    setting = Setting(source("noise"), Fidelity(batch=batch))
    with pytest.raises(ValueError, match="too few images"):
        scored("epe_nas", Candidate(Chain(1, (outputs, outputs)), (1,), setting, needs_of(METRICS)))


def test_metrics_share_one_forward_and_none_changes_another(given):
    names = (*METRICS, "jacov", "naswot")
    together = Candidate(given.space, given.genome, SETTING, needs_of(names))
    forwards = []
    hook = register_module_forward_hook(
        lambda part, *_: forwards.append(part) if isinstance(part, Executable) else None
    )
    try:
        values = {name: scored(name, together) for name in names if name != "zico"}
        assert len(forwards) == 2  # one of them for the curvature, with other weights
        values["zico"] = scored("zico", together)
        assert len(forwards) == 3
    finally:
        hook.remove()
    for name, value in values.items():
        assert scored(name, Candidate(given.space, given.genome, SETTING, needs_of([name]))) == value


def test_channels_of_a_linear_layer_come_last():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x):
            return self.linear(x).mean(1)

    module, examples, labels = Tokens(), torch.randn(6, 5, 4), torch.arange(6) % 3
    (layer,) = shared_pass(module, examples, labels, frozenset({"saliences"})).saliences.values()
    outputs = module.linear(examples).detach()  # (B, T, 3)
    surplus = outputs.mean(1).softmax(1) - torch.eye(3)[labels]
    torch.testing.assert_close(layer.products, outputs.mean(1) * surplus / 6)
    assert layer.fan_in == 4


@pytest.mark.parametrize("name", METRICS)
def test_a_dead_cell_has_no_score(name):
    with pytest.raises(ValueError, match=r"depends? on no weight|gradient with respect to an example is constant"):
        scored(name, candidate(genome=(0,) * 6))


@pytest.mark.parametrize("name", METRICS)
def test_what_is_not_finite_is_no_score(name):
    bad = torch.full((2, 2), float("nan"))
    weights = {"layer.weight": Weight(torch.ones(2, 2), bad)}
    given = SimpleNamespace(
        gradients=weights,
        second_gradients={"layer.weight": Weight(torch.ones(2, 2), torch.ones(2, 2))},
        curvature={"layer.weight": bad},
        saliences={"layer": Salience(bad, 2)},
        input_gradients=bad,
        batch=lambda: (bad, torch.zeros(2)),
    )
    with pytest.raises(ArithmeticError, match="not finite"):
        scored(name, given)


@pytest.mark.slow
def test_grasp_orders_cells_as_differentiating_twice_in_double_precision_does():
    space, values = registry.create("spaces", "nb201"), []
    for genome in dict.fromkeys(map(space.canonical, drawn(space, 40))):
        given, other = (
            Candidate(space, genome, Setting(fidelity=Fidelity(16), seed=seed), needs_of(["grasp"])) for seed in (0, 1)
        )
        with suppress(ValueError):  # of a cell that is not connected
            values.append((scored("grasp", given), differentiated_twice(given), scored("grasp", other)))
    ours, exact, another = zip(*values, strict=True)
    assert len(ours) > 30
    assert kendalltau(ours, exact).statistic > 0.95
    assert kendalltau(ours, another).statistic < 0.8  # what the batch does to it is of another order


def differentiated_twice(given):
    module, (images, labels) = given.module().double(), given.batch()
    weights = weights_of(module)
    loss = nn.functional.cross_entropy(module(images.double()), labels)
    first = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
    along = sum((gradient.detach() * gradient).sum() for gradient in first)
    second = torch.autograd.grad(along, weights, materialize_grads=True)
    return -sum(float((weight.detach() * bent).sum()) for weight, bent in zip(weights, second, strict=True))


@pytest.mark.slow
def test_metrics_order_cells_as_another_implementation_does(data):
    # Another batch and another seed moves each value, so ranks are compared; `plain` is nearly all rounding and chance.
    lowest = {"fisher": 0.97, "snip": 0.97, "grad_norm": 0.97, "naswot": 0.97, "jacov": 0.97}
    images = source(str(data("images") / "cifar10_train_12000.zip"))
    reference, cells = (rows(data(name) / file) for name, file in FILES)
    space, setting = registry.create("spaces", "nb201"), Setting(images, Fidelity(batch=64))
    connected = [k for k, row in enumerate(reference) if row["snip"]]
    chosen = np.random.default_rng(0).choice(connected, 60, replace=False)
    ours = {name: [] for name in lowest}
    for k in chosen:
        given = Candidate(space, space.canonical(space.parse(cells[k]["arch_str"])), setting, needs_of(lowest))
        for name, values in ours.items():
            values.append(scored(name, given))
    found = {n: spearmanr(v, [float(reference[k][n]) for k in chosen]).statistic for n, v in ours.items()}
    assert all(found[name] > least for name, least in lowest.items()), found


FILES = (("reference", "nb201_metrics.csv.gz"), ("nb201", "nb201_table.csv.gz"))


def rows(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
