"""Known answers about the space of FlexiBERT: its configurations, a formula for each layer, each operation."""

import json
from itertools import pairwise
from math import cos, pi

import pytest
import torch

from nasctl import registry
from nasctl.api import BadOption, Builder
from nasctl.architectures import known_values
from nasctl.spaces.flexibert import OPERATIONS, RelativeAttention, RelativeConv, RelativeTransform
from nasctl.testing import SpaceContract, drawn

PAPER = "flexibert:operations=sdp,wma,dft,dct,c5,c9,stacks=1,3,units=512,1024"
ALL = "flexibert:operations=sdp,wma,dft,dct,c5,c9,c13,stacks=1,2,3"
LARGE = f"{ALL},hidden=128,256,512,layers=2,4,6,heads=2,4,8,units=512,1024,2048,4096"
MINI = {  # FlexiBERT-Mini, as its model card has it: huggingface.co/shikhartuli/flexibert-mini
    "l": 4,
    "o": ["sa", "sa", "l", "l"],
    "h": [256, 256, 128, 128],
    "n": [2, 2, 4, 4],
    "f": [[512, 512, 512], [512, 512, 512], [1024], [1024]],
    "p": ["sdp", "sdp", "dct", "dct"],
}
CONFIGURATION = {"l": 2, "a": [2, 4], "h": [128, 256], "s": ["sdp", "wma"], "f": [512, 2048]}


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", "flexibert")


def linear(inputs, outputs):
    return inputs * outputs + outputs


def mixed(operation, h, a, length):
    """Parameters and MACs of what mixes places, by a formula."""
    kind, parameter = operation
    head, half = h // a, h // 2
    params, macs = (2 * length - 1) * head, 0  # of distances
    if kind == "sa":
        weighted = parameter == "wma"
        params += 4 * linear(h, h) + weighted * head**2
        macs += length * (4 * h**2 + weighted * h * head) + 3 * length**2 * h
    elif kind == "l":
        params += 3 * linear(h, h)
        macs += 3 * length * h**2 + 2 * length**2 * h + (2 if parameter == "dft" else 1) * length * h * (length + h)
    else:
        kernels = a // 2 * parameter
        params += 4 * linear(h, half) + h * parameter + linear(h, half) + linear(half, kernels) + linear(h, h)
        macs += length * (5 * h * half + h * parameter + half * kernels + half * parameter + h**2)
        macs += 3 * length**2 * half
    return params, macs


def counted(content, length):
    """Parameters and MACs, by a formula for each layer."""
    if "s" in content:
        units = [[one] for one in content["f"]]
        content = {"h": content["h"], "n": content["a"], "o": ["sa"] * 4, "p": content["s"], "f": units}
    before = content["h"][0]
    params, macs = (30522 + 2 + 2) * before, 0
    for h, a, o, p, f in zip(*(content[key] for key in "hnopf"), strict=False):
        if h != before:
            params += linear(before, h)
            macs += length * before * h
        more = mixed((o, p), h, a, length)
        widths = [h, *f, h]
        params += more[0] + sum(linear(x, y) for x, y in pairwise(widths)) + 4 * h
        macs += more[1] + length * sum(x * y for x, y in pairwise(widths))
        before = h
    return params + linear(before, before) + linear(before, 2), macs + before**2 + 2 * before


@pytest.mark.parametrize("spec", ["flexibert", PAPER, LARGE], ids=["small", "paper", "large"])
def test_every_network_costs_what_a_formula_counts(spec):
    space, seen = registry.create("spaces", spec), set()
    for one in drawn(space, 60):
        network = space.network(one)
        assert (network.params, network.macs) == counted(json.loads(space.spell(one)), 128)
        seen |= {value for gene, k in zip(space.genes, one, strict=True) if (value := gene.choices[k]) in OPERATIONS}
    assert seen == {value for gene in space.genes for value in gene.choices} & {*OPERATIONS}


class TestAllOperations(SpaceContract):
    @pytest.fixture
    def space(self):
        return registry.create("spaces", f"{ALL},vocabulary=50,length=16,hidden=16,32,units=16,32,48")


