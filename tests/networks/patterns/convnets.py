"""Residual networks with channel, spatial and kernel attention: ResNet, ResNeXt, SE, ECA, CBAM, SK, ResNeSt."""

import torch
import torch.nn.functional as F
from torch import nn

from .registry import pattern


def conv_bn(inputs, outputs, kernel=3, stride=1, groups=1, act=True):
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if act else []))


class Bottleneck(nn.Module):
    expansion = 2

    def __init__(self, inputs, width, stride=1, groups=1, attention=None):
        super().__init__()
        outputs = width * self.expansion
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.se = attention(outputs) if attention else None
        self.act = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        shortcut = x
        x = self.act(self.bn1(self.conv1(x)))
        x = self.act(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        if self.se is not None:
            x = self.se(x)
        if self.downsample is not None:
            shortcut = self.downsample(shortcut)
        x += shortcut
        return self.act(x)


class Classifier(nn.Module):
    def __init__(self, stem, body, width, classes=5):
        super().__init__()
        self.stem, self.body, self.fc = stem, body, nn.Linear(width, classes)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))

    def forward_features(self, x):
        return self.body(self.stem(x))

    def forward(self, x):
        x = self.avgpool(self.forward_features(x))
        x = torch.flatten(x, 1)
        return self.fc(x)


@pattern(3, 16, 16)
def ResNet():
    return Classifier(conv_bn(3, 8, 3, 2), nn.Sequential(Bottleneck(8, 8), Bottleneck(16, 8, 2)), 16)


@pattern(3, 16, 16)
def ResNeXt():
    return Classifier(conv_bn(3, 8), nn.Sequential(Bottleneck(8, 8, 2, 4), Bottleneck(16, 16, 1, 8)), 32)


class SqueezeExcite(nn.Module):
    def __init__(self, channels, rd_ratio=0.25):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, int(channels * rd_ratio), 1)
        self.fc2 = nn.Conv2d(int(channels * rd_ratio), channels, 1)
        self.act, self.gate = nn.ReLU(inplace=True), nn.Sigmoid()

    def forward(self, x):
        s = x.mean((2, 3), keepdim=True)
        s = self.fc2(self.act(self.fc1(s)))
        return x * self.gate(s)


class LinearSqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // 4), nn.ReLU(inplace=True), nn.Linear(channels // 4, channels)
        )

    def forward(self, x):
        b, c, _, _ = x.size()
        y = self.fc(self.pool(x).view(b, c)).sigmoid().view(b, c, 1, 1)
        return x * y.expand_as(x)


class EfficientChannelAttention(nn.Module):
    def __init__(self, channels, kernel=3):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x):
        y = x.mean((2, 3)).view(x.shape[0], 1, -1)
        y = self.conv(y).view(x.shape[0], -1, 1, 1).sigmoid()
        return x * y.expand_as(x)


class BlockAttention(nn.Module):
    """Channel and spatial attention of CBAM."""

    def __init__(self, channels):
        super().__init__()
        self.fc1, self.fc2 = (
            nn.Conv2d(channels, channels // 4, 1, bias=False),
            nn.Conv2d(channels // 4, channels, 1, bias=False),
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x):
        middle = torch.cat([F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)], dim=3)
        average, largest = self.fc2(F.relu(self.fc1(middle))).split(1, dim=3)
        x = x * (average + largest).sigmoid()
        maps = torch.cat([x.mean(dim=1, keepdim=True), torch.amax(x, dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.spatial(maps))


class GatherExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gather = nn.Conv2d(channels, channels, 4, 4, groups=channels)

    def forward(self, x):
        return x * F.interpolate(self.gather(x), size=x.shape[-2:], mode="nearest").sigmoid()


class GlobalContext(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.mask, self.transform = nn.Conv2d(channels, 1, 1), nn.Conv2d(channels, channels, 1)
        self.norm = nn.GroupNorm(1, channels)

    def forward(self, x):
        b, c, h, w = x.shape
        scores = self.mask(x).reshape(b, 1, h * w).softmax(dim=-1).unsqueeze(3)
        context = torch.matmul(x.reshape(b, c, h * w).unsqueeze(1), scores).view(b, c, 1, 1)
        return x + self.norm(self.transform(context))


def attentive(attention):
    return Classifier(conv_bn(3, 8, 3, 2), Bottleneck(8, 8, 1, 1, attention), 16)


@pattern(3, 16, 16)
def SEResNet():
    return attentive(SqueezeExcite)


@pattern(3, 16, 16)
def SENetLinear():
    return attentive(LinearSqueezeExcite)


@pattern(3, 16, 16)
def ECAResNet():
    return attentive(EfficientChannelAttention)


@pattern(3, 16, 16)
def CBAMResNet():
    return attentive(BlockAttention)


@pattern(3, 16, 16)
def GEResNet():
    return attentive(GatherExcite)


@pattern(3, 16, 16)
def GCResNet():
    return attentive(GlobalContext)


class SelectiveKernel(nn.Module):
    def __init__(self, channels, paths=2):
        super().__init__()
        self.paths = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1 + k, dilation=1 + k), nn.BatchNorm2d(channels), nn.ReLU()
            )
            for k in range(paths)
        )
        self.reduce, self.bn = nn.Conv2d(channels, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.select = nn.Conv2d(8, channels * paths, 1)

    def forward(self, x):
        x = torch.stack([path(x) for path in self.paths], dim=1)
        B, K, C, _, _ = x.shape
        weights = x.sum(1).mean((2, 3), keepdim=True)
        weights = self.select(F.relu(self.bn(self.reduce(weights))))
        weights = torch.softmax(weights.view(B, K, C, 1, 1), dim=1)
        return torch.sum(x * weights, dim=1)


@pattern(3, 16, 16)
def SKNet():
    return Classifier(conv_bn(3, 8), SelectiveKernel(8), 8)


class RadixSoftmax(nn.Module):
    """Split attention of ResNeSt, whose softmax goes over the splits."""

    def __init__(self, channels, radix=2, groups=2):
        super().__init__()
        self.radix, self.groups, self.channels = radix, groups, channels
        self.conv = nn.Conv2d(channels, channels * radix, 3, 1, 1, groups=groups * radix, bias=False)
        self.bn = nn.BatchNorm2d(channels * radix)
        self.fc1, self.fc2 = nn.Conv2d(channels, 8, 1, groups=groups), nn.Conv2d(8, channels * radix, 1, groups=groups)

    def forward(self, x):
        x = F.relu(self.bn(self.conv(x)))
        batch, rchannel = x.shape[:2]
        splits = torch.split(x, rchannel // self.radix, dim=1)
        gap = F.adaptive_avg_pool2d(sum(splits), 1)
        atten = self.fc2(F.relu(self.fc1(gap)))
        atten = atten.view(batch, self.groups, self.radix, -1).transpose(1, 2)
        atten = F.softmax(atten, dim=1).reshape(batch, -1).view(batch, -1, 1, 1)
        attens = torch.split(atten, rchannel // self.radix, dim=1)
        return sum([att * split for att, split in zip(attens, splits, strict=True)]).contiguous()


@pattern(3, 16, 16)
def ResNeSt():
    return Classifier(conv_bn(3, 8), RadixSoftmax(8), 8)
