"""Known answers about the recurrent cells of NAS-Bench-NLP."""

import csv
import gzip
import json
import random

import pytest
import torch
from torch import nn

from nasctl import registry
from nasctl.api import BadOption, Fidelity, InvalidGenome, NasctlError
from nasctl.hardware import distinct_blocks
from nasctl.testing import drawn

# The three recipes that `search_space.py` of github.com/fmsnew/nas-bench-nlp-release gives as examples, with the
# parameters of their language models on WikiText-2.
RECIPES = {
    "rnn": {
        "f": {"op": "linear", "input": ["x", "h_prev_0"]},
        "h_new_0": {"op": "activation_tanh", "input": ["f"]},
    },
    "lstm": {
        "i": {"op": "linear", "input": ["x", "h_prev_0"]},
        "i_act": {"op": "activation_tanh", "input": ["i"]},
        "j": {"op": "linear", "input": ["x", "h_prev_0"]},
        "j_act": {"op": "activation_sigm", "input": ["j"]},
        "f": {"op": "linear", "input": ["x", "h_prev_0"]},
        "f_act": {"op": "activation_sigm", "input": ["f"]},
        "o": {"op": "linear", "input": ["x", "h_prev_0"]},
        "o_act": {"op": "activation_tanh", "input": ["o"]},
        "kept": {"op": "elementwise_prod", "input": ["f_act", "h_prev_1"]},
        "added": {"op": "elementwise_prod", "input": ["i_act", "j_act"]},
        "h_new_1": {"op": "elementwise_sum", "input": ["kept", "added"]},
        "h_new_1_act": {"op": "activation_tanh", "input": ["h_new_1"]},
        "h_new_0": {"op": "elementwise_prod", "input": ["h_new_1_act", "o_act"]},
    },
    "gru": {
        "r": {"op": "linear", "input": ["x", "h_prev_0"]},
        "r_act": {"op": "activation_sigm", "input": ["r"]},
        "z": {"op": "linear", "input": ["x", "h_prev_0"]},
        "z_act": {"op": "activation_sigm", "input": ["z"]},
        "rh": {"op": "elementwise_prod", "input": ["r_act", "h_prev_0"]},
        "h_tilde": {"op": "linear", "input": ["x", "rh"]},
        "h_tilde_act": {"op": "activation_tanh", "input": ["h_tilde"]},
        "h_new_0": {"op": "blend", "input": ["z_act", "h_prev_0", "h_tilde_act"]},
    },
}
SMALL = "rnn:vocabulary=11,length=6,layers=1,width=4,hidden=5"
COMMUTES = ("linear", "elementwise_prod", "elementwise_sum")


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", "rnn")


@pytest.fixture(scope="module")
def rows(data):
    path = data("rnn-bert-trainingfree") / "nasbenchnlp_wikitext2.csv.gz"
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))


def network(space, name):
    return space.network(space.parse(json.dumps(RECIPES[name])))


def shuffled(recipe, rng):
    """The same cell with other names, in another order, with what can change places in other places."""
    names = {name: f"n{k}" for k, name in enumerate(rng.sample(sorted(recipe), len(recipe)))}
    number = sum(name in recipe for name in ("h_new_0", "h_new_1", "h_new_2"))
    states = [0, *rng.sample(range(1, number), number - 1)]
    for old, new in enumerate(states):
        names |= {f"h_new_{old}": f"h_new_{new}", f"h_prev_{old}": f"h_prev_{new}"}
    found = {}
    for name, one in rng.sample(sorted(recipe.items()), len(recipe)):
        inputs = [names.get(source, source) for source in one["input"]]
        if one["op"] in COMMUTES:
            rng.shuffle(inputs)
        found[names[name]] = {"op": one["op"], "input": inputs}
    return found


# --- costs ---


@pytest.mark.parametrize(("name", "params"), [("rnn", 15_066_078), ("lstm", 20_230_878), ("gru", 18_509_278)])
def test_language_models_have_the_published_parameters(space, name, params):
    assert network(space, name).params == params


def test_all_published_cells_have_the_published_parameters(space, rows):
    genomes = [space.parse(row["recepie"]) for row in rows]
    assert None not in genomes
    assert [space.network(genome).params for genome in genomes] == [int(row["num_params"]) for row in rows]
    canonical = [space.canonical(genome) for genome in genomes]
    assert [space.canonical(genome) for genome in canonical] == canonical
    # Of the 291 texts among them some are one cell; nine have states that the output does not depend on.
    assert (len({row["recepie"] for row in rows}), len(set(canonical))) == (291, 260)
    counts = [space.network(genome).params for genome in canonical]
    assert sum(count < int(row["num_params"]) for count, row in zip(counts, rows, strict=True)) == 9


def test_a_smaller_vocabulary_costs_a_row_of_the_table_and_a_bias_each():
    penn = registry.create("spaces", "rnn:vocabulary=10000")  # the smallest of the table for the Penn Treebank
    assert network(penn, "rnn").params == 5_731_600


