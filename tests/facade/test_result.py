"""The result of a search: its front, the recommended network, tables and plots."""

import json
import sys
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner

import nasctl
from nasctl.analysis.recommendation import recommend
from nasctl.cli import cli
from nasctl.facade.result import Front, SearchResult, Solution
from nasctl.problem.searcher import Evaluation
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A search of costs and a closed form, whose front has several networks."""
    store = tmp_path_factory.mktemp("store") / "s.db"
    options = {"objectives": ["depth", "macs"], "record": "params", "searcher": "random"}
    return nasctl.search("nbmacro", **options, budget=40, store=store)


def picked(result, *words):
    done = CliRunner().invoke(cli, ["pareto", "pick", "--store", str(result.store.path), "--json", *words])
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


class Cells(HTMLParser):
    """The cells of an HTML table by row, and the bold ones."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.bold, self._in = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._in = tag
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self._in = "td" if tag == "b" else ""

    def handle_data(self, text):
        if self.rows and self._in in ("td", "th", "b"):
            self.rows[-1][-1] += text
            if self._in == "b" and self.rows[-1]:
                self.bold.append(text)


def test_a_front_is_a_list_of_solutions(result):
    assert isinstance(result.front, list)
    assert result.front == list(result.front) != []
    assert all(isinstance(one, Solution) for one in result.front)
    assert [one.values["macs"] for one in result.front] != []
    assert result.front.units == {"depth": "layers", "macs": "MACs", "params": "parameters"}


def test_without_arguments_it_is_the_recommendation_of_the_run(result):
    found = result.recommend()
    name, record = result.store.run(result.name)
    expected = recommend(result.store, name, record, result.evaluations)
    assert (found.genome, found.values, found.why) == (
        expected.chosen.genome,
        expected.chosen.values,
        expected.reason,
    )
    assert found.front == len(result.front)
    assert found.id in {one.id for one in result.front}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"closest": True}, ["--closest"]),
        ({"knee": True}, ["--knee"]),
        ({"best": "depth"}, ["--best", "depth"]),
        ({"under": "macs<=60M"}, ["--under", "macs<=60M"]),
        ({"under": ["macs<=60M"], "best": "macs"}, ["--under", "macs<=60M", "--best", "macs"]),
        ({"near": "macs=50M"}, ["--near", "macs=50M"]),
        ({"order": ["depth", "macs"], "tolerance": "20%"}, ["--order", "depth,macs", "--tolerance", "20%"]),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_a_rule_chooses_what_pareto_pick_chooses(options, words, result):
    assert result.recommend(**options).id == picked(result, *words)["id"]


@pytest.fixture
def scored(tmp_path):
    """A search whose score, synflow, is not its first objective."""
    options = {"objectives": ["depth", "synflow", "macs"], "searcher": "random", "budget": 20}
    setting = nasctl.SettingOptions(fidelity="size=8,batch=4")
    return nasctl.search("nbmacro", **options, setting=setting, store=tmp_path / "s.db")


def test_a_bound_recommends_the_best_quality_as_pareto_pick_does(scored):
    bound = "macs<=60M"
    found, there = scored.recommend(under=bound), picked(scored, "--under", bound)
    assert (found.id, found.why) == (there["id"], there["why"])
    assert found.why.startswith("the best synflow score within macs<=60M; rank ")
    assert found.id == scored.recommend(under=bound, best="synflow").id
    assert found.id != scored.recommend(under=bound, best="depth").id


def test_a_bound_on_trained_networks_recommends_the_most_accurate_as_pareto_pick_does(scored):
    store, space = Store(scored.store.path), scored.store.run(scored.name)[1].space
    light = sorted(scored.front, key=lambda one: one.values["macs"])[:4]
    for place, (one, accuracy) in enumerate(zip(light, (0.5, 0.8, 0.7, 0.6), strict=True)):
        spec = {"data": "photos", "recipe": {"epochs": 30}, "seed": 0}
        parts = {part: {"accuracy": accuracy, "error": 0.01, "examples": 9} for part in ("validation", "test")}
        store.file_training(TrainingRecord(f"t{place}", space, one.genome, spec, "finished", parts))
    for bounds in (["trained>=0.6", "macs<=60M"], ["accuracy>=0.6,macs<=60M"], ["macs<=60M"]):
        found, there = scored.recommend(under=bounds), picked(scored, *(f"--under={bound}" for bound in bounds))
        assert (found.id, found.why) == (there["id"], there["why"])
        assert found.id == light[1].id != light[0].id  # the latter is the best in depth, the first objective
        assert found.why.startswith("the best validation accuracy (80%) within ")
    with pytest.raises(nasctl.NasctlError, match=r"no candidate holds trained>=0\.9"):
        scored.recommend(under="trained>=0.9")


