"""What is taken away runs without nasctl and computes the same."""

import ast
import json
import math
import os
import resource
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.utils.flop_counter import FlopCounterMode

from nasctl import registry
from nasctl.api import Builder, Conv, Layer, NasctlError
from nasctl.cli import cli
from nasctl.export import export
from nasctl.export.difference import TOLERANCE, Difference, difference
from nasctl.export.formats import FORMATS
from nasctl.networks import flop_count
from nasctl.networks.node import Call
from nasctl.networks.python_source import source
from nasctl.problem.fidelity import Fidelity
from nasctl.testing import drawn

SMALL = ("nb201:channels=4,cells=1", (3, 1, 2, 1, 4, 3))
MACRO = ("nbmacro:resolution=16", (1, 2, 0, 1, 1, 2, 0, 0))
OFA = ("mbconv:width=0.5,resolution=32,classes=10", (2, *[2, 1] * 4, *[0] * 36))

# Runs in a process that has the folder of torch on its path and refuses to import nasctl.
ALONE = """
import importlib.abc, runpy, sys
class Refused(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "nasctl":
            raise ImportError("nasctl is not here")
sys.meta_path.insert(0, Refused())
sys.path.append(sys.argv.pop(1))
import torch
torch.set_num_threads(1)
"""
LOADED = """
folder = sys.argv.pop()
x = torch.load(f"{folder}/x")
net = runpy.run_path(f"{folder}/net.py")["Net"]()
net.load_state_dict(torch.load(f"{folder}/net.pt", weights_only=True))
with torch.no_grad():
    torch.save([net.eval()(x), torch.export.load(f"{folder}/net.pt2").module()(x)], f"{folder}/found")
runpy.run_path(f"{folder}/net.py", run_name="__main__")
assert not [name for name in sys.modules if name.startswith("nasctl")]
"""


def alone(script, *arguments):
    """Standard output of a script in a process without nasctl."""
    command = [sys.executable, "-I", "-S", "-c", ALONE + script, str(Path(torch.__file__).parents[1])]
    return subprocess.run([*command, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def typed(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def exported(spec, genome, *words):
    return typed("export", "--space", spec, "--arch", ",".join(map(str, genome)), *words)


def flops(network):
    """Twice the MACs of convolutions and linear layers, as torch counts them."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network.module().eval()(torch.empty(1, *network.input_shapes[0]))
    return counter.get_total_flops()


NETWORKS = {"nb201": SMALL, "nbmacro": MACRO, "mbconv": OFA}
SLOW = [pytest.param(name, marks=pytest.mark.slow) if name != "nb201" else name for name in NETWORKS]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """A function that returns the folder of a network's files in all formats."""

    @cache
    def made(name):
        (spec, genome), folder = NETWORKS[name], tmp_path_factory.mktemp(name)
        done = exported(spec, genome, "--format", "python,torch", "--format", "pt2,json,onnx", "-o", folder / "net.py")
        assert done.exit_code == 0, done.stderr
        paths = [folder / f"net{suffix}" for suffix in (".py", ".pt", ".pt2", ".json", ".onnx")]
        assert done.stdout.splitlines() == list(map(str, paths))
        assert sorted(folder.iterdir()) == sorted(paths)
        return folder

    return made


def ran(name, folder):
    """The line that the Python file prints in a process without nasctl, which also runs the files on examples."""
    spec, genome = NETWORKS[name]
    (shape,) = registry.create("spaces", spec).network(genome).input_shapes
    torch.save(torch.randn(5, *shape, generator=torch.Generator().manual_seed(7)), folder / "x")
    return alone(LOADED, folder).strip()


def loaded(spec, genome, folder):
    """The module of a network with the exported weights."""
    module = registry.create("spaces", spec).network(genome).module().eval()
    module.load_state_dict(torch.load(folder / "net.pt", weights_only=True))
    return module


@pytest.mark.parametrize("name", SLOW)
def test_files_run_without_nasctl_and_compute_what_the_module_does(name, folder_of):
    (spec, genome), folder = NETWORKS[name], folder_of(name)
    line = ran(name, folder)
    network, module = registry.create("spaces", spec).network(genome), loaded(spec, genome, folder)
    with torch.no_grad():
        expected = module(torch.load(folder / "x"))
    assert (expected - expected[0]).abs().max() > 0.01 * expected.abs().max(), "all examples look the same to it"
    for found in torch.load(folder / "found"):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))

    content = json.loads((folder / "net.json").read_text())
    params = sum(parameter.numel() for parameter in module.parameters())
    assert params == content["params"] == sum(layer["params"] for layer in content["layers"])
    assert flops(network) == 2 * content["macs"] == 2 * sum(layer["macs"] for layer in content["layers"])
    assert registry.create("spaces", content["space"]).network(tuple(content["genome"])) == network
    assert f"{tuple(expected[:1].shape)}, {params:,} parameters" == line


@pytest.mark.parametrize("name", SLOW)
def test_onnx_is_one_file_for_any_batch(name, folder_of):
    import onnx
    import onnxruntime

    (spec, genome), folder = NETWORKS[name], folder_of(name)
    network, path = onnx.load(folder / "net.onnx"), folder / "net.onnx"
    onnx.checker.check_model(network, full_check=True)
    told = {one.key: json.loads(one.value) for one in network.metadata_props}
    dims = [one.type.tensor_type.shape.dim[0].dim_param for one in (*network.graph.input, *network.graph.output)]
    assert dims == ["batch", "batch"]
    assert told["space"] == json.loads((folder / "net.json").read_text())["space"]
    assert str(Path(torch.__file__).parent).encode() not in path.read_bytes()

    module, session = loaded(spec, genome, folder), onnxruntime.InferenceSession(path)
    for batch in (1, 4):
        x = torch.randn(batch, *told["input"], generator=torch.Generator().manual_seed(batch))
        (found,) = session.run(None, {"input": x.numpy()})
        expected = module(x).detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * abs(expected).max())


