"""Search spaces in files of users: networks are built once, and errors name the candidate, its choices and the line."""

import sys
from collections import Counter
from copy import copy

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.problem.space import Input

SPACE = """
import torch
from torch import nn

from nasctl.api import Builder, Classifier, ConvNormAct, Gene, Input, Network, validate

built = []


class Net(nn.Module):
    def __init__(self, width, kernel):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, width, kernel), nn.Linear(width, 10)

    def forward(self, x):
        y = self.conv(x)
        if y.shape[-1] < 3:
            raise ValueError("the image is too small")  # the line of the traced module
        return self.head(y.mean((2, 3)))


class Plain:
    input = Input((3, 8, 8))
    genes = (Gene("width", (4, 8, 12, 16), ordered=True), Gene("kernel", (3, 5, 7), ordered=True), Gene("act", (0, 1)))

    def __init__(self, wide: bool = False) -> None:
        self.wide = wide

    def canonical(self, genome):
        validate(self.genes, genome)
        return genome

    def network(self, genome):
        built.append(genome)
        width, kernel, _ = (gene.choices[choice] for gene, choice in zip(self.genes, genome))
        net = Builder(self.input.shape)
        x = net.add(ConvNormAct(width * (1 + self.wide), kernel), net.inputs[0], name="conv")
        return net.build(net.add(Classifier(10), x, name="classifier"))

    def reduced(self, fidelity):
        return self


class Missing(Plain):
    def network(self, genome):
        if genome[1] == 2:
            raise KeyError("kernel")  # the line of a plain error
        return super().network(genome)


class Child(Missing):
    def network(self, genome):
        return super().network(genome)


class Traced(Plain):
    def network(self, genome):
        width, kernel, _ = (gene.choices[choice] for gene, choice in zip(self.genes, genome))
        return Network.from_module(Net(width, kernel), self.input.shape)
"""
LINES = {key: 1 + SPACE[: SPACE.index(f"# the line of {key}")].count("\n") for key in ("the traced", "a plain")}


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


def module_of(space):
    return sys.modules[type(space).__module__]


@pytest.mark.usefixtures("folder")
def test_a_search_builds_each_network_once():
    built = module_of(registry.create("spaces", "own.py:Plain")).built
    nasctl("search", "own.py:Plain", "-o", "params,macs", "--record", "depth", "--budget", "12")
    assert len(built) > 12
    assert set(Counter(built).values()) == {1}


@pytest.mark.usefixtures("folder")
def test_networks_of_other_inputs_options_and_attributes_are_others():
    space = registry.create("spaces", "own.py:Plain")
    built, first = module_of(space).built, space.network((0, 0, 0))
    assert registry.create("spaces", "own.py:Plain").network((0, 0, 0)) is first
    larger, wide = copy(space), registry.create("spaces", "own.py:Plain:wide=on")
    larger.input = Input((3, 16, 16))
    assert larger.network((0, 0, 0)).macs == 4 * first.macs - 3 * 4 * 10  # all but the classifier
    assert wide.network((0, 0, 0)).params > first.params
    assert len(built) == 3
    space.table = []  # has no hash
    assert space.network((0, 0, 0)) == space.network((0, 0, 0)) == first
    assert len(built) == 5


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("Missing", "a plain", "KeyError: 'kernel'"),
        ("Child", "a plain", "KeyError: 'kernel'"),
        ("Traced", "the traced", "Net cannot be made a network: the image is too small"),
    ],
)
def test_an_error_names_the_genome_its_choices_and_the_line(name, line, reason):
    said = " ".join(nasctl("show", "1,2,0", "--space", f"own.py:{name}", code=2).stderr.split())
    facts = f"width=8, kernel=7, act=0; own.py, line {LINES[line]}"
    assert f"Cannot build the network of genome 1,2,0 ({facts}): {reason}. Mend the file" in said
    assert said.count("network of genome") == 1
    nasctl("show", "1,1,0", "--space", f"own.py:{name}")


@pytest.mark.usefixtures("folder")
def test_a_candidate_without_a_network_fails_alone_unless_its_module_cannot_be_traced():
    done = nasctl("search", "own.py:Missing", "-o", "params,macs", "--budget", "24")
    assert "24 candidates in" in done.stderr
    assert "KeyError: 'kernel'; network of genome" in done.stderr
    assert "kernel=7, act=" in done.stderr
    with pytest.raises(NasctlError, match=r"network of genome 0,2,1 \(width=4, kernel=7, act=1; own\.py, line"):
        registry.create("spaces", "own.py:Traced").network((0, 2, 1))
