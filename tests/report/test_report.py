"""The report is one whole page that loads nothing, escapes everything and can be read without a script."""

import json
import re
import shlex
import sqlite3
from base64 import b64encode
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.analysis.recommendation import recommend
from nasctl.api import Reference
from nasctl.architectures import ids
from nasctl.cli import cli
from nasctl.evaluation.hypervolume_tracker import HypervolumeTracker
from nasctl.pareto.losses import losses
from nasctl.report import svg
from nasctl.search.recorded import run_from_record
from nasctl.spaces.nb201 import NB201
from nasctl.store.store import Store

VOID = {"meta", "br", "wbr", "input", "link", "img"}
LOADING = ("src", "href", "srcset", "action", "data", "poster", "background", "xlink:href")


class Page(HTMLParser):
    """The elements of a page; every one has to be closed where it belongs."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, tag):
        return [attrs for found, attrs in self.found if found == tag]


def call(*arguments, code=0):
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.stderr
    return done


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with one run of a metric and two costs, of which some candidates failed."""
    path = str(tmp_path_factory.mktemp("report") / "store")
    search = ["search", "--space=nb201:channels=4,cells=1", "-osynflow,macs,memory", "--fidelity=size=8,batch=4"]
    call(
        *search,
        "--searcher=random",
        "--seed=5",
        "--budget=20",
        "--constraint=synflow>=5",
        "--no-references",
        "--store",
        path,
    )
    return path


def reported(store, path, *options):
    done = call("report", "-o", str(path), "--store", store, *options)
    assert done.stdout == f"{path}\n"
    return path.read_text(encoding="utf-8")


def test_it_is_a_whole_page_that_loads_nothing(store, tmp_path):
    text = reported(store, tmp_path / "report.html")
    assert text.startswith("<!DOCTYPE html>")
    page = Page(text)
    assert not [attrs for _, attrs in page.found if attrs.keys() & set(LOADING)]
    assert not re.search(r"//[\w.]+\.\w|@import|url\(|fetch\(|XMLHttpRequest|innerHTML|eval\(", text)
    (policy,) = (attrs["content"] for attrs in page.all("meta") if "http-equiv" in attrs)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = b64encode(sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    for picture in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(picture)
    ids = [attrs["id"] for _, attrs in page.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'getElementById\("(\w+)"\)', script)) <= set(ids)


def drawn_recommendation(path):
    """The id of the network that nasctl recommends."""
    store = Store(path)
    name, record = store.run()
    chosen = recommend(store, name, record, store.evaluations(name)).chosen.genome
    return ids.encode(record.space, registry.create("spaces", record.space).genes, chosen)


def test_without_a_script_the_front_is_there_as_a_picture_and_a_table(store, tmp_path):
    page = Page(reported(store, tmp_path / "report.html"))
    front = json.loads(call("pareto", "show", "--store", store, "--json").stdout)
    rows = [attrs["data-id"] for attrs in page.all("tr") if "data-id" in attrs]
    recommended = drawn_recommendation(store)
    assert rows == sorted((row["id"] for row in front), key=lambda name: name != recommended)
    circles = [attrs for attrs in page.all("circle") if "data-id" in attrs]
    assert len(circles) == 20
    drawn = {circle["data-id"]: circle["class"] for circle in circles if "visibility" not in circle}
    assert {name for name, kind in drawn.items() if kind.startswith("front")} == set(rows)
    assert [name for name, kind in drawn.items() if kind == "front recommended"] == [recommended]
    assert {"front recommended", "front", "other", "broken"} == set(drawn.values())
    assert len(drawn) == 19  # one failed
    for circle in circles:
        assert 0 <= float(circle["cx"]) <= svg.WIDTH
        assert 0 <= float(circle["cy"]) <= svg.HEIGHT
    cells = [attrs["data-value"] for attrs in page.all("td") if "data-value" in attrs]
    values = [value for row in front for value in (*row["values"].values(),)]
    assert {repr(value) for value in values} <= set(cells) | {repr(float(value)) for value in values}
    assert "hidden" in dict(page.all("form")[0])  # what only a script could answer to