def test_the_number_of_networks_that_the_paper_has():
    space = registry.create("spaces", PAPER)
    names = ("hidden", "heads", "operation", "stacks", "units0", "units1", "units2")
    hidden, heads, operation, stacks, *units = space.genes[1:8]
    assert [gene.name for gene in space.genes[1:8]] == [f"layer0.{name}" for name in names]
    filled = sum(len(units[0].choices) ** stack for stack in stacks.choices)
    each = len(hidden.choices) * len(heads.choices) * len(operation.choices) * filled
    assert each**2 + each**4 == 3_317_817_600


def test_layers_that_there_are_not_make_no_difference():
    space = registry.create("spaces", PAPER)
    one = (0, *(1, 1, 5, 0, 1, 1, 1), *(0, 1, 2, 1, 1, 0, 1), *(1,) * 14)
    canonical = (0, *(1, 1, 5, 0, 1, 0, 0), *(0, 1, 2, 1, 1, 0, 1), *(0,) * 14)
    assert space.canonical(one) == canonical
    assert space.network(one) == space.network(canonical)


def test_the_notation_of_all_operations():
    space, paper = registry.create("spaces", ALL), registry.create("spaces", PAPER)
    genome = space.parse(json.dumps(MINI))
    assert genome == (1, *(1, 0, 0, 2, 0, 0, 0) * 2, *(0, 1, 3, 0, 1, 0, 0) * 2)
    assert json.loads(space.spell(genome)) == json.loads(paper.spell(paper.parse(json.dumps(MINI)))) == MINI
    for one in map(space.canonical, drawn(space, 50)):
        assert space.parse(space.spell(one)) == one


def test_both_notations_are_read_by_all_spaces(space):
    other = {"l": 2, "h": [128, 256], "n": [2, 4], "o": ["sa", "sa"], "p": ["sdp", "wma"], "f": [[512], [2048]]}
    for one in (space, registry.create("spaces", ALL)):
        assert one.parse(json.dumps(CONFIGURATION)) == one.parse(json.dumps(other)) is not None
    assert space.parse(json.dumps(MINI)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"o": ["sa", "l", "l", "l"]},
        {"o": ["sa", "sa", "l"]},
        {"p": ["sdp", "sdp", "dct", ["dct"]]},
        {"p": ["sdp", "sdp", "dct", True]},
        {"f": [512, 512, 512, 512]},
        {"f": [[512], [512], [], [512]]},
        {"f": [[512] * 4, [512], [512], [512]]},
        {"f": ["512", [512], [512], [512]]},
        {"l": 2},
        {"l": 4.0},
        {"n": {}},
    ],
    ids=range(11),
)
def test_other_text_is_no_configuration_of_all_operations(change):
    space = registry.create("spaces", ALL)
    assert space.parse(json.dumps(MINI | change)) is None
    assert space.parse(json.dumps({key: MINI[key] for key in MINI if key not in change})) is None


def test_the_notation(space):
    genome = space.parse(json.dumps(CONFIGURATION))
    assert genome == (0, 0, 0, 0, 0, 1, 1, 1, 2, *(0,) * 8)
    assert json.loads(space.spell(genome)) == CONFIGURATION
    for one in map(space.canonical, drawn(space, 50)):
        assert space.parse(space.spell(one)) == one


@pytest.mark.parametrize(
    "change",
    [{"l": 4}, {"l": 3}, {"l": 2.0}, {"a": [2]}, {"a": [2, 3]}, {"a": 2}, {"h": [128, True]}, {"s": ["sdp", ["wma"]]}],
    ids=str,
)
def test_other_text_is_no_configuration(space, change):
    assert space.parse(json.dumps(CONFIGURATION | change)) is None
    assert space.parse(json.dumps({key: CONFIGURATION[key] for key in CONFIGURATION if key not in change})) is None
    assert space.parse('{"l":' * 3000) is None


def test_the_larger_space_is_an_option():
    space = registry.create("spaces", LARGE)
    assert [len(gene.choices) for gene in space.genes] == [3, *(3, 3, 7, 3, 4, 4, 4) * 6]
    assert space.network((2, *(2, 2, 1, 2, 3, 3, 3) * 6)).params > 200e6


@pytest.mark.parametrize(
    "options",
    [
        "hidden=256,128",
        "hidden=0",
        "heads=3",
        "units=",
        "classes=0",
        "layers=2,2",
        "stacks=0",
        "layers=1000000",
        "operations=",
        "operations=sdp,sa",
        "operations=dft,dft",
        "operations=c5,heads=1",
    ],
)
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption):
        registry.create("spaces", f"flexibert:{options}")