def test_json_says_where_the_files_are(tmp_path):
    done = exported(*SMALL, "--format", "torch,json", "-o", tmp_path / "net", "--seed", 3, "--json")
    assert done.exit_code == 0, done.stderr
    content = json.loads(done.stdout)
    assert {Path(one["path"]) for one in content["files"].values()} == set(tmp_path.iterdir())
    assert registry.create("spaces", content["space"]).network(SMALL[1]) is not None
    written = json.loads((tmp_path / "net.json").read_text())
    assert (content["id"], content["space"]) == (written["id"], registry.spelled_out("spaces", SMALL[0]))
    assert tuple(written["genome"]) == SMALL[1]


def test_weights_follow_from_the_seed_alone(tmp_path):
    states = []
    for k, seed in enumerate((0, 0, 1)):
        torch.manual_seed(k)
        states.append(export.model(*SMALL, seed=seed).module.state_dict())
    same = [all(torch.equal(one[key], states[0][key]) for key in one) for one in states]
    assert same == [True, True, False]


@pytest.mark.parametrize(("spec", "genome"), [SMALL, OFA], ids=["nb201", "mbconv"])
def test_one_early_weight_shows_in_the_comparison(spec, genome, tmp_path):
    model = export.model(spec, genome)
    first = next(model.module.parameters())  # of the stem
    before = model.outputs
    with torch.no_grad():
        first.view(-1)[first.abs().argmax()] *= 1.01
        found = difference(before, model.module(model.examples))
    assert found.relative > TOLERANCE
    assert difference(before, before) == Difference(0, 0)
    assert math.isinf(difference(before, before[:1]).relative)


def test_without_calibration_the_comparison_is_blind(monkeypatch):
    # Why export.model gives batch norms the statistics of a batch: without them only the classifier's bias shows.
    monkeypatch.setattr(export, "_calibrate", lambda *_: None)
    model = export.model(*OFA)
    before = model.outputs
    with torch.no_grad():
        next(model.module.parameters()).mul_(1.5)
        assert difference(before, model.module(model.examples)).relative < TOLERANCE


