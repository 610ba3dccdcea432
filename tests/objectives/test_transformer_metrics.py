"""Known answers about the metrics of transformers: networks of single numbers, and counts by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from nasctl import registry
from nasctl.api import (
    Add,
    Builder,
    Embedding,
    FeedForward,
    FirstToken,
    Fourier,
    LayerNorm,
    Linear,
    NasctlError,
    ReLU,
    SelfAttention,
)
from nasctl.candidates.attention_pass import attention_pass
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.candidates.transformer_layers import roles
from nasctl.data import source
from nasctl.problem.fidelity import Fidelity
from nasctl.search import applicability

FORWARD = ("head_confidence", "softmax_confidence", "activation_distance")
BACKWARD = ("synaptic_diversity", "synaptic_saliency", "head_importance")


def scored(metric, network, module, tokens):
    """The metric of a module with weights of the test's own."""
    objective = registry.create("objectives", metric)
    found = attention_pass(network, module, tokens, weighed="attention_gradients" in objective.needs)
    return objective(SimpleNamespace(attention=found, attention_gradients=found.weights))


def encoder(width, heads=1, units=1, vocabulary=9, length=4, act="gelu"):
    """One layer of attention and one of feed-forward, without layer norms, and one logit."""
    net = Builder((length,))
    x = net.add(Embedding(vocabulary, width), *net.inputs, name="embed")
    x = net.add(Add(), net.add(SelfAttention(heads), x, name="attention"), x, name="mixed")
    y = net.add(FeedForward(units, act), x, name="forward")
    return net.build(net.add(Linear(1), net.add(FirstToken(), y, name="first"), name="logits"))


@pytest.fixture
def numbers():
    """Attention and feed-forward layers that have one value each, and a batch of two examples.

    Queries are 0, so that all places weigh the same: with tokens x the encoder is 5 * relu(3 * (x + 2 * 7 * mean(x))).
    """
    network = encoder(width=1, act="relu")
    module = network.module()
    given = {"query": 0.0, "key": 4.0, "value": 7.0, "output": 2.0}
    given = {f"attention_{name}": value for name, value in given.items()}
    given |= {"forward_widen": 3.0, "forward_narrow": 5.0, "logits": 1.0}
    for name, part in module.named_children():
        if isinstance(part, nn.Linear):
            nn.init.constant_(part.weight, given[name])
            nn.init.zeros_(part.bias)
    module.embed.weight = nn.Parameter(torch.arange(9.0)[:, None])
    return network, module, torch.tensor([[1, 2, 3, 6], [0, 0, 8, 4]])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        # The largest key is 24 and 32, the largest value 42 and 56, and queries are 0.
        ("head_confidence", 28 + 49),
        ("head_confidence:norm", (28 + 49) / 3),
        ("softmax_confidence", 1 / 4),
        # The sum of the outputs is 15 * (1 + 0 + 14 * (3 + 3)) = 1275, to which each feed-forward weight is a factor.
        ("synaptic_saliency", 2 * 1275),
        ("synaptic_saliency:norm", 1275),
        ("head_importance", 15 * 14 * 6),  # through the values alone
        ("synaptic_diversity", 2 * 15 * 14 * 6),  # through values and outputs
        ("synaptic_diversity:norm", 15 * 14 * 6 / 2),
        ("activation_distance", 16),  # all four places have the one unit on
    ],
)
def test_a_network_of_single_numbers(numbers, metric, expected):
    assert scored(metric, *numbers) == pytest.approx(expected, rel=1e-6)


def test_the_distance_counts_places_that_agree():
    network = encoder(width=3, units=3, vocabulary=3)
    module = network.module()
    for part in (module.attention_output, module.forward_widen):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    module.embed.weight = nn.Parameter(torch.eye(3))
    module.forward_widen.weight = nn.Parameter(torch.eye(3))
    tokens = torch.tensor([[0, 0, 0, 1], [2, 2, 2, 2]])  # of which the first example counts
    on = torch.nn.functional.one_hot(tokens[0], 3)
    assert scored("activation_distance", network, module, tokens) == (on @ on.T + (1 - on) @ (1 - on).T).sum()
    assert scored("activation_distance", network, module, tokens) == (9 + 1) + (1 + 9) + 16


def test_the_softmax_of_attention_is_compared_between_heads():
    network = encoder(width=4, heads=2)
    module, tokens = network.module(), torch.arange(8).view(2, 4)
    weights = module.attention_weights(
        module.attention_scores(
            *(part(module.embed(tokens)) for part in (module.attention_query, module.attention_key))
        )
    )
    assert scored("softmax_confidence", network, module, tokens) == pytest.approx(weights.amax(1).mean().item())


def test_a_transform_has_a_softmax_of_its_own():
    net = Builder((4,))
    x = net.add(Embedding(9, 6), *net.inputs, name="embed")
    x = net.add(Linear(6), x, name="mix.input")
    x = net.add(Fourier(2), x, name="mix.transform")
    network = net.build(net.add(Linear(1), net.add(FirstToken(), x, name="first"), name="logits"))
    module, tokens = network.module(), torch.arange(8).view(2, 4)
    heads = module.mix_input(module.embed(tokens)).split(3, 2)
    expected = torch.stack([torch.fft.fft2(head).real.softmax(2) for head in heads]).amax(0).mean()
    assert scored("softmax_confidence", network, module, tokens) == pytest.approx(expected.item(), rel=1e-5)


