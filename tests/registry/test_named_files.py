"""Plug-ins in files that a user names: FILE.py:CLASS."""

import json
import pickle
import subprocess
import sys

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.architectures import ids
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.search.run import Run
from nasctl.store.store import Store

SPACE = '''
from nasctl.api import Builder, Classifier, ConvNormAct, Gene, Input, validate


class Plain:
    """Four convolutions."""

    input = Input((3, 32, 32))
    genes = tuple(Gene(f"{k}.kernel", (1, 3, 5), ordered=True) for k in range(4))

    def __init__(self, classes: int = 10) -> None:
        self.classes = classes

    def canonical(self, genome):
        validate(self.genes, genome)
        return genome

    def network(self, genome):
        net = Builder(self.input.shape)
        (x,) = net.inputs
        for k, choice in enumerate(genome):
            x = net.add(ConvNormAct(16, (1, 3, 5)[choice], stride=1 + k % 2), x, name=f"conv{k}")
        return net.build(net.add(Classifier(self.classes), x, name="classifier"))

    def reduced(self, fidelity):
        return self


class Anything:
    """The constructor takes whatever it is given, as that of torch's modules."""

    def __init__(self, *args, **kwargs):
        pass


class Bare(Anything):
    """No space."""


class Spans:
    """Number of blocks."""

    unit = "blocks"
    direction = "min"
    transform = "identity"
    needs = frozenset({"network"})
    version = "1"

    def __call__(self, candidate):
        return float(len(candidate.network.spans))
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "own.py").write_text(SPACE)
    return tmp_path


def nasctl(*arguments, code=0):
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.stderr
    return done


def test_a_search_its_ids_and_its_export(folder):
    words = ["search", "./own.py:Plain:classes=5", "-o", "own.py:Spans,params", "--budget", "6", "--json"]
    first = json.loads(nasctl(*words).stdout)
    assert first["run"].startswith("own-")
    assert json.loads(nasctl(*words).stdout)["run"] == first["run"]  # resumed
    _, record = Store.reading("nasctl.db").run()
    assert record.space == "own.py:Plain:classes=5"
    (row,) = json.loads(nasctl("pareto", "show", "--json").stdout)
    assert row["values"]["own.py:Spans"] == 5  # four convolutions and a classifier
    assert row["id"].startswith("own.")
    shown = json.loads(nasctl("show", row["id"], "--json").stdout)
    assert shown["genome"] == row["genome"] == [0, 0, 0, 0]  # the fewest parameters
    # conv: 3*16, 16*16 three times, and 2*16 of each norm; classifier: 16*5 + 5
    assert shown["params"] == 48 + 3 * 256 + 4 * 32 + 85
    nasctl("export", row["id"], "--format", "json", "-o", "new dir/")
    assert json.loads((folder / "new dir" / f"{row['id']}.json").read_text())["genome"] == [0, 0, 0, 0]


def test_a_failure_and_a_run_of_a_store_with_several_are_named(folder):
    (folder / "own.py").write_text(SPACE.replace("len(candidate.network.spans)", "1 / 0"))
    line = 1 + SPACE[: SPACE.index("len(candidate")].count("\n")
    done = nasctl("search", "own.py:Plain", "-o", "own.py:Spans,params", "--budget", "2", "--no-references", code=1)
    assert f"ZeroDivisionError: division by zero (own.py, line {line})" in done.stderr
    nasctl("search", "own.py:Plain", "-o", "params", "--budget", "2")
    refused = nasctl("pareto", "pick", "--under", "macs<=2M", code=2).stderr
    (newest, *_) = Store.reading("nasctl.db").runs()
    assert "the constraint 'macs<=2M' is about 'macs'; there is: params. That is of" in refused
    assert f"{newest.name}, the run that began last; --run names another." in refused


def test_two_classes_or_options_have_two_ids_and_the_path_has_none(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "own.py").write_text(SPACE + "\n\nclass Other(Plain):\n    pass\n")
    heads = [ids.prefix(f"{one}") for one in ("own.py:Plain", "own.py:Plain:classes=5", "sub/own.py:Other")]
    assert len(set(heads)) == 3
    assert ids.prefix("sub/own.py:Plain") == ids.prefix(str(folder / "own.py:Plain")) == heads[0]


def test_another_process_finds_the_file_of_an_object(folder):
    content = pickle.dumps(registry.create("spaces", "own.py:Plain"))
    code = "import pickle, sys; print(len(pickle.load(sys.stdin.buffer).genes))"
    done = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, cwd="/")
    assert done.stdout == b"4\n", done.stderr


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("none.py:Plain", "Cannot read none.py for Plain (No such file or directory)"),
        ("own.py:Plian", "no class of own.py is called 'Plian'; did you mean 'Plain'?"),
        ("own.py", "Cannot use own.py: it names a file without a class. Write own.py:CLASS."),
        ("own.py:Plain:classes=x", "that option is a whole number"),
        ("a,b.py:Plain", "its path has ',', which ends a name"),
        ("broken.py:Plain", "Cannot import broken.py: ZeroDivisionError"),
        # What it lacks, not the arguments of a constructor that it inherits.
        ("own.py:Bare", "Cannot use own.py:Bare as a space: it has no input, genes, canonical"),
    ],
)
def test_a_mistake_is_one_sentence(folder, spec, message):
    (folder / "broken.py").write_text("1 / 0\n")
    refused = nasctl("space", "show", spec, code=2).stderr
    assert message in refused
    assert len(refused.splitlines()) == 1


def test_the_code_of_a_file_runs_only_because_the_user_named_it(folder, monkeypatch):
    (folder / "own.py").write_text(SPACE + "\nfrom pathlib import Path\n\nPath('ran').touch()\n")
    run = Run("own.py:Plain", ("params", "macs"))
    for _ in run.search(Store("nasctl.db"), 3):  # somebody else's store, as far as the command line knows
        pass
    registered = [name for name in sys.modules if name.startswith("nasctl.registry.named_files.")]
    for name in registered:
        del sys.modules[name]
    ids._prefix.cache_clear()
    (folder / "ran").unlink()
    refused = nasctl("pareto", "show", code=2).stderr
    assert "Cannot run own.py: only a store names it, and code may do anything" in refused
    assert not (folder / "ran").exists()
    monkeypatch.setenv("NASCTL_TRUST", "other,own.py")
    nasctl("pareto", "show")
    monkeypatch.delenv("NASCTL_TRUST")
    nasctl("space", "show", "own.py:Plain")
    nasctl("pareto", "show")  # this very content was named
    (folder / "own.py").write_text(SPACE)
    ids._prefix.cache_clear()
    assert "it has changed since you named it" in nasctl("pareto", "show", code=2).stderr
    assert "Warning: own.py has changed" in nasctl("space", "show", "own.py:Plain").stderr


def test_a_program_may_name_any_file(folder):
    assert registry.optional("spaces", "own.py:Plain")
    assert len(registry.create("spaces", str(folder / "own.py:Plain")).genes) == 4
    with pytest.raises(NasctlError, match="no device"):
        registry.load("devices", "own.py:Plain")
