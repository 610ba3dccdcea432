"""Exports of trained networks have weights, classes and normalisation inside, and are as accurate as the network."""

import json
import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from export.test_export import alone
from export.trained_file import GENOME, NAMES, SPEC, facts, write_trained
from PIL import Image

import nasctl
from nasctl import registry
from nasctl.api import NasctlError
from nasctl.cli import cli
from nasctl.export import int8
from nasctl.export.accuracy import data_of_training
from nasctl.export.formats import FORMATS, STAGES
from nasctl.export.trained import trained_model, weights_file
from nasctl.training import trained_weights
from nasctl.training.labelled import training_data

BUILT_IN = [name for name, one in FORMATS.items() if not one.extra and name != STAGES]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The file of a trained network, and its data."""
    path = tmp_path_factory.mktemp("trained") / "weights.safetensors"
    return path, write_trained(path)


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory):
    """The folder of an export in every format of nasctl's own dependencies, and what the command printed."""
    folder = tmp_path_factory.mktemp("files")
    words = ["--weights", trained[0], "--format", ",".join(BUILT_IN), "--int8", "--json", "-o", folder]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8, "TIMED_SECONDS", 0.1)
        done = typed("export", *words)
    assert done.exit_code == 0, done.stderr
    return folder, json.loads(done.stdout), done.stderr


