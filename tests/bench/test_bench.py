"""Searches replayed on tables: what they are judged by, and how they are compared."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from nasctl import registry
from nasctl.bench import benchmark
from nasctl.bench.benchmark import Scene, TabulatedObjective
from nasctl.bench.compare import (
    SearcherComparison,
    cohens_d,
    compare_searchers,
    holm_adjusted,
    rank_sum,
    replay_searchers,
)
from nasctl.bench.listed import Listed
from nasctl.bench.problem import BenchmarkProblem
from nasctl.bench.replay import Replay, exhaustive_front, indicators, replay
from nasctl.cli import cli
from nasctl.commands.bench._tables import HV
from nasctl.errors import NasctlError, RenamedWarning
from nasctl.pareto.crowding import spread
from nasctl.pareto.hypervolume import REFERENCE, hypervolume, pareto
from nasctl.problem.sampling import starting_genomes
from nasctl.problem.searcher import Goal

# Sizes of the true fronts and their hypervolumes, as published for these tables, and the best accuracy.
CEILINGS = {"cifar10": (13, 1.0358, 94.37), "cifar100": (16, 0.8060, 73.51), "ImageNet16-120": (11, 0.5298, 47.31)}


@pytest.fixture(scope="module")
def root(data):
    return data("nb201").parent


@pytest.fixture(scope="module")
def tables(root):
    """Benchmarks by spec, each made once."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASCTL_DATA", str(root))
        yield lambda spec: made.setdefault(spec, registry.create("benchmarks", spec))


def typed(*words):
    return CliRunner().invoke(cli, ["bench", *map(str, words)])


class Toy:
    """Two genes of three choices, an objective that costs something, one that does not, one scene."""

    default_objectives, source = ("quality", "price"), "made up"

    def __init__(self):
        self.space = registry.create("spaces", "nbmacro")
        self.genomes = [(a, b) for a in range(3) for b in range(3)]
        self._values = {
            "quality": TabulatedObjective(
                Goal("quality", "max", "identity", "module"), np.array([1.0, 2, 3, 2, 4, 5, 1, np.nan, 9]), 2
            ),
            "price": TabulatedObjective(Goal("price", "min", "identity", "network"), np.arange(9.0)),
        }
        self.scenes = {"one": Scene(1 - np.arange(9) / 10, np.arange(9) / 8, np.arange(9.0))}
        self.names = list(self._values)

    def column(self, name):
        return self._values[name]


class Listing:
    """Asks for what it was told to."""

    def __init__(self, *batches, survivors=None):
        self.batches, self.survivors, self.told = list(batches), survivors, []

    def ask(self):
        return self.batches.pop(0) if self.batches else []

    def tell(self, losses, violations):
        self.told.append(losses)


def replayed(monkeypatch, searcher, evaluations=100):
    monkeypatch.setattr(registry, "create", lambda kind, spec, *given: searcher)
    return replay(BenchmarkProblem(Toy(), Toy.default_objectives), "listing", 0, evaluations)


def test_a_replay_counts_repetitions_and_archives_everything(monkeypatch):
    searcher = Listing([(0, 0), (0, 1)], [(0, 1), (2, 1)], [(2, 2), (1, 0)])
    run = replayed(monkeypatch, searcher)
    assert run.places.tolist() == [0, 1, 1, 7, 8, 3]
    assert (run.distinct, run.seconds) == (5, 10)
    assert run.archives[-1].tolist() == [0, 1, 8]  # 3 costs more than 1 and is no better, 7 failed
    assert np.isnan(searcher.told[1][1, 0])
    assert replayed(monkeypatch, Listing([(0, 0), (0, 1)], [(0, 1), (2, 1)]), evaluations=3).places.tolist() == [
        0,
        1,
        1,
    ]


def test_survivors_alone_are_archived_where_a_searcher_names_them(monkeypatch):
    run = replayed(monkeypatch, Listing([(0, 0), (2, 2)], survivors=[(0, 0)]))
    assert run.archives[-1].tolist() == [0]


def test_a_searcher_that_asks_for_nothing_is_named(monkeypatch):
    with pytest.raises(NasctlError, match="listing proposed nothing"):
        replayed(monkeypatch, Listing())


def test_the_exhaustive_front_and_its_indicators():
    toy = Toy()
    front = exhaustive_front(BenchmarkProblem(toy, toy.default_objectives))
    assert front.tolist() == [0, 1, 2, 4, 5, 8]
    scene = toy.scenes["one"]
    found = indicators(scene, np.array([0, 8]))
    points = np.array([[1.0, 0.0], [0.2, 1.0]])
    distances = np.linalg.norm(scene.front[:, None] - points, axis=2).min(axis=1)
    assert found.igd == pytest.approx(distances.mean())
    assert found.largest == pytest.approx(distances.max() / distances.sum())
    assert found.hv == pytest.approx(0.05 * 1.05 + 0.8 * 0.05)
    assert found.best == 8
    assert indicators(scene, np.arange(9)).igd == indicators(scene, np.arange(9)).largest == 0


