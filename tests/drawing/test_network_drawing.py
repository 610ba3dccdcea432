"""What the picture of an architecture shows, and that nothing in it lies on anything else."""

import json
import random
from importlib.resources import files
from itertools import combinations
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.api import Add, AvgPool, Builder, Concat, Conv, ConvNormAct, MBConv, ReLU
from nasctl.cli import cli
from nasctl.drawing.network import draw, network_svg
from nasctl.drawing.network_layout import lay_out
from nasctl.networks.block_notation import describe_block


def typed(*words):
    return CliRunner().invoke(cli, words)


def example(spec, seed=0):
    space = registry.create("spaces", spec)
    genome = tuple(random.Random(seed).randrange(len(gene.choices)) for gene in space.genes)
    return space.network(space.canonical(genome))


def test_a_chain_is_a_row_of_boxes():
    boxes = lay_out(registry.create("spaces", "nbmacro").network((2, 1, 1, 2, 2, 2, 1, 1)))
    assert [(box.name, box.stage, box.times) for box in boxes] == [
        ("stem", "", 1), ("stage1.0", "stage1", 1), ("stage1.1", "stage1", 1), ("stage2.0", "stage2", 1),
        ("stage2.1", "stage2", 2), ("stage3.0", "stage3", 1), ("stage3.1", "stage3", 2), ("head", "", 1),
        ("classifier", "", 1),
    ]  # fmt: skip
    assert boxes[1].lines == ("MBConv", "5\N{MULTIPLICATION SIGN}5", "e6", "/2")
    assert [box.shortcut for box in boxes[1:5]] == [False, True, False, True]
    assert boxes[6].out == (256, 4, 4)


def test_a_cell_is_a_graph_and_is_drawn_once():
    # Skips to the second node and to the last; a convolution, a pool and a smaller convolution between.
    boxes = lay_out(registry.create("spaces", "nb201").network((4, 1, 2, 1, 0, 3)))
    cells = [box for box in boxes if box.cell]
    assert [(box.stage, box.times) for box in cells] == [("stage1", 5), ("stage2", 5), ("stage3", 5)]
    (cell,) = {box.cell for box in cells}
    by = "\N{MULTIPLICATION SIGN}"
    assert (cell.values, cell.inputs, cell.output) == (("in", "", "+", "+"), 1, 3)
    assert {(edge.source, edge.target, *edge.lines) for edge in cell.edges} == {
        (0, 1, f"AvgPool 3{by}3"), (0, 2, "skip"), (1, 2, f"ActConvNorm 1{by}1"),
        (0, 3, "skip"), (2, 3, f"ActConvNorm 3{by}3"),
    }  # fmt: skip


def test_a_mixture_is_drawn_as_cells_that_end_in_sums():
    space = registry.create("spaces", "nbmacro")
    boxes = lay_out(space.supernet([(0, 1, 2)] * len(space.genes)))
    cells = [box for box in boxes if box.cell]
    assert [(box.stage, box.times) for box in cells] == [
        (f"stage{stage}", times) for stage, more in ((1, 1), (2, 2), (3, 2)) for times in (1, more)
    ]
    assert {box.cell.values[box.cell.output] for box in cells} == {"+"}


def test_where_a_cell_begins():
    net = Builder((4, 8, 8))
    values = [net.add(Conv(4), *net.inputs, name="stem")]
    for k in range(3):
        two = [net.add(ReLU(), value, name=f"cell{k}.{j}") for j, value in enumerate([values[-1], values[-2:][0]])]
        values.append(net.add(Concat(), *two, name=f"cell{k}.cat"))
        values[-1] = net.add(Conv(4), values[-1], name=f"cell{k}.mix")
    _, first, later = lay_out(net.build(values[-1]))
    assert first.cell.values[:1] == ("in",)
    assert first.cell.inputs == 1
    assert later.cell.values[:2] == ("k\N{MINUS SIGN}2", "in")
    assert later.times == 2


