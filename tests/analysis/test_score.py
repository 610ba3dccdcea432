"""Architectures are measured once, and their table is written whole or not at all."""

import csv
import gzip
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.analysis import score
from nasctl.architectures.ids import encode
from nasctl.candidates.setting import Setting
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.evaluation import measure as measure_module
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.searcher import Evaluation
from nasctl.store.store import Store
from nasctl.testing import Chain, drawn

SPACE = "nb201:channels=4,cells=1"
SMALL = "--fidelity=size=8,cells=1,batch=4"
DEAD = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


class Digits:
    """The genome as a decimal number; it does not like some."""

    unit, direction, transform, version = "1", "max", "identity", "1"
    needs = frozenset({"network"})

    def __init__(self, hated=(), failure=None):
        self.calls, self.hated, self.failure = [], hated, failure or ValueError("no such number")

    def __call__(self, candidate):
        if candidate.genome in self.hated:
            raise self.failure
        self.calls.append(candidate.genome)
        return float("".join(map(str, candidate.genome)))


@pytest.fixture
def space():
    return registry.create("spaces", SPACE)


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, ["objective", *arguments], catch_exceptions=False)


def rows(path):
    opened = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_measured_once_is_not_measured_again(space, tmp_path):
    metric, genomes = Digits(), drawn(space, 9)
    genomes = list(dict.fromkeys(map(space.canonical, genomes)))
    first, second = (
        list(score.score_genomes(Task(space, {"digits": metric}), SPACE, genomes, Store(tmp_path / "store")))
        for _ in range(2)
    )
    assert metric.calls == genomes
    assert first == second
    assert [row.evaluation.values["digits"] for row in first] == [float("".join(map(str, g))) for g in genomes]
    # A new version, a further metric and another space are measured.
    other = Digits()
    task = Task(space, {"digits": metric, "other": other})
    list(score.score_genomes(task, "nb201:cells=1,channels=4", genomes[:2], Store(tmp_path / "store")))
    assert (len(metric.calls), other.calls) == (len(genomes), genomes[:2])
    list(score.score_genomes(task, "nb201:cells=1,channels=8", genomes[:2], Store(tmp_path / "store")))
    assert len(metric.calls) == len(genomes) + 2


def test_what_is_cut_short_goes_on(space, tmp_path):
    genomes = list(dict.fromkeys(map(space.canonical, drawn(space, 12))))
    before, after = Digits(hated=genomes[5:6], failure=KeyboardInterrupt()), Digits()
    with pytest.raises(KeyboardInterrupt):
        list(score.score_genomes(Task(space, {"digits": before}), SPACE, genomes, Store(tmp_path / "store")))
    resumed = score.score_genomes(Task(space, {"digits": after}), SPACE, genomes, Store(tmp_path / "store"))
    next(resumed)
    next(resumed)
    resumed.close()  # what was yielded is on disk
    whole = list(score.score_genomes(Task(space, {"digits": after}), SPACE, genomes, Store(tmp_path / "store")))
    assert (before.calls, after.calls) == (genomes[:5], genomes[5:])
    assert [row.evaluation.genome for row in whole] == genomes


def test_a_failure_is_kept_and_a_mistake_of_the_user_is_not(space, tmp_path):
    (genome,) = drawn(space, 1)
    failing = Digits(hated=[genome])
    for _ in range(2):
        (row,) = score.score_genomes(Task(space, {"digits": failing}), SPACE, [genome], Store(tmp_path / "store"))
        assert row.evaluation == Evaluation(genome, {}, {"digits": "ValueError: no such number"})
        assert score.failure_messages([row]) == [
            "1 of 1 failed in a metric, the last in digits: ValueError: no such number"
        ]
        failing.hated = ()  # which the second time does not see
    again = score.score_genomes(
        Task(space, {"digits": failing}), SPACE, [genome], Store(tmp_path / "store"), retry=True
    )
    assert next(iter(again)).evaluation.errors == {}
    assert failing.calls == [genome]
    (row,) = score.score_genomes(
        Task(space, {"digits": failing}), SPACE, [genome], Store(tmp_path / "store"), retry=True
    )
    assert row.evaluation.values.keys() == {"digits"}
    assert failing.calls == [genome]  # a value is not measured again
    wrong = Task(space, {"wrong": Digits(hated=[genome], failure=NasctlError("give other data"))})
    with pytest.raises(NasctlError, match="other data"):
        list(score.score_genomes(wrong, SPACE, [genome], Store(tmp_path / "store")))
    assert score.failure_messages([]) == []


class Seeds(Digits):
    """The seed that weights are drawn with; 4 is unlucky."""

    needs = frozenset({"module"})

    def __call__(self, candidate):
        self.calls.append(candidate.setting.seed)
        if candidate.setting.seed == 4:
            raise ArithmeticError("unlucky")
        return candidate.setting.seed**2


