"""Runs side by side: known answers, and what the command says."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pymoo.indicators.hv import HV

from nasctl.analysis.compare_runs import ComparedRun, RunComparison, coverage
from nasctl.analysis.compare_runs_plot import overlay
from nasctl.api import Evaluation, NasctlError
from nasctl.cli import cli
from nasctl.drawing.palette import SERIES
from nasctl.pareto.hypervolume_scale import Scale
from nasctl.pareto.losses import feasible_losses, front, losses
from nasctl.problem.searcher import Goal
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import Store

GOALS = (Goal("x", "min", "identity", "network"), Goal("y", "max", "log10", "module"))
RECORD = RunRecord("chain", {goal.name: Column(f"{goal.name} v1", "", goal.cost, goal) for goal in GOALS})


def side(name, *points):
    """A run of candidates at these losses; the genome is the point."""
    visited = [Evaluation(point, {"x": point[0], "y": 10.0 ** -point[1]}) for point in points]
    return ComparedRun(name, RECORD, visited, GOALS)


def comparison(*sides):
    return RunComparison(sides, Scale.of([one for each in sides for one in each.visited], GOALS))


def test_two_runs_by_hand():
    one, other = side("a", (4, 4), (0, 4), (4, 0)), side("b", (0, 4), (2, 2), (1, 2))
    both = comparison(one, other)
    np.testing.assert_allclose(both.scale.ends, [[0, 0], [4, 4]])
    corner = 2 * 1.05 * 0.05 - 0.05**2  # of (0, 1) and (1, 0), to 1.05
    assert both.curves[0] == pytest.approx({1: 0.05**2, 2: 1.05 * 0.05, 3: corner})
    steps = {1: 1.05 * 0.05, 2: 1.05 * 0.05 + 0.55 * 0.5, 3: 1.05 * 0.05 + 0.8 * 0.5}
    assert both.curves[1] == pytest.approx(steps)
    assert [one.genome for one in other.front] == [(0, 4), (1, 2)]
    assert (coverage(one, other), coverage(other, one)) == (0, 0)  # what is equal is no defeat
    assert both.joint == [2, 2]


def test_what_one_front_dominates_of_the_other():
    one, other = side("a", (0, 3), (1, 1), (3, 0)), side("b", (0, 4), (1, 2), (2, 1), (4, -1))
    both = comparison(one, other)
    assert (coverage(one, other), coverage(other, one)) == (0.75, 0)
    assert both.joint == [3, 1]


def test_checkpoints_are_shared_and_end_where_a_run_ends():
    rng = np.random.default_rng(0)
    sides = [side(str(size), *map(tuple, rng.normal(size=(size, 2)).tolist())) for size in (40, 250)]
    short, long = comparison(*sides).curves
    assert (max(short), max(long)) == (40, 250)
    assert short.keys() == {count for count in long if count <= 40}
    assert {8, 16, 24, 32, 40} <= short.keys()
    for curve in (short, long):
        assert list(curve.values()) == sorted(curve.values())


def test_what_failed_or_breaks_a_constraint_is_in_no_hypervolume():
    found = [Evaluation((k,), {"x": 1.0, "y": y}) for k, y in enumerate((1.0, 0.0))] + [Evaluation((2,), {"x": 0.0})]
    assert np.isnan(feasible_losses(found, GOALS)).all(axis=1).tolist() == [False, True, True]
    assert Scale.of(found[1:], GOALS) is None
    assert Scale.of([], GOALS) is None


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments, code=0):
        done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
        assert done.exit_code == code, done.stderr
        return done

    return call


def _searched(nasctl, *options, budget=60):
    for searcher in ("nsga2", "random"):
        searched = ["search", "--space=nbmacro", f"--searcher={searcher}", f"--run={searcher}", f"--budget={budget}"]
        nasctl(*searched, *(options or ("-oparams,macs,memory",)))


def test_the_command_compares_on_one_scale(nasctl):
    _searched(nasctl)
    found = json.loads(nasctl("runs", "compare", "nsga2", "random", "--json").stdout)
    store = Store("nasctl.db")
    record = store.run("nsga2")[1]
    visited = {name: store.evaluations(name) for name in ("nsga2", "random")}
    fronts = {name: losses(front(one, record.goals), record.goals) for name, one in visited.items()}
    everything = losses([e for one in visited.values() for e in one], record.goals)
    low, high = everything.min(axis=0), everything.max(axis=0)
    assert list(found["scale"]["best"].values()) == low.tolist()
    assert list(found["scale"]["worst"].values()) == high.tolist()
    beaten = {
        name: [any((a <= row).all() and (a < row).any() for a in fronts[other]) for row in fronts[name]]
        for name, other in (("nsga2", "random"), ("random", "nsga2"))
    }
    for row in found["runs"]:
        points = fronts[row["name"]]
        assert row["hypervolume"] == pytest.approx(HV(ref_point=np.full(3, 1.05))((points - low) / (high - low)))
        assert row["curve"][-1] == [60, row["hypervolume"]]
        assert (row["front"], row["undominated"]) == (len(points), len(points) - sum(beaten[row["name"]]))
    (pair,) = found["pairs"]
    assert pair["dominates"] == [pytest.approx(np.mean(beaten[name])) for name in ("random", "nsga2")]
    assert pair["evaluated"] == len({e.genome for e in visited["nsga2"]} & {e.genome for e in visited["random"]})
    assert found["differences"].keys() == {"searcher"}
    assert found["warnings"] == []
    swapped = json.loads(nasctl("runs", "compare", "random", "nsga2", "--json").stdout)
    assert swapped["runs"] == found["runs"][::-1]


def test_people_read_tables_and_a_picture(nasctl, tmp_path):
    _searched(nasctl)
    done = nasctl("runs", "compare", "nsga2", "random", "--plot", "both.png")
    runs, pairs, settings = done.stdout.strip().split("\n\n")
    assert runs.splitlines()[0].split("\t")[-3:] == ["HV at 48", "HV at 60", "HV at the end"]
    assert re.search(r"^nsga2\trandom\t\d+%\t\d+%\t\d+\t\d+$", pairs, re.MULTILINE)
    assert "searcher\tnsga2:" in settings
    assert "reach" not in done.stderr
    assert (
        "HV: share of one ideal box, from 1.05 of each range over what these runs evaluated to its best: params "
        in (done.stderr)
    )
    own = [line.split("\t")[5] for line in runs.splitlines()]
    shown = [nasctl("pareto", "hypervolume", "--run", name).stdout for name in ("nsga2", "random")]
    assert own == ["own HV", *(re.search(r"hypervolume +([\d.]+%) of the ideal box", text)[1] for text in shown)]
    with Image.open(tmp_path / "both.png") as image:
        assert image.width > 1500
    again = nasctl("runs", "compare", "nsga2", "random", "--plot", "both.png", code=2)
    assert "both.png exists; give another name, or replace it with --force" in again.stderr


def test_a_single_objective_is_drawn_too(nasctl, tmp_path):
    _searched(nasctl, "-oparams", budget=20)
    nasctl("runs", "compare", "nsga2", "random", "--plot", "one.svg")
    assert "evaluations" in (tmp_path / "one.svg").read_text()
    nasctl("runs", "compare", "nsga2", "random", "--plot", "new dir/")
    assert (tmp_path / "new dir" / "comparison.png").exists()


def test_the_order_of_objectives_is_no_difference_that_matters(nasctl):
    nasctl("search", "--space=nbmacro", "-oparams,macs", "--run=a", "--budget=20", "--searcher=random")
    nasctl("search", "--space=nbmacro", "-omacs,params", "--run=b", "--budget=20", "--searcher=random")
    found = json.loads(nasctl("runs", "compare", "a", "b", "--json").stdout)
    assert found["runs"][0]["hypervolume"] == pytest.approx(found["runs"][1]["hypervolume"])
    assert found["differences"].keys() == {"objectives"}


def test_what_makes_it_unfair_is_said(nasctl):
    options = ["search", "--space=nbmacro", "-onaswot,macs", "--budget=12", "--searcher=random"]
    nasctl(*options, "--run=a", "--fidelity=size=8,batch=4")
    nasctl(*options, "--run=b", "--fidelity=size=8,batch=8", "--constraint=macs<=60M")
    done = nasctl("runs", "compare", "a", "b")
    assert "Warning: naswot of b was measured in another setting or version than that of a" in done.stderr
    assert "Warning: b has other constraints than a; each front holds its own" in done.stderr
    assert {"fidelity", "constraints"} <= {line.split("\t")[0] for line in done.stdout.splitlines()}


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """A store of runs that are not alike."""
    path = str(tmp_path_factory.mktemp("compare") / "store")
    for name, space, objectives, *more in (
        ("a", "nbmacro", "params,macs"),
        ("space", "nbmacro:classes=100", "params,macs"),
        ("goals", "nbmacro", "params,memory"),
        ("empty", "nbmacro", "params,macs", "--constraint=params>=2932586"),
    ):
        search = ["search", "--space", space, "--objective", objectives, "--run", name, "--budget=5", *more]
        assert CliRunner().invoke(cli, [*search, "--store", path]).exit_code == 0
    return path


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (("a",), "one run cannot be compared; name two or more runs of `nasctl runs list`"),
        (("a", "a"), "a was given more than once; name two"),
        (("a", "space"), "a and space search different spaces (nbmacro and nbmacro:classes=100); compare"),
        (("a", "goals"), "a optimises params, macs and goals params, memory; compare runs of the same objectives, or"),
        (("a", "empty"), "the front of run empty is empty, so there is nothing to compare; leave it out"),
        (("a", "nowhere"), "no run is called 'nowhere'"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(runs, said, nasctl, refused):
    done = nasctl("runs", "compare", *runs, "--store", refused, code=2)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_picture_has_as_many_runs_as_there_are_colours(tmp_path):
    sides = [side(str(k), (k, -k), (-k, k)) for k in range(len(SERIES) + 1)]
    with pytest.raises(NasctlError, match=f"a picture shows {len(SERIES)} runs at most"):
        overlay(tmp_path / "many.png", comparison(*sides))
