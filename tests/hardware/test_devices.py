"""Latency tables: what they say, what they refuse, how they are fitted and measured."""

import json
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.api import Builder, Classifier, ConvNormAct, MBConv, MissingBlock, NasctlError
from nasctl.cli import cli
from nasctl.hardware import kinds
from nasctl.hardware.distinct_blocks import distinct_blocks
from nasctl.hardware.fitting.measured import BLOCKS_HELD_OUT
from nasctl.hardware.fitting.operators import (
    cross_val_predict,
    evaluate_predictions,
    fit_operators,
    network_features,
    predict,
)
from nasctl.hardware.kinds import best_table
from nasctl.hardware.operator_model import features
from nasctl.hardware.profiling import profile
from nasctl.hardware.profiling.timing import time_in_turn
from nasctl.hardware.profiling.timings import VISITS, Timings
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row, Validation
from nasctl.networks.graph import emitted
from nasctl.system.machine_lock import exclusive_machine
from nasctl.testing import drawn

pytestmark = pytest.mark.usefixtures("own_lock")
TINY = "nb201:channels=4,cells=1,resolution=8"


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


def test_a_kind_stands_for_its_best_table(monkeypatch):
    space = registry.create("spaces", TINY)
    rows = {key: Row(1.0) for key in distinct_blocks(space)}

    def known(device, against, mape, spec, **changes):
        validation = (Validation("x", (registry.normal("spaces", spec),), against, 20, mape, 0.0, 0.9, 0.8),)
        return toy(**{"device": device, "blocks": rows, "validation": validation, **changes})

    tables = {
        "a": known("a", "networks", 3.0, TINY),
        "b": known("b", "networks", 2.0, TINY),
        "c": known("c", "sums", 1.0, TINY),
        "d": known("d", "networks", 0.5, "mbconv"),
        "e": known("e", "networks", 0.1, TINY, kind="gpu"),
        "f": known("f", "networks", 0.1, "nbmacro", kind="mobile", blocks={}),
    }
    monkeypatch.setattr(kinds, "trusted", lambda kind: sorted(tables))
    monkeypatch.setattr(LatencyTable, "load", tables.__getitem__)
    assert best_table("cpu", TINY).device == "b"
    for name in "abc":
        del tables[name]
    assert best_table("cpu", TINY).device == "d"  # it was not validated there, but has the blocks
    with pytest.raises(NasctlError, match="no table of the kind 'mobile' knows the blocks of nb201"):
        best_table("mobile", TINY)


def test_features_of_one_block_by_hand():
    block = MBConv(8, kernel=7, expand=2, se=True)  # 8x6x6 -> 16x6x6 -> 8x6x6; the gate has 8 channels in the middle
    image = 6 * 6
    assert features(emitted(block, ((8, 6, 6),))) == {
        # expand, depthwise and project with their norms and 2 ReLUs; 6 operators of the gate; the addition
        "count": 3 + 3 + 2 + 6 + 1,
        "pointwise.read": 8 * image + 16 + 8 + 16 * image,
        "pointwise.written": 16 * image + 8 + 16 + 8 * image,
        "pointwise.weights": 8 * 16 + (16 * 8 + 8) + (8 * 16 + 16) + 16 * 8,
        "pointwise.macs": 8 * 16 * image + 16 * 8 + 8 * 16 + 16 * 8 * image,
        "depthwise.read": 16 * image,
        "depthwise.written": 16 * image,
        "depthwise.weights": 16 * 49,
        "depthwise.k5": 16 * image,
        "depthwise.k7": 16 * image,
        "batchnorm.moved": 2 * (16 + 16 + 8) * image,
        "relu.moved": 2 * 2 * 16 * image + 2 * 8,
        "globalavgpool.moved": 16 * image + 16,
        "hsigmoid.moved": 2 * 16,
        "multiply.moved": 2 * 16 * image + 16,
        "add.moved": 3 * 8 * image,
    }


@pytest.mark.parametrize("spec", ["mbconv", "mbconv:resolutions=32,64,96,224"])
def test_no_feature_falls_when_an_ordered_gene_rises(spec):
    space = registry.create("spaces", spec)
    for genome in drawn(space, 20):
        for k, gene in enumerate(space.genes):
            chain = [(*genome[:k], choice, *genome[k + 1 :]) for choice in range(len(gene.choices))]
            for small, large in pairwise(space.network(one) for one in chain):
                less, more = network_features(small), network_features(large)
                assert all(less[name] <= more.get(name, 0) for name in less), (gene, genome)


def test_nnls_finds_the_coefficients_that_made_the_data():
    rng = np.random.default_rng(0)
    truth = {"overhead": 0.5, "a": 2e-6, "b": 0.03, "idle": 0.0}
    samples = [{"overhead": 1.0, "a": x, "b": y, "idle": z} for x, y, z in rng.uniform(1, [1e6, 20, 5], (60, 3))]
    ms = np.array([sum(truth[name] * sample[name] for name in truth) for sample in samples])
    found = fit_operators(samples, ms)
    assert found == pytest.approx(truth, rel=1e-4, abs=1e-6)
    assert predict(found, samples) == pytest.approx(ms, rel=1e-4)
    noisy = fit_operators(samples, ms * rng.normal(1, 0.02, 60))
    assert all(value >= 0 for value in noisy.values())
    assert np.isnan(predict(found, [{"a": 1.0, "unheard of": 1.0}])).all()


