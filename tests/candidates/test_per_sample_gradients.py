"""Gradients of single examples, and the metrics made of them: closed forms, torch.func and loops over examples."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, vmap

from nasctl import registry
from nasctl.api import BadOption, Fidelity, Setting
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.per_sample_gradients import PerSampleGradients
from nasctl.testing import Chain, drawn

SPACES = (  # ReLU; depthwise; h-swish and squeeze-and-excitation, kernels larger than the image
    ("nb201:channels=4,cells=1,resolution=16", 8),
    ("nbmacro:resolution=16", 4),
    ("mbconv:width=0.3,resolution=64,classes=10", 4),
)
METRICS = ("gradsign", "ntk_cond", "ntk_trace", "lga")
OF = {
    "loss": lambda logits, labels: F.cross_entropy(logits, labels, reduction="sum"),
    "logits": lambda logits, labels: logits.sum(),
    "target": lambda logits, labels: logits.gather(1, labels[:, None]).sum(),
}


@pytest.fixture(params=SPACES, ids=lambda param: param[0].partition(":")[0])
def given(request):
    spec, batch = request.param
    space = registry.create("spaces", spec)
    return candidate(space, space.canonical(drawn(space, 3)[-1]), batch)


def candidate(space, genome, batch=64, needs=("samples",)):
    return Candidate(space, genome, Setting(fidelity=Fidelity(batch=batch)), frozenset(needs))


def cell(genome=(3, 1, 2, 1, 4, 3), batch=6):
    return candidate(registry.create("spaces", "nb201:channels=4,cells=1,resolution=8"), genome, batch)


def chain(*genome, batch):
    given = candidate(Chain(len(genome)), genome, batch)
    noise = np.random.default_rng(0)
    examples = [(torch.tensor(noise.normal(size=(batch, 3))).float(), torch.arange(batch) % 2) for _ in range(8)]
    given.batch = lambda place=0: examples[place]
    return given


def scored(name, given):
    return registry.create("objectives", name)(given)


def held(module, images):
    """The module in double precision, its batch norms with the statistics of the batch as constants."""
    module = module.double()
    norms = [part.eval() for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(exact) for norm in norms]
    with torch.no_grad():
        module(images)
    for hook in hooks:
        hook.remove()
    return module


def exact(part, inputs):
    part.running_mean = inputs[0].mean((0, 2, 3))
    part.running_var = inputs[0].var((0, 2, 3), correction=0)


def weights_of(module, norms=False):
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d) if norms else (nn.Conv2d, nn.Linear)
    return {f"{name}.weight": part.weight for name, part in module.named_modules() if isinstance(part, kinds)}


def looped(module, images, labels, of, norms=False):
    """(B, P), by a forward and a backward for each example."""
    weights = weights_of(module, norms)
    rows = []
    for image, label in zip(images, labels, strict=True):
        total = OF[of](module(image[None]), label[None])
        parts = torch.autograd.grad(total, list(weights.values()), materialize_grads=True)
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows)


@pytest.mark.parametrize("of", OF)
def test_gradients_equal_those_of_torch_func(given, of):
    images, labels = given.batch()
    images = images.double()
    found = dict(PerSampleGradients(given.module().double(), images, labels).gradients(of, norms=True))
    module = held(given.module(), images)
    weights = {name: weight.detach() for name, weight in weights_of(module, norms=True).items()}

    def one_example(weights, image, label):
        return OF[of](functional_call(module, weights, (image[None],)), label[None])

    expected = vmap(grad(one_example), in_dims=(None, 0, 0))(weights, images, labels)
    assert found.keys() == expected.keys()
    for name, gradients in found.items():
        torch.testing.assert_close(gradients, expected[name].flatten(1), rtol=1e-8, atol=1e-10)


def test_outputs_are_those_of_training(given):
    images, labels = given.batch()
    with torch.no_grad():
        expected = given.module()(images)
    torch.testing.assert_close(
        PerSampleGradients(given.module(), images, labels)._logits, expected, rtol=1e-4, atol=1e-4
    )


def test_gradients_of_examples_add_up_to_those_of_the_batch():
    torch.manual_seed(0)
    images, labels = torch.randn(5, 6, 9, 9), torch.tensor([0, 1, 2, 0, 1])
    layers = [
        nn.Conv2d(6, 6, 3, stride=2, padding=2, dilation=2, groups=6),  # depthwise, by a convolution
        nn.Conv2d(6, 12, (3, 1), groups=3, padding="same"),
        nn.Conv2d(12, 8, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(8, 32, 1, stride=2),
        nn.Conv2d(32, 4, 3, bias=False),  # one position, by a product
    ]
    module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 3)).double()
    parts = torch.autograd.grad(F.cross_entropy(module(images.double()), labels), list(weights_of(module).values()))
    found = dict(PerSampleGradients(module, images.double(), labels).gradients("loss"))
    for gradients, part in zip(found.values(), parts, strict=True):
        torch.testing.assert_close(gradients.mean(0).view(part.shape), part)


class Twice(nn.Module):
    """A layer that runs twice, and one that does not matter."""

    def __init__(self):
        super().__init__()
        self.layer, self.idle = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        self.idle(x)
        return self.layer(torch.tanh(self.layer(x)))


def test_a_layer_that_runs_twice_and_positions_in_a_row():
    torch.manual_seed(0)
    module, x, labels = Twice().double(), torch.randn(4, 5, 3).double(), torch.arange(4)
    expected = torch.stack([torch.autograd.grad(module(one).sum(), module.layer.weight)[0].flatten() for one in x])
    ((name, found),) = PerSampleGradients(module, x, labels).gradients("logits")
    assert name == "layer.weight"
    torch.testing.assert_close(found, expected)


def test_running_statistics_are_left_alone_where_they_count():
    module, (images, labels) = cell().module().double(), cell().batch()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.fill_(0.3)
    expected = looped(module.eval(), images.double(), labels, "logits")
    found = dict(PerSampleGradients(module.train(), images.double(), labels, running=True).gradients("logits"))
    torch.testing.assert_close(torch.cat(list(found.values()), 1), expected)


def test_what_it_reads_stays_as_it_was():
    given = cell()
    (images, labels), before = given.batch(), given.batch()[0].clone()
    list(given.samples.gradients("loss"))
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert labels.dtype == torch.int64


def test_the_kernel_of_a_linear_layer():
    # An example's gradient is the example itself for every output: the kernel is outputs * X X^T.
    given = chain(1, batch=3)
    examples = given.batch()[0].double()
    kernel = 5 * examples @ examples.T
    torch.testing.assert_close(given.samples.kernel("logits"), kernel)
    values = np.linalg.eigvalsh(kernel.numpy())
    assert scored("ntk_cond", given) == pytest.approx(values[-1] / values[0], rel=1e-5)
    # The logit of the label depends on one row of the weights.
    assert scored("ntk_trace", given) == pytest.approx(math.sqrt(examples.square().sum() / 3), rel=1e-6)


def test_gradsign_of_a_linear_layer_by_hand():
    given = chain(0, batch=4)
    examples, labels = given.batch()
    (weight,) = given.module().parameters()
    # (p - y) x, of which p - y is below 0 for the label and above 0 for the other output.
    signs = examples.sign().long()
    toward = 1 - 2 * F.one_hot(labels, 2)
    expected = int((toward[:, :, None] * signs[:, None, :]).sum(0).abs().sum())
    assert weight.shape == (2, 3)
    assert scored("gradsign", given) == expected


def test_metrics_by_a_loop_over_examples():
    given = cell()
    images, labels = given.batch()
    module = held(given.module(), images.double())

    def rows(*what):
        return looped(module, images.double(), labels, *what)

    losses, logits, targets = rows("loss"), rows("logits", True), rows("target")
    values = torch.linalg.eigvalsh(logits @ logits.T)
    assert scored("ntk_cond", given) == pytest.approx(float(values[-1] / values[0]), rel=1e-3)
    assert scored("ntk_trace", given) == pytest.approx(float(targets.square().sum() / 6) ** 0.5, rel=1e-4)
    # In single precision a gradient that is all but zero may have the other sign.
    assert scored("gradsign", given) == pytest.approx(float(losses.sign().sum(0).abs().sum()), rel=1e-2)


def test_lga_by_torchs_optimiser_and_a_loop_over_examples():
    given, module = cell(batch=12), cell(batch=12).module()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.5
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    for place in range(3):
        images, labels = given.batch(place)
        optimiser.zero_grad()
        F.cross_entropy(module(images), labels).backward()
        optimiser.step()
    images, labels = given.batch()
    rows = looped(module.double().eval(), images.double(), labels, "logits")
    kernel, alike = rows @ rows.T, np.array([[1 if a == b else -1 for a in labels] for b in labels])
    expected = np.corrcoef(kernel.numpy().ravel(), alike.ravel())[0, 1]  # the cosine of what is centred
    assert scored("lga:steps=3,rate=0.05", given) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_lga_of_a_linear_layer_does_not_depend_on_training():
    given = chain(1, batch=16)
    examples, labels = given.batch()
    kernel, alike = examples @ examples.T, torch.where(labels[:, None] == labels, 1.0, -1.0)
    expected = np.corrcoef(kernel.flatten(), alike.flatten())[0, 1]
    assert scored("lga", given) == pytest.approx(expected, rel=1e-4)
    assert scored("lga:steps=1", given) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("options", ["steps=0", "rate=0", "rate=-1"])
def test_lga_wants_some_training(options):
    with pytest.raises(BadOption, match="steps must be 1 to 10,000 and rate must be above 0"):
        registry.create("objectives", f"lga:{options}")


@pytest.mark.parametrize("name", METRICS)
def test_a_dead_cell_has_no_score(name):
    with pytest.raises(ValueError, match="no "):
        scored(name, cell((0,) * 6))


def test_more_examples_than_weights_have_no_condition_number():
    with pytest.raises(ValueError, match="linearly dependent"):
        scored("ntk_cond", chain(1, batch=16))  # examples of three values


def test_labels_of_one_class_have_no_alignment():
    given = chain(1, batch=4)
    examples, _ = given.batch()
    given.batch = lambda place=0: (examples, torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match="in their labels"):
        scored("lga", given)


@pytest.mark.parametrize("name", METRICS)
def test_what_is_not_finite_is_no_score(name):
    given = chain(1, batch=4)
    given.module = lambda: nn.Sequential(nn.Linear(3, 2), Overflow())
    with pytest.raises(ArithmeticError, match="not finite"):
        scored(name, given)


class Overflow(nn.Module):
    def forward(self, x):
        return x * float("inf")


class Steep(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return slope * float("inf")


class Slope(nn.Module):
    def forward(self, x):
        return Steep.apply(x)


@pytest.mark.parametrize("name", ["gradsign", "ntk_cond", "ntk_trace"])
def test_gradients_that_are_not_finite_are_no_score(name):
    given = chain(1, batch=2)
    given.module = lambda: nn.Sequential(nn.Linear(3, 2), Slope())
    with pytest.raises(ArithmeticError, match="gradients of the examples are not finite"):
        scored(name, given)
