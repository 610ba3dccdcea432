"""What a store and the command line promise."""

import sys
from dataclasses import replace
from subprocess import run as start

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nasctl import registry
from nasctl.api import Evaluation, unseen
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.hardware.table import LatencyTable
from nasctl.pareto.losses import front, losses
from nasctl.problem.searcher import Goal
from nasctl.search.loop import evaluate, search
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.testing import Chain


class Broken:
    unit, direction, transform, needs, version = "s", "max", "identity", frozenset({"network"}), "1"

    def __call__(self, candidate):
        return 1.0 / candidate.genome[0]


def test_a_failure_is_recorded_and_never_a_number(tmp_path):
    task = Task(Chain(), {"broken": Broken()})
    journal = Store(tmp_path / "store").journal("run", task.record("chain"))
    found = [evaluate(task, genome, journal) for genome in ((0, 1), (1, 1))]
    assert found[0] == Evaluation((0, 1), {}, {"broken": "ZeroDivisionError: float division by zero"})
    assert np.array_equal(losses(found, task.objectives), [[np.nan], [-1.0]], equal_nan=True)


def test_searchers_see_transforms_and_people_do_not():
    goals = [Goal("up", "max", "log10", "module"), Goal("below", "max", "-log10(-s)", "module")]
    found = [Evaluation((k,), {"up": up, "below": below}) for k, (up, below) in enumerate([(100, -1e-3), (0, -10)])]
    assert np.array_equal(losses(found, goals), [[-2.0, -3.0], [np.nan, 1.0]], equal_nan=True)
    assert [e.values for e in front(found, goals)] == [{"up": 100, "below": -1e-3}]


def test_search_then_pareto(tmp_path):
    store = ["--store", str(tmp_path / "store")]
    found = CliRunner().invoke(
        cli, ["search", "--space", "nbmacro", "-o", "params", "-o", "macs", "--budget", "40", *store]
    )
    assert found.exit_code == 0, found.output
    shown = CliRunner().invoke(cli, ["pareto", "show", *store])
    assert shown.stdout.splitlines()[0] == "id\tparams (parameters)\tmacs (MACs)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--space", "nbmacor"], "no space is called 'nbmacor'; did you mean 'nbmacro'?"),
        (
            ["search", "--space", "nb201:widht=4"],
            "no option of 'nb201' is called 'widht'; there is: channels, cells, classes",
        ),
        (["search", "--space", "nb201", "--device", "gpuu"], "no device is called 'gpuu'; did you mean 'gpu'?"),
        (["search", "--space", "nb201", "-o", "synflwo"], "no objective is called 'synflwo'; did you mean 'synflow'?"),
        (["search", "--space", "nb201", "--searcher", "mtf-pdsn"], "did you mean 'mtf_pdns'?"),
        (["search", "--space", "nb201", "--searcher", "nsga2:population=x"], "that option is a whole number"),
        (["search", "--space", "nb201", "--budget", "0"], "0 is not in the range x>=1"),
        (["search", "--space", "nb201", "--time", "0"], "'0' is no time limit; write 90 (seconds), 5m or 2h"),
        (
            ["search", "--space", "nb201", "-c", "latency<=3"],
            "Cannot predict a latency without a device.",
        ),
        (["search", "--space", "nb201", "-o", "macs", "-c", "macs<=1"], "no candidate can meet macs<=1"),
        (["search", "--space", "mbconv", "-o", "params", "-c", "params<=1M"], "no candidate can meet params<=1M"),
        (["search", "--space", "nb201", "--torch-device", "cuda:99"], "torch cannot use 'cuda:99' here"),
        pytest.param(
            ["search", "--space", "nb201", "--torch-device", "cuda"],
            "torch cannot use 'cuda' here",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use CUDA here"),
        ),
        (["search", "--space", "nb201", "--torch-device", "gpu"], "torch cannot use 'gpu' here"),
        (["search", "--space", "nb201", "--device", "note10"], "nothing that its operators could be estimated from"),
        (["search", "--space", "proxyless", "--device", "gpu"], "no table of the kind 'gpu' knows the blocks of"),
        (["search", "--space", "nb201", "-c", "macs=3"], "'macs=3' is no constraint; write one such as latency<=20"),
        (["search", "--space", "nb201", "-c", "snip<=10%"], "a percentage needs a quantity whose maximum is known"),
        (["search", "--space", "nb201", "--fidelity", "tiny"], "'tiny' is no fidelity; write full, balanced, fast"),
        (["pareto", "show"], "holds no run yet; `nasctl search` starts one"),
        (["pareto", "plot"], "holds no run yet; `nasctl search` starts one"),
        (["runs", "show", "some"], "holds no run yet; `nasctl search` starts one"),
        (["objective", "score", "--space", "nb201", "-o", "macs"], "say what to score: --genomes FILE, --sample"),
        (["search", "--space", "nbmacro", "-o", ""], "'' lacks a name; give one, or leave the option out"),
        (["search", "--space", "nbmacro:classes=2,classes=3"], "gives 'classes' twice; leave one out"),
        (["search", "--space", "nbmacro", "-o", "macs", "-c", "macs>=1e308G"], "is too large; write a smaller one"),
        (["search", "--space", "nbmacro", "--searcher", "nsga2:population=1000000"], "population must be 2 to 10,000"),
        (["pareto", "plot", "-o", ""], "the name is empty; name a file, or a folder"),
        (["show", "nbmacro-0000", "--space", "nb201"], "is an id of 'nbmacro', and --space nb201 has ids that begin"),
        (["objective", "score", "--space", "nb201", "-o", "macs", "--genomes", __file__], "line 1 of the genomes: "),
        (["serch"], "did you mean 'search'?"),
        (["show", "0,1,2"], "the genome 0,1,2 may be of any space; give it with --space"),
        (["show", "nb201-zzzz"], "'zzzz' is not the end of an id of this space"),
        (["show", "nb201.zzz-zzzz"], "options with the digest of 'nb201.zzz'; give the space with --space"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, message, tmp_path):
    result = CliRunner().invoke(cli, arguments, env={"NASCTL_STORE": str(tmp_path / "store")})
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "store").exists()  # nothing is half-written


