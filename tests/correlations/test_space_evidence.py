"""The line of evidence of a space with known results, and the page that it names."""

import re

import pytest
from paths import ROOT

from nasctl import registry
from nasctl.correlations.space_evidence import space_evidence
from nasctl.correlations.table import shipped
from nasctl.search.default_objectives import space_kind
from nasctl.search.request import SearchRequest, SettingOptions

PAGES = sorted({scene.page for scene in shipped().scenes} - {"docs/metrics.md"})


def said(space, metrics, task=""):
    return space_evidence(space_kind(space, registry.create("spaces", space), task), metrics)


@pytest.mark.parametrize(
    ("space", "metrics", "sentence"),
    [
        (
            "mbconv:classes=5",
            ["snip", "l2_norm"],
            "evidence: over 100 networks of mbconv with known ImageNet accuracy, l2_norm orders them with Spearman .92,"
            " snip .81 (MACs .76); docs/evidence-mbconv.md",
        ),
        (
            "mbconv",
            ["jacov"],
            "evidence: over 100 networks of mbconv with known ImageNet accuracy, jacov orders them with Spearman -.09"
            " (MACs .76); docs/evidence-mbconv.md",
        ),
        ("mbconv", [], ""),
        ("mbconv", ["hidden_covariance"], ""),  # not measured there
        ("proxyless", ["l2_norm"], ""),  # of the family, and not this space
    ],
)
def test_the_line_by_the_shipped_table(space, metrics, sentence):
    assert said(space, metrics) == sentence


def test_several_results_have_a_mean():
    line = said("nb201", ["expressivity"])
    assert line.startswith(
        "evidence: over 500 networks of nb201 with known CIFAR-10 and CIFAR-100 and ImageNet16-120 test accuracy,"
        " expressivity orders them with a mean Spearman of .8"
    )
    assert line.endswith("; docs/metrics.md")


@pytest.mark.parametrize(
    ("space", "objectives", "expected"),
    [
        ("mbconv", (), ["evidence: over 100 networks of mbconv"]),
        ("mbconv", ("zico", "macs"), ["evidence: over 100 networks of mbconv"]),
        ("mbconv", ("jacov", "macs"), ["Warning: jacov was not seen", "evidence: over 100 networks of mbconv"]),
        ("proxyless", (), ["defaults for mobile networks"]),
        ("mbconv", ("params", "macs"), []),
    ],
)
def test_every_search_of_a_space_with_known_results_prints_one_line(space, objectives, expected):
    request, setting = SearchRequest(space, objectives=objectives), SettingOptions()
    lines = [line for line in request.remarks(request.run(setting), setting) if not line.startswith("  ")]
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))


@pytest.mark.parametrize("page", PAGES)
def test_the_page_shows_the_figures_of_the_shipped_table(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    (scene,) = (one for one in shipped().scenes if one.page == page)
    section = text.partition("## Every metric")[2].partition("## ")[0]
    rows = re.findall(
        r"^\| (?:`|\*\*)([\w ]+)(?:`|\*\*) \|\s*\w*\s*\| (-?[\d.]+) \| (-?[\d.]+) to (-?[\d.]+) \|", section, re.M
    )
    shown = {name: tuple(map(float, figures)) for name, *figures in rows}
    assert shown.pop("random order")[0] == 0
    assert shown == {
        name: pytest.approx((one.spearman, one.low, one.high), abs=0.0051) for name, one in scene.metrics.items()
    }
    assert [row[1] for row in rows] == [row[1] for row in sorted(rows, key=lambda row: -float(row[1]))]