def test_crowding_keeps_the_ends_and_what_stands_apart():
    losses = np.array([[0.0, 1.0], [0.05, 0.9], [0.1, 0.85], [0.6, 0.3], [1.0, 0.0]])
    assert spread(losses, 3).tolist() == [0, 3, 4]
    assert spread(losses, 9).tolist() == [0, 1, 2, 3, 4]


def test_tests_by_hand():
    # Of the 20 ways to deal 6 ranks to two samples of 3, the two extreme ones separate the samples.
    assert rank_sum(np.array([1.0, 2, 3]), np.array([4.0, 5, 6])) == pytest.approx(2 / 20)
    # Of the 20 sums of ranks, 8 are at least as far from the mean as that of the ranks 1, 3 and 4.
    assert rank_sum(np.array([1.0, 3, 4]), np.array([2.0, 5, 6])) == pytest.approx(8 / 20)
    assert rank_sum(np.ones(30), np.ones(30)) == 1
    assert holm_adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert cohens_d(np.array([1.0, 2, 3]), np.array([2.0, 3, 4])) == pytest.approx(-1)
    assert cohens_d(np.ones(3), np.ones(3)) == 0


def test_runs_are_not_paired_by_their_seed():
    toy = Toy()
    runs = [Replay(np.array([k]), [1], [np.array([k])], np.array([k]), 0.0) for k in range(8)]  # one member each
    orders = ([0, 2, 4, 6], [6, 2, 0, 4], [4, 0, 6, 2])
    levels = [
        {test.indicator: test.p for test in SearcherComparison(toy.scenes, both, np.array([0])).tests()}
        for both in ({"x": runs[1::2], "random": [runs[k] for k in order]} for order in orders)
    ]
    assert levels[0] == levels[1] == levels[2]


def test_a_curve_goes_on_where_a_run_ended_early():
    toy = Toy()
    early = Replay(np.arange(2), [1, 2], [np.array([0]), np.array([0, 8])], np.array([0]), 0.0)
    late = Replay(np.arange(3), [1, 2, 3], [np.array([0])] * 3, np.array([0]), 0.0)
    evaluations, curves = SearcherComparison(toy.scenes, {"x": [early, late]}, np.array([0])).curves("x", "one")
    assert evaluations.tolist() == [1, 2, 3]
    both = indicators(toy.scenes["one"], np.array([0, 8])).hv
    assert curves["hv"][0].tolist() == [curves["hv"][1, 0], both, both]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_a_front_is_what_nothing_dominates(points):
    points = np.array(points, dtype=float)
    kept = {tuple(p) for p in points if not ((points <= p).all(axis=1) & (points < p).any(axis=1)).any()}
    assert {tuple(p) for p in pareto(points)} == kept
    assert hypervolume(points / 5) == pytest.approx(hypervolume(pareto(points / 5)))


@pytest.mark.parametrize("spec", ["nb201", "nb201:canonical=off"])
def test_the_ceilings_are_the_published_ones(tables, spec):
    for name, (points, volume, best) in CEILINGS.items():
        scene = tables(spec).scenes[name]
        assert (len(scene.front), round(scene.ceiling, 4)) == (points, volume)
        assert scene.accuracy.max() == pytest.approx(best, abs=0.005)


@pytest.mark.parametrize("name", registry.names("benchmarks"))
def test_nothing_exceeds_its_ceiling_and_columns_fit(tables, name):
    benchmark = tables(name)
    problem = BenchmarkProblem(benchmark, benchmark.default_objectives)
    assert problem.losses.shape == (len(benchmark.genomes), len(benchmark.default_objectives))
    assert set(benchmark.default_objectives) <= set(benchmark.names)
    whole = np.arange(len(benchmark.genomes))
    for scene in benchmark.scenes.values():
        assert len(scene.error) == len(scene.cost) == len(scene.accuracy) == len(whole)
        everything, ceiling = indicators(scene, whole), indicators(scene, exhaustive_front(problem))
        assert ceiling.hv <= everything.hv <= scene.ceiling + 1e-12
        assert 0 <= everything.igd <= ceiling.igd
    screened = problem.cheap_losses(benchmark.genomes[:3])
    cheap = [goal.cost == "network" for goal in problem.objectives]
    assert (np.isnan(screened) == ~np.array(cheap) | np.isnan(problem.losses[:3])).all()