def typed(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def validation(data):
    images, labels = data.examples("validation", np.arange(data.size("validation")))
    return torch.from_numpy(images), torch.from_numpy(labels)


def own_outputs(path, images):
    """Outputs of the network for pixels, computed without the export."""
    weights, told = trained_weights.read(path)
    module = registry.create("spaces", told.space).network(told.genome).module().eval()
    module.load_state_dict(weights)
    mean, deviation = (torch.tensor(values).view(1, -1, 1, 1) for values in (told.mean, told.deviation))
    with torch.no_grad():
        return module((images.float() - mean) / deviation)


def test_every_file_is_as_accurate_as_the_network(trained, files):
    path, data = trained
    images, labels = validation(data)
    right = int((own_outputs(path, images).argmax(1) == labels).sum())
    assert 0.5 * len(labels) < right < len(labels)  # it has learned something, and not everything
    shown = files[1]["files"]
    assert shown.keys() == {*BUILT_IN, "int8"}
    for name in BUILT_IN:
        found = {"right": right, "expected": right, "changed": 0, "total": len(labels)}
        assert shown[name]["accuracy"] == found, name
        assert f"{name}: largest difference" in files[2]
    assert f"{right} of {len(labels)} validation images right" in files[2]


def test_programs_take_pixels_and_name_the_classes(trained, files):
    import onnx
    import onnxruntime

    folder, content, _ = files
    images, _ = validation(trained[1])
    pixels, expected = images[:9].float(), own_outputs(trained[0], images[:9])
    session = onnxruntime.InferenceSession(content["files"]["onnx"]["path"])
    (found,) = session.run(None, {"input": pixels.numpy()})
    program = torch.export.load(folder / "digits-net.pt2", extra_files=(extra := {"architecture.json": ""}))
    for outputs in (torch.from_numpy(found), program.module()(pixels)):
        torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    properties = onnx.load(content["files"]["onnx"]["path"]).metadata_props
    state = torch.load(folder / "digits-net.pt", weights_only=True)
    told = [
        {one.key: json.loads(one.value) for one in properties},
        json.loads(extra["architecture.json"]),
        json.loads(state._metadata[""]["nasctl"]),
        json.loads((folder / "digits-net.json").read_text()),
    ]
    for one in told:
        assert one["class_names"] == list(NAMES)
        assert one["image_size"] == [16, 16]
        assert one["mean"] == list(trained[1].mean)
        assert one["training"] == "digits-net"
        assert one["result"]["validation"]["accuracy"] == 0.75
    assert onnx.load(folder / "digits-net.int8.onnx").metadata_props == properties


def test_the_python_file_classifies_photos_without_nasctl(trained, files, tmp_path):
    images, _ = validation(trained[1])
    expected = own_outputs(trained[0], images[:2]).softmax(1)
    for k in range(2):
        Image.fromarray(images[k].numpy().transpose(1, 2, 0)).save(tmp_path / f"{k}.png")
    script = files[0] / "digits_net.py"
    run = 'sys.argv[:] = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name="__main__")'
    lines = [line.split("\t") for line in alone(run, script, tmp_path / "0.png", tmp_path / "1.png").splitlines()]
    assert len(lines) == 10
    for k in range(2):
        best = expected[k].argsort(descending=True)[:5].tolist()
        shown = [line for line in lines if line[0] == str(tmp_path / f"{k}.png")]
        assert [line[2] for line in shown] == [NAMES[place] for place in best]
        assert [line[1] for line in shown] == [f"{expected[k, place]:.4f}" for place in best]


def test_the_python_file_says_what_it_was_trained_on_and_is_tidy(files):
    text = (files[0] / "digits_net.py").read_text()
    assert "Data        digits split=0.8-0.1-0.1 seed=0" in text
    assert "Accuracy    0.7500 ± 0.0300 on 179 validation examples" in text
    assert "digits-net.pt, a state dict of `Net`, beside this file" in text
    for words in (["format", "--check"], ["check", "--select", "E,F,W,I,B,UP,SIM,RUF"]):
        command = [sys.executable, "-m", "ruff", *words, "--isolated", "--no-cache", "--line-length", "120", files[0]]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_int8_states_what_it_costs_and_gains(files):
    import onnx

    found, told = files[1]["files"]["int8"], files[2]
    nodes = {node.op_type for node in onnx.load(found["path"]).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= nodes
    total = found["int8"]["total"]
    assert found["float32"]["right"] == files[1]["files"]["onnx"]["accuracy"]["right"]
    assert found["lost"] - found["gained"] == found["float32"]["right"] - found["int8"]["right"]
    assert abs(found["float32"]["right"] - found["int8"]["right"]) < 0.1 * total
    assert found["size"][1] < found["size"][0]
    assert min(found["ms"]) > 0
    assert "int8: accuracy" in told
    assert ("times as fast" in told) != ("SLOWER" in told)


def test_the_weights_name_the_network(trained, tmp_path):
    done = typed("export", "--weights", trained[0], "--format", "json", "-o", tmp_path / "a.json")
    assert done.exit_code == 0, done.stderr
    other = ",".join(map(str, (0, *GENOME[1:])))
    refused = typed("export", "--weights", trained[0], "--space", SPEC, "--arch", other, "-o", tmp_path / "b.json")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "another network. Leave --arch out" in refused.stderr
    same = ",".join(map(str, GENOME))  # of the space as it was searched, with another number of classes
    words = ["--space", f"{SPEC},classes=100", "--arch", same, "-o", tmp_path / "c.json"]
    done = typed("export", "--weights", trained[0], *words)
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "c.json"]


def test_trainings_of_the_store_are_found_by_name(trained, tmp_path):
    for name in ("nb201-aaaa", "nb201-abbb", "mbconv-1"):
        (tmp_path / "s-trainings" / name).mkdir(parents=True)
        if name != "mbconv-1":
            (tmp_path / "s-trainings" / name / "weights.safetensors").write_bytes(trained[0].read_bytes())
    store = tmp_path / "s.db"
    home = tmp_path / "s-trainings"
    assert weights_file("nb201-ab", store) == home / "nb201-abbb" / "weights.safetensors"
    assert weights_file(str(home / "nb201-aaaa"), store) == home / "nb201-aaaa" / "weights.safetensors"
    mistakes = {"nb201": "2 trainings of .* begin so", "mbconv": "has not ended", "vit": "no training of the store"}
    for name, sentence in mistakes.items():
        with pytest.raises(NasctlError, match=sentence):
            weights_file(name, store)


def test_without_the_data_random_examples_are_compared(trained, tmp_path):
    weights, _ = trained_weights.read(trained[0])
    trained_weights.write(tmp_path / "w", weights, facts(mean=(1.0, 2.0, 3.0), deviation=(4.0, 5.0, 6.0)))
    done = typed("export", "--weights", tmp_path / "w", "-o", tmp_path / "net.py")
    assert done.exit_code == 0, done.stderr
    assert "compared on random examples: the data of the training, gone#12345678" in done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "net.py"), str(tmp_path / "net.pt")]
    for words in (["--int8"], ["--data", "digits"]):
        done = typed("export", "--weights", tmp_path / "w", "-o", tmp_path / "other.onnx", *words)
        assert (done.exit_code, done.stdout) == (2, ""), words
        assert ("Give its path with --data" in done.stderr) == (words == ["--int8"])
    assert {path.name for path in tmp_path.iterdir()} == {"w", "net.py", "net.pt"}