def test_what_is_held_out_is_not_fitted():
    rng = np.random.default_rng(0)
    samples = [{"a": x} for x in rng.uniform(1, 2, 16)]
    ms = np.array([3 * sample["a"] for sample in samples])
    ms[5] = 1000.0  # which a fit that has seen it would follow
    guesses = cross_val_predict(samples, ms, range(16))
    assert guesses[5] == pytest.approx(3 * samples[5]["a"], rel=1e-5)


def test_accuracy_by_hand():
    found = evaluate_predictions("x", np.array([1.1, 1.8, 4.0]), np.array([1.0, 2.0, 4.0]))
    assert found == Validation("x", (), "networks", 3, pytest.approx(20 / 3, abs=1e-3), 0.0, 1.0, 1.0)
    assert evaluate_predictions("x", np.ones(3), np.array([1.0, 2.0, 4.0])).spearman is None


@pytest.mark.parametrize("device", registry.names("devices"))
def test_shipped_tables_price_the_spaces_that_they_name(device):
    table = LatencyTable.load(device)
    assert table.device == device
    assert table.validation
    assert all(table.source.values())
    for spec in table.spaces[:3]:
        space = registry.create("spaces", spec)
        assert all(table.latency(space.network(genome)) > 0 for genome in drawn(space, 3))


def timing(network):
    """Additive over blocks; whole networks take a quarter more, and 7 ms."""
    work = network.params + len(network.nodes)
    return 1.25 * work + 7 if len(network.spans) > 1 else float(work)


class Recorder:
    """Times like `timing`, counts, and can be told to be noisy about a network or to be interrupted."""

    def __init__(self, noisy=None, stop=None):
        self.companies, self.noisy, self.stop, self.loud = [], noisy, stop, False

    def __call__(self, networks, threads, seconds, cuda):
        if len(self.companies) == self.stop:
            raise KeyboardInterrupt
        self.companies.append(networks)
        times = [timing(network) for network in networks]
        if self.noisy in networks:
            self.loud = not self.loud
            times[networks.index(self.noisy)] *= 1 + self.loud
        return times

    @property
    def visits(self):
        return sum(map(len, self.companies))


def run_profile(monkeypatch, path, time_in_turn, *more):
    monkeypatch.setattr(profile, "call", lambda network, *setting: network)
    monkeypatch.setattr(profile, "in_turn", time_in_turn)
    return CliRunner().invoke(cli, ["device", "profile", "--space", TINY, "--name", "here", "-o", str(path), *more])


def things():
    """What a profile of the space visits."""
    return (
        len(distinct_blocks(registry.create("spaces", TINY)))
        + profile.CALIBRATION_NETWORKS
        + profile.VALIDATION_NETWORKS
    )


def test_profile_measures_validates_and_resumes(monkeypatch, tmp_path):
    path, blocks = tmp_path / "here.json", distinct_blocks(registry.create("spaces", TINY))
    stopped = run_profile(monkeypatch, path, first := Recorder(stop=8))
    assert (stopped.exit_code, path.exists()) == (130, False)
    assert "the same command goes on" in stopped.stderr
    (notes,) = (tmp_path / "here.json.part").iterdir()
    notes.write_text(notes.read_text() + '{"half a li')  # as a kill may leave it
    done = run_profile(monkeypatch, path, rest := Recorder())
    assert done.exit_code == 0, done.output
    assert "busier" not in done.stderr
    assert VISITS * things() <= first.visits + rest.visits < (VISITS + 1) * things()
    assert len(first.companies[0]) > 5  # blocks have company, whole networks have none
    assert sorted({len(company) for company in rest.companies}) == [1, len(first.companies[0])]
    assert list(tmp_path.iterdir()) == [path]
    table = LatencyTable.load(str(path))
    assert len(table.blocks) == len(blocks)
    assert table.spaces == [registry.normal("spaces", TINY)]
    of_networks, of_blocks = table.validation
    assert table.validated(TINY) == of_networks
    assert (of_networks.number, of_networks.mape) == (profile.VALIDATION_NETWORKS, pytest.approx(0, abs=0.01))
    assert of_networks.spearman == pytest.approx(1)
    assert (table.context["alone"], table.overhead) == (pytest.approx(1.25, 1e-3), pytest.approx(7, rel=0.1))
    assert (of_blocks.held_out, of_blocks.against) == (BLOCKS_HELD_OUT, "blocks")
    wider = registry.create("spaces", TINY.replace("channels=4", "channels=8")).network((3,) * 6)
    assert table.block(wider.spans[0].emission).origin == "modelled"