def test_help_imports_nothing_that_costs():
    code = (
        "import sys; from nasctl.cli import cli; cli(['--help'], standalone_mode=False); print(*sys.modules, sep='\\n')"
    )
    loaded = start([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "pymoo", "rich"} & set(loaded)


class Hopeless(Broken):
    def __call__(self, candidate):
        raise RuntimeError("no such library")


def test_a_search_in_which_everything_fails_stops(tmp_path):
    space = registry.create("spaces", "nbmacro")
    task = Task(space, {"hopeless": Hopeless()})
    searcher = registry.create("searchers", "random", SearchProblem(task), np.random.default_rng(0))
    journal = Store(tmp_path / "store").journal("run", task.record("nbmacro"))
    with pytest.raises(
        NasctlError,
        match="hopeless failed for all 20 candidates that it was measured for: RuntimeError: no such library",
    ):
        list(search(task, searcher, journal, 100))


def test_what_is_only_recorded_may_fail(tmp_path):
    space = registry.create("spaces", "nbmacro")
    task = Task(space, {"hopeless": Hopeless(), "macs": registry.create("objectives", "macs")}, recorded={"hopeless"})
    searcher = registry.create("searchers", "random", SearchProblem(task), np.random.default_rng(0))
    visits = list(search(task, searcher, Store(tmp_path / "store").journal("run", task.record("nbmacro")), 30))
    assert len(visits) == 30
    assert len(front([visit.evaluation for visit in visits], task.objectives)) >= 1


def test_unseen_genomes_are_new_and_all_there_are():
    space, rng = registry.create("spaces", "nbmacro"), np.random.default_rng(0)
    first = unseen(space, rng, 30)
    seen = {space.canonical(genome) for genome in first}
    rest = {space.canonical(genome) for genome in unseen(space, rng, 10_000, seen)}
    assert (len(seen), len(rest), len(seen & rest)) == (30, 3969 - 30, 0)


def test_what_is_no_python_float_is_stored_as_one_and_what_is_no_number_is_a_failure(tmp_path):
    class Odd(Broken):
        def __call__(self, candidate):
            return (np.float32(0.5), "0.25", None, 10**400)[2 * candidate.genome[0] + candidate.genome[1]]

    task = Task(Chain(), {"odd": Odd()})
    for path in (tmp_path / "store",) * 2:  # the second time from the store
        journal = Store(path).journal("run", task.record("chain"))
        found = [evaluate(task, genome, journal) for genome in ((0, 0), (0, 1), (1, 0), (1, 1))]
        assert [e.values.get("odd") for e in found] == [0.5, 0.25, None, None]
        assert [error.partition(":")[0] for e in found for error in e.errors.values()] == ["TypeError", "OverflowError"]


def test_constraints_that_differ_in_the_last_digit_are_two_questions():
    runs = [Run("nbmacro", ("macs",), constraints=(f"params>={bound}",)) for bound in (1500906, 1500907)]
    assert runs[0].name != runs[1].name
    assert runs[0].asked["constraints"] == ["params>=1500906"]
    assert Run("nbmacro", ("macs",), constraints=("params>=1500906,macs<=50M",)).task.constraints[1].bound == 50e6


def test_another_table_of_the_same_name_is_another_question(tmp_path):
    table = LatencyTable.load("v100-b64")
    paths = [tmp_path / f"{k}.json" for k in range(2)]
    table.save(paths[0])
    replace(table, overhead=1.0).save(paths[1])
    runs = [Run("nbmacro", (f"latency@{path}",), "random") for path in paths]
    assert runs[0].asked["objectives"] == runs[1].asked["objectives"] == ["latency@v100-b64"]
    assert runs[0].name != runs[1].name


def test_a_run_whose_objective_has_changed_is_left_as_it_is(tmp_path):
    before, after = Task(Chain(), {"broken": Broken()}), Task(Chain(), {"broken": Broken()})
    after.metrics["broken"].version = "2"
    store = Store(tmp_path / "store")
    evaluate(before, (1, 1), store.journal("run", before.record("chain")))
    with pytest.raises(NasctlError, match="made with another version of broken and is left as it is"):
        store.journal("run", after.record("chain"))
    assert store.evaluations("run") == [Evaluation((1, 1), {"broken": 1.0})]


def test_a_run_that_is_deleted_while_it_runs_ends(tmp_path):
    task, store = Task(Chain(), {"broken": Broken()}), Store(tmp_path / "store")
    journal = store.journal("run", task.record("chain"))
    evaluate(task, (1, 1), journal)
    store.delete("run")
    store.journal("other", task.record("chain"))
    with pytest.raises(NasctlError, match="was deleted while it ran"):
        evaluate(task, (1, 0), journal)
    assert store.evaluations("other") == []


def test_what_nobody_foresaw_is_one_sentence_too(monkeypatch, tmp_path):
    def broken(*given):
        raise MemoryError("no room\nat all")

    monkeypatch.setattr(Store, "runs", broken)
    done = CliRunner().invoke(cli, ["runs", "list", "--store", str(tmp_path / "store")])
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: MemoryError: no room at all (unexpected; nasctl --debug shows where)\n",
    )


