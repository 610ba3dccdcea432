"""Foreign latency tables: published sums come back, and what is no table is refused in one sentence."""

import csv
import gzip
import json

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.api import ConvNormAct, MBConv, NasctlError
from nasctl.cli import cli
from nasctl.hardware.importers import LIMIT, Entry, dialect, dialect_names, merge, read_source, recognise_dialect
from nasctl.hardware.importers._table import key_without_size
from nasctl.hardware.table import LatencyTable
from nasctl.networks.graph import emission_of
from perf import phones

STEM = "Conv-input:224x224x3-output:112x112x24"
BLOCK = "expanded_conv-input:56x56x32-output:56x56x32-expand:{}-kernel:3-stride:1-idskip:1"
MOBILENETV3 = BLOCK + "-se:0-hs:0"


def run(*arguments):
    return CliRunner().invoke(cli, ["device", "import", *map(str, arguments)])


def imported(tmp_path, *arguments):
    path = tmp_path / "made.json"
    result = run(*arguments, "--name", "made", "-o", path, "--force")
    assert result.exit_code == 0, result.output
    return LatencyTable.load(str(path)), result


def rows_of(path, part=None):
    source = read_source(path)
    reading = dialect(recognise_dialect(source)).read(source.content, part)
    return {key: entry.ms for key, entry in merge(reading.entries).entries.items()}, reading


def keys(spec, kernels, expansions, depths):
    """Of the blocks of a network; kernels and expansions by block, or one for all."""
    space = registry.create("spaces", spec)
    per_block = {"kernel": kernels, "expand": expansions}
    genome, place = [], {"kernel": 0, "expand": 0}
    for gene in space.genes:
        what = gene.name.rpartition(".")[2]
        if what == "depth":
            wanted = depths[sum(name.endswith("depth") for name in [g.name for g in space.genes[: len(genome)]])]
        else:
            given = per_block[what]
            wanted = given if isinstance(given, int) else given[place[what]]
            place[what] += 1
        genome.append(gene.choices.index(wanted))
    return [(span.name, span.emission.key) for span in space.network(tuple(genome)).spans]


# The network of 30 ms that Once-for-All published for the Note10; blocks beyond a stage's depth are never read.
D30 = (2, 3, 3, 3, 4)
K30 = (3, 3, 3, 3, 5, 3, 3, 3, 5, 5, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3)
E30 = (3, 3, 3, 3, 4, 3, 4, 3, 4, 4, 3, 3, 6, 4, 4, 3, 6, 6, 4, 3)


def test_every_dialect_is_found_by_its_file_name():
    assert dialect_names() == ["fbnet", "nn_meter", "nsganetv2", "once_for_all", "proxyless"]
    assert dialect("once-for-all").claims({MOBILENETV3.format(96): 1.0})
    with pytest.raises(NasctlError, match="did you mean 'proxyless'"):
        dialect("proxylesss")


def test_note10_gives_the_published_sums(data, tmp_path):
    folder = data("mobile-lut") / "note10"
    table, result = imported(tmp_path, folder / "224_lookup_table.yaml", "--processor", "Samsung Note10")
    assert "96 rows read, 0 left out" in result.stderr
    assert "every block of: mbconv\n" in result.stderr
    assert (table.method, table.processor, table.operators) == ("measured", "Samsung Note10", None)
    assert sum(table.blocks[key].ms for _, key in keys("mbconv", K30, E30, D30)) == pytest.approx(
        29.965345915208594, abs=1e-7
    )
    (stem,) = [row for key, row in table.blocks.items() if key.endswith("@ 3x224x224")]
    assert stem == pytest.approx((0.994418, 1.349 * 0.01726798413249215, 500), abs=1e-9)
    for size, least, most in ((160, 9.890347, 47.773312), (224, 17.769056, 92.398038)):
        ms, _ = rows_of(folder / f"{size}_lookup_table.yaml")
        small, large = (keys(f"mbconv:resolution={size}", *one) for one in ((3, 3, [2] * 5), (7, 6, [4] * 5)))
        assert sum(ms[key] for _, key in small) == pytest.approx(least, abs=1e-6)
        assert sum(ms[key] for _, key in large) == pytest.approx(most, abs=1e-6)