def test_profile_refuses_noise_and_goes_on_from_there(monkeypatch, tmp_path):
    path, blocks = tmp_path / "here.json", distinct_blocks(registry.create("spaces", TINY))
    key = next(key for key in blocks if "Conv" in key)
    refused = run_profile(monkeypatch, path, Recorder(noisy=blocks[key].alone()))
    assert refused.exit_code == 1
    assert f"there is no table yet:\n  {key}\nquiet the machine and type the same command again" in refused.stderr
    assert not path.exists()
    for _ in range(3):  # until the quiet visits outweigh the noisy ones
        if not path.exists():
            quiet = run_profile(monkeypatch, path, again := Recorder())
    assert quiet.exit_code == 0
    assert again.visits < VISITS * things() / 2
    assert key in LatencyTable.load(str(path)).blocks


def test_profile_writes_over_nothing_else(monkeypatch, tmp_path):
    toy().save(path := tmp_path / "here.json")
    before = path.read_text()
    other = tmp_path / "other.json"
    run_profile(monkeypatch, other, Recorder(stop=1))
    for more, message in (
        ((), "here.json is there already"),
        (("--torch-device", "cuda:7", "--force"), "torch cannot use 'cuda:7' here"),
        (("-o", str(tmp_path / "here.txt")), "has to end in .json"),
        (("--name", "a b"), "'a b' is no name for a device"),
        (("-o", str(other), "--batch", "2"), "has the batch 1, not 2; name another file with -o, or add --force"),
    ):
        failed = run_profile(monkeypatch, path, Recorder(), *more)
        assert (failed.exit_code, path.read_text()) == (2, before)
        assert message in failed.stderr
    (notes,) = (tmp_path / "other.json.part").iterdir()
    for junk in ("[]\n", "not JSON\n", notes.read_text() + "[1]\n", notes.read_text() + '{"x": "y"}\n'):
        notes.write_text(junk)
        assert "is not what a profile leaves" in run_profile(monkeypatch, other, Recorder()).stderr
    with exclusive_machine():
        assert "another `nasctl device profile`" in run_profile(monkeypatch, path, Recorder(), "--force").stderr
    assert run_profile(monkeypatch, path, Recorder(), "--force").exit_code == 0
    assert LatencyTable.load(str(path)).device == "here"


def test_a_figure_is_known_when_its_own_error_is_small():
    def row(*ms):
        visits = Timings()
        for one in ms:
            visits.add({"x": one})
        return visits.row("x")

    assert row(*[1.0] * (VISITS - 1)) is None
    assert row(*[1.0] * VISITS) == (1.0, 0.0, VISITS)
    uneven = [0.9, 1.1] * (VISITS // 2)  # a range of .2 over the root of the visits
    assert row(*uneven) is None
    assert row(*uneven * 4).ms == pytest.approx(1)
    assert row(*[0.01, 0.02] * VISITS).n == 2 * VISITS  # microseconds, which no network notices


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_the_timer_times(runtime, tmp_path):
    calls = [profile.call(chain(n), runtime, "cpu", 1, 1, file=tmp_path / f"{n}.onnx") for n in (1, 30)]
    small, large = time_in_turn(calls, 1, 0.05)
    assert 0 < small < large < 1000
    assert len(list(tmp_path.iterdir())) == (2 if runtime == "onnxruntime" else 0)
    again = profile.call(chain(1), runtime, "cpu", 1, 1, file=tmp_path / "1.onnx")
    assert time_in_turn([again], 1, 0.01)[0] < large


def chain(length):
    net = Builder((16, 32, 32))
    (x,) = net.inputs
    for k in range(length):
        x = net.add(ConvNormAct(16, 3), x, name=f"layer{k}")
    return net.build(x)


def test_devices_are_listed_and_shown():
    listed = json.loads(CliRunner().invoke(cli, ["device", "list", "--json"]).stdout)
    assert [one["name"] for one in listed] == registry.names("devices")
    facts = {one["name"]: one for one in listed}
    assert (facts["v100-b64"]["batch"], facts["v100-b64"]["method"]) == (64, "fitted")
    assert "NVIDIA V100" in CliRunner().invoke(cli, ["device", "list"]).stdout
    shown = json.loads(CliRunner().invoke(cli, ["device", "show", "note10", "--space", "mbconv", "--json"]).stdout)
    assert len(shown["blocks"]) == 96
    assert {block["origin"] for block in shown["blocks"]} == {"modelled"}
    other = CliRunner().invoke(cli, ["device", "show", "note10", "--space", "mbconv:width=0.9"])
    assert "modelled" in other.stdout
    assert "was not validated for mbconv:width=0.9" in other.stderr
    foreign = json.loads(CliRunner().invoke(cli, ["device", "show", "v100-b64", "--space", "nb201", "--json"]).stdout)
    assert {"missing", "modelled"} == {block["origin"] for block in foreign["blocks"]}
    assert foreign["covers"] == {"nb201": False}
