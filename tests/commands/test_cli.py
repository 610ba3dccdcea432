"""What commands print for programs, and what a search keeps to."""

import json
import math
import re
import time
from itertools import count
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.cli import cli
from nasctl.pareto.losses import front
from nasctl.search import loop, watch
from nasctl.store.store import Store
from nasctl.testing import drawn


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    return call


def test_search_and_pareto_speak_json(nasctl):
    searched = nasctl("search", "--space=nbmacro", "-oparams,macs", "--record=memory", "--budget=30", "--json")
    assert searched.keys() == {
        *("run", "evaluations", "distinct", "failed", "front", "seconds", "recommended", "why"),
    }
    assert (searched["distinct"], searched["failed"]) == (30, 0)
    shown = nasctl("pareto", "show", "--json")
    assert [row["id"] for row in shown] == searched["front"]
    space = registry.create("spaces", "nbmacro")
    for row in shown:
        network = space.network(tuple(row["genome"]))
        assert row["values"] == {"params": network.params, "macs": network.macs, "memory": network.memory}
    (run,) = nasctl("runs", "list", "--json")
    assert (run["name"], run["candidates"]) == (searched["run"], 30)
    assert nasctl("runs", "show", "--json")["front"] == len(shown)
    nasctl("runs", "delete", run["name"], "--yes")
    assert nasctl("runs", "list", "--json") == []


def test_the_front_is_what_nothing_visited_dominates(nasctl):
    nasctl("search", "--space=nbmacro", "-onaswot,macs,memory", "--budget=60", "--fidelity=size=8,batch=4")
    store = Store("nasctl.db")
    found = [e.values for e in store.evaluations(store.run()[0]) if not e.errors]
    points = {tuple(v[name] * sign for name, sign in (("naswot", -1), ("macs", 1), ("memory", 1))): v for v in found}
    better = [v for p, v in points.items() if not any(q != p and all(a <= b for a, b in zip(q, p)) for q in points)]  # noqa: B905
    shown = [row["values"] for row in nasctl("pareto", "show", "--json")]
    assert sorted(map(str, shown)) == sorted(str(v) for v in found if v in better)


ANYWHERE = [
    one
    for one in registry.names("searchers")
    if "supernet" not in getattr(registry.load("searchers", one), "needs", ())
]


@pytest.mark.parametrize("searcher", ANYWHERE)
def test_constraints_hold_on_the_front(searcher, nasctl):
    limits = ["--constraint=params<=900k", "--constraint=macs>=20%"]
    nasctl("search", "--space=nbmacro", "-omacs,memory", f"--searcher={searcher}", *limits, "--budget=150")
    shown = nasctl("pareto", "show", "--json")
    assert shown
    assert all(row["values"]["params"] <= 900_000 for row in shown)
    assert all(row["values"]["macs"] >= 0.2 * 105_660_928 for row in shown)
    assert nasctl("runs", "show", "--json")["constraints"] == ["params<=900000", "macs>=21132185.6"]


def test_a_time_limit_gives_a_beginning_of_the_same_path(nasctl, monkeypatch):
    options = ["search", "--space=nb201:channels=4,cells=1", "-osnip,macs"]
    ticks = count()  # a clock on which every look takes 1/64 s
    with monkeypatch.context() as there:
        for module in (loop, watch):
            clock = SimpleNamespace(monotonic=lambda: next(ticks) / 64, perf_counter=time.perf_counter)
            there.setattr(module, "time", clock)
        short = nasctl(*options, "--time=1", "--budget=5000", "--run=short", "--json")
    assert next(ticks) < 64 + 20  # it ends soon after its second
    store = Store("nasctl.db")
    path = store.evaluations("short")
    assert 0 < len(path) == short["distinct"] < 64
    nasctl(*options, f"--budget={len(path) + 5}", "--run=long")
    assert store.evaluations("long")[: len(path)] == path


def test_a_space_smaller_than_the_budget_ends_with_every_network(nasctl):
    found = nasctl("search", "--space=nbmacro", "-oparams", "--budget=4000", "--json")
    assert found["distinct"] == 3969


def test_devices_are_objectives(nasctl):
    nasctl("search", "--space=mbconv", "-omacs", "--device=gpu,mobile", "--constraint=latency@gpu<=30", "--budget=30")
    (first, *_) = nasctl("pareto", "show", "--json")
    assert first["values"].keys() == {"macs", "latency@gpu", "latency@mobile"}
    assert first["values"]["latency@gpu"] <= 30
    whole = nasctl("show", first["id"], "--json")
    assert whole["latency"]["gpu"] == pytest.approx(first["values"]["latency@gpu"])


