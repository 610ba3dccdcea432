"""Convolutional networks in the manner of DenseNet, Inception, VGG, SqueezeNet, Res2Net and HRNet."""

import torch
import torch.nn.functional as F
from torch import nn

from .convnets import Classifier, conv_bn
from .registry import pattern


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
        self.branch1x1, self.branch5x5_1, self.branch5x5_2 = (
            conv_bn(inputs, 4, 1),
            conv_bn(inputs, 4, 1),
            conv_bn(4, 6, 5),
        )
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
        self.conv1, self.conv2, self.fc = (
            nn.Conv2d(3, 8, 11, 4, 2),
            nn.Conv2d(8, 12, 5, padding=2, groups=2),
            nn.Linear(108, 5),
        )

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
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(8, 4, 8), Fire(16, 4, 8)
        )
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
