"""Known answers: closed forms, and straightforward implementations of the papers' formulas."""

import csv
import gzip
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from paths import DATA
from scipy.stats import spearmanr
from torch import nn
from torch.func import functional_call

from nasctl import registry
from nasctl.api import BadOption, Builder, Call, Fidelity, Input, Layer, Linear, NasctlError, Setting
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import DEFAULT_SETTING
from nasctl.candidates.shared_pass import shared_pass
from nasctl.candidates.sign_codes import SignCodes
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.testing import Chain, drawn

METRICS = ("synflow", "snip", "grad_norm", "jacov", "naswot")
SPACES = (  # ReLU; ReLU and depthwise; h-swish, squeeze-and-excitation, kernels larger than the image
    "nb201:channels=4,cells=1,resolution=16",
    "nbmacro:resolution=16",
    "mbconv:width=0.3,resolution=64,classes=10",
)
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU)
K = 1e-5


def candidate(*needs, genome=(3, 1, 2, 1, 4, 3)):
    return Candidate(registry.create("spaces", "nb201:channels=4,cells=1"), genome, DEFAULT_SETTING, frozenset(needs))


@pytest.fixture(params=SPACES)
def given(request):
    space = registry.create("spaces", request.param)
    return Candidate(space, space.canonical(drawn(space, 3)[-1]), DEFAULT_SETTING, needs_of(METRICS))


def needs_of(names):
    return frozenset().union(*(registry.create("objectives", name).needs for name in names))


def scored(name, given):
    return registry.create("objectives", name)(given)


def weights_of(module):
    return [part.weight for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]


def loss_of(module, given):
    images, labels = given.batch()
    return nn.functional.cross_entropy(module(images), labels)


def test_synflow_by_gradients_of_the_weights(given):
    module = given.module().double()
    for part in module.children():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.weight.data.abs_()
            if part.bias is not None:
                part.bias.data.zero_()
        elif isinstance(part, (*RECTIFIERS, nn.BatchNorm2d)) or type(part).__name__ == "Multiply":
            part.register_forward_hook(lambda part, inputs, output: inputs[0])
    weights = weights_of(module)
    signal = module(torch.ones(1, *given.input.shape, dtype=torch.double)).sum()
    gradients = torch.autograd.grad(signal, weights, allow_unused=True)
    flows = [float((w.detach() * g).abs().sum()) for w, g in zip(weights, gradients, strict=True) if g is not None]
    assert scored("synflow", given) == pytest.approx(math.log10(sum(flows)), rel=1e-12)


def test_snip_is_the_gradient_of_a_mask_of_ones(given):
    module = given.module()
    weights = dict(module.named_parameters())
    masks = {name: torch.ones_like(weight, requires_grad=True) for name, weight in weights.items() if weight.ndim > 1}
    masked = {name: weight * masks.get(name, 1.0) for name, weight in weights.items()}
    images, labels = given.batch()
    loss = nn.functional.cross_entropy(functional_call(module, masked, (images,)), labels)
    gradients = torch.autograd.grad(loss, list(masks.values()))
    assert scored("snip", given) == pytest.approx(sum(float(gradient.abs().sum()) for gradient in gradients), rel=1e-4)


def test_grad_norm_adds_up_the_norms_of_layers(given):
    module = given.module()
    loss_of(module, given).backward()
    norms = [float(weight.grad.norm()) for weight in weights_of(module)]
    assert scored("grad_norm", given) == pytest.approx(sum(norms), rel=1e-4)


def test_jacov_by_covariances_and_general_eigenvalues(given):
    images = given.batch()[0].double().requires_grad_()
    given.module().double()(images).sum().backward()
    centred = images.grad.flatten(1) - images.grad.flatten(1).mean(1, keepdim=True)
    covariance = centred @ centred.T
    spread = covariance.diagonal().sqrt()
    eigenvalues = torch.linalg.eigvals(covariance / spread / spread[:, None]).real
    expected = -float(torch.log(eigenvalues + K).sum() + (1 / (eigenvalues + K)).sum())
    # Uncorrelated Jacobians score -B, and it is what is left that differs between networks.
    images = given.setting.batch
    assert scored("jacov", given) + images == pytest.approx(expected + images, rel=1e-2)


