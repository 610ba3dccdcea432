"""What may be typed: words for options, numbers, folders, workers, and completion by the shell."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from nasctl.cli import cli
from nasctl.commands import _workers
from nasctl.commands._types import Count, OutputPath
from nasctl.commands._workers import WorkerChoice


def nasctl(*arguments, code=0):
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.stderr
    return done


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_space_is_a_word_or_an_option(tmp_path):
    common = ["-o", "params,macs", "--budget", "3", "--json"]
    runs = {
        json.loads(nasctl("search", *words, *common).stdout)["run"]
        for words in (["nbmacro"], ["--space", "nbmacro"], ["nbmacro", "--space", "nbmacro"], ["nas-bench-macro"])
    }
    assert len(runs) == 1
    (tmp_path / "search.toml").write_text('space = "nbmacro"\n')
    assert json.loads(nasctl("search", "--config", "search.toml", *common).stdout)["run"] in runs
    assert "nb201" in json.loads(nasctl("search", "nb201", "--config", "search.toml", *common).stdout)["run"]
    assert "'nb201' and --space nbmacro name two" in nasctl("search", "nb201", "--space", "nbmacro", code=2).stderr
    assert "say which search space" in nasctl("search", code=2).stderr


def test_the_architecture_of_an_export_is_a_word_or_an_option(tmp_path):
    said = nasctl("export", "nbmacro-26wn", "--format", "json", "-o", "new dir/").stderr
    assert "the weights are untrained: train the network with nasctl train" in said
    assert json.loads((tmp_path / "new dir" / "nbmacro-26wn.json").read_text())["id"] == "nbmacro-26wn"
    nasctl("export", "--arch", "nbmacro-26wn", "--format", "json", "-o", "b.json")
    assert "name two" in nasctl("export", "nbmacro-26wn", "--arch", "nbmacro-388d", code=2).stderr


def test_a_report_and_a_plot_make_a_folder(tmp_path):
    run = json.loads(nasctl("search", "nbmacro", "-o", "params,macs", "--budget", "1e1", "--json").stdout)["run"]
    assert json.loads(nasctl("runs", "list", "--json").stdout)[0]["candidates"] == 10
    nasctl("report", "-o", "a b/c/")
    nasctl("pareto", "plot", "-o", "pictures/")
    assert (tmp_path / "a b" / "c" / f"{run}.html").exists()
    assert (tmp_path / "pictures" / f"{run}.png").exists()


def test_plugins_may_be_followed_by_list():
    assert nasctl("plugins", "list", "--json").stdout == nasctl("plugins", "--json").stdout
    assert "'lists' is not 'list'" in nasctl("plugins", "lists", code=2).stderr


def test_an_output_in_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(click.BadParameter, match="cannot be made"):
        OutputPath().convert("file/sub/", None, None)


@pytest.mark.parametrize(("text", "number"), [("1e3", 1000), ("300", 300), ("2k", 2000), ("1.5k", 1500), ("1E+2", 100)])
def test_counts_as_people_write_them(text, number):
    assert Count(1).convert(text, None, None) == number


@pytest.mark.parametrize("text", ["1.5", "0", "-3", "many", "1e-3", "nan", ""])
def test_other_counts_are_refused(text):
    with pytest.raises(click.BadParameter):
        Count(1).convert(text, None, None)


def test_workers_that_would_only_wait_are_not_started(monkeypatch):
    monkeypatch.setattr(_workers, "cores", lambda: 8)
    clamped = WorkerChoice("64").clamped(threads=1, budget=300)
    assert clamped == (WorkerChoice("8"), ["8 workers in place of 64: this machine lends 8 cores"])
    assert WorkerChoice("64").clamped(1, 3) == (WorkerChoice("3"), ["3 workers in place of 64: the budget is 3"])
    (choice, (said,)) = WorkerChoice("8").clamped(threads=4, budget=300)
    assert choice.workers == "2"
    assert said == "2 workers in place of 8: this machine lends 8 cores, and each worker takes 4"
    assert WorkerChoice("4").clamped(1, 300) == (WorkerChoice("4"), [])
    assert WorkerChoice("auto").clamped(1, 3) == (WorkerChoice("3"), [])
    assert WorkerChoice().clamped(1, 1) == (WorkerChoice(), [])
    assert WorkerChoice("64", gpus="0,1").clamped(1, 300) == (WorkerChoice("64", gpus="0,1"), [])


def completed(*words, begun=""):
    return [
        item.value for item in ShellComplete(cli, {}, "nasctl", "_NASCTL_COMPLETE").get_completions(list(words), begun)
    ]


def test_the_shell_completes_names():
    assert {"mbconv", "mobilenetv3"} <= set(completed("search", begun="m"))
    assert "nbmacro" in completed("search", "--space", begun="nbm")
    assert completed("search", "-o", begun="params,sn") == ["params,snip"]
    assert {"pixel4", "pixel6"} <= set(completed("search", "--device", begun="pix"))
    assert "mobile" in completed("search", "--device", begun="mob")
    assert "nsga2" in completed("search", "--searcher", begun="nsga")
    assert "nb201" in completed("space", "show", begun="nb2")
    assert "find" in completed(begun="fi")
    assert "--latency" in completed("find", begun="--la")


def test_the_shell_completes_runs_and_ids():
    assert completed("runs", "show") == []  # there is no store
    searched = json.loads(nasctl("search", "nbmacro", "-o", "params,macs", "--budget", "5", "--json").stdout)
    assert completed("pareto", "show", "--run", begun="nb") == completed("runs", "show") == [searched["run"]]
    assert completed("show", begun="nbm") == searched["front"]
    assert completed("export") == searched["front"]
    assert completed("export", "--store", "other.db") == []


def test_the_shell_completes_supernets_and_trainings():
    assert completed("supernet", "show") == []
    for folder in ("nasctl-supernets/nb201-fair-1", "nasctl-supernets/nbmacro-fair-2", "nasctl-trainings/nb201-3"):
        Path(folder).mkdir(parents=True)
        Path(folder, "training.json").touch()
    assert completed("supernet", "show", begun="nb2") == ["nb201-fair-1"]
    assert completed("supernet", "evaluate") == completed("supernet", "delete") == ["nb201-fair-1", "nbmacro-fair-2"]
    assert completed("search", "-o", begun="macs,accuracy@nbm") == ["macs,accuracy@nbmacro-fair-2"]
    assert completed("search", "-o", begun="score@") == ["score@nb201-fair-1", "score@nbmacro-fair-2"]
    assert completed("export", "--weights", begun="nb2") == ["nb201-3", "nb201-fair-1", "nb2"]  # the last: files
    assert completed("train", "--from", begun="nbm") == ["nbmacro-fair-2", "nbm"]
    assert completed("supernet", "train", "--from", begun="nb2") == ["nb201-3", "nb201-fair-1", "nb2"]


def test_completion_imports_no_torch(tmp_path):
    code = (
        "import sys\nfrom click.shell_completion import ShellComplete\nfrom nasctl.cli import cli\n"
        "complete = ShellComplete(cli, {}, 'nasctl', 'X').get_completions\n"
        "assert complete(['search', '--space'], 'mb') and complete(['search', '--device'], 'pix')\n"
        "complete(['show'], 'nb')\nprint([one for one in ('torch', 'pymoo', 'scipy') if one in sys.modules])"
    )
    code = code.replace("print(", "complete(['export', '--weights'], 'nb')\nprint(", 1)
    nasctl("search", "nbmacro", "-o", "params,macs", "--budget", "3")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr
