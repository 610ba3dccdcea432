"""The metric that the documentation writes is a plug-in as it stands there."""

import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from paths import ROOT

from nasctl.cli import cli
from nasctl.search.run import Run
from nasctl.testing import ObjectiveContract


@pytest.fixture
def page_metric(tmp_path, monkeypatch):
    """The folder with the metric of the page, as the current one."""
    page = (ROOT / "docs" / "metrics.md").read_text().partition("## A metric of your own")[2]
    sources = re.findall(r"```python\n(.*?)```", page.partition("\n## ")[0], re.DOTALL)
    for name, source in zip(("spread.py", "widest.py"), sources, strict=True):
        (tmp_path / name).write_text(source)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_metric_of_the_page_is_measured(page_metric):
    words = ["objective", "score", "--space", "nbmacro", "-o", "spread.py:Spread,params", "--sample", "3", "--json"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [list(row["values"]) for row in rows] == 3 * [["spread.py:Spread", "params"]]
    assert len({row["values"]["spread.py:Spread"] for row in rows}) == 3


def test_the_cost_of_the_page_is_the_most_channels(page_metric):
    words = ["objective", "score", "--space", "mbconv:width=1.0", "-o", "widest.py:Widest", "--sample", "2", "--json"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert [row["values"] for row in json.loads(done.stdout)] == 2 * [
        {"widest.py:Widest": 1280}
    ]  # before the classifier


def test_a_mended_metric_is_measured_again_under_another_version(page_metric):
    path = page_metric / "spread.py"
    right = path.read_text()
    words = ["objective", "score", "--space", "nbmacro", "-o", "spread.py:Spread", "--sample", "1"]
    path.write_text(right.replace("candidate.batch()", "candidate.images"))
    failed = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert "1 of 1 failed in a metric, the last in spread.py:Spread: AttributeError" in failed.stderr
    assert "the store keeps failures: --retry measures them again" in failed.stderr
    path.write_text(right.replace('version = "1"', 'version = "2"'))
    code = "import sys; from nasctl.cli import cli; cli(sys.argv[1:])"  # this process has imported the file already
    again = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "failed" not in again.stdout + again.stderr.replace("spread.py has changed", "")


class TestSpread(ObjectiveContract):
    test_has_the_same_values_in_another_process = None  # the other process has another current folder

    @pytest.fixture
    def run(self, page_metric):
        return Run("nbmacro:resolution=8", ("spread.py:Spread",))
