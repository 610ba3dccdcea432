"""Known answers about the space of NAS-Bench-BERT: published counts, transforms by their definition, its notation."""

import csv
import gzip
import json
from math import cos, pi, prod

import pytest
import torch

from nasctl import registry
from nasctl.api import BadOption, Builder, Cosine, Fidelity, Fourier
from nasctl.architectures import known_values
from nasctl.spaces.bert import OPERATIONS, SpanConv, WeightedAttention
from nasctl.testing import drawn

CLASSES = 2
LAYER = {
    "operation_type": "DSC",
    "operation_parameter": 9,
    "num_operation_heads": 4,
    "feed_forward_dimension": 1024,
    "num_feed_forward": 3,
}
CONFIGURATION = {"hidden_size": 128, "nas_config": {"encoder_layers": [LAYER, LAYER]}}


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", "bert")


@pytest.fixture(scope="module")
def table(data):
    return data("rnn-bert-trainingfree")


def linear(inputs, outputs):
    return inputs * outputs + outputs


def counted(hidden, layers, length):
    """Parameters and MACs of an encoder and its classifier, by a formula for each layer."""
    params = (30522 + length + 2 + 2) * 128 + (linear(128, hidden) if hidden != 128 else 0)
    macs = length * 128 * hidden if hidden != 128 else 0
    for operation, heads, units, depth in layers:
        head, half = hidden // heads, hidden // 2
        if operation in ("SDP", "WMA"):
            square = 4 + (operation == "WMA")
            params += square * hidden**2 + 4 * hidden
            macs += square * length * hidden**2 + 2 * length**2 * hidden
        elif operation in ("DFT", "DCT"):
            params += linear(hidden, hidden)
            macs += length * hidden**2 + (4 if operation == "DFT" else 2) * length * hidden * (length + head) // 2
        else:
            kernel, kernels = int(operation[3:]), heads // 2 * int(operation[3:])
            params += 4 * linear(hidden, half) + hidden * kernel + linear(hidden, half) + linear(half, kernels)
            params += linear(hidden, hidden)
            macs += length * (5 * hidden * half + hidden * kernel + half * kernels + half * kernel + hidden**2)
            macs += 2 * length**2 * half
        params += 2 * hidden * (1 + (operation not in ("DFT", "DCT")))  # layer norms
        params += linear(hidden, units) + (depth - 1) * linear(units, units) + linear(units, hidden)
        macs += length * (2 * hidden * units + (depth - 1) * units**2)
    return params + linear(hidden, CLASSES), macs + hidden * CLASSES


def chosen(space, genome):
    values = [gene.choices[choice] for gene, choice in zip(space.genes, genome, strict=True)]
    return values[0], [values[2 + 4 * k : 6 + 4 * k] for k in range(values[1])]


def test_every_network_costs_what_a_formula_counts(space):
    assert {operation for one in drawn(space, 60) for operation, *_ in chosen(space, one)[1]} == set(OPERATIONS)
    for one in drawn(space, 60):
        network = space.network(one)
        assert (network.params, network.macs) == counted(*chosen(space, one), 128)


def test_the_published_counts_are_those_of_one_width_and_of_one_number_of_units(table):
    space = registry.create("spaces", "bert:length=512")
    with (table / "BERT_results_activation.csv").open() as file:
        published = {row["ID"]: int(row["Number of Parameters"]) for row in csv.DictReader(file)}
    rows = json.loads(gzip.decompress((table / "BERT_benchmark.json.gz").read_bytes()))
    for row in rows:
        genome = list(space.parse(json.dumps(row["hparams"])))
        genome[0], genome[4::4] = 1, [1] * 4  # 256 hidden values and 1024 units, as the code beside the table has them
        assert space.network(tuple(genome)).params - linear(256, CLASSES) == published[str(row["id"])]
    assert len(rows) == len(published) == 500


def test_the_benchmark_is_read_as_a_table(table):
    found = known_values.read(table / "BERT_benchmark.json.gz", "bert", "scores.glue")
    assert (found.rows, found.skipped, found.merged, len(found.values)) == (500, 0, 9, 491)
    assert max(found.values.values()) == 75.13


def test_the_number_of_networks(space):
    each = prod(len(gene.choices) for gene in space.genes[2:6])
    assert (len(space.genes), 2 * (each**2 + each**4)) == (18, 10_621_440)


def test_layers_that_there_are_not_make_no_difference(space):
    one = (1, 0, 3, 1, 0, 1, 4, 0, 1, 0, *(1,) * 8)
    assert space.canonical(one) == (*one[:10], *(0,) * 8)
    assert space.network(one) == space.network(space.canonical(one))
    assert space.canonical((1, 1, *one[2:])) == (1, 1, *one[2:])