def test_every_resolution_of_note10_is_covered_and_several_make_one_table(data, tmp_path):
    folder = data("mobile-lut") / "note10"
    paths = sorted(folder.glob("*.yaml"))
    assert len(paths) == 17
    assert all(len(rows_of(path)[1].entries) == 96 for path in paths)
    table, result = imported(tmp_path, *paths[-2:], "--model")
    assert "192 rows read" in result.stderr
    assert "every block of: mbconv:resolution=220, mbconv\n" in result.stderr
    (head,) = [row.ms for key, row in table.blocks.items() if key.startswith("Logits")]
    alone = [ms for path in paths[-2:] for key, ms in rows_of(path)[0].items() if key.startswith("Logits")]
    assert head == pytest.approx(sum(alone) / 2)
    assert "have several rows" in result.stderr
    assert any("their mean is taken" in note for note in table.inferred)
    (found,) = table.validation
    assert (found.against, found.spaces) == ("blocks", ())
    assert found.mape < 10
    assert set(table.source) == {path.name for path in paths[-2:]}
    assert table.command == "nasctl device import 220_lookup_table.yaml 224_lookup_table.yaml --model --name made"


def test_pixel1_gives_the_sums_of_its_source(data):
    ms, reading = rows_of(data("mobile-lut") / "pixel1_proxylessnas_pixel_trim.yaml")
    assert len(ms) == len(reading.entries) == 72
    sums = {(3, 3): 72.462422, (5, 3): 85.278567, (3, 6): 126.765646, (7, 6): 180.975184}
    for (kernel, expand), wanted in sums.items():
        found = keys("proxyless", kernel, expand, [4] * 5)
        assert sum(ms[key] for _, key in found) == pytest.approx(wanted, abs=1e-6)
    two = keys("proxyless", 3, 3, [2] * 5)
    assert sum(ms[key] for name, key in two if not name.endswith(".1")) == pytest.approx(32.708466, abs=1e-6)


def test_the_i7_gives_the_sums_of_its_source(data):
    ms, reading = rows_of(data("mobile-lut") / "i7-8700K_nsganetv2_lut.yaml.gz")
    assert len(ms) == len(reading.entries) == 4050
    small, large, middle = (3, 3, [2] * 5), (7, 6, [4] * 5), (5, 4, [3] * 5)
    sums = [
        ("width=1.0", small, 6.765468),
        ("width=1.0", large, 36.215678),
        ("width=1.0", middle, 15.017893),
        ("width=1.0,resolution=96", small, 4.122510),
        ("width=1.0,resolution=96", large, 13.555903),
        ("width=1.2", small, 8.023227),
        ("width=1.2", large, 45.928049),
        ("width=1.2", middle, 17.478652),
        ("width=1.2", (K30, E30, D30), 12.846481),
    ]
    for options, network, wanted in sums:
        found = [key for name, key in keys(f"mbconv:{options}", *network) if name != "pool"]  # the source has none
        assert sum(ms[key] for key in found) == pytest.approx(wanted, abs=1e-6)


# The transformer half of the network that the tables' description adds up: keys that nasctl leaves out, as they stand.
CONVS = [
    (ConvNormAct(16, 3, 2, act="hswish"), (3, 224, 224)),
    (MBConv(16, 3, 1, 1, "hswish"), (16, 112, 112)),
    (MBConv(24, 5, 5, 2, "hswish"), (16, 112, 112)),
    *[(MBConv(24, 5, 5, 1, "hswish"), (24, 56, 56))] * 2,
    (MBConv(40, 5, 6, 2, "hswish", se=True), (24, 56, 56)),
    *[(MBConv(40, 5, 6, 1, "hswish", se=True), (40, 28, 28))] * 3,
]
STAGES = ((28, 40, 64, 2, 2, 4, 2), (14, 64, 112, 1, 3, 4, 2), (14, 112, 192, 2, 4, 3, 2), (7, 192, 320, 2, 5, 3, 4))