def test_the_script_knows_every_axis_of_every_point(store, tmp_path):
    text = reported(store, tmp_path / "report.html")
    (known,) = re.findall(r'<script type="application/json" id="series">(.*?)</script>', text, re.DOTALL)
    known = json.loads(known)
    names = [one["name"] for one in known["series"]]
    assert names == ["synflow", "macs", "memory", "params", "order of evaluation"]
    assert (names[known["x"]], names[known["y"]]) == ("macs", "synflow")
    circles = [attrs for attrs in Page(text).all("circle") if "data-id" in attrs]
    front = json.loads(call("pareto", "show", "--store", store, "--json").stdout)
    for one in known["series"]:
        assert len(one["values"]) == len(circles)
        values = {circle["data-id"]: value for circle, value in zip(circles, one["values"], strict=True)}
        if one["name"] in front[0]["values"]:
            assert all(values[row["id"]] == pytest.approx(row["values"][one["name"]], rel=1e-6) for row in front)
    assert [one["better"] for one in known["series"]] == [1, -1, -1, -1, 0]


def stairs(page):
    """The corners of the front line of a page, (C, 2)."""
    (points,) = (attrs["points"] for attrs in page.all("polyline") if attrs["class"] == "stairs")
    return [tuple(map(float, corner.split(","))) for corner in points.split()]


def test_the_front_line_goes_through_the_best_in_the_two_quantities(store, tmp_path):
    page = Page(reported(store, tmp_path / "report.html"))
    known = [e for e in Store(store).evaluations(Store(store).run()[0]) if not e.errors and e.values["synflow"] >= 5]
    points = {(e.values["macs"], e.values["synflow"]) for e in known}
    best = [p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)]
    corners = stairs(page)
    assert len(corners) == 2 * len(best) + 2
    circles = {(float(c["cx"]), float(c["cy"])) for c in page.all("circle") if c["class"].startswith("front")}
    assert set(corners[2:-1:2]) <= circles
    assert corners[0][1] == svg.HEIGHT - svg.BOTTOM
    assert corners[-1][0] == svg.WIDTH - svg.RIGHT


def test_axes_span_what_is_visible(tmp_path):
    store = str(tmp_path / "store")
    call("search", "--space=nbmacro", "-oparams,macs", "--budget=20", "--searcher=random", "--store", store)
    with sqlite3.connect(store) as database:  # the largest candidate fails in one objective, so it is not drawn
        (text,) = database.execute("SELECT id FROM text WHERE value LIKE 'params v%'").fetchone()
        where = "label = ? AND value = (SELECT max(value) FROM measurement WHERE label = ?)"
        database.execute(f"UPDATE measurement SET value = NULL, error = 'gone' WHERE {where}", (text, text))
    database.close()
    page = Page(reported(store, tmp_path / "report.html"))
    shown = [float(c["cx"]) for c in page.all("circle") if "data-id" in c and "visibility" not in c]
    width = svg.WIDTH - svg.LEFT - svg.RIGHT
    assert min(shown) == pytest.approx(svg.LEFT + 0.04 / 1.08 * width, abs=0.1)
    assert max(shown) == pytest.approx(svg.WIDTH - svg.RIGHT - 0.04 / 1.08 * width, abs=0.1)


def test_results_come_first_and_settings_last(store, tmp_path):
    text = reported(store, tmp_path / "report.html")
    heads = re.findall(r"<h2>(.*?)</h2>", text)
    assert heads[:2] == ["Recommended network", "Pareto front"]
    assert heads[-2:] == ["Settings", "Reproduction"]


def test_the_recommended_network_is_drawn(store, tmp_path):
    text = reported(store, tmp_path / "report.html")
    name = drawn_recommendation(store)
    pictures = re.findall(r'<svg class="net".*?</svg>', text, re.DOTALL)
    assert len(pictures) == 2  # for wide and for narrow pages
    assert all(f">{word}</text>" in picture for picture in pictures for word in ("Reduction", "stage1", "Head"))
    assert f"nasctl export --arch {name}" in text


def test_the_score_is_explained(store, tmp_path):
    words = " ".join(Page(reported(store, tmp_path / "report.html")).words)
    assert "log_rank(synflow)" in words
    assert "the score is the sum of the logarithms of these ranks" in words


