"""The command that repeats a recorded run asks the same question."""

import shlex

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.candidates.setting import Setting, make_setting
from nasctl.cli import cli
from nasctl.data import source
from nasctl.hardware.table import LatencyTable
from nasctl.problem.fidelity import Fidelity
from nasctl.search.command_line import command_line
from nasctl.search.run import Run
from nasctl.store.store import Store


def recorded(run):
    return run.task.record(run.asked["space"], run.asked)


def test_every_part_of_the_question_is_an_option():
    run = Run(
        "nb201:channels=4,cells=1",
        ("snip", "latency@gpu"),
        "nsga2:population=10",
        3,
        Setting(source("noise"), Fidelity(size=8, batch=4), seed=2, threads=2),
        ("params", "macs"),
        ("params<=1M", "macs>=1000"),
    )
    line, notes = command_line("my run", recorded(run), 17)
    assert notes == []
    assert shlex.split(line) == [
        *("nasctl", "search", "--space", "nb201:cells=1,channels=4"),
        *("--objective", "snip", "--objective", "latency@gpu", "--record", "params", "--record", "macs"),
        *("--constraint", "params<=1000000", "--constraint", "macs>=1000"),
        *("--searcher", "nsga2:population=10", "--budget", "17", "--seed", "3", "--weights-seed", "2"),
        *("--fidelity", "size=8,batch=4,repeats=1", "--data", "noise", "--torch-device", "cpu", "--threads", "2"),
        *("--run", "my run", "--no-references"),
    ]


def test_the_command_goes_on_with_the_run(tmp_path):
    run = Run("nbmacro", ("params", "macs"), "random:batch=7", 5, constraints=("params<=3M",))
    list(run.search(Store(tmp_path / "store"), 10))
    line, _ = command_line(run.name, Store(tmp_path / "store").run()[1], 15)
    done = CliRunner().invoke(cli, [*shlex.split(line)[1:], "--store", str(tmp_path / "store")])
    assert done.exit_code == 0, done.stderr
    ((name, visited),) = [(one.name, one.visited) for one in Store(tmp_path / "store").runs()]
    assert (name, visited) == (run.name, 15)


def test_a_run_goes_on_at_its_fidelity_after_a_level_has_changed(tmp_path, monkeypatch):
    spec, store = "nb201:channels=4,cells=1", tmp_path / "store"
    kind = type(registry.create("spaces", spec))
    monkeypatch.setattr(kind, "levels", {"full": Fidelity(), "balanced": Fidelity(size=8, batch=4)})
    run = Run(spec, ("snip", "macs"), "random:batch=4", 0, make_setting(registry.create("spaces", spec), "", None, 0))
    list(run.search(Store(store), 4))
    monkeypatch.setattr(kind, "levels", {"full": Fidelity(), "balanced": Fidelity(size=16, batch=8)})
    assert make_setting(registry.create("spaces", spec), "balanced", None, 0) != run.setting
    record = Store(store).run()[1]
    line, _ = command_line(run.name, record, 6)
    assert "--fidelity size=8,batch=4,repeats=1" in line
    done = CliRunner().invoke(cli, [*shlex.split(line)[1:], "--store", str(store)])
    assert done.exit_code == 0, done.stderr
    ((name, visited),) = [(one.name, one.visited) for one in Store(store).runs()]
    assert (name, visited) == (run.name, 6)
    assert Store(store).run()[1].labels == record.labels


@pytest.mark.parametrize("times", [1, 2])
def test_files_that_it_needs_are_named_once(times, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LatencyTable.load("v100-b64").save(tmp_path / "mine.json")
    run = Run("nbmacro", ("latency@mine.json", "params"), "random")
    record = recorded(run)
    for key in ("objectives", "record")[:times]:
        record.asked[key] = [*record.asked[key], "latency@mine"]
    record.asked["tables"]["latency@mine"] = "12345678"
    record.asked["setting"] = record.asked["setting"].replace("data=dead_leaves", "data=photos.zip#b5330deb")
    line, notes = command_line("run", record, 1)
    assert notes == [
        "photos.zip has to be the file or folder that is known as photos.zip#b5330deb",
        "mine.json has to be the table of mine whose digest is 12345678",
    ]
    words = shlex.split(line)
    assert words.count("latency@mine.json") == times
    assert words[words.index("--data") + 1] == "photos.zip"