def test_rules_that_do_not_fit_get_a_sentence(result):
    sentences = {
        "closest and knee are different rules": {"closest": True, "knee": True},
        "tolerance belongs to order": {"tolerance": "5%"},
        "under is 30, of type int. Give a text or a list of texts.": {"under": 30},
        "no candidate holds macs<=1": {"under": "macs<=1"},
        "Cannot pick by trained: no candidate of this run is trained": {"best": "trained"},
    }
    for sentence, options in sentences.items():
        with pytest.raises(nasctl.NasctlError, match=sentence):
            result.recommend(**options)


def test_an_empty_front_recommends_nothing(tmp_path):
    with pytest.warns(UserWarning, match="perhaps no candidate"):
        found = nasctl.search("nb101", objectives="macs", constraints="params<=1K", budget=3, store=tmp_path / "s.db")
    with pytest.raises(nasctl.NasctlError, match=r"the front of run .* is empty. Search with a larger budget"):
        found.recommend()
    assert "0 on the front" in found._repr_html_()


def test_the_table_of_a_notebook_has_the_front_and_marks_the_recommended_network(result):
    cells = Cells(result._repr_html_())
    assert cells.rows[0] == ["id", "depth", "macs", "params"]
    assert [row[0] for row in cells.rows[1:]] == [one.id for one in result.front]
    assert result.recommend().id in cells.bold
    assert Cells(result.front._repr_html_()).rows == cells.rows


def test_html_is_escaped():
    front = Front([Solution("<id>", (0,), {"a<b": 1.0})], {"a<b": ""})
    assert Cells(front._repr_html_()).rows == [["id", "a<b"], ["<id>", "1"]]
    assert "<id>" not in front._repr_html_()


def test_its_text_is_short(result):
    assert repr(result) == f"SearchResult({result.name!r}, 40 candidates, {len(result.front)} on the front)"


def test_without_pandas_a_frame_is_refused(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(nasctl.NasctlError, match=r"pandas is not installed. Install it with `pip install 'nasctl\[pan"):
        result.front.to_pandas()


def test_a_frame_has_a_row_for_each_solution(result):
    pandas = pytest.importorskip("pandas", reason="the extra pandas is not installed")
    frame = result.front.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.index) == [one.id for one in result.front]
    assert frame.to_dict("records") == [one.values for one in result.front]
    assert frame.attrs["units"] == result.front.units
    every = result.to_pandas()
    assert len(every) == 40
    assert list(every.index[every.front]) != []
    assert set(every.index[every.front]) == set(frame.index)


def test_a_metric_that_failed_is_not_a_number():
    pytest.importorskip("pandas", reason="the extra pandas is not installed")
    run = Run("nbmacro", ("params", "macs"), called="mine")
    found = SearchResult(run, None, (Evaluation((0,) * 8, {"params": 1.0}), Evaluation((1,) * 8, {"macs": 2.0})))
    frame = found.to_pandas()
    assert frame.isna().to_numpy().tolist() == [[False, True, False], [True, False, False]]


def test_a_plot_is_a_figure_and_a_file(result, tmp_path):
    from matplotlib.figure import Figure

    figure = result.plot(tmp_path / "front.png")
    assert isinstance(figure, Figure)
    assert any(area.lines for area in figure.axes)
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(nasctl.NasctlError, match="exists"):
        result.plot(tmp_path / "front.png")
    with pytest.raises(nasctl.NasctlError, match=r"output is 3, of type int. Give a text or a path or None"):
        result.plot(3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["front.png"]
    result.plot()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["front.png"]
