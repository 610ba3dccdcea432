"""The layout of images in memory: what convolutions are fast in, and what layers of plug-ins get."""

from dataclasses import dataclass

import torch
from torch import nn

from nasctl.networks.blocks import Builder
from nasctl.networks.layers import Conv, Linear
from nasctl.networks.memory_layout import channels_last
from nasctl.networks.node import Call, Layer


class Rows(nn.Module):
    def forward(self, x):
        return x.view(len(x), -1)


@dataclass(frozen=True)
class FlattenByView(Layer):
    def out(self, *inputs):
        channels, height, width = inputs[0]
        return (channels * height * width,)

    def module(self, *inputs):
        return Call(Rows)


def test_layers_of_plug_ins_may_take_views_of_images_in_any_layout():
    net = Builder((3, 4, 4))
    x = net.add(Conv(8, 3), *net.inputs, name="conv")
    x = net.add(FlattenByView(), x, name="flat")
    module = net.build(net.add(Linear(5), x, name="fc")).module().eval()
    images = torch.randn(2, 3, 4, 4)
    assert torch.allclose(module(channels_last(images)), module(images), atol=1e-5)


def test_images_keep_their_values_and_words_their_layout():
    images, words = torch.randn(2, 3, 4, 4), torch.arange(6).view(2, 3)
    found = channels_last(images)
    assert torch.equal(found, images)
    assert found.stride() == (48, 1, 12, 3)
    assert channels_last(words) is words
