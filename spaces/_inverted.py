"""The inverted residual block of MnasNet and EfficientNet, which sizes squeeze-and-excitation by its input channels."""

from __future__ import annotations

from dataclasses import dataclass

from nasctl.api import Add, Builder, ConvNormAct, SqueezeExcite


@dataclass(frozen=True, slots=True)
class Inverted:
    """An inverted residual: expansion, depthwise convolution, optional squeeze-and-excitation, projection.

    (C, H, W) -> (channels, H', W'). There is no expansion convolution if `expand` is 1. With `skip` the input is added
    to the output if both have the same shape. The expanded width is exactly C * expand, without rounding.
    Squeeze-and-excitation, present if `se`, squeezes to a quarter of the input channels.

    References:
        `MnasBlock` in `models/official/mnasnet/mnasnet_model.py` of github.com/tensorflow/tpu; `InvertedResidual` in
        `timm/models/efficientnet_blocks.py` of github.com/huggingface/pytorch-image-models, version 0.3.2, is the same
        with Swish.
    """

    channels: int
    kernel: int
    expand: int
    stride: int = 1
    act: str = "relu"
    se: bool = False
    skip: bool = True

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        channels = net.shape(x)[0]
        expanded = channels * self.expand
        y = net.add(ConvNormAct(expanded, act=self.act), x, name="expand") if self.expand > 1 else x
        y = net.add(ConvNormAct(expanded, self.kernel, self.stride, groups=expanded, act=self.act), y, name="depthwise")
        y = net.add(SqueezeExcite(max(1, channels // 4), "sigmoid", self.act), y, name="se") if self.se else y
        y = net.add(ConvNormAct(self.channels, act=None), y, name="project")
        return net.add(Add(), x, y, name="add") if self.skip and net.shape(x) == net.shape(y) else y