@pytest.mark.parametrize(("name", "theirs"), [("rnn", nn.RNN), ("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_costs_of_layers_are_torchs_less_a_second_bias(space, name, theirs):
    layers = [node for node in network(space, name).nodes if node.name.startswith("layer")]
    assert [node.out_shape for node in layers] == [(70, 600), (70, 600), (70, 400)]
    for node in layers:
        (length, width), (_, hidden) = node.in_shapes[0], node.out_shape
        gates = {"rnn": 1, "lstm": 4, "gru": 3}[name]
        params = sum(parameter.numel() for parameter in theirs(width, hidden, device="meta").parameters())
        assert node.layer.params(*node.in_shapes) == params - gates * hidden
        assert node.layer.macs(*node.in_shapes) == length * gates * (width + hidden) * hidden


def test_embedding_and_softmax_are_one_matrix():
    space = registry.create("spaces", SMALL)
    module = network(space, "rnn").module()
    assert sum(parameter.numel() for parameter in module.parameters()) == 11 * 4 + 4 * (4 + 4 + 1) + 11
    x = torch.randint(11, (2, 6))
    with torch.no_grad():
        states = module.layer1(nn.functional.embedding(x, module.table.weight))
    torch.testing.assert_close(module(x), states @ module.table.weight.T + module.logits.bias)


# --- what cells compute ---


def steps(name):
    """A recurrent layer of the cell, 3 wide, 4 units, with its weights by gate: (input, hidden, bias)."""
    space = registry.create("spaces", "rnn:vocabulary=9,length=5,layers=1,width=4")
    (layer,) = (node.layer for node in network(space, name).nodes if node.name == "layer1")
    torch.manual_seed(0)
    call = layer.module((5, 3))
    module = call.factory(*call.args).double()
    linear = [inputs for _, operation, inputs in call.args[0] if operation == "linear"]
    names = list(dict.fromkeys(key.rpartition("_")[0] for key in module.linear))
    assert all("x" in inputs for inputs in linear)
    gates = []
    for key, inputs in zip(names, linear, strict=True):
        of_x, of_h = inputs.index("x"), 1 - inputs.index("x")
        bias = module.linear[f"{key}_0"].bias
        gates.append((module.linear[f"{key}_{of_x}"].weight, module.linear[f"{key}_{of_h}"].weight, bias))
    return module, gates, torch.randn(2, 5, 3, dtype=torch.double)


def test_the_plain_cell_is_torchs():
    module, [(of_x, of_h, bias)], x = steps("rnn")
    theirs = nn.RNN(3, 4, batch_first=True).double()
    state = {"weight_ih_l0": of_x, "weight_hh_l0": of_h, "bias_ih_l0": bias, "bias_hh_l0": torch.zeros(4)}
    theirs.load_state_dict(state)
    torch.testing.assert_close(module(x), theirs(x)[0])


def test_the_lstm_has_gates_and_a_memory():
    module, gates, x = steps("lstm")
    h = c = torch.zeros(2, 4, dtype=torch.double)
    outputs = []
    for t in range(5):
        new, taken, kept, out = (x[:, t] @ of_x.T + h @ of_h.T + bias for of_x, of_h, bias in gates)
        c = kept.sigmoid() * c + new.tanh() * taken.sigmoid()
        h = c.tanh() * out.tanh()  # torch's has a sigmoid here
        outputs.append(h)
    torch.testing.assert_close(module(x), torch.stack(outputs, 1))


def test_the_gru_blends():
    module, gates, x = steps("gru")
    h, outputs = torch.zeros(2, 4, dtype=torch.double), []
    for t in range(5):
        reset, keep, (of_x, of_rh, bias) = (
            *((x[:, t] @ a.T + h @ b.T + c).sigmoid() for a, b, c in gates[:2]),
            gates[2],
        )
        h = keep * h + (1 - keep) * (x[:, t] @ of_x.T + (reset * h) @ of_rh.T + bias).tanh()
        outputs.append(h)
    torch.testing.assert_close(module(x), torch.stack(outputs, 1))


# --- genomes ---


def test_a_cell_written_in_another_way_is_the_same(space):
    rng = random.Random(0)
    for genome in [*drawn(space, 100), *(space.parse(json.dumps(one)) for one in RECIPES.values())]:
        canonical = space.canonical(genome)
        other = space.parse(json.dumps(shuffled(json.loads(space.spell(genome)), rng)))
        assert space.canonical(other) == canonical == space.canonical(space.parse(space.spell(genome)))


def test_two_layers_are_not_one_that_is_used_twice(space):
    linear = {"op": "linear", "input": ["x", "h_prev_0"]}
    ends = {"c": {"op": "activation_tanh", "input": ["a"]}, "h_new_0": {"op": "elementwise_prod", "input": ["b", "c"]}}
    one, two = {"a": linear, **ends}, {"a": linear, "b": linear, **ends}
    one["h_new_0"] = {"op": "elementwise_prod", "input": ["a", "c"]}
    found = [space.canonical(space.parse(json.dumps(recipe))) for recipe in (one, two)]
    assert found[0] != found[1]


def test_what_changes_nothing_is_left_out(space):
    recipe = dict(RECIPES["rnn"])
    recipe["idle"] = {"op": "linear", "input": ["x", "f"]}  # no new state depends on it
    assert space.parse(json.dumps(recipe)) == space.parse(json.dumps(RECIPES["rnn"]))
    recipe["h_new_1"] = {"op": "linear", "input": ["h_prev_1", "f"]}  # nor does the output on this state
    genome = space.parse(json.dumps(recipe))
    assert space.network(genome).params == network(space, "rnn").params + (1200 + 1) * 1200 + (800 + 1) * 400
    assert space.canonical(genome) == space.canonical(space.parse(json.dumps(RECIPES["rnn"])))


def test_every_genome_reads_the_words(space):
    for genome in drawn(space, 200):
        recipe = json.loads(space.spell(genome))
        assert any("x" in one["input"] for one in recipe.values())
        assert not any("x" in one["input"] for one in recipe.values() if one["op"] != "linear")
    assert json.loads(space.spell((4,) + (0,) * 52)) == {"h_new_0": {"op": "linear", "input": ["x", "h_prev_0"]}}


def test_states_that_are_not_made_are_the_first(space):
    # linear(x, h_prev_2) with no third state, and a second that is the first again.
    genome = (0, 1, 0, 3, 0, *[0] * 45, 1, 2, 0)
    text = json.dumps(RECIPES["rnn"])
    assert space.spell(genome) == text.replace('"f"', '"node_0"')
    assert space.canonical(genome) == space.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "{",
        '{"h_new_0": 1}',
        '{"h_new_0": {"op": "linear", "input": ["x"]}}',
        '{"h_new_0": {"op": "linear", "input": ["x", 1]}}',
        '{"h_new_0": {"op": "linear", "input": ["x", "h_prev_1"]}}',
        '{"h_new_0": {"op": "linear", "input": ["h_prev_0", "h_prev_0"]}}',
        '{"h_new_0": {"op": "blend", "input": ["x", "h_prev_0", "h_prev_0"]}}',
        '{"h_new_0": {"op": ["linear"], "input": ["x", "h_prev_0"]}}',
        '{"h_new_1": {"op": "linear", "input": ["x", "h_prev_0"]}}',
        '{"h_new_0": {"op": "linear", "input": ["x", "h_new_0"]}}',
        '{"h_prev_0": {"op": "linear", "input": ["x", "x"]}, "h_new_0": {"op": "linear", "input": ["x", "h_prev_0"]}}',
        '{"a": {"op": "activation_tanh", "input": ["h_prev_0"]}, "h_new_0": {"op": "linear", "input": ["x", "a"]}}',
        '{"h_new_0":' * 900,
        "9" * 5000,
    ],
)
def test_other_texts_are_no_recipes(space, text):
    assert space.parse(text) is None


def test_a_cell_with_too_many_nodes_or_two_activations_of_one_is_not_in_the_space(space):
    recipe = {"n0": {"op": "linear", "input": ["x", "h_prev_0"]}}
    recipe |= {f"n{k}": {"op": "linear", "input": ["x", f"n{k - 1}"]} for k in range(1, 9)}
    assert space.parse(json.dumps(recipe | {"h_new_0": {"op": "linear", "input": ["x", "n8"]}})) is not None
    recipe["n9"] = {"op": "linear", "input": ["x", "n8"]}
    assert space.parse(json.dumps(recipe | {"h_new_0": {"op": "linear", "input": ["x", "n9"]}})) is None
    twice = {
        "f": {"op": "linear", "input": ["x", "h_prev_0"]},
        "a": {"op": "activation_tanh", "input": ["f"]},
        "b": {"op": "activation_sigm", "input": ["f"]},
        "h_new_0": {"op": "elementwise_sum", "input": ["a", "b"]},
    }
    assert space.parse(json.dumps(twice)) is None


def test_a_genome_of_another_space_is_refused(space):
    with pytest.raises(InvalidGenome):
        space.canonical((0,) * 52)


@pytest.mark.parametrize(
    "options",
    ["vocabulary=0", "length=0", "layers=0", "width=0", "hidden=-1", "layers=1000000000", f"vocabulary={10**12}"],
)
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption, match="must be 1 to"):
        registry.create("spaces", f"rnn:{options}")


def test_reduced_has_shorter_sequences_and_fewer_layers(space):
    small, other = space.reduced(Fidelity(size=10, cells=2)), registry.create("spaces", "rnn:length=10,layers=2")
    assert small.input == other.input
    assert all(small.network(genome) == other.network(genome) for genome in drawn(space, 5))
    assert space.reduced(Fidelity(size=100)).input == space.input


def test_every_cell_is_a_block_of_its_own_so_they_are_too_many_to_measure(monkeypatch):
    monkeypatch.setattr(distinct_blocks, "MAX_BLOCKS", 200)
    with pytest.raises(NasctlError, match="more than 200 different blocks, too many to measure; measure whole"):
        distinct_blocks.distinct_blocks(registry.create("spaces", "rnn:vocabulary=50,length=4,hidden=8,width=4"))
