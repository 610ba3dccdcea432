"""Rows per place: how they are fitted, stored and looked up."""

import json

import numpy as np
import pytest
from timed_cells import CONV, EMPTY, SPACE, cost, cost_at_place, counting, genomes, table, timed

from nasctl import registry
from nasctl.api import MissingBlock, NasctlError
from nasctl.hardware.fitting.additive import fit
from nasctl.hardware.fitting.by_idle import TimedNetworks, fit_form
from nasctl.hardware.fitting.by_place import fit_rows, place_labels
from nasctl.hardware.places import repeated_place, row_at
from nasctl.hardware.pricing import price
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row, parse
from nasctl.testing import drawn


def test_rows_are_per_place_where_the_cost_depends_on_the_place():
    chosen, data = timed(lambda genome: counting(genome, cost_at_place))
    found = fit_form(data)
    table = found.fill(EMPTY)
    assert "rows per place, because they predict better" in found.fit.place_remark
    assert "stage1.*.edge01" in table.places
    assert (table.method, table.monotone) == ("fitted", False)
    others = genomes(100, seed=5)
    errors = [abs(table.latency(SPACE.declared(one)) / counting(one, cost_at_place) - 1) for one in others]
    assert np.mean(errors) < 0.01
    assert not set(others) <= set(chosen)


def test_rows_are_per_operation_where_the_place_does_not_matter():
    _, data = timed(counting)
    found = fit_form(data)
    assert found.fill(EMPTY).places == {}
    assert found.fit.place_remark.startswith("no rows per place: they would have to save more than")
    plain = fit_rows(data.forms["count"], "operation")
    assert plain == fit(data.forms["count"].by_operation)
    assert fit_rows(data.forms["count"], operators_only=True).blocks == {}


def test_rows_per_place_need_networks():
    _, data = timed(counting, number=60)
    with pytest.raises(NasctlError, match="Cannot fit rows per place: no block is at several places"):
        fit_rows(data.forms["count"], "place")
    assert "no rows per place: " in fit_rows(data.forms["count"]).place_remark


def test_equal_cells_share_a_place_and_others_do_not():
    _, data = timed(counting, number=40)
    labels = set(place_labels(data.forms["count"]))
    assert {"stem", "stage1.*.edge01", "stage3.*.node3"} <= labels
    assert not [label for label in labels if label.startswith("stage1.0")]
    space = registry.create("spaces", "mbconv")
    chosen = drawn(space, 30)
    varied, _ = TimedNetworks.of(space, chosen, np.ones(len(chosen)))
    assert "stage1.1" in place_labels(varied.forms["count"])
    assert (repeated_place("stage1.0.edge01"), repeated_place("stem")) == ("stage1.*.edge01", "stem")


def test_a_row_of_a_place_comes_before_the_row_of_the_operation():
    network = SPACE.network((0, 0, 0, 2, 0, 0))
    (first, second, *_) = (span for span in network.spans if span.name.endswith("edge03"))
    both = table()
    assert both.block(first.emission, first.name).ms == 7.0
    assert both.block(second.emission, second.name).ms == 9.0  # the name itself comes before the pattern
    assert both.block(first.emission, "stage1.0.edge01").ms == both.block(first.emission).ms == cost(first)
    assert row_at(both.places, "stage2.0.edge03", CONV) is None
    assert both.latency(network) == pytest.approx(sum(map(cost, network.spans)) + 16.0 - 2 * cost(first))
    assert price(network, both).total == pytest.approx(sum(one.ms for one in price(network, both).blocks))


def test_tables_with_places_are_read_as_they_were_saved(tmp_path):
    both = table(idle="ignore")
    both.save(path := tmp_path / "toy.json")
    assert LatencyTable.load(str(path)) == both
    table(places={}).save(path)
    assert not {"places", "idle"} & set(json.loads(path.read_text()))  # files without them are as they were
    assert LatencyTable.load(str(path)).places == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"idle": "skip"}, "its field 'idle'"),
        ({"places": {"stem": {"Add()": [1, 2]}}}, r"'places': 'stem': 'Add\(\)' is \[1, 2\]"),
        ({"places": {"stem": {"Add()": [-1]}}}, "its field 'places'"),
        ({"places": [1]}, "its field 'places'"),
        ({"method": "modelled", "blocks": {}, "operators": {"count": 1}}, 'so it has to have no "places"'),
    ],
)
def test_bad_places_are_refused_in_a_sentence(tmp_path, changes, message):
    table().save(path := tmp_path / "toy.json")
    with pytest.raises(NasctlError, match=message):
        parse(json.dumps(json.loads(path.read_text()) | changes))


def test_unpriced_blocks_are_named_once():
    lacking = table(blocks={}, places={"stage1.*.edge03": {CONV: Row(7.0)}})
    network = SPACE.network((0, 0, 0, 2, 0, 0))
    keys = lacking.unpriced_keys(network)
    assert len(keys) == len(set(keys))
    assert CONV not in keys
    with pytest.raises(MissingBlock):
        lacking.block_latencies(network)