def test_the_notation(space):
    genome = space.parse(json.dumps(CONFIGURATION))
    assert chosen(space, genome) == (128, [["DSC9", 4, 1024, 3]] * 2)
    assert json.loads(space.spell(genome)) == CONFIGURATION
    assert space.parse(json.dumps({"use_tpu": True, "model_hparam_overrides": CONFIGURATION})) == genome
    for one in map(space.canonical, drawn(space, 50)):
        assert space.parse(space.spell(one)) == one


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "[]",
        "1",
        '{"hidden_size": 128}',
        '{"model_hparam_overrides": 3}',
        '{"hidden_size": 128, "nas_config": {"encoder_layers": 2}}',
        '{"hidden_size": 128, "nas_config": {"encoder_layers": [1, 2]}}',
        '{"hidden_size": 128.0, "nas_config": {"encoder_layers": []}}',
        '{"a": ' * 3000 + "1" + "}" * 3000,
        '{"hidden_size": ' + "9" * 5000 + "}",
        json.dumps(CONFIGURATION).replace("128", "192"),
        json.dumps(CONFIGURATION).replace("9", "true"),
        json.dumps(CONFIGURATION).replace("9", "[9]"),
        json.dumps(CONFIGURATION) + " " * 20_000,
    ],
    ids=range(16),
)
def test_other_text_is_no_configuration(space, text):
    assert space.parse(text) is None


def alone(layer, *shapes):
    net = Builder(*shapes)
    return net.build(net.add(layer, *net.inputs, name="x")).module().double()


def test_the_fourier_transform_of_each_head():
    x = torch.randn(2, 5, 6, dtype=torch.double)
    expected = [torch.fft.fft2(head).real for head in x.split(3, 2)]
    torch.testing.assert_close(alone(Fourier(2), (5, 6))(x), torch.cat(expected, 2))


def test_the_cosine_transform_of_each_head():
    x = torch.randn(2, 5, 6, dtype=torch.double)
    waves = [
        torch.tensor([[2 * cos(pi * k * (2 * n + 1) / (2 * size)) for n in range(size)] for k in range(size)]).double()
        for size in (5, 3)
    ]
    expected = [torch.einsum("kt,btd,ld->bkl", waves[0], head, waves[1]) for head in x.split(3, 2)]
    torch.testing.assert_close(alone(Cosine(2), (5, 6))(x), torch.cat(expected, 2), rtol=1e-6, atol=1e-6)


def attended(queries, keys, values, heads):
    """Attention head by head."""
    parts = zip(*(one.chunk(heads, 2) for one in (queries, keys, values)), strict=True)
    weights = ((q @ k.mT / q.shape[2] ** 0.5).softmax(2) @ v for q, k, v in parts)
    return torch.cat([*weights], 2)


def test_weighted_attention():
    module, x = alone(WeightedAttention(2), (5, 6)), torch.randn(3, 5, 6, dtype=torch.double)
    queries = module.x_query(x) @ module.x_weight.weight.T
    expected = attended(queries, module.x_key(x), module.x_value(x), 2)
    torch.testing.assert_close(module(x), module.x_output(expected))


def test_span_convolution_place_by_place():
    module, x = alone(SpanConv(3, 4), (5, 8)), torch.randn(2, 5, 8, dtype=torch.double)
    queries, conv = module.x_query(x), module.x_spans
    padded = torch.nn.functional.pad(x, (0, 0, 1, 1))
    spans = sum(padded[:, k : k + 5] * conv.depthwise.weight[:, 0, k] for k in range(3))
    spans = spans @ conv.pointwise.weight[:, :, 0].T + conv.pointwise.bias
    kernels = module.x_kernels(spans * queries).view(2, 5, 2, 3).softmax(3)
    values = torch.nn.functional.pad(module.x_conv_value(x), (0, 0, 1, 1))
    convolved = torch.zeros(2, 5, 4, dtype=torch.double)
    for place in range(5):
        for tap in range(3):
            for head in range(2):
                part = slice(2 * head, 2 * head + 2)
                convolved[:, place, part] += kernels[:, place, head, tap, None] * values[:, place + tap, part]
    gathered = attended(queries, module.x_key(x), module.x_value(x), 2)
    torch.testing.assert_close(module(x), module.x_output(torch.cat([gathered, convolved], 2)))


def test_a_reduced_network_reads_less(space):
    reduced = space.reduced(Fidelity(size=32))
    genome = drawn(space, 1)[0]
    assert reduced.network(genome).input_shapes == ((32,),)
    assert space.network(genome).params - reduced.network(genome).params == 96 * 128  # of positions
    assert space.reduced(Fidelity(size=1)).input.shape == (2,)


@pytest.mark.parametrize("options", ["classes=0", "length=1", "length=5000", "vocabulary=1", f"vocabulary={10**12}"])
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption):
        registry.create("spaces", f"bert:{options}")
