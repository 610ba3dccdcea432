"""Convolutional networks in the manner of ResNet, DenseNet, Inception, VGG, U-Net and their kin."""

import torch
import torch.nn.functional as F
from torch import nn

from .registry import pattern


def conv_bn(inputs, outputs, kernel=3, stride=1, groups=1, act=True):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
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
        self.fc = nn.Sequential(nn.Linear(channels, channels // 4), nn.ReLU(inplace=True), nn.Linear(channels // 4, channels))

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
        self.fc1, self.fc2 = nn.Conv2d(channels, channels // 4, 1, bias=False), nn.Conv2d(channels // 4, channels, 1, bias=False)
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
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1 + k, dilation=1 + k), nn.BatchNorm2d(channels), nn.ReLU())
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


class DenseLayer(nn.Module):
    def __init__(self, inputs, growth):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)
        self.drop_rate = 0.2

    def forward(self, inputs):
        prev = [inputs] if isinstance(inputs, torch.Tensor) else inputs
        out = self.conv1(F.relu(self.norm1(torch.cat(prev, 1))))
        out = self.conv2(F.relu(self.norm2(out)))
        return F.dropout(out, p=self.drop_rate, training=self.training) if self.drop_rate > 0 else out


class DenseBlock(nn.ModuleDict):
    def __init__(self, inputs, growth, layers):
        super().__init__()
        for k in range(layers):
            self.add_module(f"denselayer{k + 1}", DenseLayer(inputs + k * growth, growth))

    def forward(self, init_features):
        features = [init_features]
        for _, layer in self.items():
            features.append(layer(features))
        return torch.cat(features, 1)


@pattern(3, 16, 16)
class DenseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, 8, 3, padding=1))
        self.features.add_module("block1", DenseBlock(8, 4, 3))
        self.features.add_module("norm", nn.BatchNorm2d(20))
        self.classifier = nn.Linear(20, 5)

    def forward(self, x):
        out = F.relu(self.features(x), inplace=True)
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(out, (1, 1)), 1))


class InceptionBranch(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.branch1x1, self.branch5x5_1, self.branch5x5_2 = conv_bn(inputs, 4, 1), conv_bn(inputs, 4, 1), conv_bn(4, 6, 5)
        self.branch7_a = nn.Conv2d(inputs, 6, (1, 7), padding=(0, 3))
        self.branch7_b = nn.Conv2d(6, 6, (7, 1), padding=(3, 0))
        self.branch_pool = conv_bn(inputs, 4, 1)

    def _forward(self, x):
        branch_pool = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)
        one = [self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x))]
        return [*one, self.branch7_b(self.branch7_a(x)), self.branch_pool(branch_pool)]

    def forward(self, x):
        outputs = self._forward(x)
        return torch.cat(outputs, 1)


@pattern(3, 16, 16)
def Inception():
    return Classifier(conv_bn(3, 8, 3, 2), nn.Sequential(InceptionBranch(8), nn.MaxPool2d(3, 2, ceil_mode=True)), 20)


@pattern(3, 16, 16, unused=8 * 5 + 5)
class GoogLeNetWithTransform(nn.Module):
    """An input transform by channel and auxiliary heads that run in training only."""

    def __init__(self):
        super().__init__()
        self.stem, self.inception, self.aux = conv_bn(3, 8), InceptionBranch(8), nn.Linear(8, 5)
        self.fc, self.aux_logits, self.transform_input = nn.Linear(20, 5), True, True

    def forward(self, x):
        if self.transform_input:
            first = torch.unsqueeze(x[:, 0], 1) * (0.229 / 0.5) + (0.485 - 0.5) / 0.5
            second = torch.unsqueeze(x[:, 1], 1) * (0.224 / 0.5) + (0.456 - 0.5) / 0.5
            x = torch.cat((first, second, x[:, 2:3]), 1)
        x = self.stem(x)
        aux = self.aux(x.mean((2, 3))) if self.training and self.aux_logits else None
        x = self.fc(self.inception(x).mean([2, 3]))
        return (x, aux) if aux is not None else x


