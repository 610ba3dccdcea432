"""What a run checks before anything is written, what it hands to the search loop, and what it refuses."""

from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
import pytest

from nasctl.candidates import determinism
from nasctl.candidates.setting import Setting
from nasctl.data import source
from nasctl.errors import NasctlError
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.problem.fidelity import Fidelity
from nasctl.registry.version import __version__
from nasctl.search import run as run_module
from nasctl.search.metrics import device_of
from nasctl.search.run import Run
from nasctl.store.store import Store

ON_META = Setting(source("noise"), Fidelity(size=8, batch=4), device="meta")


@pytest.fixture
def made(monkeypatch):
    """The searchers that a run makes, each a list of spec, problem and generator; `made.needs` is what they need."""
    calls, create = SimpleNamespace(searchers=[], needs=None, given=None), run_module.registry.create

    def created(kind, spec, *given):
        if kind != "searchers":
            return create(kind, spec, *given)
        calls.searchers.append((spec, *given))
        calls.given = SimpleNamespace() if calls.needs is None else SimpleNamespace(needs=frozenset(calls.needs))
        return calls.given

    monkeypatch.setattr(run_module.registry, "create", created)
    return calls


@pytest.fixture
def devices(monkeypatch):
    """The torch devices that were tried."""
    tried = []
    monkeypatch.setattr(determinism, "usable_device", tried.append)
    return tried


def assert_made_once(made, run):
    ((spec, problem, rng),) = made.searchers
    assert spec == run.searcher
    assert isinstance(problem, SearchProblem)
    assert (problem.space, problem.objectives) == (run.task.space, run.task.objectives)
    assert rng.bit_generator.state == np.random.default_rng(run.seed).bit_generator.state


def test_a_check_makes_the_searcher_and_measures_what_needs_no_module(made, devices, monkeypatch):
    measured = []
    monkeypatch.setattr(run_module, "measure", lambda *given: measured.append(given))
    run = Run("nbmacro", ("naswot", "macs"), "nsga2:population=8", 5, ON_META, ("depth",))
    assert run.check() == []
    assert_made_once(made, run)
    ((task, genome, names),) = measured
    assert task is run.task
    assert task.space.canonical(genome) == genome
    assert names == {"macs": "macs", "depth": "depth"}


@pytest.mark.parametrize(
    ("objectives", "here", "needs", "tried"),
    [
        (("naswot", "macs"), True, None, ["meta"]),
        (("naswot", "macs"), True, {"pool"}, ["meta"]),
        (("params", "macs"), True, None, []),  # no module is built
        (("naswot", "macs"), False, None, []),  # workers may be on another machine
        (("naswot", "macs"), False, {"pool"}, []),
        (("naswot", "macs"), False, {"supernet", "pool"}, ["meta"]),  # this process measures the mixtures
        (("params", "macs"), False, {"supernet"}, []),
    ],
)
def test_the_torch_device_is_tried_where_this_process_runs_modules(objectives, here, needs, tried, made, devices):
    made.needs = needs
    assert Run("nbmacro", objectives, "random", setting=ON_META).check(here) == []
    assert devices == tried


def test_a_check_returns_what_is_doubtful_of_constraints_on_costs(made, devices, monkeypatch):
    asked = []
    monkeypatch.setattr(
        run_module.ranges, "doubt", lambda *given: asked.append(given) or {"macs": "perhaps not"}.get(given[2].name)
    )
    held = ("macs<=9M", "params<=3M", "naswot>=1")
    run = Run("nbmacro", ("naswot", "macs"), "random", setting=ON_META, constraints=held)
    assert run.check() == ["perhaps not"]
    task = run.task
    assert asked == [
        (task.space, task.metrics[one.name], one, task.setting)
        for one in task.constraints
        if one.name in ("macs", "params")
    ]
    assert len(asked) == 2


