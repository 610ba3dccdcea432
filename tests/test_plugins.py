"""Another distribution adds a space, an objective, a searcher and a device by installing them, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nasctl import registry

PLUGIN = Path(__file__).parent / "plugin"
NAMES = {"spaces": "demo_tower", "objectives": "demo_spread", "searchers": "demo_climb", "devices": "demo-board"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the distribution was installed in, as `pip install` does it."""
    source, target = tmp_path_factory.mktemp("plugin") / "source", tmp_path_factory.mktemp("installed")
    shutil.copytree(PLUGIN, source)  # building leaves files behind
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    _python(["-m", "pip", "install", "--quiet", *offline, "--target", target, source], os.environ)
    return target


@pytest.fixture
def python(installed, tmp_path):
    """Run Python where the distribution is installed, in an empty folder; returns stdout."""
    return lambda *arguments: _python(arguments, {**os.environ, "PYTHONPATH": str(installed)}, tmp_path)


def _python(arguments, environment, folder=None):
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_plugins_keep_the_contracts(python):
    said = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", PLUGIN / "contracts.py")
    assert int(re.search(r"(\d+) passed", said)[1]) >= 12  # 6 of a space, 2 of an objective, 4 of a searcher
    assert "skipped" not in said


def test_the_plugins_are_listed_and_only_where_they_are_installed(python):
    for kind in ("space", "objective", "device"):
        listed = {row["name"]: row for row in json.loads(python("-m", "nasctl", kind, "list", "--json"))}
        assert NAMES[f"{kind}s"] in listed
        assert len(listed) > 1, "they are listed beside nasctl's own"
    assert all(name not in registry.names(kind) for kind, name in NAMES.items())


def test_a_search_with_them_from_front_to_latency(python):
    objectives = ["--objective", "demo-spread", "--searcher", "demo-climb:batch=5", "--budget", "12"]
    found = json.loads(
        python("-m", "nasctl", "search", "--space", "demo-tower", "--device", "demo-board", *objectives, "--json")
    )
    front = json.loads(python("-m", "nasctl", "pareto", "show", "--json"))
    assert (found["distinct"], found["failed"]) == (12, 0)
    assert sorted(found["front"]) == sorted(row["id"] for row in front)
    for row in front:
        assert row["id"].startswith("demo_tower-")
        assert set(row["values"]) == {"demo_spread", "latency@demo-board"}
        assert row["values"]["latency@demo-board"] > 0.5  # the table's overhead