def test_norms_and_activations_are_told_with_what_they_follow():
    net = Builder((4, 8, 8))
    (x,) = net.inputs
    y = net.add(ReLU(), net.add(Conv(4, 3), x, name="block.a.conv"), name="block.a.act")
    y = net.add(AvgPool(3), y, name="block.a.pool")
    (box,) = lay_out(net.build(net.add(Add(), x, y, name="block.a.add")))
    by = "\N{MULTIPLICATION SIGN}"
    assert [edge.lines for edge in box.cell.edges if edge.lines != ("skip",)] == [
        (f"Conv 3{by}3", "ReLU"), (f"AvgPool 3{by}3",)
    ]  # fmt: skip
    assert box.cell.values == ("in", "", "+")


def test_a_box_that_does_not_read_the_one_before_says_what_it_reads():
    net = Builder((4, 8, 8))
    (x,) = net.inputs
    y = net.add(Conv(4), x, name="one")
    z = net.add(Conv(4), x, name="two")
    boxes = lay_out(net.build(net.add(Add(), y, z, name="sum")))
    assert [(box.reads, box.follows) for box in boxes] == [((), True), (("input",), False), (("one", "two"), True)]


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (MBConv(40, 5, 6, 2, se=True), ("MBConv", "5\N{MULTIPLICATION SIGN}5", "e6", "/2", "se")),
        (ConvNormAct(8, act="hswish"), ("ConvNormAct", "1\N{MULTIPLICATION SIGN}1", "hswish")),
        (Conv(8, 3, groups=4, dilation=2), ("Conv", "3\N{MULTIPLICATION SIGN}3", "g4", "d2")),
    ],
)
def test_a_block_in_words(layer, words):
    net = Builder((8, 8, 8))
    assert describe_block(net.build(net.add(layer, *net.inputs, name="a")).spans[0].emission) == words


def test_a_sum_of_a_value_with_itself_is_a_sum():
    cell = lay_out(registry.create("spaces", "nb201:canonical=false").network((1,) * 6))[1].cell
    assert cell.values == ("in", "+", "+")
    assert sorted((edge.source, edge.target, *edge.lines) for edge in cell.edges) == [
        (0, 1, "skip"), (0, 1, "skip"), (0, 2, "skip"), (0, 2, "skip"), (1, 2, "skip"),
    ]  # fmt: skip


def test_a_recurrent_cell_is_a_graph():
    recipe = {
        "node_0": {"op": "linear", "input": ["x", "h_prev_0"]},
        "h_new_0": {"op": "activation_tanh", "input": ["node_0"]},
    }
    space = registry.create("spaces", "rnn")
    boxes = lay_out(space.network(space.parse(json.dumps(recipe))))
    (cell,) = {box.cell for box in boxes if box.cell}
    assert (cell.values, cell.inputs) == (("x", "h_prev_0", "linear", "h_new_0: tanh"), 2)
    assert [(edge.source, edge.target, edge.lines) for edge in cell.edges] == [(0, 2, ()), (1, 2, ()), (2, 3, ())]
    assert sum(box.times for box in boxes if box.cell) == 3


def test_what_shapes_do_not_say_is_written_in_the_box():
    for spec, words in (("vit", "units 672"), ("flexibert", "units 512")):
        space = registry.create("spaces", spec)
        assert any(words in box.lines for box in lay_out(space.network((0,) * len(space.genes))))


def drawn(network, path, monkeypatch, subtitle="subtitle"):
    """The figure of a picture."""
    figures = []
    monkeypatch.setattr("nasctl.drawing.canvas.save", lambda figure, *rest: figures.append(figure))
    draw(path, network, "id", subtitle)
    return figures[0]


