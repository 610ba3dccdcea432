"""A run that is resumed on another processor keeps its recorded path, and says so."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl.candidates.setting import Setting
from nasctl.cli import cli
from nasctl.errors import RunChanged
from nasctl.evaluation import machine
from nasctl.evaluation import measure as measure_module
from nasctl.evaluation.task import Task
from nasctl.search import run as run_module
from nasctl.search.run import Run
from nasctl.searchers.guided import Guided
from nasctl.searchers.nsga2 import NSGA2
from nasctl.searchers.random import RandomSearch
from nasctl.store.store import Store
from nasctl.testing import Chain
from nasctl.workers import WorkerOptions, open_executor

INTEL, AMD = "Intel Xeon (AVX512)", "AMD EPYC (AVX2)"
WARNING = (
    "Warning: run {name!r} was made on {made} and replays differently here; its {number} recorded candidates stay as"
    " they are, and new values may differ in their last digits\n"
)


def rounded_otherwise(made, shift):
    """A searcher whose arithmetic, from the third batch on, comes to another order of what it proposes."""

    class Shifted(made):
        asked = 0

        def ask(self):
            self.asked += 1
            if self.asked > 2:
                generator = self._algorithm.random_state if hasattr(self, "_algorithm") else self._rng
                generator.random(shift)  # what a last digit decides, draws decide here
            return super().ask()

    return Shifted


SEARCHERS = {"guided": Guided, "random": RandomSearch, "nsga2": NSGA2}


@pytest.fixture
def on(monkeypatch, tmp_path):
    """Searches on a machine of that name; on the AMD every searcher goes another way than on the Intel."""
    create = run_module.registry.create

    def searched(name, run, budget, store="store", differs=None):
        def created(kind, spec, *given):
            if kind == "searchers" and (name == AMD if differs is None else differs):
                return rounded_otherwise(SEARCHERS[spec], 3)(*given)
            return create(kind, spec, *given)

        with monkeypatch.context() as there:
            there.setattr(run_module, "machine_of", lambda task: name)
            there.setattr(run_module.registry, "create", created)
            return list(run.search(Store(tmp_path / store), budget))

    return searched


def genomes(visits):
    return [visit.evaluation.genome for visit in visits]


@pytest.mark.parametrize("searcher", SEARCHERS)
@pytest.mark.parametrize("recorded", [90, 97])
def test_a_run_resumed_on_another_processor_keeps_its_path(searcher, recorded, on, capsys):
    run = Run("nbmacro", ("params", "macs"), searcher)
    before = on(INTEL, run, recorded)
    assert capsys.readouterr().err == ""
    after = on(AMD, run, 150)
    assert [visit.evaluation for visit in after[:recorded]] == [visit.evaluation for visit in before]
    assert [visit.fresh for visit in after] == [False] * recorded + [True] * (150 - recorded)
    assert len(set(genomes(after))) == 150
    assert capsys.readouterr().err == WARNING.format(name=run.name, made=INTEL, number=recorded)
    for place in (AMD, INTEL):  # from now on it is a run of two machines, and both replay it
        again = on(place, run, 190 if place == INTEL else 150)
        assert [visit.evaluation for visit in again[:150]] == [visit.evaluation for visit in after]
        assert [visit.fresh for visit in again] == [False] * 150 + [True] * (len(again) - 150)
    assert len(again) == 190
    assert genomes(on(AMD, run, 190)) == genomes(again)


def test_a_replay_that_does_not_differ_says_nothing(on, capsys):
    run = Run("nbmacro", ("params", "macs"), "guided")
    whole = on(INTEL, run, 60, "whole")
    on(INTEL, run, 40)
    assert genomes(on(AMD, run, 60, differs=False)) == genomes(whole)
    assert capsys.readouterr().err == ""


def test_a_path_that_differs_on_the_same_machine_is_refused(on):
    run = Run("nbmacro", ("params", "macs"), "guided")
    on(INTEL, run, 90)
    with pytest.raises(RunChanged, match="nasctl, a library or a file of yours has changed"):
        on(INTEL, run, 150, differs=True)


def test_a_run_without_a_machine_of_an_older_nasctl_goes_on(on, tmp_path, capsys):
    run = Run("nbmacro", ("params", "macs"), "guided")
    on(INTEL, run, 40)
    store = Store(tmp_path / "store")
    with store.database.writing() as database:
        (text,) = database.execute("SELECT spec FROM run").fetchone()
        content = json.loads(text)
        assert content.pop("machines") == [INTEL]
        database.execute("UPDATE run SET spec = ?", (json.dumps(content),))
    assert store.run()[1].machines == ()
    assert len(on(AMD, run, 60, differs=False)) == 60
    assert Store(tmp_path / "store").run()[1].machines == (AMD,)
    assert capsys.readouterr().err == ""


def test_a_run_records_every_machine_once_and_keeps_its_name(on, tmp_path):
    run = Run("nbmacro", ("params", "macs"), "random")
    for place in (INTEL, AMD, INTEL, AMD):
        on(place, run, 30)
    name, record = Store(tmp_path / "store").run()
    assert (name, record.machines) == (run.name, (INTEL, AMD))
    assert run.name == "nbmacro-4d798d13"  # the digest of the question, as it was before machines were recorded
    assert not any(AMD in str(value) for value in record.asked.values())


def test_the_rest_of_the_record_is_visited_where_the_searcher_has_nothing_more(on, monkeypatch, tmp_path):
    run = Run("nbmacro", ("params", "macs"), "random")
    before = on(INTEL, run, 90)
    batches = []
    ask = RandomSearch.ask
    monkeypatch.setattr(RandomSearch, "ask", lambda self: [] if len(batches) >= 2 else batches.append(1) or ask(self))
    assert genomes(on(AMD, run, 150, differs=False)) == genomes(before)


def test_a_guided_search_learns_about_the_recorded_candidates(on, monkeypatch):
    run, told = Run("nbmacro", ("params", "macs"), "guided"), []
    tell = Guided.tell
    monkeypatch.setattr(Guided, "tell", lambda self, *given: told.extend(self._asked) or tell(self, *given))
    before = on(INTEL, run, 90)
    told.clear()
    after = on(AMD, run, 120)
    assert told[:90] == genomes(before)
    assert told == genomes(after)


@pytest.fixture
def machines(monkeypatch):
    """Say what the machine of this process is called."""

    def call(name):
        monkeypatch.setattr(measure_module, "arithmetic_machine", lambda: name)
        monkeypatch.setattr(measure_module, "module_machine", lambda device, threads: name)

    return call


def test_a_run_of_two_machines_keeps_the_machine_of_each_value(machines, tmp_path):
    run, store = Run("nbmacro", ("params", "macs"), "random:batch=5"), Store(tmp_path / "store")
    machines(INTEL)
    before = [visit.evaluation for visit in run.search(store, 10)]
    machines(AMD)
    after = [visit.evaluation for visit in run.search(store, 15)]
    assert after[:10] == before
    assert store.machines(run.name) == {INTEL: 20, AMD: 10}
    shared = Run("nbmacro", ("params",), "random:batch=5")  # finds the same candidates in the store
    assert list(shared.search(store, 15))
    assert store.machines(shared.name) == {INTEL: 10, AMD: 5}


def test_a_search_and_its_record_say_that_values_come_from_two_machines(machines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search = ["search", "--space", "nbmacro", "-o", "params,macs", "--searcher", "random:batch=5"]
    machines(INTEL)
    alone = CliRunner().invoke(cli, [*search, "--budget", "5"])
    assert "were measured on" not in alone.stderr
    machines(AMD)
    both = CliRunner().invoke(cli, [*search, "--budget", "15"])
    said = f"Warning: values of this run were measured on {AMD} (20 values) and {INTEL} (10 values); they may differ"
    assert said in both.stderr
    shown = json.loads(CliRunner().invoke(cli, ["runs", "show", "--json"]).stdout)
    assert shown["values"] == {AMD: 20, INTEL: 10}
    printed = CliRunner().invoke(cli, ["runs", "show"]).stdout
    assert f"{AMD} 20, {INTEL} 10" in printed


def test_values_of_an_older_nasctl_have_no_machine(machines, tmp_path):
    run, store = Run("nbmacro", ("params",), "random:batch=5"), Store(tmp_path / "store")
    machines("")
    list(run.search(store, 5))
    machines(AMD)
    list(run.search(store, 10))
    assert store.machines(run.name) == {"": 5, AMD: 5}


def test_only_metrics_count_where_a_run_has_some(tmp_path):
    run = Run("nb201:channels=4,cells=1", ("naswot", "macs"), "random:batch=2")
    store = Store(tmp_path / "store")
    list(run.search(store, 2))
    ((machine, values),) = store.machines(run.name).items()
    assert values == 2
    assert "torch threads" in machine
    assert store.run(run.name)[1].machines == (machine,)


def test_a_worker_process_notes_its_machine(tmp_path):
    run, store = Run("nb201:channels=4,cells=1", ("naswot", "macs"), "random:batch=2"), Store(tmp_path / "store")
    with open_executor(WorkerOptions(2), run.task) as executor:
        list(run.search(store, 2, executor=executor))
    ((machine, values),) = store.machines(run.name).items()
    assert "torch threads" in machine
    assert values == 2


def test_the_machine_is_its_processor_instructions_and_threads(monkeypatch):
    monkeypatch.setattr(machine, "processor_name", lambda: "Some CPU")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    task = Run("nbmacro", ("naswot", "macs"), "random", setting=Setting(threads=2)).task
    assert machine.machine_of(task) in {
        f"Some CPU ({name}, torch threads 2, numpy threads 3)"
        for name in ("DEFAULT", "AVX2", "AVX512", "NEON", "SVE256")
    }
    monkeypatch.setattr(
        np, "show_config", lambda mode: {"SIMD Extensions": {"baseline": ["X86_V2"], "found": ["X86_V3"]}}
    )
    cheap = Task(Chain(), {"macs": task.metrics["macs"]})
    assert machine.machine_of(cheap) == "Some CPU (X86_V3, numpy threads 3)"
    monkeypatch.setattr(np, "show_config", lambda mode: {"SIMD Extensions": {"baseline": ["SSE", "SSE2"]}})
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    assert machine.machine_of(cheap) == f"Some CPU (SSE2, numpy threads {os.cpu_count()})"


def test_a_run_of_costs_imports_no_torch_for_its_machine(tmp_path):
    code = (
        "import sys; from nasctl.search.run import Run; from nasctl.store.store import Store;"
        f"list(Run('nbmacro', ('params', 'macs')).search(Store({str(tmp_path / 'store')!r}), 30));"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    (machine,) = Store(tmp_path / "store").run()[1].machines
    assert "torch" not in machine