@pytest.mark.parametrize(
    ("device", "total", "first"),
    [
        ("pixel1", 121.094390, 1.26956),
        ("pixel4", 59.377942, 0.6205579999999999),
        ("pixel6", 38.387515, 0.31045100000000003),
        ("xiaomi11", 60.085954, None),
    ],
)
def test_nn_meter_gives_the_sums_of_its_source(data, device, total, first):
    path = data("mobile-lut") / "nnmeter" / f"{device}_lut_ln_v3.json.gz"
    ms, reading = rows_of(path)
    assert len(ms) == len(reading.entries) == 1788 + 63 + 12
    assert dict(reading.left_out) == {"transformer blocks, which nasctl does not have": 7740 + 1436 + 1077}
    raw = read_source(path).content
    found = [ms[emission_of(block, (shape,)).key] for block, shape in CONVS]
    assert first is None or found[0] == first
    for size, inputs, outputs, stride, depth, ratio, scale in STAGES:
        found.append(raw[f"transds_{size}_{inputs}_{outputs}_{stride}_6"])
        small = size // stride
        attention = raw[f"transattn_{small}_{outputs}_hard_swish_{scale}_ln"]
        found += [attention, raw[f"transffn_{small}_{outputs}_{ratio}_hard_swish_ln"]] * depth
    found.append(next(ms[key] for key in ms if key.startswith("nn_meter.PooledHead") and key.endswith("@ 320x3x3")))
    assert sum(found) == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize(
    ("device", "chosen", "least", "most", "first"),
    [
        ("pixel3", 7.788973, 2.838628, 47.091801, 17.55774545),
        ("raspi4", 17.618579, 7.798226, 79.221628, 30.252860404143576),
        ("eyeriss", 3.940896, 2.788352, 9.787456, 5.229984),
        ("fpga", 10.739520, 0.0, None, 25.30272),
    ],
)
def test_fbnet_tables_are_exact_and_never_negative(data, tmp_path, device, chosen, least, most, first):
    folder = data("fbnet-latency")
    table, result = imported(tmp_path, folder / "derived_additive_lut.json", "--part", device)
    spec = "fbnet:cifar=true,classes=100,head=1504,resolution=32"
    assert f"every block of: {spec}" in result.stderr
    assert table.overhead == pytest.approx(least, abs=1e-6)
    space = registry.create("spaces", spec)
    with gzip.open(folder / "help_fbnet_latency_ms.csv.gz", "rt") as file:
        row = next(csv.DictReader(file))
    genome = tuple(int(row[gene.name]) for gene in space.genes)
    for one, wanted in (((0,) * 22, chosen), ((8,) * 22, least), ((7,) * 22, most), (genome, first)):
        assert wanted is None or table.latency(space.network(one)) == pytest.approx(wanted, abs=1e-6)
    assert float(row[f"lat_{device}"]) == pytest.approx(first, abs=1e-12)
    if device == "fpga":
        assert table.latency(space.network((7, *[3] * 21))) == pytest.approx(60.875520, abs=1e-6)


def test_expand_is_told_by_the_grammar_of_the_keys():
    wide = emission_of(MBConv(32, 3, 3), ((32, 56, 56),))
    (entry,) = dialect("once_for_all").read({MOBILENETV3.format(96): 1.5}, None).entries
    assert entry == Entry(wide, 1.5)
    (entry,) = dialect("proxyless").read({BLOCK.format(3): {"mean": 2.0, "var": 4.0, "count": 7}}, None).entries
    assert entry == Entry(emission_of(MBConv(32, 3, 3, act="relu6"), ((32, 56, 56),)), 2.0, 1.349 * 2, 7)
    with pytest.raises(NasctlError, match="expand is channels, not a ratio"):
        dialect("once_for_all").read({MOBILENETV3.format(3): 1.5}, None)
    with pytest.raises(NasctlError, match="expand is a ratio, not channels"):
        dialect("proxyless").read({BLOCK.format(96): 1.5}, None)
    with pytest.raises(NasctlError, match="expand is a ratio, not channels"):
        dialect("nsganetv2").read({MOBILENETV3.format(96).replace("expanded_conv", "MBConv"): 1.5}, None)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (MOBILENETV3.format(100), "no multiple of 8"),
        (MOBILENETV3.format(96).replace("idskip:1", "idskip:0"), "shortcut"),
        (MOBILENETV3.format(96).replace("output:56x56", "output:57x57"), "another size"),
        (MOBILENETV3.format(96).replace("kernel:3", "kernel:4"), "impossible sizes"),
        (MOBILENETV3.format(96).replace("stride:1", "stride:0"), "impossible sizes"),
        (MOBILENETV3.format(96).replace("56x56x32", "0x56x32"), "impossible sizes"),
        (MOBILENETV3.format(96).replace("56x56x32", "99999x56x32"), "impossible sizes"),
        (MOBILENETV3.format("9" * 5000), "does not have"),
        (MOBILENETV3.format(96).replace("-kernel:3", ""), "does not have"),
        ("Mystery-input:7x7x8-output:7x7x8", "does not have"),
        ("hello", "does not have"),
    ],
)
def test_a_row_that_no_block_stands_for_is_counted_and_left_out(key, reason):
    reading = dialect("once_for_all").read({STEM: 1.0, key: 1.0}, None)
    assert len(reading.entries) == 1
    ((found, number),) = reading.left_out.items()
    assert reason in found
    assert number == 1