def overlaps(network, path, monkeypatch):
    """Pairs of texts of a picture that lie on each other."""
    figure = drawn(network, path, monkeypatch)
    renderer = figure.canvas.get_renderer()
    texts = [text for text in figure.axes[0].texts if text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    return [
        (one, other)
        for (one, a), (other, b) in combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]


@pytest.mark.parametrize("spec", registry.names_without_options("spaces"))
def test_no_text_lies_on_another(spec, tmp_path, monkeypatch):
    assert overlaps(example(spec), tmp_path / "a.png", monkeypatch) == []


def test_a_long_subtitle_is_broken(tmp_path, monkeypatch):
    figure = drawn(example("nb201"), tmp_path / "a.png", monkeypatch, "key=value," * 5 + " parameters" * 20)
    renderer = figure.canvas.get_renderer()
    assert all(text.get_window_extent(renderer).x1 < figure.bbox.x1 for text in figure.axes[0].texts)


def test_the_same_architecture_is_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        draw(tmp_path / name, example("tnb101_micro"), "id", "subtitle")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    text = " ".join(ElementTree.fromstring((tmp_path / "a.svg").read_text()).itertext())
    assert "id" in text
    assert "module1" in text


@pytest.mark.parametrize("spec", ["mbconv", "nb201", "vit", "rnn"])
def test_a_network_is_an_svg_element_whose_colours_a_style_sheet_sets(spec):
    network = example(spec)
    narrow, wide = network_svg(network, 2.4), network_svg(network, 6.6)
    style = (files("nasctl.report") / "page.css").read_text()
    for text in (narrow, wide):
        picture = ElementTree.fromstring(text)
        assert {one.get("fill") or one.get("style") for one in picture.iter()} == {None}
        used = {word for one in picture.iter() for word in one.get("class", "").split() if word.startswith("n-")}
        assert all(f".{word} {{" in style for word in used), used
        width, height = float(picture.get("width")), float(picture.get("height"))
        for one in picture.iter("rect"):
            assert 0 <= float(one.get("x")) <= width - float(one.get("width"))
            assert 0 <= float(one.get("y")) <= height - float(one.get("height"))
    assert network_svg(example(spec), 2.4) == narrow
    words = [" ".join(box.lines) for box in lay_out(network) if box.cell is None]
    assert all(word in ElementTree.fromstring(wide).get("aria-label") for word in words)


def test_show_draws(tmp_path):
    path = tmp_path / "a.png"
    words = ("show", "22212220", "--space", "nbmacro", "--store", str(tmp_path / "none.db"), "--plot", str(path))
    done = typed(*words, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["native"] == "22212220"
    assert f"is in {path}" in done.stderr
    assert path.read_bytes()[:4] == b"\x89PNG"
    again = typed(*words)
    assert (again.exit_code, again.stdout) == (2, "")
    assert "exists; give another name, or replace it with --force" in again.stderr
    assert typed(*words, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [("a.jpg", "a picture is .png, .svg or .pdf"), ("none/a.png", "give a path that you may write to")],
)
def test_a_picture_that_cannot_be_written(name, said, tmp_path):
    done = typed("show", "22212220", "--space", "nbmacro", "--store", "none.db", "--plot", str(tmp_path / name))
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_space_show_has_the_sizes(tmp_path):
    done = typed("space", "show", "nb201", "--json", "--plot", f"{tmp_path}/new dir/")
    assert done.exit_code == 0, done.stderr
    shown = json.loads(done.stdout)["networks"]
    assert (shown["smallest"]["params"], shown["largest"]["params"]) == (73_306, 1_531_546)
    assert shown["smallest"]["macs"] < shown["median"]["macs"] < shown["largest"]["macs"] == 220_119_680
    assert (tmp_path / "new dir" / f"{shown['median']['id']}.png").exists()
    assert shown["proven"] is False
    space = registry.create("spaces", "mbconv")
    text = typed("space", "show", "mbconv").stdout
    assert "smallest and largest are proven" in text
    for genome in ((0,) * len(space.genes), tuple(len(gene.choices) - 1 for gene in space.genes)):
        assert f"{space.network(genome).params / 1e6:.4g} M" in text
    assert all(gene.name in text for gene in space.genes)