def test_repeats_are_the_mean_of_draws_that_no_other_seed_has():
    settings = [Setting(fidelity=Fidelity(repeats=3), seed=seed) for seed in range(3)]
    seeds, digits = Seeds(), Digits()
    found = [
        measure(Task(Chain(), {"seeds": seeds, "digits": digits}, s), (0, 1), {"seeds": "s", "digits": "d"})
        for s in settings
    ]
    assert seeds.calls == list(range(9))  # 0 to 2, 3 to 5, 6 to 8
    assert len(digits.calls) == 3  # arithmetic, once for each setting
    assert [one["d"].value for one in found] == [1, 1, 1]
    assert found[0]["s"].value == pytest.approx((0 + 1 + 4) / 3)
    assert found[1]["s"][:2] == (None, "ArithmeticError: unlucky")  # as one of its draws
    assert found[2]["s"].value == pytest.approx((36 + 49 + 64) / 3)
    assert {str(s) for setting in settings for s in setting.draws()} == {
        str(Setting(fidelity=Fidelity(repeats=3), seed=seed)) for seed in range(9)
    }


def test_repeats_of_a_metric_are_those_of_its_draws(space):
    metrics = score.make_metrics(["snip"], SPACE)
    whole, *single = (
        Task(space, metrics, Setting(fidelity=Fidelity(8, 1, 4, repeats), seed=seed))
        for repeats, seed in ((2, 1), (1, 2), (1, 3))
    )
    for genome in drawn(space, 2):
        mean, *draws = (measure(task, genome, {"snip": "snip"})["snip"].value for task in (whole, *single))
        assert mean == pytest.approx(sum(draws) / 2)
        assert draws[0] != draws[1]


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_a_table_and_what_it_was_made_with(nasctl, tmp_path, name):
    (tmp_path / "cells").write_text(f"3,3,3,3,3,3\n{DEAD}\n3,3,3,3,3,1\n")
    options = ["score", f"--space={SPACE}", "-osynflow,params", SMALL, "--genomes=cells", f"--output={name}"]
    done = nasctl(*options)
    assert (done.exit_code, done.stdout) == (0, f"{name}\n")
    assert "1 of 3 failed in a metric, the last in synflow: ValueError: no path leads" in done.stderr
    shown = json.loads(nasctl(*options[:-1], "--json").stdout)
    table = rows(tmp_path / name)
    space = registry.create("spaces", SPACE)
    assert [space.parse(row["arch"]) for row in table] == [tuple(row["genome"]) for row in shown]
    assert [row["id"] for row in shown] == [encode(SPACE, space.genes, tuple(row["genome"])) for row in shown]
    assert [row["synflow"] == "" for row in table] == [False, True, False]
    for row, one in zip(table, shown, strict=True):
        assert {key: float(cell) for key, cell in row.items() if key != "arch" and cell} == pytest.approx(
            one["values"], rel=1e-6
        )
    about = json.loads((tmp_path / "table.json").read_text())
    assert about["space"] == "nb201:canonical=true,cells=1,channels=4,classes=10,resolution=32"
    assert (about["architectures"], about["setting"]) == (3, str(Setting(fidelity=Fidelity(8, 1, 4))))
    assert about["versions"].keys() == {"nasctl", "numpy", "torch"}
    ((machine, architectures),) = about["machines"].items()
    assert architectures == 3
    assert "torch threads 1" in machine  # of the metrics; a cost is the same on every machine
    assert about["metrics"]["params"] == {"version": "1", "unit": "parameters", "direction": "min", "failed": 0}
    assert about["metrics"]["synflow"]["failed"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {"cells", "nasctl.db", "table.json", name}
    before = (tmp_path / name).read_bytes()
    assert nasctl(*options).exit_code == 2
    assert nasctl(*options, "--force").exit_code == 0
    assert (tmp_path / name).read_bytes() == before  # the time is not in it


def test_counts_are_written_to_the_last_digit(nasctl, tmp_path):
    (tmp_path / "cells").write_text("3,3,3,3,3,3\n")
    nasctl("score", "--space=nb201", "-oparams,macs", "--genomes=cells", "--output=table.csv")
    assert rows(tmp_path / "table.csv")[0].items() >= {"params": "1531546", "macs": "220119680"}.items()


def test_the_whole_of_a_space(nasctl, tmp_path):
    nasctl("score", "--space=nbmacro", "-oparams", "--all", "--output=table.csv")
    table = {row["arch"]: int(row["params"]) for row in rows(tmp_path / "table.csv")}
    assert (len(table), min(table.values()), max(table.values())) == (3969, 387_882, 2_932_586)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--sample=3", "--output=table.txt"], "table.txt is no name for a table; end it in .csv or .csv.gz"),
        (["--sample=3", "--output=there.csv"], "there.csv exists already; give --force"),
        (["--sample=3", "--output=noted.csv.gz"], "noted.json exists already; give --force"),
        (["--sample=3", "--output=none/table.csv"], "there is no folder none; create it"),
        (["--sample=3", "--output=there.csv/table.csv"], "there is no folder there.csv; create it"),
        (["--sample=3", "--output="], "the name is empty; name a file, or a folder"),
        (["--sample=3", "--all"], "say what to score: --genomes FILE, --sample NUMBER or --all"),
        (["--sample=3", "-oparasm"], "no objective is called 'parasm'; did you mean 'params'?"),
        (["--sample=3", "-oall:x=1"], "no objective is called 'all'"),
        (["--sample=3", "--data=none.zip"], "no data is called 'none.zip'"),
        (["--sample=3", "-osnip", "--torch-device=cuda:99"], "torch cannot use 'cuda:99' here"),
        (["--all", "--space=mbconv"], "a space of 2.95e+21 genomes is too large for --all; give --sample NUMBER"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_measured(nasctl, tmp_path, more, says):
    for name in ("there.csv", "noted.json"):
        (tmp_path / name).write_text("mine")
    done = nasctl("score", f"--space={SPACE}", "-oparams", *more)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert says in done.stderr
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"there.csv": "mine", "noted.json": "mine"}


def test_a_table_that_cannot_be_written_leaves_nothing(nasctl, tmp_path, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    done = nasctl("score", f"--space={SPACE}", "-oparams", "--sample=3", "--output=table.csv")
    assert done.exit_code == 2
    assert "table.csv cannot be written (No space left on device); free some space, or name another file" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["nasctl.db"]


def test_an_interrupt_ends_in_a_sentence_and_the_command_goes_on(nasctl, tmp_path, monkeypatch):
    kind, calls = registry.load("objectives", "params"), []
    real = kind.__call__

    def interrupted(self, candidate):
        calls.append(candidate.genome)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, candidate)

    monkeypatch.setattr(kind, "__call__", interrupted)
    options = ["score", f"--space={SPACE}", "-oparams", "--sample=6", "--output=table.csv"]
    monkeypatch.setattr(sys, "argv", ["nasctl", *options])  # from which the command is made
    done = nasctl(*options)
    assert (done.exit_code, done.stdout) == (130, "")
    assert "\nstopped; this takes it up again:\n  nasctl " in done.stderr
    assert not (tmp_path / "table.csv").exists()
    assert nasctl(*options).exit_code == 0
    assert len(calls) == 7  # the fourth twice
    assert calls[3] == calls[4]


def test_two_processes_share_a_store(tmp_path):
    command = [sys.executable, "-m", "nasctl", "objective", "score", f"--space={SPACE}", "-oparams", "--sample=150"]
    places = [f"--output={k}.csv" for k in range(2)]
    both = [subprocess.Popen([*command, place], cwd=tmp_path, stdout=subprocess.DEVNULL) for place in places]
    assert [process.wait(60) for process in both] == [0, 0]
    assert (tmp_path / "0.csv").read_bytes() == (tmp_path / "1.csv").read_bytes()


def test_all_is_every_metric_that_needs_no_option():
    names = set(registry.names("objectives"))
    assert set(score.expand_specs(["all"])) == names - {
        *("latency", "accuracy", "loss", "score", "trained"),
        *("expected_latency", "expected_macs"),  # of early exits
    }
    assert score.expand_specs(["params,all", "swap:mu=1,sigma=2"])[0] == "params"
    assert score.expand_specs(["params,all", "swap:mu=1,sigma=2"])[-1] == "swap:mu=1,sigma=2"
    assert list(score.make_metrics(["grad-norm", "grad_norm", "expected_synflow:linear"], SPACE)) == [
        "grad_norm",
        "expected_synflow:linear=true",
    ]


def test_the_list_has_every_metric_and_loads_nothing_heavy_but_torch():
    code = (
        "import sys; from nasctl.cli import cli; cli(['objective', 'list', '--json'], standalone_mode=False);"
        " print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    listed, loaded = done.stdout.splitlines()
    assert [row["name"] for row in json.loads(listed)] == registry.names("objectives")
    assert all(row["summary"] for row in json.loads(listed))
    assert [row["name"] for row in json.loads(listed) if not row["unit"]] == ["l2_norm"]
    assert not {"matplotlib", "onnx", "fvcore", "pymoo", "rich"} & set(loaded.split())


def test_scores_of_two_machines_are_said_to_be(nasctl, tmp_path, monkeypatch):
    command = ["score", "--space", "nbmacro", "-o", "params", "--genomes"]
    (tmp_path / "one").write_text("00000000\n")
    (tmp_path / "two").write_text("00000000\n11111111\n")
    for name, file in (("Intel (AVX512)", "one"), ("AMD (AVX2)", "two")):
        monkeypatch.setattr(measure_module, "arithmetic_machine", lambda name=name: name)
        done = nasctl(*command, file, "--output", f"{file}.csv")
        assert ("Warning: values were measured on" in done.stderr) == (file == "two")
    assert "Intel (AVX512) (1 architectures) and AMD (AVX2) (1 architectures); they may differ" in done.stderr
    about = json.loads((tmp_path / "two.json").read_text())
    assert about["machines"] == {"Intel (AVX512)": 1, "AMD (AVX2)": 1}


def test_values_of_an_older_nasctl_are_of_an_unknown_machine():
    found = [
        score.Scored(Evaluation((k,), {}), {}, frozenset(names)) for k, names in enumerate(([""], [""], ["Intel"]))
    ]
    assert score.machines(found) == {"unknown": 2, "Intel": 1}
    assert score.machine_messages(found) == []
