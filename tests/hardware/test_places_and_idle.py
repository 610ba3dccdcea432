"""Rows per place and idle operations: how tables with them are fitted, stored, looked up and compared."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.api import Add, Builder, Classifier, ConvNormAct, MissingBlock, NasctlError, Zero, declared_network
from nasctl.architectures import ids
from nasctl.cli import cli
from nasctl.hardware.fitting.additive import FOLDS, fit, folds, split_groups, validate_fit
from nasctl.hardware.fitting.by_idle import TimedNetworks, fit_form
from nasctl.hardware.fitting.by_place import fit_rows, place_labels
from nasctl.hardware.idle import live_spans
from nasctl.hardware.places import repeated_place, row_at
from nasctl.hardware.pricing import price
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row, parse
from nasctl.search.metrics import make_objective
from nasctl.testing import drawn

SPEC = "nb201:channels=4,cells=2,resolution=8"
SPACE = registry.create("spaces", SPEC)
EMPTY = LatencyTable("toy", "gpu", 1, {})
EDGE_COSTS = {"edge01": 5.0, "edge02": 0.3, "edge12": 2.0, "edge03": 0.1, "edge13": 1.0, "edge23": 4.0}
CONV = "ActConvNorm(channels=4) @ 4x8x8"


def genomes(number, seed=0):
    rng = np.random.default_rng(seed)
    return [tuple(one) for one in dict.fromkeys(map(tuple, rng.integers(5, size=(number, 6)).tolist()))]


def cost(span):
    """The cost of a block that is the same at every place."""
    return 0.1 + span.emission.macs / 4e4


def cost_at_place(span):
    """The cost of a block that depends on its edge."""
    return cost(span) * EDGE_COSTS.get(span.name.rpartition(".")[2], 1.0)


def counting(genome, cost=cost):
    """The latency on a device that runs every operation that is declared."""
    return 1.0 + sum(map(cost, SPACE.declared(genome).spans))


def ignoring(genome, cost=cost):
    """The latency on a device that leaves out idle operations."""
    return 1.0 + sum(map(cost, live_spans(SPACE.network(genome))))


def timed(latency, number=300):
    chosen = genomes(number)
    return chosen, TimedNetworks.of(SPACE, chosen, np.array([latency(genome) for genome in chosen]))[0]


def written(path, latency, chosen, spelled=SPACE.spell):
    path.write_text("\n".join(["arch,ms", *(f"{spelled(one)},{latency(one):.9f}" for one in chosen)]) + "\n")
    return path


def run(*words):
    return CliRunner().invoke(cli, ["device", *map(str, words)])


def names(spans):
    return [span.name for span in spans]


# Idle blocks


def test_blocks_that_do_not_reach_the_output_are_idle():
    network = SPACE.network((3, 0, 0, 2, 0, 0))  # nothing reads the convolution of the first edge
    idle = set(names(network.spans)) - set(names(live_spans(network)))
    assert idle == {f"stage{stage}.{cell}.edge01" for stage in (1, 2, 3) for cell in (0, 1)}


def test_blocks_that_read_only_zeros_are_idle():
    network = SPACE.network((0, 0, 3, 2, 0, 3))  # node 1 is zeros, and so is all that is made of it
    live = names(live_spans(network))
    assert not [name for name in live if "edge12" in name or "edge23" in name or "zero" in name]
    assert "stage1.0.edge03" in live


def test_all_is_idle_if_the_output_does_not_depend_on_the_input():
    assert live_spans(SPACE.network((0,) * 6)) == ()
    assert replace(EMPTY, overhead=0.25, idle="ignore").latency(SPACE.network((3, 3, 3, 0, 0, 0))) == 0.25


def test_a_sum_with_zeros_is_not_idle():
    net = Builder((3, 8, 8))
    x = net.add(ConvNormAct(4, 3), *net.inputs, name="stem")
    zero = net.add(Zero(), x, name="zero")
    y = net.add(Add(), x, zero, name="sum")
    network = net.build(net.add(Classifier(10), y, name="head"))
    assert names(live_spans(network)) == ["stem", "sum", "head"]
    without = replace(network, spans=live_spans(network))
    assert live_spans(without) == without.spans  # blocks that were left out before do not matter


def test_canonical_networks_and_other_spaces_have_no_idle_blocks():
    for genome in genomes(40):
        canonical = SPACE.canonical(genome)
        if any(canonical):
            assert live_spans(SPACE.network(canonical)) == SPACE.network(canonical).spans
    for spec in ("mbconv", "darts", "nb101", "vit", "bert", "hytra"):
        space = registry.create("spaces", spec)
        for genome in drawn(space, 3):
            network = space.network(space.canonical(genome))
            assert live_spans(network) == network.spans


@pytest.mark.parametrize("spec", ["nb201", "tnb101_micro"])
def test_the_declared_form_runs_every_edge(spec):
    space = registry.create("spaces", spec)
    network, zeros = space.declared((0,) * 6), space.declared((1,) * 6)
    assert sum("edge" in span.name for span in network.spans) == {"nb201": 6 * 15, "tnb101_micro": 6 * 10}[spec]
    assert len(network.spans) > len(zeros.spans)  # a skip is no work, unless it halves the resolution
    last = len(space.genes[0].choices) - 1
    full = (last,) * 6
    assert space.declared(full).spans == space.network(full).spans
    assert declared_network(registry.create("spaces", "mbconv"), (0,) * 45).spans


# The choice of a fit


def test_idle_operations_are_counted_where_the_device_runs_them():
    _, data = timed(counting)
    found = fit_form(data)
    assert found.idle == "count"
    assert "are counted (MAPE in 5 folds 0." in found.idle_remark


def test_idle_operations_are_ignored_where_the_device_leaves_them_out():
    chosen, data = timed(ignoring)
    found = fit_form(data)
    table = found.fill(EMPTY)
    assert (found.idle, table.idle) == ("ignore", "ignore")
    for genome in chosen[:20]:  # a network may be given as it is written
        assert table.latency(SPACE.network(genome)) == pytest.approx(ignoring(genome), rel=0.05)


def test_the_form_can_be_asked_for_and_is_worse():
    chosen, data = timed(ignoring)
    asked = fit_form(data, idle="count")
    assert (asked.idle, asked.idle_remark.endswith("are counted, as asked for")) == ("count", True)
    errors = [
        np.abs(one.form(data).predicted(one.fill(EMPTY)) / one.form(data).ms - 1).mean()
        for one in (asked, fit_form(data))
    ]
    assert errors[0] > 5 * errors[1]
    assert len(chosen) == data.forms["count"].ms.size


def test_a_space_without_idle_operations_has_one_form():
    space = registry.create("spaces", "nbmacro")
    chosen = drawn(space, 60)
    data, _ = TimedNetworks.of(space, chosen, np.array([float(space.network(one).macs) for one in chosen]) / 1e7)
    assert (list(data.forms), data.with_idle) == (["count"], 0)
    assert (fit_form(data).idle, fit_form(data).idle_remark) == (None, "")


def test_networks_of_one_function_are_never_divided():
    _, data = timed(counting)
    counted = data.forms["count"]
    assert len(set(data.groups)) < len(data.groups)
    inside, held = split_groups(data.groups, 0.3, seed=0)
    assert not set(data.groups[inside]) & set(data.groups[held])
    assert sorted([*inside, *held]) == list(range(len(data.groups)))
    parts = list(folds(counted))
    assert len(parts) == FOLDS
    for one, other in parts:
        assert not set(one.groups) & set(other.groups)
        assert len(one.ms) + len(other.ms) == len(counted.ms)


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


def test_held_out_networks_with_unknown_operators_are_left_out():
    chosen = [one for one in genomes(300) if 0 not in one]
    more = [(0, 1, 1, 1, 1, 1), (1, 0, 1, 1, 1, 1), (1, 2, 3, 1, 1, 3), (3, 2, 3, 1, 2, 3)]
    data, _ = TimedNetworks.of(SPACE, chosen + more, np.array([counting(one) for one in chosen + more]))
    counted = data.forms["count"]
    size = len(counted.ms) - len(more)
    inside, held = counted.part(np.arange(size)), counted.part(np.arange(size, len(counted.ms)))
    error = validate_fit(fit(inside).fill(EMPTY), inside, held, "networks", [])
    assert error.number == 2
    assert "2 networks left out, because the table has no row for Zero() @ 4x8x8, Zero() @" in error.held_out


# Tables


def table(**changes):
    """A table of all blocks of the space, with one row of a place."""
    blocks = {
        span.emission.key: Row(cost(span))
        for choice in range(5)
        for genome in ((choice,) * 6, (choice, 0, 0, 0, 0, 0), (0, choice, 0, choice, 0, 0), (0, 0, 1, 0, 0, choice))
        for span in SPACE.declared(genome).spans
    }
    places = {"stage1.*.edge03": {CONV: Row(7.0)}, "stage1.1.edge03": {CONV: Row(9.0)}}
    return LatencyTable(
        **{
            "device": "toy",
            "kind": "gpu",
            "batch": 1,
            "blocks": blocks,
            "method": "fitted",
            "places": places,
            **changes,
        }
    )


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


def test_the_digest_follows_places_and_what_idle_blocks_cost():
    plain = table(places={})
    assert plain.digest == table(places={}, idle="count").digest  # all blocks count in both
    others = [table(), table(places={}, idle="ignore"), table(places={"stage1.*.edge03": {CONV: Row(8.0)}})]
    assert len({one.digest for one in [plain, *others]}) == 4


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


def test_idle_blocks_cost_nothing_where_they_are_ignored():
    network = SPACE.network((3, 0, 0, 2, 0, 0))
    figures = dict(zip(names(network.spans), table(idle="ignore").block_latencies(network), strict=True))
    assert figures["stage1.0.edge01"] == (0.0, "idle")
    assert figures["stage1.0.edge03"] == (7.0, "fitted")
    assert table(idle="count").block_latencies(network)[1].origin == "fitted"


def test_shipped_tables_say_how_their_networks_were_timed():
    assert LatencyTable.load("titan-rtx-b1-nb201").idle == "count"
    assert LatencyTable.load("titan-rtx-b64").idle is None


# Commands


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().save(tmp_path / "toy.json")
    return tmp_path / "toy.json"


def test_fit_prints_its_choices_and_validate_takes_them_over(file):
    chosen = genomes(700)
    written(file.parent / "in.csv", lambda one: counting(one, cost_at_place), chosen[:450])
    written(file.parent / "out.csv", lambda one: counting(one, cost_at_place), chosen[450:])
    done = run("fit", "--space", SPEC, "--csv", "in.csv", "--name", "fitted", "--kind", "gpu")
    assert done.exit_code == 0, done.output
    assert "rows per place, because they predict better (MAPE in 5 folds" in done.stderr
    assert "are counted (MAPE in 5 folds" in done.stderr
    assert "rows of places" in done.stderr
    checked = run("validate", "fitted.json", "--space", SPEC, "--csv", "out.csv", "--json")
    assert json.loads(checked.stdout)["mape"] < 1
    other = run("validate", "fitted.json", "--space", SPEC, "--csv", "out.csv", "--idle", "ignore", "--json")
    assert json.loads(other.stdout)["mape"] > 5
    plain = run("fit", "--space", SPEC, "--csv", "in.csv", "--name", "plain", "--rows", "operation", "--json")
    facts = json.loads(plain.stdout)
    assert (facts["places"], facts["idle"]) == (0, "count")
    assert facts["validation"][0]["mape"] > 5
    assert LatencyTable.load("plain.json").command.endswith("--rows operation")


def test_fit_reads_ids_and_refuses_what_it_cannot_do(file):
    spec = registry.normal("spaces", SPEC)
    path = written(file.parent / "ids.csv", counting, genomes(50), lambda one: ids.encode(spec, SPACE.genes, one))
    given = ("fit", "--space", SPEC, "--csv", path, "--name", "new")
    assert run(*given).exit_code == 0
    assert LatencyTable.load("new.json").idle == "count"
    for more in (("--rows", "place"), ("--rows", "place", "--operators-only")):
        refused = run(*given, *more, "--force")
        assert (refused.exit_code, len(refused.stderr.strip().splitlines())) == (2, 1), refused.output


def test_show_and_predict_know_places(file):
    shown = run("show", file)
    assert "stage1.*.edge03" in shown.stdout
    rows = json.loads(run("show", file, "--space", SPEC, "--json").stdout)["blocks"]
    assert {(row["place"], row["ms"]) for row in rows if row["key"] == CONV} >= {("stage1.*.edge03", 7.0)}
    done = run("predict", "0,0,0,2,0,0", "--space", SPEC, "--device", file, "--json", "--store", "none.db")
    (found,) = json.loads(done.stdout)
    assert {block["latency"]["toy"] for block in found["blocks"] if block["name"].startswith("stage1")} == {7.0, 9.0}
    assert found["latency"]["toy"] == pytest.approx(table().latency(SPACE.network((0, 0, 0, 2, 0, 0))))


def test_predict_says_what_a_network_takes_with_idle_operations(file):
    table(idle="count").save(file)
    genome = (3, 0, 0, 2, 0, 0)
    given = ("predict", "3,0,0,2,0,0", "--space", SPEC, "--device", file, "--store", "none.db")
    (found,) = json.loads(run(*given, "--json").stdout)
    built = SPACE.network(SPACE.canonical(genome))
    assert found["latency"]["toy"] == pytest.approx(table().latency(built))
    assert found["latency_with_idle"]["toy"] == pytest.approx(table().latency(SPACE.declared(genome)))
    assert found["latency_with_idle"]["toy"] > found["latency"]["toy"]
    assert "was fitted to networks with idle operations" in run(*given).stdout
    table().save(file)
    (plain,) = json.loads(run(*given, "--json").stdout)
    assert plain["latency_with_idle"] == {}


def test_the_objective_prices_places(file):
    _, latency = make_objective(f"latency:device={file}", SPEC)
    assert latency.table.latency(SPACE.network((0, 0, 0, 2, 0, 0))) > 16
    assert latency.remarks(SPEC, SPACE.network((0, 0, 0, 2, 0, 0)))


def test_validate_leaves_out_what_cannot_be_priced(file):
    rows = {key: row for key, row in table().blocks.items() if "AvgPool(kernel=3) @ 4x8x8" not in key}
    table(blocks=rows, places={}, idle="count").save(file)
    chosen = genomes(80)
    written(file.parent / "ms.csv", counting, chosen)
    given = ("validate", file, "--space", SPEC, "--csv", "ms.csv")
    figures = json.loads(run(*given, "--json").stdout)
    without = [one for one in chosen if 4 not in one]
    assert (figures["networks"], figures["left_out"]) == (len(without), len(chosen) - len(without))
    assert figures["unpriced"] == ["AvgPool(kernel=3) @ 4x8x8"]
    assert figures["spearman"] > 0.9
    printed = run(*given, "--save").stdout
    assert "left out" in printed
    assert "AvgPool(kernel=3) @ 4x8x8" in printed
    assert f"{figures['left_out']} networks left out" in LatencyTable.load(str(file)).validation[0].held_out


def test_validate_prices_blocks_without_a_row_by_operators(file):
    _, data = timed(counting)
    operators = fit_form(data, operators_only=True).fit.operators
    table(blocks={}, places={}, idle="count", operators=operators, method="fitted").save(file)
    written(file.parent / "ms.csv", counting, genomes(80))
    figures = json.loads(run("validate", file, "--space", SPEC, "--csv", "ms.csv", "--json").stdout)
    assert (figures["left_out"], figures["networks"]) == (0, len(genomes(80)))


def test_validate_refuses_if_nothing_can_be_priced(file):
    table(blocks={}, places={}).save(file)
    written(file.parent / "ms.csv", counting, genomes(20))
    refused = run("validate", file, "--space", SPEC, "--csv", "ms.csv")
    assert (refused.exit_code, len(refused.stderr.strip().splitlines())) == (2, 1)
    assert "Cannot compare 'toy' with these networks: 20 networks left out" in refused.stderr
    assert " more" in refused.stderr
