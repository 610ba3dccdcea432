"""What a comparison of predictions with measurements says, and where it is kept."""

import json
from itertools import count

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.architectures import ids
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.hardware import validation
from nasctl.hardware.distinct_blocks import distinct_blocks
from nasctl.hardware.kinds import where_validated
from nasctl.hardware.profiling import profile
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row, Validation
from nasctl.system import quiet_machine
from nasctl.testing import drawn

TINY = "nb201:channels=4,cells=1,resolution=8"


pytestmark = pytest.mark.usefixtures("own_lock")


def table(**changes):
    spans = distinct_blocks(registry.create("spaces", TINY))
    blocks = {key: Row(0.01 + span.emission.macs / 1e6) for key, span in spans.items()}
    host = profile.Host("toy").table("")
    facts = {"processor": host.processor, "runtime": host.runtime, "blocks": blocks}
    return LatencyTable(**{"device": "toy", "kind": "cpu", "batch": 1, **facts, **changes})


def comparison(predicted, measured, macs=None):
    numbers = [np.array(one, float) for one in (predicted, measured, macs or predicted)]
    return validation.TableComparison("some", TINY, tuple(map(str, range(len(predicted)))), *numbers)


def typed(*words):
    return CliRunner().invoke(cli, ["device", "validate", *map(str, words)])


def latencies(path, factor, number=30):
    """A CSV of ids and ms, so many times what the table predicts; the networks."""
    space = registry.create("spaces", TINY)
    genomes = list(dict.fromkeys(map(space.canonical, drawn(space, number))))
    lines = [f"{ids.encode(TINY, space.genes, g)},{factor * table().latency(space.network(g)):.9f},7" for g in genomes]
    path.write_text("\n".join(["arch,ms,other", *lines]))
    return genomes


def test_figures_are_what_their_names_say():
    found = comparison([11.0, 18.0, 30.0], [10.0, 20.0, 30.0], [3, 2, 1])
    assert found.errors == pytest.approx([10, -10, 0])
    figures = found.figures()
    assert (figures["mape"], figures["median"], figures["largest"]) == (6.667, 10, 10)
    assert (figures["bias"], figures["near"]) == (0, 100)
    assert (figures["spearman"], figures["kendall"], figures["spearman_of_macs"]) == (1, 1, -1)
    assert figures["margin"] == pytest.approx(16.4)  # 1.64 standard deviations of 10, -10 and 0
    assert [one["id"] for one in figures["worst"]] == ["0", "1", "2"]
    assert found.rank_safe
    assert not found.constraint_safe


@pytest.mark.parametrize(
    ("predicted", "rank", "constraint", "words"),
    [
        (
            [10.1, 20.2, 30.6],
            True,
            True,
            ("rank-safe: the Spearman correlation is 1.0000", "kept to within 1.3% by 3 of 3 networks"),
        ),
        ([12.0, 24.0, 36.0], True, False, ("rank-safe", "may be off by 20%")),  # all bias
        (
            [20.0, 10.0, 30.0],
            False,
            False,
            ("NOT rank-safe: the Spearman correlation is 0.5000", "NOT constraint-safe"),
        ),
        ([15.0, 15.0, 15.0], False, False, ("NOT rank-safe: the Spearman correlation is not known", "NOT")),
    ],
)
def test_the_verdict_follows_from_the_figures(predicted, rank, constraint, words):
    found = comparison(predicted, [10.0, 20.0, 30.0])
    assert (found.rank_safe, found.constraint_safe) == (rank, constraint)
    assert all(part in sentence for part, sentence in zip(words, found.verdict(), strict=True))


