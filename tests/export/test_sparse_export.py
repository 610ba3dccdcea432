"""Exports of sparse networks: packed weights in Python files, and zeros in ONNX files."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from export.test_compressed_export import OWN

from nasctl import registry
from nasctl.export.compressed import compressed_model
from nasctl.export.export import destinations, export


def model(tmp_path, options):
    path = tmp_path / "own.py"
    path.write_text(OWN.replace("groups=2, ", ""))
    spec = f"sparse:of={path}:net,data=digits,{options}"
    space = registry.create("spaces", spec)
    return compressed_model(spec, space, (0,) * len(space.genes))


@pytest.mark.parametrize("options", ["sparsities=0.5", "sparsities=0.95", "structured=yes,sparsities=0.5"])
def test_a_python_file_computes_what_the_search_measured(tmp_path, monkeypatch, options):
    made = model(tmp_path, options)
    paths = destinations("sparse_net", ("python",), tmp_path, trained=True)
    made = replace(made, weights_name=paths["torch"].name)
    assert export(made, paths).files["python"].difference.absolute == 0
    assert ("class SparseWeights" in paths["python"].read_text()) == ("structured" not in options)
    state = torch.load(paths["torch"], weights_only=True)
    size = registry.create("objectives", "size")
    biases = 4 * sum(one.numel() for key, one in state.items() if key.endswith("bias"))
    packed = sum(one.nbytes for key, one in state.items() if key.endswith((".values", ".positions", ".weight")))
    from nasctl.candidates.candidate import Candidate
    from nasctl.candidates.setting import Setting

    space = registry.create("spaces", made.architecture.space)
    assert packed + biases == size(Candidate(space, made.architecture.genome, Setting(), frozenset({"network"})))
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("sparse_net", None)
    import sparse_net

    assert torch.equal(sparse_net.logits(made.examples), made.outputs)
    sys.modules.pop("sparse_net", None)


@pytest.mark.slow  # torch's exporter takes seconds
@pytest.mark.parametrize("structured", [False, True])
def test_an_onnx_file_has_zeros_or_fewer_channels(tmp_path, structured):
    import onnx

    made = model(tmp_path, f"sparsities=0.5,structured={'yes' if structured else 'no'}")
    paths = destinations("net", ("onnx",), tmp_path, trained=True)
    assert export(made, paths).files["onnx"].difference.relative < 1e-5
    stored = [onnx.numpy_helper.to_array(one) for one in onnx.load(paths["onnx"]).graph.initializer]
    convolutions = [one for one in stored if one.ndim == 4 and one.size > 1]
    shares = [float(np.mean(one == 0)) for one in convolutions if one.shape[2] == 3]
    assert all(share == pytest.approx(0 if structured else 0.5, abs=0.02) for share in shares)
