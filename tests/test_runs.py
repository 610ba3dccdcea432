"""What a store and the command line promise."""

import sys
from subprocess import run as start

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.api import Evaluation
from nasctl.cli import cli
from nasctl.search import Task, evaluate, front, losses
from nasctl.store import Store
from nasctl.testing import Chain, journalled
from nasctl.values import Goal


class Broken:
    unit, direction, transform, needs, version = "s", "max", "identity", frozenset({"network"}), "1"

    def __call__(self, candidate):
        return 1.0 / candidate.genome[0]


def test_a_failure_is_recorded_and_never_a_number(tmp_path):
    task = Task(Chain(), {"broken": Broken()})
    journal = Store(tmp_path / "store").journal("run", journalled(task))
    found = [evaluate(task, genome, journal) for genome in ((0, 1), (1, 1))]
    assert found[0] == Evaluation((0, 1), {}, {"broken": "ZeroDivisionError: float division by zero"})
    assert np.array_equal(losses(found, task.objectives), [[np.nan], [-1.0]], equal_nan=True)


def test_searchers_see_transforms_and_people_do_not():
    goals = [Goal("up", "max", "log10", "module"), Goal("below", "max", "-log10(-s)", "module")]
    found = [Evaluation((k,), {"up": up, "below": below}) for k, (up, below) in enumerate([(100, -1e-3), (0, -10)])]
    assert np.array_equal(losses(found, goals), [[-2.0, -3.0], [np.nan, 1.0]], equal_nan=True)
    assert [e.values for e in front(found, goals)] == [{"up": 100, "below": -1e-3}]


def test_a_screen_is_the_losses_of_what_needs_no_module():
    task = Task(Chain(), {name: registry.create("objectives", name) for name in ("snip", "params")})
    assert [goal.cost for goal in task.objectives] == ["module", "network"]
    screened = task.screen([(1, 0), (0, 0)])  # 3 -> 5 -> 2 and 3 -> 2 -> 2
    assert np.array_equal(screened, [[np.nan, 25.0], [np.nan, 10.0]], equal_nan=True)
    assert task.screen([]).shape == (0, 2)


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
        (["search", "--space", "nb201", "-c", "latency<=3"], "'latency' needs 'device': write latency:device=..."),
        (["search", "--space", "nb201", "-o", "macs", "-c", "macs<=1"], "no candidate can meet macs<=1"),
        (["search", "--space", "mbconv", "-o", "params", "-c", "params<=1M"], "no candidate can meet params<=1e+06"),
        (["search", "--space", "nb201", "-c", "macs=3"], "'macs=3' is no constraint; write one such as latency<=20"),
        (["search", "--space", "nb201", "-c", "snip<=10%"], "a percentage needs a quantity whose maximum is known"),
        (["search", "--space", "nb201", "--fidelity", "tiny"], "'tiny' is no fidelity; write full, or bounds such"),
        (["pareto", "show"], "holds no run yet; `nasctl search` starts one"),
        (["pareto", "plot"], "holds no run yet; `nasctl search` starts one"),
        (["runs", "show", "some"], "holds no run yet; `nasctl search` starts one"),
        (["objective", "score", "--space", "nb201", "-o", "macs"], "say what to score: --genomes FILE or --sample"),
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