def test_a_file_of_latencies_is_compared_drawn_and_saved(tmp_path):
    table(validation=(Validation("an older one", (TINY,), "networks", 5, 1.0, 1.0, 0.5, 0.5),)).save(
        path := tmp_path / "toy.json"
    )
    genomes = latencies(tmp_path / "ms.csv", 2.0)
    given = (path, "--space", TINY, "--csv", tmp_path / "ms.csv", "--column", "ms")
    done = typed(*given, "--plot", f"{tmp_path}/new dir/", "--save", "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert (figures["mape"], figures["bias"], figures["spearman"]) == (50, -50, 1)
    assert (figures["networks"], len(figures["worst"])) == (len(genomes), validation.WORST)
    assert (figures["rank_safe"], figures["constraint_safe"], figures["margin"]) == (True, False, 50)
    assert (tmp_path / "new dir" / "toy.png").read_bytes().startswith(b"\x89PNG")
    again = typed(*given, "--save")
    assert "may be off by 50%" in again.stdout
    kept = LatencyTable.load(str(path))
    assert [one.number for one in kept.validation] == [len(genomes), 5]  # the newest first, and once
    assert kept.accuracy(TINY) == f"50.0%, Spearman 1.0000, {len(genomes)} networks in ms.csv, column 'ms'"
    assert kept.digest == table().digest
    assert "exists; give another name" in typed(*given, "--plot", tmp_path / "new dir").stderr


@pytest.mark.slow
def test_networks_are_measured_here_that_no_profile_has_used(tmp_path, monkeypatch):
    measured = []

    def in_turn(networks, *setting):
        (network,) = networks
        measured.append(network)
        noisy = network == measured[0] and measured.count(network) % 2  # every other time it takes twice as long
        return [table().latency(network) / 1.1 * (2 if noisy else 1)]

    monkeypatch.setattr(profile, "network_call", lambda network, *setting: network)
    monkeypatch.setattr(profile, "time_in_turn", in_turn)
    monkeypatch.setattr(quiet_machine, "_used", lambda: 0.0)
    table().save(path := tmp_path / "toy.json")
    done = typed(path, "--space", TINY, "--networks", 12, "-o", tmp_path / "copy.json")
    assert done.exit_code == 0, done.output
    assert "left out, too noisy to be believed: nb201." in done.stderr
    assert "mean 10.00%" in done.stdout
    assert len(set(measured)) == 12
    used = map(registry.create("spaces", TINY).network, profile.profiled_genomes(registry.create("spaces", TINY)))
    assert not set(used) & set(measured)
    assert not LatencyTable.load(str(path)).validation
    assert LatencyTable.load(str(tmp_path / "copy.json")).validation[0].number == 11


@pytest.mark.slow
def test_a_result_of_a_machine_that_was_busy_is_stored_only_on_request(tmp_path, monkeypatch):
    ever = count()
    monkeypatch.setattr(profile, "network_call", lambda network, *setting: network)
    # Timings agree with each other, so nothing but the use of the processors tells that all are too long.
    monkeypatch.setattr(profile, "time_in_turn", lambda networks, *given: [5 * table().latency(networks[0])])
    monkeypatch.setattr(quiet_machine, "_used", lambda: 1e6 * next(ever))
    table().save(path := tmp_path / "toy.json")
    words = (path, "--space", TINY, "--networks", 12)
    refused = typed(*words, "--save")
    assert (refused.exit_code, LatencyTable.load(str(path)).validation) == (2, ())
    assert "mean 80.00%" in refused.stdout
    assert "Warning: other processes kept " in refused.stderr
    assert f"Cannot store the result in {path}: other processes kept " in refused.stderr
    assert typed(*words).exit_code == 0
    assert typed(*words, "--save", "--accept-noise").exit_code == 0
    (kept,) = LatencyTable.load(str(path)).validation
    assert kept.held_out.endswith(" processors busy")


def test_a_validation_waits_for_a_quiet_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(quiet_machine, "wait_until_quiet", lambda seconds, report: False)
    table().save(path := tmp_path / "toy.json")
    refused = typed(path, "--space", TINY, "--wait", "0.5")
    assert refused.exit_code == 2
    assert "Cannot measure: the machine was not quiet within 30 s." in refused.stderr


def test_a_machine_that_is_too_busy_is_named(tmp_path, monkeypatch):
    ever = count(1)
    monkeypatch.setattr(profile, "network_call", lambda network, *setting: network)
    monkeypatch.setattr(profile, "time_in_turn", lambda *given: [1.5 ** next(ever)])
    table().save(path := tmp_path / "toy.json")
    assert "12 of 12 networks were too noisy" in typed(path, "--space", TINY, "--networks", 12).stderr


def test_what_cannot_be_compared_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "time_in_turn", lambda *given: [1.0])
    monkeypatch.setattr(quiet_machine, "_used", lambda: 0.0)
    table().save(path := tmp_path / "toy.json")
    table(processor="Apple M9").save(other := tmp_path / "other.json")
    table(runtime="TFLite 2.1").save(foreign := tmp_path / "foreign.json")
    table(blocks={}, operators=None).save(empty := tmp_path / "empty.json")
    latencies(tmp_path / "ms.csv", 1.0)
    (tmp_path / "bad.csv").write_text("arch,ms\n3|1,2\n")
    (tmp_path / "zero.csv").write_text("genome,ms\n" + '"0,1,2,3,4,0",0\n"1,1,1,1,1,1",2\n')
    (tmp_path / "one.csv").write_text("genome,ms\n" + '"0,1,2,3,4,0",3\n')
    csv = ("--csv", tmp_path / "ms.csv", "--column", "ms")
    for words, sentence in (
        ((other,), "its processor is 'Apple M9', and here it is"),
        ((foreign,), "was timed with TFLite 2.1, which nasctl does not run"),
        ((empty, *csv), "has no row for"),
        ((path, "--csv", tmp_path / "ms.csv"), "several columns of numbers"),
        ((path, "--csv", tmp_path / "bad.csv"), "holds an architecture"),
        ((path, "--csv", tmp_path / "zero.csv"), "is not above 0"),
        ((path, "--csv", tmp_path / "one.csv"), "1 networks are too few"),
        (("note10", *csv, "--save"), "save a copy with -o FILE.json"),
        ((path, *csv, "-o", tmp_path / "other.json"), "exists"),
        ((path, *csv, "-o", tmp_path / "other.txt"), "has to end in .json"),
        ((path, *csv, "--plot", tmp_path / "a.gif"), "a picture is .png"),
    ):
        done = typed(*words, "--space", TINY)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.stderr
        assert sentence in done.stderr
    forced = typed(other, "--space", TINY, "--force")
    assert forced.exit_code == 0
    assert "other" not in forced.stdout
    assert "its processor is 'Apple M9'" in forced.stderr


