"""Every command of the README's tour and every example works as it is written."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
from paths import ROOT

BUDGET = "12"  # candidates, in place of what the tour says


def blocks():
    tour = (ROOT / "README.md").read_text().partition("## Five minutes")[2].partition("## What is where")[0]
    return [block.strip() for block in re.findall(r"```console\n(.*?)```", tour, re.DOTALL)]


def run(command, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name != "NASCTL_DATA"}  # no published tables
    environment |= {"PATH": path, "NASCTL_BUDGET": BUDGET, "NASCTL_SECONDS": "0.05"}
    options = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    return subprocess.run(["/bin/bash", "-c", command], **options)


def test_the_badges_agree_with_the_facts_of_the_distribution():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "README.md").read_text()
    badges = {alt: unquote(url) for alt, url in re.findall(r"!\[(.*?)\]\(https://img\.shields\.io/badge/(.*?)\)", text)}
    oldest = project["requires-python"].removeprefix(">=")
    assert badges == {
        f"Python {oldest} or newer": f"python-{oldest} or newer-3776ab",
        "Linux": "system-Linux-555",  # the one system that the tests were run on
        project["license"]: f"licence-{project['license'].replace('-', '--')}-2e7d32",
    }
    assert f"nasctl runs on Linux with Python {oldest} or newer. macOS: should work, not tested." in text
    assert f"nasctl is licensed under {project['license']}." in text


@pytest.mark.slow  # it measures this machine, for one thing
def test_the_tour(tmp_path):
    arch = ""
    for line in "\n".join(blocks()).splitlines():
        line = re.sub(r" --budget \d+", "", line).replace("ARCH", arch)
        done = run(line, tmp_path)
        if "device profile" in line:
            for _ in range(2):  # blocks that are too noisy are refused, and measured when the command is typed again
                done = done if done.returncode == 0 else run(line, tmp_path)
            if done.returncode:
                assert "quiet the machine and type the same command again" in done.stderr
                shutil.copy(ROOT / "hardware" / "tables" / "x86-torch.json", tmp_path / "my-laptop.json")
                continue
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if line == "nasctl pareto show":
            arch = done.stdout.splitlines()[1].split("\t")[0]
    assert arch
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert len(pictures) == 2  # of the front, named after its run, and of one network
    assert "net.png" in pictures
    assert {path.suffix for path in tmp_path.glob(f"*{arch.partition('-')[2]}*")} == {".py", ".pt", ".onnx"}


@pytest.mark.slow
def test_the_second_example_ends_in_a_trained_onnx_file(tmp_path):
    (line,) = re.findall(r"^nasctl search .* --data digits .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    done = run(line, tmp_path)
    assert done.returncode == 0, done.stderr
    (export,) = re.findall(r"^ *(nasctl export .*--weights .*)$", done.stderr, re.MULTILINE)
    exported = run(export, tmp_path)
    assert exported.returncode == 0, exported.stderr
    assert {path.suffix for path in tmp_path.iterdir()} >= {".py", ".onnx"}


def test_the_readme_says_what_the_project_is_asked_for():
    text = (ROOT / "README.md").read_text()
    assert "pip install -c constraints.txt -e . && nasctl search --space mbconv --device gpu" in text
    assert "pip install -c constraints.txt -e '.[test]' && pytest" in text
    for target in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
@pytest.mark.parametrize("name", ["search.py", "own_space.py"])
def test_an_example(name, tmp_path):
    done = run(shlex.join([sys.executable, str(ROOT / "examples" / name)]), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_was_exported_can_be_trained(tmp_path):
    exported = run("nasctl export --space nbmacro --arch 11111111 -o net.py", tmp_path)
    assert exported.returncode == 0, exported.stderr
    done = run(shlex.join([sys.executable, str(ROOT / "examples" / "train_exported.py"), "net.py"]), tmp_path)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", done.stdout)]
    assert losses[-1] < losses[0]


def test_examples_are_short():
    assert [path for path in (ROOT / "examples").glob("*.py") if len(path.read_text().splitlines()) > 60] == []
