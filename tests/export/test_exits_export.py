"""Exports of networks with early exits: a Python file and ONNX files that run no stage too many."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from nasctl import registry
from nasctl.commands.export import _sentences
from nasctl.errors import NasctlError
from nasctl.export.export import Exported
from nasctl.export.request import ExportRequest
from nasctl.training.folder import CURRENT_STORE

OWN = """
import torch
from torch import nn

SIZE, MEAN, DEVIATION = (8, 8), (77.0,), (95.0,)


def net():
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, bias=False), nn.ReLU())
    return nn.Sequential(*made, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10))
"""


@pytest.fixture
def request_of(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    token = CURRENT_STORE.set(str(tmp_path / "store.db"))
    spec = f"exits:of={path}:net,data=digits,places=1,hidden=0,epochs=1,thresholds=0.9,0.12"

    def made(output, **options):
        return ExportRequest("2", (), tmp_path / output, spec, tmp_path / "store.db", **options)

    yield made
    CURRENT_STORE.reset(token)


def test_a_python_file_leaves_early(request_of, tmp_path, monkeypatch):
    said = []
    model, exported = replace(request_of("net"), formats=("python", "json")).run(said.append)
    assert exported.files["python"].difference.relative < 1e-5
    assert any("json: all stages run" in one for one in said)
    assert list(model.trained.result) == ["test", "validation"]
    sentence = next(_sentences(model, Exported({}, {})))
    assert (
        "expected MACs on 180 test" in sentence.replace("examples, ", "expected MACs on ")
        or "expected MACs" in sentence
    )
    assert "Exits       at probabilities above 0.12" in model.source
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("net", None)
    import net

    made, images = net.load(), torch.randn(40, 1, 8, 8)
    with torch.no_grad():
        logits = made.stage1(images)[0]
        made.THRESHOLDS = (float(logits.softmax(1).amax(1).median()),)
        found, left = made.leave(images)
        assert left.sum() == 20  # the lower median of 40 does not exceed itself
        assert torch.equal(found[left == 0], logits[left == 0])
        monkeypatch.setattr(made, "stage2", lambda *_: pytest.fail("ran too far"), raising=False)
        assert len(made(images[left == 0])) == 20
    sys.modules.pop("net", None)


@pytest.mark.slow  # torch's exporter takes seconds
def test_onnx_is_a_file_for_each_stage(request_of, tmp_path):
    import onnxruntime

    model, exported = request_of("net.onnx").run(lambda _: None)
    folder = exported.paths["onnx_stages"]
    content = json.loads((folder / "exits.json").read_text())
    assert folder.suffix == ".stages"
    assert [one["threshold"] for one in content["stages"]] == [0.12, None]
    assert list(content["result"]) == ["test", "validation"]
    names = {}
    code = (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    exec(
        code.replace('"exits.json"', repr(str(folder / "exits.json"))).replace(
            'stage["file"]', f'"{folder}/" + stage["file"]'
        ),
        names,
    )
    pixels = torch.randint(256, (20, 1, 8, 8)).float()
    with torch.no_grad():
        expected = model.deployed(pixels)
    found = np.concatenate([names["classify"](one[None].numpy()) for one in pixels])
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-4)
    ran = [len(session.get_inputs()) for session in names["sessions"]]
    assert (len(ran), onnxruntime.__name__) == (2, "onnxruntime")
    with pytest.raises(NasctlError, match="exists"):
        request_of("net.onnx").run(lambda _: None)
    request_of("net.onnx", force=True).run(lambda _: None)


def test_networks_without_exits_have_no_stages(tmp_path):
    with pytest.raises(NasctlError, match="no early exits"):
        ExportRequest("0,0,0,0,0,0,0,0", ("onnx_stages",), tmp_path, "nbmacro:resolution=8", tmp_path / "store.db").run(
            lambda _: None
        )


def test_exits_are_not_quantised_on_the_way(request_of):
    with pytest.raises(NasctlError, match="variant of a trained network"):
        request_of("net.onnx", int8=True).run(lambda _: None)


def test_a_network_with_exits_gets_no_more(request_of, tmp_path):
    request_of("net.pt").run(lambda _: None)
    with pytest.raises(NasctlError, match="early exits already"):
        registry.create("spaces", f"exits:of={tmp_path / 'net.pt'},data=digits")