@pattern(3, 16, 16)
class VGG(nn.Module):
    def __init__(self, plan=(8, "M", 16, 16, "M")):
        super().__init__()
        layers, inputs = [], 3
        for v in plan:
            if v == "M":
                layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
            else:
                layers += [nn.Conv2d(inputs, v, 3, padding=1), nn.BatchNorm2d(v), nn.ReLU(inplace=True)]
                inputs = v
        self.features, self.avgpool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(nn.Linear(64, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 5))

    def forward(self, x):
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


@pattern(3, 32, 32)
class AlexNetWithResponseNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(3, 8, 11, 4, 2), nn.Conv2d(8, 12, 5, padding=2, groups=2), nn.Linear(108, 5)

    def forward(self, x):
        x = F.max_pool2d(F.local_response_norm(F.relu(self.conv1(x)), 5, alpha=1e-4, beta=0.75, k=2.0), 3, 2)
        return self.fc(F.relu(self.conv2(x)).reshape(-1, 108))


class Fire(nn.Module):
    def __init__(self, inputs, squeeze, expand):
        super().__init__()
        self.squeeze, self.activation = nn.Conv2d(inputs, squeeze, 1), nn.ReLU(inplace=True)
        self.expand1x1, self.expand3x3 = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = self.activation(self.squeeze(x))
        return torch.cat([self.activation(self.expand1x1(x)), self.activation(self.expand3x3(x))], 1)


@pattern(3, 16, 16)
class SqueezeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(8, 4, 8), Fire(16, 4, 8))
        self.classifier = nn.Sequential(nn.Dropout(p=0.5), nn.Conv2d(16, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1)))

    def forward(self, x):
        return torch.flatten(self.classifier(self.features(x)), 1)


class Res2Block(nn.Module):
    def __init__(self, channels, scale=4):
        super().__init__()
        self.width, self.nums = channels // scale, scale - 1
        self.convs = nn.ModuleList([nn.Conv2d(self.width, self.width, 3, padding=1) for _ in range(self.nums)])
        self.bns = nn.ModuleList([nn.BatchNorm2d(self.width) for _ in range(self.nums)])

    def forward(self, x):
        spx = torch.split(x, self.width, 1)
        spo, sp = [], spx[0]
        for i, (conv, bn) in enumerate(zip(self.convs, self.bns, strict=True)):
            sp = spx[i] if i == 0 else sp + spx[i]
            sp = F.relu(bn(conv(sp)))
            spo.append(sp)
        spo.append(spx[-1])
        return torch.cat(spo, 1) + x


@pattern(3, 16, 16)
def Res2Net():
    return Classifier(conv_bn(3, 16, 3, 2), Res2Block(16), 16)


class Fuse(nn.Module):
    def __init__(self, widths=(8, 16)):
        super().__init__()
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self.path(i, j, widths) for j in range(len(widths))) for i in range(len(widths))
        )
        self.branches = nn.ModuleList(conv_bn(width, width) for width in widths)

    def path(self, i, j, widths):
        if i == j:
            return nn.Identity()
        if j > i:
            up = nn.Upsample(scale_factor=2 ** (j - i), mode="nearest")
            return nn.Sequential(nn.Conv2d(widths[j], widths[i], 1), nn.BatchNorm2d(widths[i]), up)
        return conv_bn(widths[j], widths[i], 3, 2, act=False)

    def forward(self, x):
        x = [branch(one) for branch, one in zip(self.branches, x, strict=True)]
        fused = []
        for row in self.fuse_layers:
            y = row[0](x[0])
            for j in range(1, len(x)):
                y = y + row[j](x[j])
            fused.append(F.relu(y))
        return fused


@pattern(3, 16, 16)
class HRNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.down, self.stage = conv_bn(3, 8), conv_bn(8, 16, 3, 2), Fuse()
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        x = self.stem(x)
        high, low = self.stage([x, self.down(x)])
        low = F.interpolate(low, size=high.shape[-2:], mode="bilinear", align_corners=False)
        return self.head(torch.cat([high, low], dim=1).mean((2, 3)))
