"""The metric that the documentation writes is a plug-in as it stands there."""

import json
import re

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
    (source,) = re.findall(r"```python\n(.*?)```", page.partition("\n## ")[0], re.DOTALL)
    (tmp_path / "spread.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_metric_of_the_page_is_measured(page_metric):
    words = ["objective", "score", "--space", "nbmacro", "-o", "spread.py:Spread,params", "--sample", "3", "--json"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [list(row["values"]) for row in rows] == 3 * [["spread.py:Spread", "params"]]
    assert len({row["values"]["spread.py:Spread"] for row in rows}) == 3


class TestSpread(ObjectiveContract):
    test_has_the_same_values_in_another_process = None  # the other process has another current folder

    @pytest.fixture
    def run(self, page_metric):
        return Run("nbmacro:resolution=8", ("spread.py:Spread",))