def alone(block):
    net = Builder((4, 8))
    return net.build(net.add(block, *net.inputs, name="x")).module().double()


def gathered(distances, queries, values, heads, compared=None):
    """Attention with relative positions, head by head and place by place; (4, 4) scores of each head may be given."""
    found = []
    for head, (q, v) in enumerate(zip(queries.chunk(heads, 2), values.chunk(heads, 2), strict=True)):
        scores = torch.zeros(len(q), 4, 4, dtype=torch.double) if compared is None else compared[head].clone()
        for t in range(4):
            for s in range(4):
                scores[:, t, s] += q[:, t] @ distances.weight[t - s + 3]
        found.append((scores / q.shape[2] ** 0.5).softmax(2) @ v)
    return torch.cat(found, 2)


@pytest.mark.parametrize("weighted", [False, True])
def test_attention_with_relative_positions(weighted):
    module, x = alone(RelativeAttention(2, weighted)), torch.randn(3, 4, 8, dtype=torch.double)
    queries, keys, values = (part(x) for part in (module.x_query, module.x_key, module.x_value))
    pairs = zip(queries.chunk(2, 2), keys.chunk(2, 2), strict=True)
    compared = [(q @ module.x_weight.weight if weighted else q) @ k.mT for q, k in pairs]
    expected = gathered(module.x_distances, queries, values, 2, compared)
    torch.testing.assert_close(module(x), module.x_output(expected))


@pytest.mark.parametrize("kind", ["dft", "dct"])
def test_a_transform_beside_relative_positions(kind):
    module, x = alone(RelativeTransform(2, kind)), torch.randn(3, 4, 8, dtype=torch.double)
    waves = (
        torch.tensor([[2 * cos(pi * k * (2 * n + 1) / (2 * size)) for n in range(size)] for k in range(size)]).double()
        for size in (4, 8)
    )
    transformed = torch.fft.fft2(x).real if kind == "dft" else torch.einsum("kt,btd,ld->bkl", next(waves), x, *waves)
    expected = gathered(module.x_distances, module.x_query(x), module.x_value(x), 2) + transformed
    torch.testing.assert_close(module(x), module.x_output(expected), rtol=1e-6, atol=1e-6)


def test_convolution_beside_relative_positions():
    module, x = alone(RelativeConv(4, 3)), torch.randn(2, 4, 8, dtype=torch.double)
    queries, keys, values = (part(x) for part in (module.x_query, module.x_key, module.x_value))
    compared = [q @ k.mT for q, k in zip(queries.chunk(2, 2), keys.chunk(2, 2), strict=True)]
    kernels = module.x_kernels(module.x_spans(x) * queries).view(2, 4, 2, 3).softmax(3)
    taps = torch.nn.functional.pad(module.x_conv_value(x), (0, 0, 1, 1)).unfold(1, 3, 1).reshape(2, 4, 2, 2, 3)
    convolved = torch.einsum("bthdk,bthk->bthd", taps, kernels).flatten(2)
    attended = gathered(module.x_distances, queries, values, 2, compared)
    torch.testing.assert_close(module(x), module.x_output(torch.cat([attended, convolved], 2)))


@pytest.mark.parametrize(
    ("task", "name", "known", "least", "most"),
    [("SST-2", "sst2", 620, 0.7649082568807339, 0.8314220183486238), ("QNLI", "qnli", 660, 0.5722, 0.8350723045945451)],
)
def test_the_benchmark_is_read_as_a_table(data, task, name, known, least, most):
    path = data("flexibert") / f"dataset_small_{name}.json.gz"
    found = known_values.read(path, "flexibert", f"accuracies.{task}")
    assert (found.rows, found.skipped, len(found.values)) == (2037, 2037 - known, known)
    assert (min(found.values.values()), max(found.values.values())) == (pytest.approx(least, abs=1e-4), most)


def test_columns_may_be_lists_of_one_object(tmp_path):
    path = tmp_path / "table.json"
    content = {"names": ["x"], "arch": [CONFIGURATION, CONFIGURATION | {"a": [2, 2]}], "accuracy": [0.5, 0.75]}
    path.write_text(json.dumps(content))
    assert sorted(known_values.read(path, "flexibert", "accuracy").values.values()) == [0.5, 0.75]
