"""Networks for small devices: MobileNet, EfficientNet, RegNet, ShuffleNet, GhostNet and convolutions of their kind."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import fx, nn

from .registry import pattern


def make_divisible(v, divisor=8):
    new_v = max(divisor, int(v + divisor / 2) // divisor * divisor)
    return new_v + divisor if new_v < 0.9 * v else new_v


class ConvNormActivation(nn.Sequential):
    def __init__(self, inputs, outputs, kernel=3, stride=1, groups=1, act=nn.ReLU6):
        padding = (kernel - 1) // 2
        layers = [
            nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([act(inplace=True)] if act else []))


@pattern(3, 16, 16)
class MobileNetV1(nn.Sequential):
    def __init__(self):
        def separable(inputs, outputs, stride):
            return nn.Sequential(
                ConvNormActivation(inputs, inputs, 3, stride, inputs), ConvNormActivation(inputs, outputs, 1)
            )

        super().__init__(
            ConvNormActivation(3, 8, 3, 2), separable(8, 16, 1), separable(16, 24, 2), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(24, 5),
        )  # fmt: skip


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expand):
        super().__init__()
        hidden = round(inputs * expand)
        self.use_res_connect = stride == 1 and inputs == outputs
        layers = [ConvNormActivation(inputs, hidden, 1)] if expand != 1 else []
        layers += [
            ConvNormActivation(hidden, hidden, 3, stride, hidden),
            ConvNormActivation(hidden, outputs, 1, act=None),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


@pattern(3, 16, 16)
class MobileNetV2(nn.Module):
    def __init__(self):
        super().__init__()
        blocks = [InvertedResidual(8, 8, 1, 1), InvertedResidual(8, 12, 2, 6), InvertedResidual(12, 12, 1, 6)]
        self.features = nn.Sequential(ConvNormActivation(3, 8, 3, 2), *blocks, ConvNormActivation(12, 32, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(32, 5))

    def _forward_impl(self, x):
        x = self.features(x)
        x = F.adaptive_avg_pool2d(x, (1, 1))
        return self.classifier(torch.flatten(x, 1))

    def forward(self, x):
        return self._forward_impl(x)


class HSigmoid(nn.Module):
    def forward(self, x):
        return F.relu6(x + 3, inplace=True) / 6


class HSwish(nn.Module):
    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace

    def forward(self, x):
        inner = F.relu6(x + 3.0).div_(6.0)
        return x.mul_(inner) if self.inplace else x.mul(inner)


class SqueezeExcitation(nn.Module):
    def __init__(self, inputs, squeeze, act=nn.ReLU, gate=HSigmoid):
        super().__init__()
        self.avgpool, self.fc1, self.fc2 = (
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inputs, squeeze, 1),
            nn.Conv2d(squeeze, inputs, 1),
        )
        self.activation, self.scale_activation = act(), gate()

    def _scale(self, x):
        return self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))

    def forward(self, x):
        scale = self._scale(x)
        return scale * x


@pattern(3, 16, 16)
class MobileNetV3(nn.Module):
    def __init__(self):
        super().__init__()
        act = partial(HSwish)
        self.stem = ConvNormActivation(3, 8, 3, 2, act=act)
        self.block = nn.Sequential(
            ConvNormActivation(8, 24, 1, act=act), ConvNormActivation(24, 24, 5, 1, 24, act=act),
            SqueezeExcitation(24, make_divisible(6)), ConvNormActivation(24, 8, 1, act=None),
        )  # fmt: skip
        self.conv_head, self.act2, self.classifier = nn.Conv2d(8, 16, 1), nn.Hardswish(inplace=True), nn.Linear(16, 5)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.block(x)
        x = x.mean(3, keepdim=True).mean(2, keepdim=True)
        x = self.act2(self.conv_head(x)).flatten(1)
        return self.classifier(x)


def stochastic_depth(x, p, mode="row", training=True):
    if p < 0.0 or p > 1.0:
        raise ValueError(f"drop probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return x
    size = [x.shape[0]] + [1] * (x.ndim - 1) if mode == "row" else [1] * x.ndim
    noise = torch.empty(size, dtype=x.dtype, device=x.device).bernoulli_(1.0 - p).div_(1.0 - p)
    return x * noise


fx.wrap("stochastic_depth")


class StochasticDepth(nn.Module):
    def __init__(self, p, mode="row"):
        super().__init__()
        self.p, self.mode = p, mode

    def forward(self, x):
        return stochastic_depth(x, self.p, self.mode, self.training)


class FusedMBConv(nn.Module):
    def __init__(self, channels, expand):
        super().__init__()
        self.block = nn.Sequential(
            ConvNormActivation(channels, channels * expand, 3, act=nn.SiLU),
            ConvNormActivation(channels * expand, channels, 1, act=None),
        )
        self.stochastic_depth = StochasticDepth(0.1)

    def forward(self, x):
        result = self.stochastic_depth(self.block(x))
        result += x
        return result


@pattern(3, 16, 16)
class EfficientNet(nn.Module):
    def __init__(self):
        super().__init__()
        act = partial(nn.SiLU)
        self.features = nn.Sequential(
            ConvNormActivation(3, 8, 3, 2, act=act), FusedMBConv(8, 4), ConvNormActivation(8, 24, 1, act=act),
            ConvNormActivation(24, 24, 3, 2, 24, act=act), SqueezeExcitation(24, 6, nn.SiLU, nn.Sigmoid),
        )  # fmt: skip
        self.avgpool, self.classifier = (
            nn.AdaptiveAvgPool2d(1),
            nn.Sequential(nn.Dropout(0.2, inplace=True), nn.Linear(24, 5)),
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def drop_path(x, drop_prob=0.0, training=False, scale_by_keep=True):
    if drop_prob == 0.0 or not training:
        return x
    keep = 1 - drop_prob
    mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
    return x * (mask.div_(keep) if scale_by_keep else mask)


class DropPath(nn.Module):
    def __init__(self, drop_prob=0.1):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        return drop_path(x, self.drop_prob, self.training)


def pad_same(x, kernel, stride, dilation=(1, 1), value=0.0):
    ih, iw = x.size()[-2:]
    pads = [
        max((math.ceil(i / s) - 1) * s + (k - 1) * d + 1 - i, 0)
        for i, k, s, d in zip((ih, iw), kernel, stride, dilation, strict=True)
    ]
    return F.pad(x, (pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2), value=value)


class Conv2dSame(nn.Conv2d):
    def forward(self, x):
        x = pad_same(x, self.weight.shape[-2:], self.stride, self.dilation)
        return F.conv2d(x, self.weight, self.bias, self.stride, (0, 0), self.dilation, self.groups)


class MaxPool2dSame(nn.MaxPool2d):
    def forward(self, x):
        x = pad_same(x, (self.kernel_size,) * 2, (self.stride,) * 2, value=-float("inf"))
        return F.max_pool2d(x, self.kernel_size, self.stride, 0, self.dilation, self.ceil_mode)


@pattern(3, 15, 17)
class TensorFlowPadding(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_stem, self.bn1 = Conv2dSame(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8, eps=1e-3, momentum=0.01)
        self.conv_dw, self.pool = Conv2dSame(8, 8, 5, 2, groups=8), MaxPool2dSame(3, 2)
        self.drop_path, self.classifier = DropPath(), nn.Linear(8, 5)

    def forward(self, x):
        x = self.pool(F.silu(self.bn1(self.conv_stem(x))))
        x = self.drop_path(self.conv_dw(x)) + F.max_pool2d(x, 1, 2)
        return self.classifier(x.mean((2, 3)))


class RegNetBlock(nn.Module):
    """Layers with dashes in their names, as torchvision's trunk has them."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.proj = ConvNormActivation(inputs, outputs, 1, 2, act=None)
        self.f = nn.Sequential()
        self.f.add_module("a", ConvNormActivation(inputs, outputs, 1, act=nn.ReLU))
        self.f.add_module("b-3x3", ConvNormActivation(outputs, outputs, 3, 2, outputs // 4, act=nn.ReLU))
        self.f.add_module("se", SqueezeExcitation(outputs, 4, gate=nn.Sigmoid))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.activation(self.proj(x) + self.f(x))


@pattern(3, 16, 16)
class RegNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk_output = nn.Sequential()
        for i in range(2):
            stage = nn.Sequential()
            stage.add_module(f"block{i}-0", RegNetBlock(3 if i == 0 else 8, 8 * (i + 1)))
            self.trunk_output.add_module(f"block{i}", stage)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        return self.fc(self.trunk_output(x).mean((-1, -2)))


def channel_shuffle(x, groups):
    batchsize, num_channels, height, width = x.size()
    channels_per_group = num_channels // groups
    x = x.view(batchsize, groups, channels_per_group, height, width)
    x = torch.transpose(x, 1, 2).contiguous()
    return x.view(batchsize, num_channels, height, width)


class ShuffleUnit(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        self.stride, half = stride, channels // 2
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1 = nn.Sequential(
                ConvNormActivation(channels, channels, 3, 2, channels, None), nn.Conv2d(channels, channels, 1)
            )
            half = channels
        self.branch2 = nn.Sequential(
            ConvNormActivation(half, half, 1), ConvNormActivation(half, half, 3, stride, half, None)
        )

    def forward(self, x):
        if self.stride == 1:
            x1, x2 = x.chunk(2, dim=1)
            out = torch.cat((x1, self.branch2(x2)), dim=1)
        else:
            out = torch.cat((self.branch1(x), self.branch2(x)), dim=1)
        return channel_shuffle(out, 2)


@pattern(3, 16, 16)
class ShuffleNetV2(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.stage2 = ConvNormActivation(3, 8), nn.Sequential(ShuffleUnit(8, 2), ShuffleUnit(16, 1))
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        return self.fc(self.stage2(self.conv1(x)).mean([2, 3]))


class GhostModule(nn.Module):
    def __init__(self, inputs, outputs, ratio=2):
        super().__init__()
        self.oup, init = outputs, math.ceil(outputs / ratio)
        self.primary_conv = ConvNormActivation(inputs, init, 1)
        self.cheap_operation = ConvNormActivation(init, init * (ratio - 1), 3, 1, init)

    def forward(self, x):
        x1 = self.primary_conv(x)
        x2 = self.cheap_operation(x1)
        out = torch.cat([x1, x2], dim=1)
        return out[:, : self.oup, :, :]


@pattern(3, 16, 16)
class GhostNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_stem, self.ghost1, self.ghost2 = (
            ConvNormActivation(3, 8, 3, 2),
            GhostModule(8, 17),
            GhostModule(17, 8),
        )
        self.classifier = nn.Linear(8, 5)

    def forward(self, x):
        x = self.conv_stem(x)
        x = x + self.ghost2(self.ghost1(x))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1))


class MixedConv2d(nn.ModuleDict):
    def __init__(self, inputs, outputs, kernels=(3, 5)):
        super().__init__()
        self.splits = [inputs // len(kernels)] * len(kernels)
        for idx, (k, split) in enumerate(zip(kernels, self.splits, strict=True)):
            self.add_module(str(idx), nn.Conv2d(split, outputs // len(kernels), k, padding=k // 2, groups=split))

    def forward(self, x):
        x_split = torch.split(x, self.splits, 1)
        x_out = [c(x_split[i]) for i, c in enumerate(self.values())]
        return torch.cat(x_out, 1)


@pattern(3, 16, 16)
class MixNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.mix, self.head = ConvNormActivation(3, 8, 3, 2), MixedConv2d(8, 8), nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.mix(self.stem(x)).amax((2, 3)))


class RepBlock(nn.Module):
    """Parallel branches of RepVGG, one of them only a norm."""

    def __init__(self, channels):
        super().__init__()
        self.identity = nn.BatchNorm2d(channels)
        self.conv_kxk, self.conv_1x1 = (
            ConvNormActivation(channels, channels, 3, act=None),
            ConvNormActivation(channels, channels, 1, act=None),
        )
        self.attn, self.act = nn.Identity(), nn.ReLU()

    def forward(self, x):
        if self.identity is None:
            return self.act(self.attn(self.conv_1x1(x) + self.conv_kxk(x)))
        x = self.conv_1x1(x) + self.conv_kxk(x) + self.identity(x)
        return self.act(self.attn(x))


@pattern(3, 16, 16)
class RepVGG(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.stages = ConvNormActivation(3, 8, 3, 2), nn.Sequential(RepBlock(8), RepBlock(8))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages.children():
            x = stage(x)
        return self.head(x.mean((2, 3)))