def test_nn_meter_halves_odd_sizes_another_way():
    odd = {"conv_7_16_24_6_2_hard_swish_5_se": 1.0, "conv_8_16_24_6_2_hard_swish_5_se": 2.0}
    reading = dialect("nn_meter").read(odd, None)
    assert [entry.emission.key for entry in reading.entries] == [
        "MBConv(channels=24, kernel=5, expand=6, stride=2, act='hswish', se=True) @ 16x8x8"
    ]
    assert "halve an odd size" in next(iter(reading.left_out))


def test_a_negative_gauge_is_moved_into_the_overhead(tmp_path):
    layer = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, -0.5]
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"constant_ms": 20.0, "table_ms": [layer] * 22}))
    ms, reading = rows_of(path)
    assert min(ms.values()) == 0
    assert reading.overhead == 20 - 22 * 0.5
    path.write_text(json.dumps({"constant_ms": 20.0, "table_ms": [layer[::-1]] * 22}))
    with pytest.raises(NasctlError, match="costs over no layer"):  # a block that is cheaper than none
        rows_of(path)


GOOD = {"a.json": json.dumps({STEM: 1.0, MOBILENETV3.format(96): {"mean": 2.0, "std": 0.1, "count": 5}})}
BAD = {
    "a.txt": ("{}", "ends in none of"),
    "gone.json": (None, "No such file"),
    "text.json": ("latency: 5", "is no JSON"),
    "text.yaml": ("a: [1", "is no YAML"),
    "bytes.json": (b"\xff\xfe\x00", "is no JSON"),
    "list.json": ("[1, 2]", "is not an object"),
    "empty.yaml": ("", "is not an object"),
    "numbers.yaml": ("1: 2", "is not an object"),
    "other.json": ('{"a": 1}', "has no keys of a known format"),
    "text-for-ms.json": (json.dumps({MOBILENETV3.format(96): "fast"}), "is 'fast', not a number"),
    "negative.json": (json.dumps({MOBILENETV3.format(96): -1}), "not a number from 0"),
    "nan.json": (json.dumps({MOBILENETV3.format(96): float("nan")}), "is nan, not a number"),
    "huge.yaml": (f"{MOBILENETV3.format(96)}: 0x{'f' * 5000}", "not a number from 0"),
    "switch.json": (json.dumps({MOBILENETV3.format(96): True}), "of the type bool"),
    "no-mean.json": (json.dumps({MOBILENETV3.format(96): {"std": 1}}), 'has no "mean"'),
    "nothing.json": (json.dumps({MOBILENETV3.format(100): 1}), "no row of it is a block of nasctl"),
    "python.yaml": ("a: !!python/object/apply:os.system ['echo hacked']", "is no YAML"),
    "aliases.yaml": (
        "firstconv_8_3_16_2_3: &a [1, 1]\nb: &b [*a, *a]\nc: &c [*b, *b]\nfirstconv_8_3_24_2_3: [*c, *c]",
        "of the type list",
    ),
    "deep.json": ("[" * 100_000, "is no JSON"),
    "deep.yaml": ("[" * 100_000, "nests deeper than"),
    "bomb.json.gz": (gzip.compress(b" " * (LIMIT + 2), mtime=0), "over 16 MiB, too large"),
    "short.json.gz": (gzip.compress(b'{"a": 1}', mtime=0)[:12], "cannot be read"),
    "broken.json.gz": (gzip.compress(b'{"a": 1}' * 99, mtime=0)[:10] + b"\x07" * 20, "cannot be read"),
    "plain.yaml.gz": ("a: 1", "cannot be read"),
    "layers.json": ('{"constant_ms": 1, "table_ms": [[1, 2]]}', "not a list of 22 layers"),
    "several.json": (
        json.dumps({name: {"constant_ms": 1, "table_ms": []} for name in ("one", "two")}),
        "choose one with --part: one, two",
    ),
    "mixed.json": (
        json.dumps({MOBILENETV3.format(96): 1, "firstconv_8_3_16_2_3": 1}),
        "say which with --format nn_meter|once_for_all",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_table_is_refused_in_one_sentence(tmp_path, name):
    content, message = BAD[name]
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    result = run(tmp_path / name, "--name", "made", "-o", tmp_path / "made.json")
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert name in result.stderr
    assert not (tmp_path / "made.json").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--name", "../made"), "is no name for a device"),
        (("--name", "made", "-o", "made.txt"), "has to end in .json"),
        (("--name", "made", "-o", "a.json"), "is there already"),
        (("--name", "made", "--format", "onceforall"), "did you mean 'once_for_all'"),
        (("--name", "made", "--format", "proxyless"), "has no keys that only proxyless tables have"),
        (("--name", "made", "--part", "pixel3"), "leave --part pixel3 out"),
        (("--name", "made", "--csv", "times.csv"), "manifest.json cannot be read"),
        (("--name", "made", "--csv", "times.csv", "--model"), "--model is for foreign tables"),
        (("b/a.json", "--name", "made"), "have the same name"),
        (("b", "--name", "made"), "is a folder"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_one_sentence(tmp_path, monkeypatch, more, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    for path in ("a.json", "b/a.json"):
        (tmp_path / path).write_text(GOOD["a.json"])
    result = run("a.json", *more)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert (tmp_path / "a.json").read_text() == GOOD["a.json"]


def test_a_mixed_file_can_be_read_as_one_format(tmp_path):
    (tmp_path / "mixed.json").write_text(BAD["mixed.json"][0])
    table, result = imported(tmp_path, tmp_path / "mixed.json", "--format", "once-for-all", "--kind", "cpu")
    assert (len(table.blocks), table.kind) == (1, "cpu")
    assert "1 rows read, 1 left out" in result.stderr


@pytest.mark.parametrize("name", phones.DEVICES)
def test_a_shipped_model_has_no_row_of_its_source_and_is_as_good_as_it_says(name):
    table = LatencyTable.load(name)
    assert (table.method, table.monotone, dict(table.blocks)) == ("modelled", True, {})
    assert {one.against for one in table.validation} == {"sums", "blocks"}
    for one in table.validation:
        assert one.mape < (5 if one.against == "sums" else 10)
        assert one.spearman > 0.98
    space = registry.create("spaces", "proxyless")
    small, large = (table.latency(space.network(tuple(f(g) for g in space.genes))) for f in (lambda g: 0, _last))
    assert 0 < small < large


def _last(gene):
    return len(gene.choices) - 1


def test_a_shipped_model_comes_back_from_its_command(data, monkeypatch):
    data("mobile-lut")
    made, shipped = phones.table("pixel1"), LatencyTable.load("pixel1")
    assert made.digest == shipped.digest
    assert made.validation == shipped.validation


def test_blocks_that_differ_in_the_size_of_the_image_are_held_out_together():
    block = MBConv(24, 5, 5)
    groups = [
        key_without_size(emission_of(block, ((channels, size, size),)))
        for channels, size in ((24, 56), (24, 28), (16, 56))
    ]
    assert groups[0] == groups[1] == "MBConv(channels=24, kernel=5, expand=5) @ 24"
    assert groups[2] != groups[0]