def test_published_networks_are_shown_with_their_source(store, tmp_path, monkeypatch):
    opened = Store(store)
    name, record = opened.run()
    visited = [one for one in opened.evaluations(name) if not one.errors]
    chosen = recommend(opened, name, record, visited).chosen.genome
    other = next(one.genome for one in visited if one.genome != chosen and one.values["synflow"] >= 5)
    published = {
        "a-net": Reference(other, "Doe et al., 2020", 0.752, "At half its width"),
        "no-net": Reference(chosen, "x"),
    }
    # In place of the space's own, which its constructor sets.
    monkeypatch.setattr(NB201, "references", property(lambda _: published, lambda *_: None), raising=False)
    text = reported(store, tmp_path / "report.html")
    words = " ".join(Page(text).words)
    for said in (
        "Reference networks",
        "a-net",
        "75.2%",
        "Doe et al., 2020. At half its width",
        "the reference network no-net",
    ):
        assert said in words, said
    assert not re.search(r"<td[^>]*>[^<]*Doe et al", text), "a long source widens the table beyond the page"
    assert re.search(r"dominated by \d+ of the front|on the front", words)
    assert len(re.findall(r'<svg class="net"', text)) == 6
    names = re.findall(r'<text x=[^>]*data-row="\d+">(.*?)</text>', text)
    assert sorted(names) == ["a-net", "recommended: no-net"]


def test_it_says_all_that_it_should(store, tmp_path):
    words = " ".join(Page(reported(store, tmp_path / "report.html")).words)
    for said in (
        "Which networks of nb201 are best in synflow (more is better), macs (less is better), memory",
        "subject to synflow>=5?",
        "20 evaluated, ",
        "violate a constraint",
        "random",
        "size=8,batch=4",
        "torch 2.",
        "of the ideal box after 20 evaluations",
        "Kendall's tau-b",
        "ValueError: no path leads from the input to the output",
        "nasctl export --arch nb201",
    ):
        assert said in words, said


def _repeated(store, folder):
    """The words of the command on the page."""
    text = reported(store, folder / "repeat.html")
    (command,) = re.findall(r"<pre><code>(.*?)</code></pre>", text)
    program, *words = shlex.split(unescape(command))
    assert program == "nasctl"
    return words


def test_the_command_that_repeats_it_takes_it_up(store, tmp_path):
    (before,) = Store(store).runs()
    done = json.loads(call(*_repeated(store, tmp_path), "--store", store, "--json").stdout)
    assert (done["run"], done["distinct"]) == (before.name, before.visited)
    (after,) = Store(store).runs()
    assert after[:2] == before[:2]


def test_the_command_that_repeats_it_does_so_elsewhere(tmp_path):
    stores = [str(tmp_path / name) for name in ("here", "there")]
    options = ["--space=nbmacro:classes=7", "-oparams,latency@v100-b64", "--record=macs,memory", "-cmacs<=50%"]
    options += ["--searcher=nsga2:population=8", "--seed=3", "--weights-seed=5", "--data=noise", "--fidelity=size=16"]
    call("search", *options, "--budget=20", "--store", stores[0])
    call(*_repeated(stores[0], tmp_path), "--store", stores[1])
    here, there = (Store(path) for path in stores)
    assert here.run() == there.run()
    assert here.evaluations(here.run()[0]) == there.evaluations(there.run()[0])


def test_what_a_repetition_needs_is_said(tmp_path):
    store, table = str(tmp_path / "store"), tmp_path / "mine.json"
    content = json.loads((files("nasctl.hardware") / "tables" / "v100-b64.json").read_text())
    table.write_text(json.dumps(content | {"device": "mine"}))
    call("search", "--space=nbmacro", "-oparams", f"--device={table}", "--budget=5", "--store", store)
    words = _repeated(store, tmp_path)
    assert "latency@mine.json" in words
    digest = Store(store).run()[1].asked["tables"]["latency@mine"]
    said = " ".join(Page((tmp_path / "repeat.html").read_text()).words)
    assert f"mine.json has to be the table of mine whose digest is {digest}" in said


def test_the_same_run_is_the_same_page(store, tmp_path):
    assert reported(store, tmp_path / "one.html") == reported(store, tmp_path / "other.html")


def test_everything_is_escaped(tmp_path):
    store, evil = str(tmp_path / "store"), "</script><script>alert('\"&')</script>"
    call("search", "--space=nbmacro", "-oparams,macs", "--budget=30", "--run", evil, "--store", store)
    with sqlite3.connect(store) as database:
        number = database.execute("SELECT min(genome) FROM measurement").fetchone()[0]
        database.execute("UPDATE measurement SET value = NULL, error = ? WHERE genome = ?", (evil, number))
        spec = json.loads(database.execute("SELECT spec FROM run").fetchone()[0])
        spec["columns"]["macs"] |= {"unit": evil, "remarks": [evil]}
        spec["versions"]["torch"] = evil
        database.execute("UPDATE run SET spec = ?", (json.dumps(spec),))
    database.close()
    text = reported(store, tmp_path / "report.html")
    page = Page(text)
    assert [attrs.get("type") for attrs in page.all("script")] == ["application/json", None]
    assert "alert('\"&')" not in text.replace("\\u003c", "<").partition("<script type")[0]
    assert sum(evil in word for word in page.words) >= 5


