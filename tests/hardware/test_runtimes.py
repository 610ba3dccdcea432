"""Inputs and calls of networks by runtime."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from nasctl.api import Builder, Conv, ConvNormAct, Embedding, Layer, MeanToken
from nasctl.hardware.profiling.network_call import network_call
from nasctl.hardware.profiling.timed_network import HasVocabulary, instantiate
from nasctl.hardware.runtimes import runtime_version


@dataclass(frozen=True, slots=True)
class PluginEmbedding(Layer):
    """A layer of a plug-in, which is none of nasctl's own and reads tokens as well."""

    vocabulary: int
    width: int

    def out(self, *inputs):
        return Embedding(self.vocabulary, self.width).out(*inputs)

    def params(self, *inputs):
        return Embedding(self.vocabulary, self.width).params(*inputs)

    def module(self, *inputs):
        return Embedding(self.vocabulary, self.width).module(*inputs)


def token_network(layer):
    net = Builder((12,))
    x = net.add(layer, *net.inputs, name="embedding")
    return net.build(net.add(MeanToken(), x, name="mean"))


def test_tokens_are_below_the_vocabulary_of_the_layer_that_reads_them():
    for layer in (Embedding(5, 8), PluginEmbedding(5, 8)):
        assert isinstance(layer, HasVocabulary)
        module, (tokens,) = instantiate(token_network(layer), 40, seed=0)
        assert (tokens.dtype, tokens.shape) == (torch.int64, (40, 12))
        assert sorted(set(tokens.flatten().tolist())) == [0, 1, 2, 3, 4]
        assert module(tokens).shape[0] == 40
        assert not module.training


def test_images_are_normal_values_and_the_same_for_the_same_seed():
    net = Builder((3, 8, 8))
    network = net.build(net.add(Conv(4, 3), *net.inputs, name="conv"))
    assert not isinstance(Conv(4, 3), HasVocabulary)
    first, again, other = (instantiate(network, 2, seed) for seed in (0, 0, 1))
    assert first[1][0].shape == (2, 3, 8, 8)
    assert first[1][0].is_floating_point()
    assert torch.equal(first[1][0], again[1][0])
    assert not torch.equal(first[1][0], other[1][0])


def test_precision_is_the_type_of_weights_and_activations():
    net = Builder((3, 8, 8))
    network = net.build(net.add(Conv(4, 3), *net.inputs, name="conv"))
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        assert network_call(network, "torch", "cpu", 1, 2, precision)().dtype == dtype
    assert runtime_version("torch") == f"torch {torch.__version__}"


@pytest.mark.slow  # torch's exporter takes seconds
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_openvino_computes_what_onnx_runtime_computes(tmp_path, precision):
    pytest.importorskip("openvino")
    net = Builder((3, 8, 8))
    x = net.add(ConvNormAct(4, 3), *net.inputs, name="first")
    network = net.build(net.add(ConvNormAct(6, 3), x, name="second"))
    for block in (False, True):
        setting = ("cpu", 1, 2, precision, tmp_path / f"{block}.onnx", block)
        (expected,) = network_call(network, "onnxruntime", *setting)()
        (found,) = network_call(network, "openvino", *setting)().values()
        steps = 1 if expected.dtype == np.uint8 else np.abs(expected).max() * (1e-4 if precision == "float32" else 0.01)
        assert found.dtype == expected.dtype
        assert np.abs(found.astype(float) - expected.astype(float)).max() <= steps
