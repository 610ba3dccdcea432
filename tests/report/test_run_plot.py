"""`nasctl pareto plot` on axes that a user chooses, with the networks that it marks."""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.analysis.recommendation import recommend
from nasctl.api import NasctlError, Reference
from nasctl.architectures import ids
from nasctl.cli import cli
from nasctl.report import run_plot
from nasctl.report.run_plot import ChosenView, draw_run
from nasctl.spaces.nbmacro import NBMacro
from nasctl.store.store import Store


def call(*arguments, code=0):
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.stderr
    return done


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with one run of two metrics and two costs, which records a third cost."""
    path = tmp_path_factory.mktemp("plot") / "store"
    search = ["search", "--space=nbmacro", "-osynflow,naswot,macs,latency@v100-b64", "--record=memory"]
    call(*search, "--fidelity=size=8,batch=4", "--searcher=random", "--budget=12", "--store", str(path))
    return Store.reading(path)


@pytest.fixture
def references(store, monkeypatch):
    """Two published networks of the space, of which the run visited one."""
    visited = [one.genome for one in store.evaluations(store.run()[0])]
    name, record = store.run()
    chosen = recommend(store, name, record, store.evaluations(name)).chosen.genome
    seen = next(genome for genome in visited if genome != chosen)
    unseen = next(genome for k in range(9) if (genome := (2,) * 7 + (k % 3,)) not in visited)
    named = {"seen-net": Reference(seen, "a paper"), "unseen-net": Reference(unseen, "another paper")}
    monkeypatch.setattr(NBMacro, "references", named, raising=False)
    return {name: one.genome for name, one in named.items()}


def drawn(store, tmp_path, monkeypatch, written=False, **chosen):
    """The axes, points, and view that a picture is drawn from; the picture itself is written if it is needed."""
    found = {}
    real = run_plot.draw

    def draw(path, axes, points, front, ids, **options):
        found.update(axes=[axis.name for axis in axes], points=points, front=front, ids=ids, **options)
        if written:
            real(path, axes, points, front, ids, **options)

    monkeypatch.setattr(run_plot, "draw", draw)
    draw_run(tmp_path / "a.svg", store, None, ChosenView(**chosen))
    return found


def test_a_published_network_with_other_options_has_a_remark(store, references, tmp_path, monkeypatch):
    footer = drawn(store, tmp_path, monkeypatch)["view"].footer
    assert footer == ["latency@v100-b64: NOT VALIDATED for nbmacro: latencies are rough estimates"]
    named = NBMacro.references
    differing = {name: replace(one, options="resolution=32 (published with 224)") for name, one in named.items()}
    monkeypatch.setattr(NBMacro, "references", differing)
    # The network that the run has not visited is not in the picture.
    said = [*footer, "seen-net has resolution=32 (published with 224) here"]
    assert drawn(store, tmp_path, monkeypatch)["view"].footer == said


def test_recommended_and_published_networks_are_marked(store, references, tmp_path, monkeypatch):
    found = drawn(store, tmp_path, monkeypatch, written=True)
    name, record = store.run()
    visited = store.evaluations(name)
    advice = recommend(store, name, record, visited)
    marks = {mark.kind: mark for mark in found["view"].marks}
    assert set(marks) == {"recommended", "reference"}
    assert visited[marks["recommended"].row].genome == advice.chosen.genome
    assert (marks["reference"].name, visited[marks["reference"].row].genome) == ("seen-net", references["seen-net"])
    assert f"recommended: {found['ids'][marks['recommended'].row]}, {advice.why}" in found["subtitle"]
    text = (tmp_path / "a.svg").read_text()
    assert ">recommended</text>" in text
    assert ">seen-net</text>" in text
    assert "unseen-net" not in text


def test_a_recommended_published_network_has_its_name(store, tmp_path, monkeypatch):
    name, record = store.run()
    chosen = recommend(store, name, record, store.evaluations(name)).chosen.genome
    monkeypatch.setattr(NBMacro, "references", {"best-net": Reference(chosen, "a paper")}, raising=False)
    (mark,) = drawn(store, tmp_path, monkeypatch)["view"].marks
    assert (mark.name, mark.kind) == ("recommended: best-net", "recommended")


def test_settings_are_in_the_metadata_and_not_in_the_picture(store, tmp_path, monkeypatch):
    found = drawn(store, tmp_path, monkeypatch, written=True)
    facts = found["view"].facts
    assert facts["searcher"] == "random:batch=20"
    assert "size=8,batch=4" in facts["metrics"]
    assert "V100" in facts["latency@v100-b64"]
    assert facts["command"].startswith("nasctl search --space nbmacro")
    text = (tmp_path / "a.svg").read_text()
    assert "size=8,batch=4" in text.partition("</metadata>")[0]
    assert "size=8,batch=4" not in text.partition("</metadata>")[2]


def test_two_axes_are_one_panel(store, tmp_path, monkeypatch):
    found = drawn(store, tmp_path, monkeypatch, x="latency", y="memory")
    assert found["axes"] == ["synflow", "naswot", "macs", "latency@v100-b64", "memory"]
    assert found["view"].pairs == [(3, 4)]
    assert found["view"].optimised == 4


@pytest.mark.parametrize(
    ("chosen", "panels"),
    [
        ({"x": "macs"}, [(2, 0), (2, 1)]),
        ({"y": "naswot"}, [(2, 1), (3, 1)]),
        ({"x": "params"}, [(4, 0), (4, 1)]),
        ({"x": "synflow"}, [(0, 2), (0, 3)]),
    ],
)
def test_one_axis_meets_the_objectives_of_the_other_kind(chosen, panels, store, tmp_path, monkeypatch):
    assert drawn(store, tmp_path, monkeypatch, **chosen)["view"].pairs == panels


def test_a_network_that_the_run_did_not_visit_is_measured_for_costs(store, references, tmp_path, monkeypatch):
    found = drawn(store, tmp_path, monkeypatch, x="macs", y="params", marks=("unseen-net",))
    (mark,) = (mark for mark in found["view"].marks if mark.kind == "chosen")
    network = registry.create("spaces", "nbmacro").network(references["unseen-net"])
    values = dict(zip(found["axes"], mark.values, strict=True))
    assert (mark.name, values["macs"], values["params"]) == ("unseen-net", network.macs, network.params)
    with pytest.raises(
        NasctlError, match=r"^Cannot mark unseen-net: run nbmacro-\w+ has not evaluated it, and synflow"
    ):
        draw_run(tmp_path / "b.svg", store, None, ChosenView(marks=("unseen-net",)))
    assert not (tmp_path / "b.svg").exists()


def test_a_marked_candidate_has_its_id(store, tmp_path, monkeypatch):
    name, record = store.run()
    advice = recommend(store, name, record, store.evaluations(name))
    other = next(one.genome for one in store.evaluations(name) if one.genome != advice.chosen.genome)
    whole = ids.encode("nbmacro", registry.create("spaces", "nbmacro").genes, other)
    monkeypatch.setattr(NBMacro, "references", {}, raising=False)
    found = drawn(store, tmp_path, monkeypatch, marks=(",".join(map(str, other)), whole))
    assert [(mark.name, mark.kind) for mark in found["view"].marks[1:]] == [(whole, "chosen")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--x", "latencey"], "no objective of this run is called 'latencey'"),
        (["--x", "macs", "--y", "macs"], "Cannot draw macs against itself"),
        (["--mark", "9"], "a genome of this space has 8 genes"),
        (["-o", "front.jpg"], "a picture is .png, .svg or .pdf"),
    ],
)
def test_what_cannot_be_drawn_is_refused(words, said, store, tmp_path):
    done = call("pareto", "plot", *words, "--store", str(store.path), code=2)
    assert said in done.stderr, done.stderr


def test_the_command_draws_what_is_typed(store, tmp_path):
    path = tmp_path / "front.svg"
    words = ("pareto", "plot", "--x", "macs", "--y", "memory", "-o", str(path), "--store", str(store.path))
    assert call(*words).stdout == f"{path}\n"
    assert "memory (bytes)" in path.read_text()