def test_naswot_counts_units_that_agree(given):
    module, codes = given.module(), []
    for part in module.children():
        if isinstance(part, RECTIFIERS):
            part.register_forward_hook(lambda part, inputs, output: codes.append((inputs[0] > 0).flatten(1)))
    # The same layout in memory as nasctl's own pass: a rounding error may turn a unit that is all but zero.
    module(given.batch()[0].to(memory_format=torch.channels_last))
    code = torch.cat(codes, 1)
    kernel = np.array([[float((one == other).sum()) for one in code] for other in code])
    assert scored("naswot", given) == pytest.approx(np.linalg.slogdet(kernel)[1], rel=1e-12)


def test_values_do_not_depend_on_what_else_is_asked_for(given):
    together = {name: scored(name, given) for name in METRICS}
    for name, value in together.items():
        needs = registry.create("objectives", name).needs
        assert scored(name, Candidate(given.space, given.genome, DEFAULT_SETTING, needs)) == value


def test_metrics_share_one_pass(monkeypatch):
    passes = []
    monkeypatch.setattr(
        "nasctl.candidates.shared_pass.shared_pass", lambda *given: passes.append(shared_pass(*given)) or passes[-1]
    )
    objectives = {name: registry.create("objectives", name) for name in (*METRICS, "params")}
    task = Task(candidate().space, objectives)
    together = measure(task, (3, 1, 2, 1, 4, 3), {name: name for name in objectives})
    assert len(passes) == 1
    for name, objective in objectives.items():
        assert together[name].value == objective(candidate(*objective.needs))


def chain(genome, **options):
    return Candidate(Chain(len(genome), **options), genome, DEFAULT_SETTING, needs_of(METRICS))


def test_params_and_macs_and_memory_of_a_chain():
    given = chain((1, 0))  # 3 -> 5 -> 2
    assert scored("params", given) == scored("macs", given) == 3 * 5 + 5 * 2
    assert scored("memory", given) == 4 * (3 + 5)


def test_size_and_memory_at_other_precisions(given):
    network = given.network
    assert scored("size", given) == 4 * network.params
    assert scored("size:bits=8", given) == network.params
    assert scored("memory", given) == 2 * scored("memory:bits=16", given) == network.memory
    with pytest.raises(BadOption, match="write size:bits=8"):
        registry.create("objectives", "size:bits=0")


@pytest.mark.parametrize("name", ["params", "macs", "memory", "size"])
def test_what_is_monotone_never_falls_with_a_larger_layer(name):
    space, cost = registry.create("spaces", "mbconv:resolutions=128,224"), registry.create("objectives", name)
    assert cost.monotone
    for genome in map(space.canonical, drawn(space, 5)):
        before = cost(Candidate(space, genome, DEFAULT_SETTING, frozenset()))
        for place, gene in enumerate(space.genes):
            if gene.ordered and genome[place] + 1 < len(gene.choices):
                larger = (*genome[:place], genome[place] + 1, *genome[place + 1 :])
                assert cost(Candidate(space, larger, DEFAULT_SETTING, frozenset())) >= before


def test_synflow_of_a_linear_chain():
    # R is linear in each of the L weight matrices, so each contributes R: the score is log10(L R).
    given, signal = chain((1, 1, 0)), np.ones(3)
    for weight in given.module().parameters():
        signal = np.abs(weight.detach().numpy().astype(float)) @ signal
    assert scored("synflow", given) == pytest.approx(math.log10(3 * signal.sum()), rel=1e-12)


def test_gradients_of_a_linear_layer():
    given = chain((1,))
    (weight,) = (parameter.detach().double().numpy() for parameter in given.module().parameters())
    examples, labels = (tensor.numpy() for tensor in given.batch())
    odds = np.exp(examples @ weight.T)
    surplus = odds / odds.sum(1, keepdims=True) - np.eye(5)[labels]
    gradient = surplus.T @ examples / len(examples)  # of the cross-entropy
    assert scored("snip", given) == pytest.approx(np.abs(weight * gradient).sum(), rel=1e-5)
    assert scored("grad_norm", given) == pytest.approx(np.sqrt((gradient**2).sum()), rel=1e-5)


def test_jacov_where_all_jacobians_are_the_same():
    # As in a linear network: the correlations are ones, with the eigenvalues B and, B - 1 times, 0.
    batch = DEFAULT_SETTING.batch
    expected = -(math.log(batch + K) + 1 / (batch + K) + (batch - 1) * (math.log(K) + 1 / K))
    assert scored("jacov", chain((1, 1))) == pytest.approx(expected, rel=1e-6)