def test_a_single_objective_is_drawn_in_the_order_of_evaluation(tmp_path):
    store = str(tmp_path / "store")
    call("search", "--space=nbmacro", "-oparams", "--budget=15", "--store", store)
    words = Page(reported(store, tmp_path / "report.html")).words
    assert "order of evaluation" in words
    assert "None." in words


def test_a_run_without_a_front_is_reported_too(tmp_path):
    store = str(tmp_path / "store")
    bound = "--constraint=params>=2932586,macs<=50%"  # each can be met, but not both
    call("search", "--space=nbmacro", "-oparams,macs", "--budget=3", "--searcher=nsga2", bound, "--store", store)
    words = " ".join(Page(reported(store, tmp_path / "report.html")).words)
    assert "The front is empty: no feasible candidate has a value in every objective." in words


def test_a_page_is_not_written_over_and_has_the_right_name(store, tmp_path):
    path = tmp_path / "report.html"
    reported(store, path)
    again = call("report", "-o", str(path), "--store", store, code=2)
    assert "exists; give another name, or replace it with --force" in again.stderr
    reported(store, path, "--force")
    wrong = call("report", "-o", "report.pdf", "--store", store, code=2)
    assert "the report is an HTML page; name the file 'report.html'" in wrong.stderr
    none = call("report", "--store", str(tmp_path / "none"), code=2)
    assert "holds no run yet; `nasctl search` starts one" in none.stderr


def test_the_hypervolume_is_that_of_the_search(tmp_path):
    store = str(tmp_path / "store")
    search = ["search", "--space=nbmacro", "-onaswot,macs", "--budget=50", "--fidelity=size=8,batch=4"]
    done = call(*search, "--store", store)
    *_, progress, said = re.findall(r"hypervolume ([\d.]+%)", done.stderr)
    assert progress == said
    found = json.loads(call("pareto", "hypervolume", "--store", store, "--json").stdout)
    assert f"{found['share']:.1%}" == said
    assert f"hypervolume  {said} of the ideal box" in call("runs", "show", "--store", store).stdout
    page = reported(store, tmp_path / "volume.html")
    assert f"Hypervolume {said} of the ideal box after 50 evaluations" in page
    assert found["scale"]["normalisation"].startswith("as in the search")
    assert found["curve"][-1] == [50, found["hypervolume"]]
    assert [count for count, _ in found["curve"]] == list(range(1, 51))
    shown = call("pareto", "hypervolume", "--store", store).stdout
    assert f"hypervolume  {said} of the ideal box\n" in shown
    assert 0 < found["share"] <= 1
    assert found["shares"][-1] == [50, found["share"]]
    growth = [share for _, share in found["shares"]]
    assert growth == sorted(growth)
    visited = Store(store).evaluations(found["run"])
    ruler = HypervolumeTracker(run_from_record(Store(store).run()[1]).task)
    ruler.start(visited[:20])
    goals = Store(store).run()[1].goals
    best = [e for e in visited if e.genome in {tuple(g) for g in _front(store)}]
    assert ruler.volume(losses(best, goals)) == pytest.approx(found["hypervolume"])


def _front(store):
    return [row["genome"] for row in json.loads(call("pareto", "show", "--store", store, "--json").stdout)]


def test_what_is_not_installed_here_has_a_scale_of_its_own(tmp_path):
    store = str(tmp_path / "store")
    call("search", "--space=nbmacro", "-oparams,macs", "--budget=30", "--store", store)
    with sqlite3.connect(store) as database:
        (spec,) = database.execute("SELECT spec FROM run").fetchone()
        database.execute("UPDATE run SET spec = ?", (spec.replace('"params v', '"params vOld'),))
    database.close()
    with sqlite3.connect(store) as database:
        database.execute("UPDATE text SET value = replace(value, 'params v', 'params vOld')")
    database.close()
    found = json.loads(call("pareto", "hypervolume", "--store", store, "--json").stdout)
    assert found["scale"]["normalisation"] == (
        "each objective by its range over the candidates of this run, as that of the search is not known here"
        " (params is of another version here)"
    )
    values = [e.values["params"] for e in Store(store).evaluations(found["run"])]
    assert (found["scale"]["best"]["params"], found["scale"]["worst"]["params"]) == (min(values), max(values))
