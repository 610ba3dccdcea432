"""Latency tables: sums, missing blocks, digests, and the tables that are shipped."""

import pytest

from nasctl import registry
from nasctl.api import Builder, Classifier, ConvNormAct, MissingBlock
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row, Validation
from nasctl.testing import drawn


def two_blocks():
    net = Builder((3, 8, 8))
    x = net.add(ConvNormAct(4, 3), *net.inputs, name="stem")
    return net.build(net.add(Classifier(10), x, name="head"))


STEM, HEAD = "ConvNormAct(channels=4, kernel=3) @ 3x8x8", "Classifier(classes=10) @ 4x8x8"


def toy(**changes):
    blocks = {STEM: Row(1.5, 0.1, 40), HEAD: Row(0.25, 0.01, 50)}
    return LatencyTable(**{"device": "toy", "kind": "cpu", "batch": 1, "blocks": blocks, **changes})


def test_latency_is_the_sum_of_the_rows_and_the_overhead():
    assert toy(overhead=0.125).latency(two_blocks()) == 1.5 + 0.25 + 0.125
    assert toy().block(two_blocks().spans[0].emission) == (1.5, "measured")


def test_a_table_comes_back_as_it_was_saved(tmp_path):
    one = Validation("some", ("nb201",), "sums", 20, 3.5, -1.0, 0.99, None)
    table = toy(validation=(one,), inferred=("a", "b"), source={"data": "x"}, operators={"count": 0.5}, threads=2)
    table.save(tmp_path / "toy.json")
    assert LatencyTable.load(str(tmp_path / "toy.json")) == table
    assert [path.name for path in tmp_path.iterdir()] == ["toy.json"]


def test_the_digest_follows_what_a_latency_follows_from():
    same = [toy(), toy(processor="other", date="2000-01-01"), toy(blocks={HEAD: Row(0.25), STEM: Row(1.5)})]
    other = [toy(overhead=0.1), toy(batch=2), toy(operators={"count": 0.1}), toy(blocks={STEM: Row(1.5)})]
    other.append(toy(blocks={STEM: Row(1.5), HEAD: Row(0.26)}))
    assert len({table.digest for table in same}) == 1
    assert len({table.digest for table in same[:1] + other}) == 1 + len(other)


def test_a_missing_block_is_named_or_modelled():
    lacking = {STEM: Row(1.5)}
    with pytest.raises(MissingBlock, match="Classifier"):
        toy(blocks=lacking).latency(two_blocks())
    with pytest.raises(MissingBlock, match="Classifier"):  # nothing is known of linear layers
        toy(blocks=lacking, operators={"count": 1.0, "globalavgpool.moved": 0.0}).latency(two_blocks())
    # Flatten is no work; the pool reads 4x8x8 and writes 4, the linear layer has 40 MACs and 50 weights.
    known = {"count": 1.0, "globalavgpool.moved": 0.01, "linear.read": 0.0, "linear.written": 0.0}
    table = toy(blocks=lacking, operators=known | {"linear.weights": 0.001, "linear.macs": 0.1})
    head = 2 * 1.0 + (256 + 4) * 0.01 + 50 * 0.001 + 40 * 0.1
    assert table.latency(two_blocks()) == table.latency(two_blocks()) == pytest.approx(1.5 + head)
    assert table.block(two_blocks().spans[1].emission) == (pytest.approx(head), "modelled")
    assert not table.monotone
    assert toy(blocks={}, method="modelled", operators=known).monotone


def test_a_block_costs_more_within_a_network():
    # The stem has 3 operators, 108 weights and its norm's 8, which nothing is said about; the head 2 and 50.
    table = toy(context={"alone": 2.0, "weights": 0.01, "count": 0.1}, overhead=1.0)
    stem, head = (table.block(span.emission).ms for span in two_blocks().spans)
    assert (stem, head) == (pytest.approx(2 * 1.5 + 1.08 + 0.3), pytest.approx(2 * 0.25 + 0.5 + 0.2))
    assert table.latency(two_blocks()) == pytest.approx(stem + head + 1.0)
    assert table.digest != toy(overhead=1.0).digest


@pytest.mark.parametrize("device", registry.names("devices"))
def test_shipped_tables_price_the_spaces_that_they_name(device):
    table = LatencyTable.load(device)
    assert table.device == device
    assert table.validation
    assert all(table.source.values())
    for spec in table.spaces[:3]:
        space = registry.create("spaces", spec)
        assert all(table.latency(space.network(genome)) > 0 for genome in drawn(space, 3))