@pytest.fixture
def handed_over(made, monkeypatch):
    """What the search loop is given: by a run with the given options, the arguments and the record of its journal."""
    loops, journals = [], []
    monkeypatch.setattr(run_module, "search", lambda *given: loops.append(given) or iter(["visit"]))
    monkeypatch.setattr(run_module, "machine_of", lambda task: f"machine of {','.join(task.metrics)}")

    class Journals(Store):
        def __init__(self):
            self.path = "runs.db"

        def journal(self, *given):
            journals.append(given)
            return "journal"

    store = Journals()

    def searched(run, *given):
        assert list(run.search(store, *given)) == ["visit"]
        ((name, record),) = journals
        assert name == run.name
        return loops[0], record

    return searched


def test_a_search_is_handed_the_task_the_searcher_the_journal_and_its_limits(handed_over, made):
    run = Run("nbmacro", ("params", "macs"), "nsga2:population=8", 5)
    (task, *rest), _ = handed_over(run, 17, 3.5, "executor")
    assert task is run.task
    assert rest == [made.given, "journal", 17, 3.5, "executor", ()]
    assert_made_once(made, run)


def test_a_run_is_recorded_with_its_question_versions_remarks_and_machine(handed_over):
    run = Run("nbmacro", ("latency@v100-b64", "macs"), "random", 5)
    _, record = handed_over(run, 17)
    assert (record.space, record.asked) == (run.asked["space"], run.asked)
    libraries = ("numpy", "pymoo", "scikit-learn", "torch")
    assert record.versions == {"nasctl": __version__, **{name: version(name) for name in libraries}}
    assert record.machines == ("machine of latency@v100-b64,macs",)
    assert record.columns["latency@v100-b64"].remarks == tuple(run.remarks["latency@v100-b64"]) != ()
    assert record.columns["macs"].remarks == ()
    assert record.config == {}  # a script started it


def test_a_run_of_the_command_line_records_its_options(handed_over):
    options = {"budget": 17, "fidelity": "", "space": "nbmacro"}
    run = Run("nbmacro", ("params", "macs"), "random", setting=ON_META, options=options)
    _, record = handed_over(run, 17)
    assert record.config == {
        "budget": 17,
        "fidelity": "size=8,batch=4,repeats=1",
        "space": run.asked["space"],
        "searcher": run.asked["searcher"],
        "objective": ["params", "macs"],
    }


def refusal(*given, **named):
    with pytest.raises(NasctlError) as refused:
        Run(*given, **named).task  # noqa: B018
    return str(refused.value)


def test_an_objective_or_a_device_that_is_given_twice_is_refused():
    assert refusal("nbmacro", ("macs", "params", "macs")) == "the objective 'macs' is given twice; leave one out"
    device = device_of(Run("nbmacro", ("latency@gpu",)).task.metrics["latency@gpu"])
    names = ("latency@gpu", f"latency@{device}")
    assert refusal("nbmacro", ("params", *names)) == (
        f"'latency@gpu' and 'latency@{device}' are one device, {device}; leave one out"
    )
    both = Run("nbmacro", ("latency@v100-b64", "params", "latency@cpu")).task
    assert list(both.metrics) == ["latency@v100-b64", "params", "latency@cpu"]


def test_a_search_without_an_objective_is_refused():
    assert refusal("nbmacro", ()) == "a search needs at least one objective; give it with --objective"


def test_a_percentage_is_of_the_maximum_over_the_space(monkeypatch):
    run = Run("nbmacro", ("macs",), setting=ON_META, constraints=("macs<=50%,params>=25%",))
    asked, bounds = [], run_module.ranges.bounds
    monkeypatch.setattr(run_module.ranges, "bounds", lambda *given: asked.append(given) or bounds(*given))
    # The greatest network of nbmacro has 105,660,928 MACs and 2,932,586 parameters.
    assert [one.bound for one in run.task.constraints] == [52830464.0, 733146.5]
    assert [setting for _, _, setting in asked] == [ON_META] * 2
    message = "a percentage needs a quantity whose maximum is known before the search, not 'snip'"
    assert refusal("nbmacro", ("macs",), constraints=("snip<=50%",)) == message