def test_the_host_is_set_as_the_table_says():
    found = validation.matching_host(table(runtime="onnxruntime 1.2", threads=2, batch=8), None, 0.5)
    assert (found.runtime, found.threads, found.batch, found.torch_device) == ("onnxruntime", 2, 8, "cpu")
    assert validation.matching_host(table(kind="gpu"), None, 0.5).torch_device == "cuda:0"
    with pytest.raises(NasctlError, match="give them with --csv"):
        validation.matching_host(table(kind="mobile"), None, 0.5)


def test_the_published_latencies_are_met_as_well_as_the_table_says(data, tmp_path):
    from nasctl.architectures.known_values import _rows
    from perf.fit_tables import ofa_genome

    rows = _rows(data("ofa-latency") / "help_ofa_latency_ms.csv.gz")[:300]
    lines = [f'"{",".join(map(str, ofa_genome(row)))}",{row["lat_v100_64"]}' for row in rows]
    (tmp_path / "ms.csv").write_text("\n".join(["genome,ms", *lines]))
    space = f"mbconv:resolutions={','.join(map(str, range(128, 225, 4)))}"
    figures = json.loads(typed("v100-b64", "--space", space, "--csv", tmp_path / "ms.csv", "--json").stdout)
    assert figures["mape"] < 1
    assert figures["spearman"] > max(0.998, figures["spearman_of_macs"])
    assert figures["rank_safe"]
    assert figures["constraint_safe"]


def test_what_a_latency_is_not_for_is_said_loudly(tmp_path):
    network = registry.create("spaces", TINY).network((3,) * 6)
    table(batch=8, precision="int8").save(path := tmp_path / "toy.json")
    said = registry.create("objectives", f"latency:device={path}").remarks(TINY, network)
    starts = (f"NOT VALIDATED for {TINY}", "NOT FOR ONE IMAGE", "NOT IN FLOAT32")
    assert all(line.startswith(start) for line, start in zip(said[1:], starts, strict=True))
    table().save(path)
    said = registry.create("objectives", f"latency:device={path}").remarks(TINY, network)
    assert said[1] == (
        f"NOT VALIDATED for {TINY}: latencies are rough estimates; no table was compared with timed networks"
        " of that space; `nasctl device adapt toy` corrects this one by five networks that you time"
    )
    assert len([line for line in said if line.startswith("NOT ")]) == 1


def test_only_tables_that_exist_are_pointed_to():
    mobile, gpu = LatencyTable.load("pixel4"), LatencyTable.load("v100-b64")
    pointer = "`nasctl device list --space mbconv --validated` lists tables that were"
    assert where_validated(gpu, "mbconv").startswith(f"{pointer}, and `nasctl device adapt v100-b64`")
    assert where_validated(mobile, "mbconv").startswith(pointer)
    assert where_validated(mobile, TINY).startswith(
        "no table was compared with timed networks of that space; `nasctl device adapt pixel4`"
    )
    assert "that were, of another kind of device (" in where_validated(mobile, "nbmacro")


def test_one_device_is_not_searched_twice(tmp_path):
    words = ["search", "--space", "mbconv", "--device", "gpu", "--device", "titan-rtx-b64", "--store"]
    done = CliRunner().invoke(cli, [*words, str(tmp_path / "a.db")])
    assert (done.exit_code, (tmp_path / "a.db").exists()) == (2, False)
    assert "'latency@gpu' and 'latency@titan-rtx-b64' are one device, titan-rtx-b64; leave one out" in done.stderr