def test_options_of_trained_networks_are_refused_for_untrained_ones(tmp_path):
    for words in (["--int8"], ["--data", "digits"]):
        done = typed("export", "--space", SPEC, "--arch", "0,0,0,0,0,0", "-o", tmp_path / "a.onnx", *words)
        assert (done.exit_code, list(tmp_path.iterdir())) == (2, [])
        assert "the network is untrained. Give --weights TRAINING." in done.stderr
    assert "Give --arch ID, or --weights TRAINING." in typed("export").stderr


def test_tensors_of_another_network_are_refused(trained, tmp_path):
    weights, told = trained_weights.read(trained[0])
    weights.pop(next(iter(weights)))
    trained_weights.write(tmp_path / "w", weights, told)
    with pytest.raises(NasctlError, match="its tensors are not those of nb201"):
        trained_model(tmp_path / "w")


def test_a_space_as_it_was_searched_gets_the_classes_of_the_data(tmp_path):
    spec = f"{SPEC},classes=3"
    module = registry.create("spaces", spec).network(GENOME).module()
    told = facts(space=SPEC, class_names=("a", "b", "c"), mean=(0.0,) * 3, deviation=(1.0,) * 3)
    trained_weights.write(tmp_path / "w", module.state_dict(), told)
    assert trained_model(tmp_path / "w").classes == ("a", "b", "c")


def test_a_network_of_words_is_exported_with_its_weights(tmp_path, capsys, monkeypatch):
    spec = "rnn:vocabulary=50,length=8,width=8,hidden=8"
    space = registry.create("spaces", spec)
    genome = space.canonical(tuple(0 for _ in space.genes))
    module = space.network(genome).module()
    result = {"test": {"loss": 5.0, "accuracy": None, "perplexity": 148.4, "examples": 100, "error": 0.1}}
    data = "novel.txt#12345678 split=0.8-0.1-0.1"
    told = facts(space=spec, genome=genome, task="next words", class_names=None, data=data, result=result)
    trained_weights.write(tmp_path / "w", module.state_dict(), told)
    paths = nasctl.export(weights=tmp_path / "w", formats="python,torch", output=tmp_path / "words.py")
    text = paths["python"].read_text()
    assert "Perplexity  148.4 on 100 test examples" in text
    assert "there is no function that predicts text" in text
    assert "Pillow" not in text
    monkeypatch.setattr(sys, "argv", ["words.py"])
    runpy.run_path(paths["python"], run_name="__main__")
    assert "(1, 8, 50), " in capsys.readouterr().out
    with pytest.raises(NasctlError, match="it learned next words, and --int8 is for networks that classify images"):
        nasctl.export(weights=tmp_path / "w", output=tmp_path / "words.onnx", int8=True)


def test_renamed_data_is_known_by_its_digest(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(30):
        (tmp_path / "new name" / f"class{k % 2}").mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / "new name" / f"class{k % 2}" / f"{k}.png")
    space = registry.create("spaces", f"{SPEC},classes=2")
    data = training_data(str(tmp_path / "new name"), space.input, 2, "0.8,0.1,0.1", 0)
    old = str(data).replace("new name", "old name")
    told = facts(space=f"{SPEC},classes=2", data=old, mean=data.mean, deviation=data.deviation, class_names=("a", "b"))
    trained_weights.write(tmp_path / "w", space.network(GENOME).module().state_dict(), told)
    found = data_of_training(trained_model(tmp_path / "w"), str(tmp_path / "new name"))
    assert str(found) == str(data)
    with pytest.raises(NasctlError, match="was trained on old name"):
        data_of_training(trained_model(tmp_path / "w"), "digits")