def test_the_diversity_is_of_singular_values():
    network = encoder(width=3)
    module, tokens = network.module(), torch.arange(8).view(2, 4)
    weights = [getattr(module, f"attention_{name}").weight for name in ("query", "key", "value", "output")]
    pairs = zip(weights, torch.autograd.grad(module(tokens).sum(), weights), strict=True)
    expected = sum((torch.linalg.matrix_norm(w, "nuc") * torch.linalg.matrix_norm(g, "nuc")).item() for w, g in pairs)
    assert scored("synaptic_diversity", network, module, tokens) == pytest.approx(expected, rel=1e-5)


def test_gradients_are_those_of_the_sum_of_all_outputs():
    network = encoder(width=2, heads=2, units=3)
    module, tokens = network.module(), torch.arange(8).view(2, 4)
    expected = torch.autograd.grad(module(tokens).sum(), module.forward_widen.weight)[0]
    found = attention_pass(network, module, tokens, weighed=True)
    torch.testing.assert_close(found.weights["forward.widen"].gradient, expected)
    torch.testing.assert_close(found.weights["forward.widen"].value, module.forward_widen.weight.detach())


def test_a_layer_norm_at_the_end_leaves_no_gradient():
    # Why the metrics look at logits and not, as published code does, at the last hidden state.
    net = Builder((4,))
    x = net.add(Embedding(9, 6), *net.inputs, name="embed")
    x = net.add(Add(), net.add(SelfAttention(2), x, name="attention"), x, name="mixed")
    network = net.build(net.add(LayerNorm(), x, name="norm"))
    found = attention_pass(network, network.module().double(), torch.arange(8).view(2, 4), weighed=True)
    assert all(float(one.gradient.abs().max()) < 1e-12 for one in found.weights.values())


def names(parts, *pieces):
    return tuple(f"{part}.{piece}" for part in parts for piece in pieces)


def test_the_roles_of_all_operations():
    space = registry.create("spaces", "bert")
    value = {"hidden": 1, "layers": 1, **{f"layer{k}.operation": choice for k, choice in enumerate((1, 2, 5, 3))}}
    found = roles(space.network(tuple(value.get(gene.name, 0) for gene in space.genes)))
    weighted = names(["layer0.mix"], "query", "key", "value", "weight")
    half = names(["layer2.mix"], "query", "key", "value")
    assert found.projections == (*weighted, "layer1.mix.input", *half, "layer3.mix.input")
    assert found.heads == (*weighted, "layer1.mix.input", *half, "layer2.mix.conv_value", "layer3.mix.input")
    others = {"layer0.mix.output", "layer2.mix.output", "layer2.mix.kernels"}
    assert set(found.mixing) == {*found.heads, *others}  # not the projection behind the embeddings
    assert found.forward == names([f"layer{k}.forward" for k in range(4)], "widen0", "narrow")
    assert found.activations == names([f"layer{k}.forward" for k in range(4)], "act0")
    assert found.weights == ("layer0.mix.weights", "layer2.mix.weights")
    assert found.transforms == {"layer1.mix.transform": 2, "layer3.mix.transform": 2}


@pytest.mark.parametrize("spec", ["vit", "flexibert"])
def test_the_roles_of_transformers_of_other_spaces(spec):
    space = registry.create("spaces", spec)
    found = roles(space.network((0,) * len(space.genes)))
    layers = len(found.weights)
    assert layers >= 2
    assert [len(one) for one in (found.projections, found.heads, found.mixing)] == [3 * layers, 3 * layers, 4 * layers]
    assert [len(one) for one in (found.forward, found.activations)] == [2 * layers, layers]


def test_queries_that_ask_for_distances_alone_are_projections():
    space = registry.create("spaces", "flexibert:operations=dft,length=8,vocabulary=20")
    found = roles(space.network((0,) * len(space.genes)))
    assert found.projections[:2] == ("layer0.mix.query", "layer0.mix.value")


def test_a_network_without_attention_has_no_roles():
    net = Builder((5, 4))
    x = net.add(ReLU(), net.add(Linear(3), *net.inputs, name="linear"), name="act")
    found = roles(net.build(x))
    assert not any((found.projections, found.mixing, found.forward, found.activations, found.transforms))


@pytest.mark.parametrize("metric", [*FORWARD, *BACKWARD])
def test_a_space_without_attention_is_refused(metric):
    space = registry.create("spaces", "nb201:channels=4,cells=1")
    with pytest.raises(NasctlError, match=f"{metric} says nothing of this space: it is about attention"):
        applicability.refuse_inapplicable(space, {metric: registry.create("objectives", metric)})


def test_values_do_not_depend_on_what_else_is_asked_for():
    space = registry.create("spaces", "bert:vocabulary=50")
    genome, setting = space.canonical((0,) * len(space.genes)), Setting(source("tokens"), Fidelity(size=8, batch=4))
    made = {name: registry.create("objectives", name) for name in (*FORWARD, *BACKWARD)}
    together = Candidate(space, genome, setting, frozenset().union(*(one.needs for one in made.values())))
    for one in made.values():
        assert one(Candidate(space, genome, setting, one.needs)) == one(together) > 0


def test_gradients_have_to_be_declared():
    space = registry.create("spaces", "bert:vocabulary=50")
    setting = Setting(source("tokens"), Fidelity(size=8, batch=4))
    candidate = Candidate(space, (0,) * len(space.genes), setting, frozenset({"attention"}))
    with pytest.raises(NasctlError, match="'attention_gradients' in its `needs`"):
        registry.create("objectives", "head_importance")(candidate)


def test_outputs_that_are_not_finite_are_an_error():
    network = encoder(width=2)
    module = network.module()
    nn.init.constant_(module.logits.weight, float("inf"))
    with pytest.raises(ArithmeticError, match="outputs of the network are not finite"):
        attention_pass(network, module, torch.arange(8).view(2, 4), weighed=False)
