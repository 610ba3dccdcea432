"""Old names keep working, with a warning where a person can act on it."""

import json
import warnings

import pytest
from click.testing import CliRunner

import nasctl.api
from nasctl import registry
from nasctl.architectures import from_json, ids
from nasctl.bench.problem import BenchmarkProblem
from nasctl.cli import cli
from nasctl.errors import RenamedWarning
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.hardware.pricing import price
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row
from nasctl.registry import old_names
from nasctl.testing import Chain

SMALL_VIT = "vit:resolution=32"

# The layers that nasctl 0.1 called otherwise, and the key of one call of each in a latency table of nasctl 0.1.
RENAMED = {
    "Attend": ("WeightedValues", "Attend() @ 3x64x64, 64x192"),
    "Image": ("UnflattenMap", "Image(height=7, width=7) @ 49x64"),
    "Join": ("ConcatFeatures", "Join() @ 49x64, 49x64"),
    "Patches": ("PatchEmbedding", "Patches(width=192, size=16) @ 3x224x224"),
    "PlaceConv": ("SeparableConv1d", "PlaceConv(width=384, kernel=3) @ 128x384"),
    "Positions": ("PositionEmbedding", "Positions() @ 197x192"),
    "Tokens": ("FlattenMap", "Tokens() @ 64x7x7"),
}


@pytest.mark.parametrize(("old", "new"), [(old, new) for old, (new, _) in RENAMED.items()])
def test_the_api_gives_the_renamed_layer_and_warns(old, new):
    with pytest.warns(RenamedWarning, match=f"{old!r} is now called {new!r}; use the new name"):
        found = getattr(nasctl.api, old)
    assert found is getattr(nasctl.api, new)


def test_a_name_that_never_was_is_no_attribute():
    with pytest.raises(AttributeError, match=r"module 'nasctl\.api' has no attribute 'Token'"):
        nasctl.api.Token  # noqa: B018


@pytest.mark.parametrize(("new", "old_key"), RENAMED.values(), ids=RENAMED)
def test_the_key_of_a_renamed_layer_has_an_old_spelling(new, old_key):
    old = old_key.partition("(")[0]
    assert old_names.old_key(old_key.replace(old, new, 1)) == old_key
    assert old_names.old_key("Conv(channels=8) @ 3x9x9") == "Conv(channels=8) @ 3x9x9"


def test_a_latency_table_with_an_old_key_prices_the_renamed_layer():
    network = from_json.network({"input": [64, 7, 7], "blocks": [{"block": "FlattenMap"}]})
    table = LatencyTable(device="old", kind="cpu", batch=1, blocks={"Tokens() @ 64x7x7": Row(2.5)})
    priced = price(network, table)
    assert priced.total == 2.5
    assert [figure.origin for figure in priced.blocks] == ["measured"]


@pytest.mark.parametrize("name", ["Tokens", "FlattenMap"])
def test_a_free_architecture_with_an_old_name_reads_without_a_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = from_json.network({"input": [64, 7, 7], "blocks": [{"block": name}]})
    assert [span.emission.key for span in found.spans] == ["FlattenMap() @ 64x7x7"]
    assert found.out_shape == (49, 64)


def test_an_export_of_nasctl_0_1_with_old_layer_names_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = registry.create("spaces", SMALL_VIT)
    genome = space.canonical((0,) * len(space.genes))
    given = ["--arch", ",".join(map(str, genome)), "--space", SMALL_VIT, "--store", "none.db"]
    done = CliRunner().invoke(cli, ["export", *given, "--format", "json", "-o", "net.json"])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "net.json").read_text()
    for old, (new, _) in RENAMED.items():
        text = text.replace(f'"{new}(', f'"{old}(')
    assert '"Tokens()' in text
    assert '"FlattenMap()' not in text
    (tmp_path / "net.json").write_text(text)
    LatencyTable(
        device="flat",
        kind="cpu",
        batch=1,
        blocks={span.emission.key: Row(1.0) for span in space.network(genome).spans},
    ).save(tmp_path / "flat.json")
    done = CliRunner().invoke(cli, ["device", "predict", "net.json", "--device", "flat.json", "--json"])
    assert done.exit_code == 0, done.output
    (content,) = json.loads(done.stdout)
    assert content["arch"] == ids.encode(SMALL_VIT, space.genes, genome)
    assert content["latency"]["flat"] == len(space.network(genome).spans)


@pytest.mark.parametrize("old", old_names.PROBLEM)
def test_a_searcher_of_nasctl_0_1_may_call_the_methods_of_a_problem_by_their_old_names(old):
    task = Task(Chain(), {"params": registry.create("objectives", "params")})
    problem = SearchProblem(task)
    new = old_names.PROBLEM[old]
    with pytest.warns(RenamedWarning, match=f"{old!r} is now called {new!r}"):
        assert getattr(problem, old) == getattr(problem, new)
    with pytest.raises(AttributeError, match="'SearchProblem' object has no attribute 'score'"):
        problem.score([])


def test_a_benchmark_has_no_old_name_of_a_method_that_it_lacks():
    problem = BenchmarkProblem(registry.create("benchmarks", "nbmacro"), ["synflow"])
    with pytest.warns(RenamedWarning, match="'excess' is now called 'violation'"):
        assert problem.excess([(0,) * 8]).tolist() == [0.0]
    assert not hasattr(problem, "worth")