def test_naming_a_run_makes_each_objective_once(monkeypatch, tmp_path):
    made, create = [], registry.create
    monkeypatch.setattr(
        registry, "create", lambda kind, spec, *given: made.append((kind, spec)) or create(kind, spec, *given)
    )
    tables, load = [], LatencyTable.load
    monkeypatch.setattr(LatencyTable, "load", lambda device: tables.append(device) or load(device))
    run = Run(
        "nbmacro", ("latency@gpu", "params"), "random", record=("depth",), constraints=("macs<=50M", "params<=3M")
    )
    assert run.name.startswith("nbmacro-")
    run.check()
    list(run.search(Store(tmp_path / "store"), 3))
    objectives = [spec for kind, spec in made if kind == "objectives"]
    assert [spec.partition(":")[0] for spec in objectives] == ["latency", "params", "depth", "macs"]
    best = objectives[0].removeprefix("latency:device=").partition(",")[0]
    assert sorted(tables) == sorted([*registry.trusted("devices"), best])  # to choose one, which is then loaded


@pytest.mark.parametrize(
    ("objectives", "names"),
    [
        (("max:depth", "min:depth"), "'max:depth' and 'depth'"),
        (("snip", "macs", "min:snip"), "'snip' and 'min:snip'"),
        (
            ("swap:mu=30,sigma=700", "min:swap:sigma=700,mu=30"),
            "'swap:mu=30.0,sigma=.*' and 'min:swap:mu=30.0,sigma=.*'",
        ),
    ],
)
def test_one_quantity_in_opposite_directions_is_refused(objectives, names):
    with pytest.raises(NasctlError, match=f"Cannot optimise {names}: they are one quantity in opposite directions"):
        Run("nbmacro", objectives).name  # noqa: B018
    # A quantity may be recorded or bounded besides, and another option makes it another quantity.
    assert set(Run("nbmacro", ("min:snip",), record=("snip",)).task.metrics) == {"min:snip", "snip"}
    assert set(Run("nbmacro", ("max:depth",), constraints=("depth<=9",)).task.metrics) == {"max:depth", "depth"}
    assert len(Run("nbmacro", ("swap:mu=30,sigma=700", "min:swap")).task.objectives) == 2