def test_a_file_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    save = torch.save

    def corrupted(weights, path):
        stem = next(iter(weights.values())).clone()
        stem[0, 0] *= 1.5
        save(weights | {next(iter(weights)): stem}, path)

    monkeypatch.setattr(torch, "save", corrupted)
    done = exported(*SMALL, "--format", "python,torch", "-o", tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "cannot export as torch: the file's output differs from the module's by" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over_without_force(tmp_path):
    (path := tmp_path / "net.py").write_text("mine")
    done = exported(*SMALL, "--format", "json,python", "-o", path)
    assert (done.exit_code, done.stdout, path.read_text()) == (2, "", "mine")
    assert "exists; add --force" in done.stderr
    assert list(tmp_path.iterdir()) == [path]
    assert exported(*SMALL, "-o", path, "--force").stdout == f"{path}\n"
    assert "class Net" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_mistakes_are_found_before_the_work(tmp_path, monkeypatch):
    def late(*_):
        raise AssertionError("the work has begun")

    monkeypatch.setitem(FORMATS, "python", replace(FORMATS["python"], write=late))
    (tmp_path / "file").touch()
    (tmp_path / "folder.py").mkdir()
    mistakes = {
        "did you mean 'python'?": ["--format", "pyhton"],
        "add --format python|torch|pt2|onnx|json": ["-o", tmp_path / "net.pth"],
        "No such file or directory": ["-o", tmp_path / "none" / "net.py"],
        "Not a directory": ["-o", tmp_path / "file" / "net.py"],
        "is a folder": ["-o", tmp_path / "folder", "--format", "python,json"],
    }
    for sentence, words in mistakes.items():
        done = exported(*SMALL, *words)
        assert (done.exit_code, done.stdout) == (2, ""), sentence
        assert sentence in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.py"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_takes_no_file_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    done = exported(*SMALL, "-o", tmp_path)
    tmp_path.chmod(0o700)
    assert done.exit_code == 2
    assert "Permission denied" in done.stderr


def test_the_suffix_says_the_format_and_the_id_the_name(tmp_path):
    paths = export.destinations("nb201.nrg-a1tf", (), tmp_path / "net.onnx")
    assert paths == {"onnx": tmp_path / "net.onnx"}
    paths = export.destinations("nb201.nrg-a1tf", ("python", "pt2", "python"), tmp_path)
    assert paths == {"python": tmp_path / "nb201_nrg_a1tf.py", "pt2": tmp_path / "nb201.nrg-a1tf.pt2"}
    assert export.destinations("a-b", ("torch", "json"), Path("v1.5")) == {
        "torch": Path("v1.5.pt"),
        "json": Path("v1.5.json"),
    }


@pytest.mark.parametrize("spec", registry.names_without_options("spaces"))
def test_source_is_tidy_and_frees_what_it_no_longer_needs(spec, tmp_path):
    space = registry.create("spaces", spec)
    for k, genome in enumerate(drawn(space, 5)):
        network = space.network(genome)
        text = source(network)
        (tmp_path / f"net{k}.py").write_text(text)
        assert 4 * _peak(text, network) == network.memory
    for words in (["format", "--check"], ["check", "--select", "E,F,W,I,B,UP,SIM,RUF"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--isolated", "--no-cache", "--line-length", "120", str(tmp_path)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def _peak(text, network):
    """Most values that the variables of `forward` and the one being computed hold at once, read off its source."""
    (net,) = [node for node in ast.parse(text).body if getattr(node, "name", "") == "Net"]
    (forward,) = [node for node in net.body if getattr(node, "name", "") == "forward"]
    held, nodes, most = {"x": math.prod(network.input_shapes[0])}, iter(network.nodes), 0
    for statement in forward.body:
        if isinstance(statement, ast.Delete):
            for name in statement.targets:
                del held[name.id]
        elif not isinstance(statement, ast.Return):
            size = math.prod(next(nodes).out_shape)
            most = max(most, size + sum(held.values()))
            if isinstance(statement, ast.Assign):
                held[statement.targets[0].id] = size
    assert next(nodes, None) is None
    return most


class Doubled(torch.nn.Module):
    """What a plug-in may bring: a module of its own."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


@dataclass(frozen=True)
class Doubling(Layer):
    def module(self, *inputs):
        return Call(Doubled, 2.0)


def test_a_plugins_own_module_goes_along():
    net = Builder((3, 4, 4))
    x = net.add(Doubling(), *net.inputs, name="twice")
    net.add(Conv(5), x, name="dead")  # runs, and nothing reads it
    text = source(net.build(net.add(Conv(2), x, name="conv")), header='a """quoted""" \\N{BULLET} "word"')
    names = {"__name__": "net"}
    exec(text, names)
    assert names["__doc__"] == 'a """quoted""" \\N{BULLET} "word"'
    module, x = names["Net"](), torch.randn(1, 3, 4, 4)
    torch.testing.assert_close(module(x), module.conv(2 * x))


def test_names_that_python_cannot_have_are_refused():
    for name in ("a-b", "lambda"):
        net = Builder((3, 4, 4))
        with pytest.raises(NasctlError, match="rename it in its space"):
            source(net.build(net.add(Conv(2), *net.inputs, name=name)))


@pytest.mark.parametrize("number", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("spec", registry.names_without_options("spaces"))
def test_fvcore_counts_the_same_convolutions_and_products(spec, number):
    space = registry.create("spaces", spec)
    for genome in drawn(space, number):
        network, live = space.network(genome), space.network(space.canonical(genome))
        network = network if network.macs == live.macs else live  # fvcore does not see a dead layer
        count = flop_count.count_flops(network.module().eval(), counted_example(space, network))
        if any(getattr(node.layer, "recurrent", False) for node in network.nodes):
            assert 0.98 * network.macs < count.macs <= network.macs  # it leaves out states that no later step reads
            continue
        assert count.macs == network.macs


@pytest.mark.parametrize("spec", registry.names_without_options("spaces"))
def test_differences_of_three_counters_are_explained(spec):
    space = registry.create("spaces", spec).reduced(Fidelity(cells=1))
    network = min(map(space.network, drawn(space, 20)), key=lambda network: len(network.nodes))
    count = flop_count.compare_counts(network.module().eval(), counted_example(space, network), network.macs)
    assert count.explained
    assert count.torch == network.macs
    others = "; fvcore's total" if count.fvcore.total > count.fvcore.macs else ""  # of norms, where there are any
    assert f"{'the same' * (count.fvcore.macs == network.macs)}{others}" in count.sentence()


def counted_example(space, network):
    kind = torch.float if space.input.kind == "images" else torch.long
    return torch.zeros(1, *network.input_shapes[0], dtype=kind)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("name", ["torch", "pt2", "onnx"])
def test_a_full_disk_is_named_and_leaves_nothing(name, tmp_path):
    """Libraries hide a full disk in errors of their own, some of which name no cause."""
    model = export.model(*MACRO)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(NasctlError) as raised:
            export.export(model, {name: tmp_path / "net", "json": tmp_path / "net.json"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    remedy = "cannot be written (File too large); free some space, or give another file with -o"
    assert str(raised.value) == f"{tmp_path / 'net'} {remedy}"
    assert list(tmp_path.iterdir()) == []
