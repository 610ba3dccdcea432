"""The report in a real browser: nothing is wider than the page, and no text lies on another."""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest
from click.testing import CliRunner

from nasctl.api import Reference
from nasctl.cli import cli
from nasctl.spaces.nb201 import NB201
from nasctl.spaces.nbmacro import NBMacro
from nasctl.store.store import Store

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed (Debian: apt-get install chromium)")

# Boxes of all visible texts, cut to the parts of the page that scroll; then those that lie on each other.
PROBE = """
const visible = (element, box) => {
  let [left, top, right, bottom] = [box.left, box.top, box.right, box.bottom];
  for (let one = element; one && one !== document.body; one = one.parentElement) {
    const style = getComputedStyle(one);
    if (style.visibility === "hidden" || style.display === "none") return null;
    if (style.overflowX === "visible") continue;
    const edge = one.getBoundingClientRect();
    [left, right] = [Math.max(left, edge.left), Math.min(right, edge.right)];
    [top, bottom] = [Math.max(top, edge.top), Math.min(bottom, edge.bottom)];
  }
  return right - left > 1 && bottom - top > 1 ? [left, top, right, bottom] : null;
};
const HIDDEN = "script, style, option, details:not([open]) > :not(summary)";
const texts = () => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const [node, parent] = [walker.currentNode, walker.currentNode.parentElement];
    if (!node.textContent.trim() || parent.closest(HIDDEN)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const sticky = parent.closest("thead") !== null; // headings stay above the rows that scroll below them
    for (const box of parent.closest("svg") ? [parent.getBoundingClientRect()] : range.getClientRects()) {
      const cut = visible(parent, box);
      if (cut) found.push({ text: node.textContent.trim(), parent, sticky, box: cut });
    }
  }
  return found;
};
const check = (when) => {
  const shown = texts();
  const lying = [];
  shown.forEach((one, k) => shown.slice(k + 1).forEach((other) => {
    const [a, b] = [one.box, other.box];
    const across = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), up = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
    if (across > 2 && up > 3 && one.parent !== other.parent && !one.sticky && !other.sticky)
      lying.push([when, one.text, other.text]);
  }));
  const wide = shown.filter((one) => one.box[2] > innerWidth + 1 || one.box[0] < -1).map((one) => [when, one.text]);
  const tables = [...document.querySelectorAll("table.cards")].map((one) => one.parentElement);
  const cut = tables.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => [when, one.scrollWidth]);
  const taus = [...document.querySelectorAll("table.taus")].map((one) => one.parentElement);
  const matrix = taus.map((one) => one.scrollWidth <= one.clientWidth + 1);
  const broken = [...document.querySelectorAll("h1 .whole")].filter((one) => one.getClientRects().length > 1);
  const width = document.documentElement.scrollWidth;
  return { lying, wide, cut, matrix, tables: tables.length, broken: broken.length, texts: shown.length, width };
};
addEventListener("load", () => {
  const findings = [check("at first")];
  for (const details of document.querySelectorAll("details")) details.open = true;
  findings.push(check("with all pictures"));
  const choice = document.getElementById("across");
  for (let k = 0; k < choice.options.length; k += 2) {
    choice.selectedIndex = k;
    choice.dispatchEvent(new Event("change"));
    findings.push(check("across " + choice.value));
  }
  const dots = document.querySelectorAll("#front circle[tabindex='0']");
  dots[0].focus();
  dots[0].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  const result = {
    inner: innerWidth, findings, stops: dots.length, said: document.activeElement.getAttribute("aria-label"),
    corners: document.querySelector(".stairs").getAttribute("points"),
    names: [...document.querySelectorAll(".names text")].map((text) => text.textContent),
  };
  parent.postMessage(result, "*");
});
"""


def call(*arguments):
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Reports of a chain of blocks with long names and of cells, each with published networks."""
    folder = tmp_path_factory.mktemp("browser")
    found = {}
    searches = {
        "chain": ("--space=nbmacro", "-osynflow,macs,params,latency@v100-b64", "-cmacs<=80%"),
        "cells": ("--space=nb201:channels=4,cells=1", "-osynflow,macs"),
    }
    for name, words in searches.items():
        store, page = str(folder / f"{name}.db"), folder / f"{name}.html"
        call("search", *words, "--fidelity=size=8,batch=4", "--searcher=random", "--budget=40", "--store", store)
        visited = Store(store).evaluations(Store(store).run()[0])
        published = {
            f"published-network-{k}": Reference(visited[3 * k].genome, "Doe et al., CVPR 2020, table 4", 0.7)
            for k in range(6)
        }
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(NBMacro if name == "chain" else NB201, "references", published, raising=False)
            call("report", "-o", str(page), "--store", store)
        found[name] = page
    return found


HOST = """<!DOCTYPE html><title>host</title>
<script>
const found = [];
addEventListener("message", (event) => {
  if (found.push(event.data) < WIDTHS.length) return;
  const out = document.createElement("pre");
  out.id = "findings";
  out.textContent = JSON.stringify(found);
  document.body.append(out);
});
</script>
<body>FRAMES</body>
"""


def seen(page, widths, folder):
    """The findings of the script in frames that are as many pixels wide, by width."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    (folder / "copy.html").write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"))
    frames = "".join(
        f'<iframe src="copy.html" width="{width}" height="900" frameborder="0"></iframe>' for width in widths
    )
    host = folder / "host.html"
    host.write_text(HOST.replace("WIDTHS", str(list(widths))).replace("FRAMES", frames))
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", "--window-size=1400,1000", "--virtual-time-budget=5000", "--dump-dom",
        host.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    match = re.search(r'<pre id="findings">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, done.stderr[-2000:]
    return {one["inner"]: one for one in json.loads(unescape(match[1]))}


@pytest.mark.parametrize("name", ["chain", "cells"])
def test_nothing_is_wider_than_the_page_and_no_text_lies_on_another(name, pages, tmp_path):
    found = seen(pages[name], (1280, 390), tmp_path)
    assert found.keys() == {1280, 390}
    for width, frame in found.items():
        for one in frame["findings"]:
            assert one["texts"] > 100
            assert one["width"] <= width
            assert one["wide"] == []
            assert one["lying"] == []
            assert one["tables"] == 2  # of the front, and of the published networks
            assert one["cut"] == []  # all of their columns are visible
            assert one["matrix"] == [True]  # and so are all correlations
            assert one["broken"] == 0  # the title breaks between words
        assert frame["stops"] == 1  # the tab key stops once, and arrow keys lead on
        assert frame["said"].startswith(("nbmacro-", "nb201."))
        assert any(text.startswith("recommended") for text in frame["names"])