def test_agreement_of_codes():
    inputs = torch.zeros(3, 67)  # neither a whole number of bytes nor of words; at 0 a unit is off
    inputs[0, :5], inputs[1, 3:10], inputs[2, 66] = 1.0, 1.0, 1.0
    assert SignCodes.of(inputs).agreement().tolist() == [[67, 59, 61], [59, 67, 59], [61, 59, 67]]


@pytest.mark.parametrize("name", METRICS)
def test_a_dead_cell_has_no_score(name):
    with pytest.raises(ValueError, match=r"no|same"):
        scored(name, candidate(*needs_of(METRICS), genome=(0,) * 6))


@dataclass(frozen=True)
class Spoilt(Layer):
    """A layer of a plug-in that puts out what is not finite."""

    def module(self, *inputs):
        return Call(Overflow)


class Overflow(nn.Module):
    def forward(self, x):
        return x * float("inf")


@pytest.mark.parametrize("name", METRICS)
def test_what_is_not_finite_is_no_score(name):
    class Space(Chain):
        def network(self, genome):
            net = Builder(self.input.shape)
            x = net.add(Linear(4, bias=False), *net.inputs, name="linear")
            return net.build(net.add(Spoilt(), x, name="spoilt"))

    with pytest.raises(ArithmeticError, match="not finite"):
        scored(name, Candidate(Space(), (1, 0), DEFAULT_SETTING, needs_of(METRICS)))


def test_fidelity_changes_what_is_scored_and_no_cost():
    setting = Setting(fidelity=Fidelity(size=16, cells=1))
    space, genome = registry.create("spaces", "nb201:channels=4,cells=2"), (3, 1, 2, 1, 4, 3)
    reduced = Candidate(space, genome, setting, frozenset({"gradients"}))
    assert reduced.network == space.network(genome)
    assert reduced.scored == registry.create("spaces", "nb201:channels=4,resolution=16,cells=1").network(genome)
    assert reduced.batch()[0].shape == (64, 3, 16, 16)
    assert scored("snip", reduced) != scored("snip", candidate("gradients"))
    task = Task(space, {name: registry.create("objectives", name) for name in ("snip", "macs")}, setting)
    labels = task.record("any").labels
    fidelity = "size=16,cells=1,batch=64,repeats=1"
    assert labels["snip"] == f"snip v1 @ data=dead_leaves,fidelity={fidelity},seed=0,device=cpu,threads=1"
    assert labels["macs"] == "macs v1"


def test_tokens_stay_in_the_vocabulary_and_have_no_gradient():
    space = Chain()
    space.input = Input((3,), "tokens", vocabulary=7)
    given = Candidate(space, (1, 0), DEFAULT_SETTING.suited_to(space.input), frozenset({"input_gradients"}))
    tokens, labels = given.batch()
    assert (tokens.shape, labels.shape) == ((64, 3), (64,))
    assert set(tokens.flatten().tolist()) <= set(range(7))
    with pytest.raises(NasctlError, match="tokens have none"):
        scored("jacov", given)


@pytest.mark.parametrize(
    ("name", "reads", "declared"),
    [
        ("snip", "gradients", "activations"),
        ("naswot", "activations", "network"),
        ("jacov", "input_gradients", "gradients"),
    ],
)
def test_what_is_needed_has_to_be_declared(name, reads, declared):
    with pytest.raises(NasctlError, match=f"without '{reads}' in its `needs`"):
        scored(name, candidate(declared))


def rows(path):
    with gzip.open(DATA / path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.skipif(
    not (DATA / "reference").is_dir() or not (DATA / "nb201").is_dir(),
    reason="no data folder (set NASCTL_DATA to a directory that holds reference/ and nb201/)",
)
def test_synflow_orders_cells_as_another_implementation_does():
    reference, cells = rows("reference/nb201_metrics.csv.gz"), rows("nb201/nb201_table.csv.gz")
    space, ours, theirs = registry.create("spaces", "nb201"), [], []
    connected = [k for k, row in enumerate(reference) if row["synflow_log10"]]
    for k in connected[:: len(connected) // 40]:
        genome = space.canonical(space.parse(cells[k]["arch_str"]))
        ours.append(scored("synflow", Candidate(space, genome, DEFAULT_SETTING, frozenset({"module"}))))
        theirs.append(float(reference[k]["synflow_log10"]))
    assert spearmanr(ours, theirs).statistic > 0.99
    # It has the same seed and thus the same weights; isomorphic cells may draw them in another order.
    assert np.median(np.abs(np.subtract(ours, theirs))) < 1e-5
