"""Latency of quantised variants by tables of integers."""

import pytest

from nasctl import registry
from nasctl.api import QuantizedLayer
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import version_on
from nasctl.candidates.setting import Setting
from nasctl.errors import MissingBlock
from nasctl.hardware.quantized_blocks import widened_emission
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row
from nasctl.search.metrics import make_objective

OWN = """
import torch
from torch import nn

SIZE, MEAN, DEVIATION = (8, 8), (77.0,), (95.0,)


def net():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, 2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10))
"""


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "own.py"
    path.write_text(OWN)
    options = "data=digits,weights=4,8,16,activations=8,levels=uniform"
    return registry.create("spaces", f"quantized:of={path}:net,{options}")


def priced(metric, space, choice):
    genome = space.canonical((choice,) * len(space.genes))
    return metric(Candidate(space, genome, Setting(), frozenset({"network"})))


def latency(tmp_path, rows, precision="int8"):
    path = tmp_path / "table.json"
    LatencyTable("table", "cpu", 1, rows, overhead=0.5, precision=precision).save(path)
    return make_objective(f"latency@{path}")[1]


def test_variants_of_few_bits_have_the_latency_of_the_given_network_in_int8(space, tmp_path):
    base = space.base.network
    metric = latency(tmp_path, {span.emission.key: Row(1.0 + k) for k, span in enumerate(base.spans)})
    assert priced(metric, space, 0) == priced(metric, space, 1) == metric.table.latency(base)
    with pytest.raises(MissingBlock, match="8-bit rows hold no wider layer"):
        priced(metric, space, 2)
    said = metric.remarks("nbmacro", space.network((2,) * len(space.genes)))
    assert any("NOT IN FLOAT32" in line and "nasctl export --int8" in line for line in said)
    assert version_on(metric, space) != metric.version


def test_rows_of_single_layers_price_layers(space, tmp_path):
    spans = space.network((0,) * len(space.genes)).spans
    rows = {(widened_emission(span.emission) or span.emission).key: Row(2.0) for span in spans}
    metric = latency(tmp_path, rows)
    assert priced(metric, space, 0) == 0.5 + 2 * len(spans)
    with pytest.raises(MissingBlock, match="8-bit rows hold no wider layer"):
        priced(metric, space, 2)
    assert any(isinstance(span.emission.nodes[0].layer, QuantizedLayer) for span in spans)
