"""`runs retry` measures what failed again, and nothing that a run was told changes its way."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from nasctl import objectives, registry
from nasctl.cli import cli
from nasctl.registry import plugins
from nasctl.store.store import Store

FLAKY = '''
"""An objective for which some machines have too little memory."""

from nasctl.api import Candidate


class Flaky:
    unit, direction, transform, needs, version = "s", "min", "identity", frozenset({"network"}), "1"
    lacks = 1

    def __call__(self, candidate: Candidate) -> float:
        if sum(candidate.genome) % 3 < self.lacks:
            raise MemoryError(f"no room for {sum(candidate.genome)} more")
        return float(sum(choice * place for place, choice in enumerate(candidate.genome)))


__all__ = ["Flaky"]
'''
NOTHING, ALL = 0, 3  # thirds of the networks for which there is no memory
SEARCH = ["search", "--space=nbmacro", "-oflaky,params", "--searcher=nsga2:population=20", "--run=mine"]


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    """Calls the command line, which knows an objective more; `nasctl.lacks` says for which genomes it fails."""
    folder = tmp_path / "objectives"
    folder.mkdir()
    (folder / "flaky.py").write_text(FLAKY)
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(folder)])
    monkeypatch.setattr(plugins, "_own", plugins._own.__wrapped__)  # which remembers what there was
    monkeypatch.chdir(tmp_path)

    def call(*words, code=0):
        done = CliRunner().invoke(cli, list(words), catch_exceptions=False)
        assert done.exit_code == code, done.stderr
        return json.loads(done.stdout) if "--json" in words else done.stderr

    call.lacks = lambda lacks: monkeypatch.setattr(registry.load("objectives", "flaky"), "lacks", lacks)
    yield call
    sys.modules.pop("nasctl.objectives.flaky", None)


def genomes(store):
    return [one.genome for one in Store(store).evaluations("mine")]


def test_errors_are_measured_again_and_the_run_goes_on_as_it_would_have(nasctl):
    for store in ("a.db", "b.db"):
        searched = nasctl(*SEARCH, "--budget=60", "--json", f"--store={store}")
    assert 0 < searched["failed"] < 60
    before = genomes("a.db")
    nasctl.lacks(NOTHING)
    retried = nasctl("runs", "retry", "mine", "--json", "--store=a.db")
    row = {"objective": "flaky", "tried": searched["failed"], "measured": searched["failed"], "errors": []}
    assert retried == {"run": "mine", "objectives": [row]}
    shown = nasctl("runs", "show", "mine", "--json", "--store=a.db")
    assert (shown["failed"], shown["candidates"]) == (0, 60)
    for evaluation in Store("a.db").evaluations("mine"):
        assert evaluation.values["flaky"] == sum(k * choice for k, choice in enumerate(evaluation.genome))
    assert genomes("a.db") == before
    for store in ("a.db", "b.db"):  # in the second nothing was measured again
        went_on = nasctl(*SEARCH, "--budget=120", "--json", f"--store={store}")
        assert went_on["distinct"] == 120
    assert genomes("a.db") == genomes("b.db")
    new = [word for word in SEARCH if word != "--run=mine"]
    assert nasctl(*new, "--budget=60", "--json", "--store=a.db")["failed"] == 0
    assert nasctl("runs", "retry", "mine", "--store=a.db") == "nothing failed in run mine\n"


def test_what_fails_again_says_why(nasctl):
    searched = nasctl(*SEARCH, "--budget=30", "--json")
    (row,) = nasctl("runs", "retry", "--json")["objectives"]
    assert (row["tried"], row["measured"]) == (searched["failed"], 0)
    assert all(error.startswith("MemoryError: no room for ") for error in row["errors"])
    assert nasctl("runs", "show", "--json")["errors"] == row["errors"]
    assert nasctl("runs", "retry", "-o", "params") == "nothing failed in run mine\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "flakey"], "no objective of this run is called 'flakey'; did you mean 'flaky'?"),
        (["--data", "noise"], "noise is not the data of the run, which is dead_leaves; give that with --data"),
        (["other"], "no run is called 'other'; there is: mine"),
    ],
)
def test_a_mistake_is_one_sentence(words, message, nasctl):
    nasctl(*SEARCH, "--budget=30")
    before = Path("nasctl.db").read_bytes()
    assert nasctl("runs", "retry", *words, code=2) == f"Error: {message}\n"
    assert Path("nasctl.db").read_bytes() == before


def test_an_objective_of_another_version_is_left_alone(nasctl, monkeypatch):
    nasctl(*SEARCH, "--budget=30")
    monkeypatch.setattr(sys.modules["nasctl.objectives.flaky"].Flaky, "version", "2")
    assert "flaky is of another version here; start a new run" in nasctl("runs", "retry", code=2)


def test_a_run_in_which_everything_failed_begins_anew_when_that_is_mended(nasctl):
    nasctl.lacks(ALL)
    for _ in range(2):
        said = nasctl(*SEARCH, "--budget=50", code=2)
        assert "(when that is mended, `nasctl runs retry` measures them again)" in said
    nasctl.lacks(NOTHING)
    assert nasctl("runs", "retry", "--json")["objectives"][0]["measured"] == 20
    assert nasctl(*SEARCH, "--budget=50", "--json")["failed"] == 0
    nasctl(*SEARCH, "--budget=50", "--store=other.db")
    assert genomes("nasctl.db") == genomes("other.db")
