"""A kit for devices elsewhere: what is written, how it goes on, and the table that comes of the times."""

import json
from collections import deque
from itertools import islice

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner

from nasctl import __version__, registry
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.hardware.distinct_blocks import distinct_blocks
from nasctl.hardware.profiling import kit, kit_text, shared_weights, timed_network

TINY = "nb201:channels=4,cells=1,resolution=8"
NORMAL = registry.normal("spaces", TINY)
BLOCKS = len(distinct_blocks(registry.create("spaces", TINY)))


class Exporter:
    """Writes small files quickly, counts them, and can be told to be interrupted."""

    def __init__(self, stop=None):
        self.calls, self.stop = 0, stop

    def __call__(self, module, inputs):
        self.calls += 1
        if self.calls == self.stop:
            raise KeyboardInterrupt
        params = sum(one.numel() for one in module.parameters())
        return onnx.ModelProto(doc_string=f"{params} {inputs[0].shape}").SerializeToString()


def typed(monkeypatch, exporter, folder, *more):
    monkeypatch.setattr(kit, "to_onnx", exporter)
    return CliRunner().invoke(cli, ["device", "kit", "--space", TINY, "-o", str(folder), *map(str, more)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A kit of 40 networks."""
    assert typed(monkeypatch, Exporter(), tmp_path / "kit").exit_code == 0
    return tmp_path / "kit"


def block_ms(span):
    return 0.02 + span.emission.macs / 1e5


def times(folder, network_ms, networks=40, **changes):
    """A CSV of all blocks and some networks; `network_ms` makes what a network takes of what its blocks do."""
    made = kit.Kit.read(folder)
    found = kit.kit_networks(made.models.values())
    lines, left = ["file, ms, iqr, n"], networks
    for file, piece in made.models.items():
        ms = sum(map(block_ms, found[file].spans))
        if piece.genome is not None:
            left -= 1
            if left < 0:
                continue
            ms = network_ms(ms)
        lines.append(f"./{file}, {changes.get(file, ms):.9f}, 0.001, 50")
    (folder.parent / "times.csv").write_text("\n".join(lines))
    return folder.parent / "times.csv"


def test_files_run_with_weights_that_they_share(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_weights, "MIN_BYTES", 16)
    whole = kit.kit_models([NORMAL], 1, 0)
    chosen = [next(f for f in whole if f.startswith(head)) for head in ("Add", "nb201.Reduction", "network-")]
    made = kit.open_kit(tmp_path / "kit", [NORMAL], 2, 0)
    (*_, made) = kit.write_models(tmp_path / "kit", made, {file: whole[file] for file in chosen})
    assert list(made.models) == chosen
    assert list((tmp_path / "kit").glob("weights-*.bin"))
    for file, network in kit.kit_networks(made.models.values()).items():
        module, inputs = timed_network.instantiate(network, 2, 0)
        session = onnxruntime.InferenceSession(tmp_path / "kit" / file, providers=["CPUExecutionProvider"])
        assert [tuple(one.shape) for one in session.get_inputs()] == [(2, *shape) for shape in made.models[file].inputs]
        (out,) = session.run(None, {f"input{k}": one.numpy() for k, one in enumerate(inputs)})
        with torch.no_grad():
            expected = module(*inputs).numpy()
        assert out.shape == expected.shape
        assert np.isfinite(out).all()
        assert np.allclose(out, expected, atol=1e-5) == file.startswith("Add")  # it has no weights
        assert b".py" not in (tmp_path / "kit" / file).read_bytes()  # no folder of the machine that made it


def test_shared_weights_have_the_scale_of_the_tensors(tmp_path):
    values = {"small": np.ones(3), "wide": np.random.default_rng(0).normal(0, 0.26, 4000), "zero": np.zeros(2000)}
    values |= {"deep": np.random.default_rng(1).normal(0, 0.24, 9000), "one": np.ones(2000)}
    tensors = [onnx.numpy_helper.from_array(one.astype(np.float32), name) for name, one in values.items()]
    content = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], tensors)).SerializeToString()
    (tmp_path / "a.onnx").write_bytes(shared_weights.share_weights(content, tmp_path, ""))
    assert sorted(path.name for path in tmp_path.glob("*.bin")) == ["weights-minus-2.bin", "weights-zero.bin"]
    assert (tmp_path / "weights-minus-2.bin").stat().st_size == 4 * 9000  # as long as the largest
    assert len((tmp_path / "a.onnx").read_bytes()) < 10_000
    found = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(tmp_path / "a.onnx").graph.initializer}
    assert {name: one.shape for name, one in found.items()} == {name: one.shape for name, one in values.items()}
    assert found["deep"].std() == pytest.approx(0.25, rel=0.05)
    assert np.array_equal(found["wide"], found["deep"][:4000])  # one file, read from its beginning
    assert found["zero"].any() == np.False_
    assert np.array_equal(found["one"], values["one"])


def test_a_kit_has_every_block_and_different_networks(folder):
    content = json.loads((folder / "manifest.json").read_text())
    assert (content["schema"], content["spaces"], content["batch"]) == (1, [NORMAL], 1)
    files = content["files"]
    keys = [one["what"] for one in files if one["genome"] is None]
    assert sorted(keys) == list(distinct_blocks(registry.create("spaces", TINY)))
    assert len({one["what"] for one in files if one["genome"] is not None}) == 40
    assert sorted(path.name for path in folder.glob("*.onnx")) == sorted(one["file"] for one in files)
    assert all(folder.joinpath(one["file"]).stat().st_size for one in files)
    assert "file,ms,iqr,n" in (folder / "README.txt").read_text()


def test_a_kit_goes_on_where_it_stopped(tmp_path, monkeypatch):
    folder = tmp_path / "kit"
    stopped = typed(monkeypatch, Exporter(stop=8), folder, "--networks", 2)
    assert stopped.exit_code == 130
    assert len(kit.Kit.read(folder).models) == 7
    done = typed(monkeypatch, rest := Exporter(), folder, "--networks", 2)
    assert (done.exit_code, rest.calls) == (0, BLOCKS + 2 - 7)
    assert f"{BLOCKS} blocks and 2 whole networks" in done.stderr
    assert "left" in done.stderr
    before = (folder / "manifest.json").read_text()
    damaged = next(folder.glob("Add*.onnx"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert typed(monkeypatch, again := Exporter(), folder, "--networks", 2).exit_code == 0
    assert (again.calls, (folder / "manifest.json").read_text()) == (1, before)
    assert typed(monkeypatch, more := Exporter(), folder, "--networks", 5).exit_code == 0
    assert more.calls == 3
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_what_is_no_kit_of_the_same_is_left_alone(folder, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("")
    (tmp_path / "file").write_text("")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "manifest.json").write_text('{"name": "an app", "files": []}')
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "manifest.json").write_text('{"schema": 0, "files": []}')
    for name, more, sentence in (
        ("photos", (), "holds other files; give a new or empty folder"),
        ("file", (), "cannot be a folder"),
        ("new", (), "is no manifest of a kit"),
        ("old", (), "has the schema 0, not 1"),
        ("kit", ("--batch", 2), "is a kit of the batch 1, not 2"),
        ("kit", ("--space", "nbmacro"), "is a kit of the spaces"),
        ("kit", ("--seed", 1), "is a kit of the seed 0, not 1"),
    ):
        refused = typed(monkeypatch, exporter := Exporter(), tmp_path / name, *more)
        assert (refused.exit_code, exporter.calls) == (2, 0)
        assert sentence in refused.stderr


OLD = """{
 "schema": 1,
 "nasctl": "0.0.9",
 "spaces": ["SPACE"],
 "batch": 4,
 "seed": 0,
 "files": [
  {"file": "Add-0.onnx", "space": "SPACE", "what": "Add() @ 4", "genome": null, "inputs": [[4, 8, 8], [4, 8, 8]], \
"sha256": "ab"},
  {"file": "network-n.onnx", "space": "SPACE", "what": "n", "genome": [0, 1], "inputs": [[3, 8, 8]], "sha256": ""}
 ]
}
""".replace("SPACE", NORMAL)


def test_the_manifest_of_an_older_release_is_read(tmp_path):
    (tmp_path / "manifest.json").write_text(OLD)
    found = kit.Kit.read(tmp_path)
    block = kit.KitModel("Add-0.onnx", NORMAL, "Add() @ 4", None, ((4, 8, 8), (4, 8, 8)), "ab")
    network = kit.KitModel("network-n.onnx", NORMAL, "n", (0, 1), ((3, 8, 8),), "")
    assert found == kit.Kit((NORMAL,), 4, 0, {"Add-0.onnx": block, "network-n.onnx": network})
    found.save(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == OLD.replace("0.0.9", __version__)


def test_a_bad_manifest_names_the_field_and_its_value(tmp_path):
    content = json.loads(OLD)
    block, network = content["files"]
    lacking = {name: value for name, value in block.items() if name != "sha256"}
    for changes, sentence in (
        ({"batch": 0}, "its field 'batch' is 0, not a whole number above 0"),
        ({"batch": True}, "its field 'batch' is true, not a whole number above 0"),
        ({"seed": 1.5}, "its field 'seed' is 1.5, not a whole number"),
        ({"spaces": [3]}, "its field 'spaces': [0] is 3, not a string"),
        ({"files": {}}, "its field 'files' is {}, not a list"),
        ({"files": [block, lacking]}, "its field 'files': [1] lacks the field 'sha256'"),
        (
            {"files": [network | {"genome": [0, "1"]}]},
            "its field 'files': [0]: 'genome': [1] is \"1\", not a whole number",
        ),
        *(
            (
                {"files": [block | {"file": name}]},
                f"'file' is {json.dumps(name)}, not the name of a file beside the manifest",
            )
            for name in ("", ".", "..", "/etc/passwd", "../a.onnx", "a/", "..\\a.onnx", "C:a", "a\0")
        ),
    ):
        (tmp_path / "manifest.json").write_text(json.dumps(content | changes))
        with pytest.raises(NasctlError) as error:
            kit.Kit.read(tmp_path)
        assert sentence in str(error.value)
        assert str(error.value).startswith(f"{tmp_path / 'manifest.json'} is no manifest of a kit, its field ")
    for text, sentence in (("[]", "it is [], not an object"), ('{"seed": 1, "seed": 2}', "'seed' is there twice")):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(NasctlError, match="is no manifest of a kit") as error:
            kit.Kit.read(tmp_path)
        assert sentence in str(error.value)


def test_times_make_a_table_that_its_networks_check(folder):
    path = times(folder, lambda ms: 1.25 * ms + 0.5)
    table = kit.import_times(folder, path, "board", "mobile", processor="Some", runtime="TFLite 2.1", threads=4)
    assert (table.device, table.kind, table.method, table.batch) == ("board", "mobile", "measured", 1)
    assert (table.processor, table.runtime, table.threads) == ("Some", "TFLite 2.1", 4)
    spans = distinct_blocks(registry.create("spaces", TINY))
    assert table.blocks.keys() == spans.keys()
    for key, row in table.blocks.items():
        assert row == (pytest.approx(block_ms(spans[key])), 0.001, 50)
    of_networks, of_blocks = table.validation
    assert (of_networks.number, of_networks.spaces, of_networks.against) == (20, (NORMAL,), "networks")
    assert of_networks.mape < 0.1  # it is exactly as half of the networks say
    assert of_networks.spearman > 0.999
    assert of_blocks.against == "blocks"
    assert table.operators
    assert not table.inferred
    table.save(folder.parent / "board.json")
    assert kit.LatencyTable.load(str(folder.parent / "board.json")) == table


def test_the_command_imports_a_kit(folder, tmp_path):
    path, out = times(folder, lambda ms: ms + 0.5, 12), tmp_path / "board.json"
    words = ["device", "import", folder, "--csv", path, "--name", "board", "--kind", "cpu", "-o", out]
    refused = CliRunner().invoke(cli, list(map(str, words)))
    assert (refused.exit_code, out.exists()) == (2, False)
    assert f"lacks 28 of {BLOCKS + 40} files" in refused.stderr
    done = CliRunner().invoke(cli, list(map(str, [*words, "--partial"])))
    assert done.exit_code == 0, done.output
    table = kit.LatencyTable.load(str(out))
    assert (table.kind, len(table.blocks), table.overhead) == ("cpu", BLOCKS, pytest.approx(0.5))
    assert table.command.startswith("nasctl device import kit --csv times.csv ")


@pytest.mark.parametrize(("networks", "overhead", "checked"), [(12, 0.5, 6), (9, 0.0, 9), (0, 0.0, None)])
def test_few_networks_give_a_share_and_an_overhead_and_fewer_none(folder, networks, overhead, checked):
    path = times(folder, lambda ms: ms + 0.5, networks)
    table = kit.import_times(folder, path, "board", "cpu", partial=True)
    assert table.overhead == pytest.approx(overhead, abs=1e-5)
    found = table.validated(TINY)
    assert (found and found.number) == checked
    if checked:
        assert (found.mape < 0.01) == (overhead > 0)
    assert f"the source lacks {40 - networks} of {BLOCKS + 40} files (network-" in table.inferred[0]


def test_networks_may_be_faster_than_their_blocks(folder):
    table = kit.import_times(folder, times(folder, lambda ms: 0.9 * ms, 12), "board", "cpu", partial=True)
    assert table.overhead == pytest.approx(0, abs=1e-6)
    assert table.context == {"alone": pytest.approx(0.9, abs=1e-5)}
    assert table.validated(TINY).mape < 0.01


def test_a_block_without_a_time_is_modelled(folder):
    path = times(folder, lambda ms: ms)
    lines = path.read_text().splitlines()
    gone = next(line for line in lines if "Add" in line)
    path.write_text("\n".join(line for line in lines if line != gone))
    with pytest.raises(NasctlError, match=r"lacks 1 of \d+ files \(Add-\w+.onnx\); time them, or add --partial"):
        kit.import_times(folder, path, "board", "cpu")
    table = kit.import_times(folder, path, "board", "cpu", partial=True)
    (key,) = distinct_blocks(registry.create("spaces", TINY)).keys() - table.blocks.keys()
    assert key.startswith("Add()")
    assert table.block(distinct_blocks(registry.create("spaces", TINY))[key].emission).origin == "modelled"


def test_times_that_are_none_are_refused_in_a_sentence(folder, tmp_path):
    path = tmp_path / "bad.csv"
    first, second = islice(kit.Kit.read(folder).models, 2)
    for text, sentence in (
        ("file,milliseconds\n", "it has to begin with the line file,ms"),
        ("file,ms,ms\n", "it has to begin with the line file,ms"),
        ("file,ms,device\n", "it has to begin with the line file,ms"),
        ("", "it has to begin with the line file,ms"),
        ("file,ms\nx.onnx,1\n", "line 2: the kit has no file 'x.onnx'"),
        (f"file,ms\n{first},1\n{second},1\n{first},1\n", f"line 4: {first} is there twice"),
        (f"file,ms\n{first},0\n", "line 2: ms is '0', not a number above 0"),
        (f"file,ms\n{first},-1\n", "not a number above 0"),
        (f"file,ms\n{first},nan\n", "line 2: ms is 'nan', not a number"),
        (f"file,ms\n{first},inf\n", "ms is 'inf', not a number"),
        (f"file,ms\n{first},fast\n", "ms is 'fast', not a number"),
        (f"file,ms\n{first},\n", "not a number above 0"),
        (f"file,ms\n{first}\n", "not a number above 0"),
        (f"file,ms\n{first},1,2\n", "has more fields than the first line"),
        (f"file,ms,n\n{first},1,1.5\n", "n a whole number above 0"),
        (f"file,ms,iqr\n{first},1,-1\n", "iqr has to be 0 or more"),
        ("file,ms\n", f"lacks {BLOCKS + 40} of {BLOCKS + 40} files"),
    ):
        path.write_text(text)
        with pytest.raises(NasctlError) as caught:
            kit.import_times(folder, path, "board", "cpu")
        assert sentence in str(caught.value)
    with pytest.raises(NasctlError, match="cannot read"):
        kit.import_times(folder, tmp_path / "none.csv", "board", "cpu")
    with pytest.raises(NasctlError, match="time of no block"):
        kit.import_times(folder, path, "board", "cpu", partial=True)
    with pytest.raises(NasctlError, match="make one with `nasctl device kit`"):
        kit.import_times(tmp_path, path, "board", "cpu")


def test_whole_networks_alone_are_for_adapting(tmp_path, monkeypatch):
    folder = tmp_path / "kit"
    done = typed(monkeypatch, Exporter(), folder, "--networks", 3, "--only-networks")
    assert done.exit_code == 0, done.output
    assert len(list(folder.glob("network-*.onnx"))) == len(kit.Kit.read(folder).models) == 3
    assert f"then: nasctl device adapt --csv {folder / 'times.csv'} --name NAME" in done.stderr
    assert kit_text.ADAPT in (folder / "README.txt").read_text()
    (tmp_path / "times.csv").write_text(f"file,ms\n{next(iter(kit.Kit.read(folder).models))},3\n")
    words = ["device", "import", str(folder), "--csv", str(tmp_path / "times.csv"), "--name", "x", "--partial"]
    refused = CliRunner().invoke(cli, words)
    assert refused.exit_code == 2
    assert "nasctl device adapt" in refused.stderr


def test_the_script_has_as_many_blocks_in_turn_as_a_network_has(folder):
    text = (folder / "time_kit.py").read_text()
    compile(text, "time_kit.py", "exec")
    assert "import nasctl" not in text
    space = registry.create("spaces", NORMAL)
    lengths = [len(space.network(m.genome).spans) for m in kit.Kit.read(folder).models.values() if m.genome is not None]
    assert f"\nTURN = {round(np.median(lengths))} " in text


@pytest.mark.slow  # exports a large network
def test_a_kit_of_mbconv_has_less_than_100_mb(tmp_path):
    """All networks are taken to be as large as the largest, and all blocks, too."""
    spec = registry.normal("spaces", "mbconv")
    wanted = kit.kit_models([spec], 40, 0)
    networks = kit.kit_networks(wanted.values())
    number = {False: 0, True: 0}
    for model in wanted.values():
        number[model.genome is None] += 1
    assert number == {True: 96, False: 40}
    largest = {
        alone: max((f for f, one in wanted.items() if (one.genome is None) == alone), key=lambda f: networks[f].params)
        for alone in number
    }
    chosen = {file: wanted[file] for file in largest.values()}
    deque(kit.write_models(tmp_path / "kit", kit.open_kit(tmp_path / "kit", [spec], 1, 0), chosen), maxlen=0)
    size = {path.name: path.stat().st_size for path in (tmp_path / "kit").iterdir()}
    weights = sum(bytes for name, bytes in size.items() if name.startswith("weights-"))
    assert 5e6 < weights < 50e6
    assert weights + sum(number[alone] * size[file] for alone, file in largest.items()) < 100e6