def test_published_rows_are_met(tables):
    """Two objectives: 12-epoch accuracy and FLOPs; the exhaustive row to 1e-3, means of searches to their deviation."""
    benchmark = tables("nb201:canonical=off")
    wanted = ("val_acc_12", "flops")
    ceiling = indicators(benchmark.scenes["cifar10"], exhaustive_front(BenchmarkProblem(benchmark, wanted)))
    assert ceiling.hv == pytest.approx(1.0344, abs=1e-3)
    assert ceiling.igd_plus == pytest.approx(0.0041, abs=1e-3)
    runs = list(replay_searchers(benchmark, wanted, ["mtf_pdns:published=on", "random"], 6, 1020))
    found = compare_searchers(benchmark, wanted, runs)
    volumes = {name: np.mean([one.hv for one in judged]) for name, judged in found.final["cifar10"].items()}
    assert volumes["mtf_pdns:published=on"] == pytest.approx(1.0330, abs=0.0018)
    assert volumes["random"] == pytest.approx(1.0317, abs=0.0013)
    assert np.mean([run.distinct for run in found.runs["mtf_pdns:published=on"]]) == pytest.approx(681, abs=40)


class Usual(Listed):
    """A benchmark as a third party wrote it for nasctl 0.1."""

    usual, source = ("synflow", "macs"), "made up"

    def __init__(self):
        super().__init__("nbmacro", True)
        self.scenes = {"one": Scene(*np.random.default_rng(0).random((3, len(self.genomes))))}


@pytest.fixture
def third_party(monkeypatch):
    def load(*given, real=registry.load):
        return Usual if given == ("benchmarks", "nbmacro") else real(*given)

    for place in ("nasctl.registry", "nasctl.registry.specs"):
        monkeypatch.setattr(f"{place}.load", load)


@pytest.mark.filterwarnings("default::nasctl.errors.RenamedWarning")
def test_a_benchmark_that_calls_its_objectives_usual_keeps_working(third_party):
    done = typed("list", "--json")
    assert "warning: rename Usual.usual to Usual.default_objectives\n" in done.stderr
    listed = {one["name"]: one["usual"] for one in json.loads(done.stdout)}
    assert (listed["nbmacro"], listed["darts"]) == (["synflow", "macs"], ["naswot", "synflow", "macs"])
    done = typed("run", "nbmacro", "--searcher", "random", "--seeds", 1, "--evaluations", 40, "--json")
    assert "warning: rename Usual.usual to Usual.default_objectives\n" in done.stderr
    assert json.loads(done.stdout)["objectives"] == ["synflow", "macs"]
    with pytest.warns(RenamedWarning, match="rename nasctl.bench.benchmark.Column to TabulatedObjective"):
        assert benchmark.Column is TabulatedObjective


def test_a_benchmark_without_default_objectives_is_a_sentence():
    with pytest.raises(NasctlError, match="the benchmark Replay names no default_objectives"):
        benchmark.default_objectives(Replay)


def test_the_commands(tables, tmp_path):
    listed = json.loads(typed("list", "--json").stdout)
    assert {"nb201", "nbmacro"} <= {one["name"] for one in listed}
    assert "NAS-Bench-201" in typed("list").stdout
    given = ("run", "nbmacro", "--searcher", "nsga2", "-o", "synflow,macs", "--seeds", 2, "--evaluations", 60)
    done = typed(*given, "--plot", f"{tmp_path}/new dir/")
    assert done.exit_code == 0, done.output
    assert "nsga2 does not beat random beyond noise on cifar10" in done.stderr
    assert "true front" in done.stdout
    assert HV == f"HV at reference {REFERENCE}" in done.stdout
    assert f"at most {REFERENCE**2:.4f}; no share of an ideal box" in done.stderr
    assert (tmp_path / "new dir" / "nbmacro.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads(typed(*given, "--json").stdout)
    assert {len(runs) for runs in figures["runs"].values()} == {2}
    assert figures["scenes"]["cifar10"]["true_front"]["hv"] == pytest.approx(0.9839, abs=1e-4)
    assert {test["second"] for test in figures["tests"]} == {"random"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nb301",), "no benchmark is called 'nb301'"),
        (("nb201", "-o", "flips"), "did you mean"),
        (("nb201", "--searcher", "magic"), "magic"),
        (("nb201", "--plot", "c.gif"), "a picture is"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(tables, words, sentence):
    done = typed("run", *words, "--seeds", 1, "--evaluations", 20)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert sentence in done.stderr


def test_a_table_that_is_absent_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("NASCTL_DATA", str(tmp_path))
    done = typed("run", "nb201", "--seeds", 1, "--evaluations", 20)
    assert done.exit_code == 2
    assert "nasctl data import nb201 FILE" in done.stderr
    assert "set NASCTL_DATA to a folder that holds nb201/nb201_table.csv.gz" in done.stderr


def test_replays_begin_with_no_published_network():
    posed = BenchmarkProblem(registry.create("benchmarks", "nbmacro"), ["params", "macs"])
    assert starting_genomes(posed) == []