def test_space_commands_speak_json(nasctl):
    assert {row["name"] for row in nasctl("space", "list", "--json")} == set(registry.names("spaces"))
    shown = nasctl("space", "show", "nbmacro", "--json")
    assert shown["genomes"] == 3**8
    assert shown["genes"]["stage1.0"] == ["identity", "MB3_K3", "MB6_K5"]
    assert len({row["id"] for row in nasctl("space", "sample", "nb201", "-n", "7", "--json")}) == 7
    rows = {row["objective"]: row for row in nasctl("space", "profile", "nbmacro", "--json")}
    assert (rows["params"]["least"], rows["params"]["most"]) == (387_882, 2_932_586)
    assert (rows["macs"]["least"], rows["macs"]["most"]) == (7_713_280, 105_660_928)
    assert all(row["least"] <= row["quarter"] <= row["median"] <= row["most"] for row in rows.values())


def test_bounds_of_a_large_space_are_proven_by_its_order(nasctl):
    rows = {row["objective"]: row for row in nasctl("space", "profile", "mbconv:width=1.0", "-n20", "--json")}
    assert (rows["params"]["least"], rows["params"]["most"]) == (3_410_792, 7_664_760)  # OFA's smallest and largest
    assert all(row["proven"] for row in rows.values())
    space = registry.create("spaces", "mbconv:width=1.0")
    for genome in drawn(space, 50):
        network = space.network(genome)
        for name, value in (("params", network.params), ("macs", network.macs), ("memory", network.memory)):
            assert rows[name]["least"] <= value <= rows[name]["most"]


def test_given_architectures_are_scored(nasctl, tmp_path):
    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    (tmp_path / "cells.txt").write_text(f"{cell}\n3,0,1,1,0,3\n\n")
    rows = nasctl("objective", "score", "--space=nb201", "--objective=params,macs", "--genomes=cells.txt", "--json")
    assert rows[0] == rows[1]
    assert rows[0]["values"] == {"params": 73_306 + 2 * 243_040, "macs": 7_783_040 + 2 * 35_389_440}
    (tmp_path / "ids.txt").write_text(rows[0]["id"])
    assert nasctl("objective", "score", "--space=nb201", "-oparams,macs", "--genomes=ids.txt", "--json") == rows[:1]
    assert len(nasctl("objective", "score", "--space=nb201", "-oparams", "--sample=9", "--json")) == 9
    assert {row["name"] for row in nasctl("objective", "list", "--json")} == set(registry.names("objectives"))


def test_a_failure_leaves_the_front_and_is_shown(nasctl):
    searched = nasctl("search", "--space=nb201", "-osynflow,macs", "--searcher=random", "--budget=150", "--json")
    assert searched["failed"] >= 1  # cells that lead nowhere, a fiftieth of the space
    shown = nasctl("runs", "show", "--json")
    assert shown["failed"] == searched["failed"]
    assert shown["errors"] == ["ValueError: no path leads from the input to the output"]
    assert all(math.isfinite(row["values"]["synflow"]) for row in nasctl("pareto", "show", "--json"))
    store = Store("nasctl.db")
    assert front(store.evaluations(searched["run"]), [])  # with no objective nothing dominates anything


def test_what_is_recorded_of_a_run_does_not_depend_on_other_runs(nasctl):
    options = ["search", "--space=nbmacro", "-onaswot,macs", "--searcher=random", "--budget=20", "--fidelity=size=8"]
    nasctl(*options, "--run=free")
    bounded = [*options, "--constraint=params<=1M", "--constraint=macs<=30M"]
    nasctl(*bounded, "--run=bounded")
    nasctl(*bounded, "--run=bounded", "--store=alone.db")
    shared, alone = (Store(path).evaluations("bounded") for path in ("nasctl.db", "alone.db"))
    assert shared == alone
    assert all("naswot" in e.values for e in Store("nasctl.db").evaluations("free"))


def test_random_search_spends_its_budget_where_constraints_hold(nasctl):
    nasctl("search", "--space=nbmacro", "-omacs", "--searcher=random", "--constraint=params<=1M", "--budget=40")
    store = Store("nasctl.db")
    assert all(e.values["params"] <= 1_000_000 for e in store.evaluations(store.run()[0]))


def test_the_last_words_can_be_typed(nasctl):
    done = CliRunner().invoke(cli, ["search", "--space=nbmacro", "-oparams", "--budget=20", "--store=my own.db"])
    plot, export = done.stderr.splitlines()[-2:]
    assert plot == "next: nasctl pareto plot --store 'my own.db'"
    assert re.fullmatch(r"      nasctl export --arch nbmacro-\w{4} --store 'my own.db'", export)


def test_plain_latency_is_that_of_the_device(nasctl):
    nasctl("search", "--space=nbmacro", "-olatency,params", "--device=gpu", "--budget=5")
    assert nasctl("runs", "show", "--json")["objectives"] == ["params", "latency@gpu"]
