"""Tables and points of the report: the digits of their numbers, and candidates with equal values."""

import json
import re
from collections import Counter

import numpy as np
from click.testing import CliRunner

from nasctl.cli import cli
from nasctl.report import elements
from nasctl.store.store import Store


def call(*arguments):
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr


def test_numbers_of_tables_have_the_digits_of_plots():
    def written(values, unit=""):
        write = elements.number_writer(np.array(values), unit)
        return [write(value) for value in values if np.isfinite(value)]

    assert written([541.9724, 91.46951, np.nan]) == ["542.0", "91.47"]
    assert written([541.9724, 541.9661]) == ["541.972", "541.966"]  # more digits tell them apart
    assert written([541.9724, 541.9724]) == ["542.0", "542.0"]
    assert written([3_460_512.0], "parameters") == ["3.461 M"]
    cell = elements.number_cell(541.972412, elements.number_writer(np.array([541.972412]), ""), "a<b")
    assert cell == '<td data-value="541.972412" data-label="a&lt;b">542.0</td>'


def test_a_title_breaks_between_words():
    html = elements.breakable("mbconv:width=0.75: run <a>")
    parts = ["mbconv:", "width=", "0.75: ", "run ", "&lt;a&gt;"]
    assert html == "<wbr>".join(f'<span class="whole">{part}</span>' for part in parts)


def test_equal_candidates_are_one_point(tmp_path):
    store = str(tmp_path / "store")
    call("search", "--space=nb201", "-oparams,macs", "--budget=40", "--searcher=random:batch=40", "--store", store)
    opened = Store(store)
    visited = opened.evaluations(opened.run()[0])
    different = Counter((one.values["params"], one.values["macs"]) for one in visited)
    assert max(different.values()) > 1
    call("report", "-o", str(tmp_path / "report.html"), "--store", store)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    points = re.findall(r'<circle[^>]* data-id="([^"]+)"', text)
    assert len(points) == len({*points}) == len(different)
    titles = re.findall(r"<title>(.*?)</title></circle>", text, re.DOTALL)
    more = [int(found[1]) if (found := re.search(r"(\d+) more candidates? ha", one)) else 0 for one in titles]
    assert sorted(more) == sorted(number - 1 for number in different.values())
    (data,) = re.findall(r'<script type="application/json" id="series">(.*?)</script>', text)
    assert len(json.loads(data)["series"][0]["values"]) == len(different)
    assert "Candidates with equal values are one point" in text
    assert {*re.findall(r'<tr data-id="([^"]+)"', text)} <= {*points}  # the point of each row of the table is drawn
