"""Networks with maps as outputs, and convolutions in one and three dimensions: U-Net, FPN, TCN, video and points."""

import torch
import torch.nn.functional as F
from torch import nn

from .registry import pattern


def double_conv(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
    )  # fmt: skip


class Up(nn.Module):
    def __init__(self, inputs, outputs, bilinear):
        super().__init__()
        scale = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.up = (
            nn.Sequential(scale, nn.Conv2d(inputs, outputs, 1))
            if bilinear
            else nn.ConvTranspose2d(inputs, outputs, 2, 2)
        )
        self.conv = double_conv(2 * outputs, outputs)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        dy, dx = x2.size()[2] - x1.size()[2], x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


@pattern(3, 18, 18)
class UNet(nn.Module):
    def __init__(self, bilinear=False):
        super().__init__()
        self.inc, self.down1 = double_conv(3, 4), nn.Sequential(nn.MaxPool2d(2), double_conv(4, 8))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), double_conv(8, 16))
        self.up1, self.up2, self.outc = Up(16, 8, bilinear), Up(8, 4, bilinear), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        return self.outc(self.up2(self.up1(x3, x2), x1))


@pattern(3, 18, 18)
def UNetBilinear():
    return UNet(True)


@pattern(1, 20, 20)
class UNetCropped(nn.Module):
    """The first U-Net: unpadded convolutions and a crop of the skip."""

    def __init__(self):
        super().__init__()
        self.down, self.middle, self.up = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3), nn.ConvTranspose2d(8, 4, 2, 2)
        self.out = nn.Conv2d(8, 2, 3)

    def crop(self, enc, like):
        _, _, h, w = like.shape
        top, left = (enc.shape[2] - h) // 2, (enc.shape[3] - w) // 2
        return enc[:, :, top : top + h, left : left + w]

    def forward(self, x):
        skip = torch.relu(self.down(x))
        x = self.up(torch.relu(self.middle(F.max_pool2d(skip, 2))))
        return self.out(torch.cat((self.crop(skip, x), x), 1))


@pattern(3, 16, 16)
class FeaturePyramid(nn.Module):
    """Lateral convolutions and a top-down path by dictionaries, joined to one output."""

    def __init__(self):
        super().__init__()
        self.body = nn.ModuleDict(
            {
                "layer1": nn.Conv2d(3, 8, 3, 2, 1),
                "layer2": nn.Conv2d(8, 12, 3, 2, 1),
                "layer3": nn.Conv2d(12, 16, 3, 2, 1),
            }
        )
        self.inner = nn.ModuleList(nn.Conv2d(width, 8, 1) for width in (8, 12, 16))
        self.layer = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))

    def forward(self, x):
        features = {}
        for name, part in self.body.items():
            x = F.relu(part(x))
            features[name] = x
        names, values = list(features.keys()), list(features.values())
        last = self.inner[-1](values[-1])
        results = [self.layer[-1](last)]
        for idx in range(len(values) - 2, -1, -1):
            lateral = self.inner[idx](values[idx])
            last = lateral + F.interpolate(last, size=lateral.shape[-2:], mode="nearest")
            results.insert(0, self.layer[idx](last))
        out = dict(zip(names, results, strict=True))
        return torch.cat([value.mean((2, 3)) for value in out.values()], dim=1)


@pattern(3, 16, 16)
class AtrousPyramid(nn.Module):
    """DeepLab's pyramid: dilated branches and a pooled one that is resized."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(3, 8, 3, 2, 1)
        self.convs = nn.ModuleList([nn.Conv2d(8, 4, 1), *(nn.Conv2d(8, 4, 3, padding=d, dilation=d) for d in (2, 3))])
        self.pool, self.project = (
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.ReLU()),
            nn.Conv2d(16, 5, 1),
        )

    def forward(self, x):
        size = x.shape[-2:]
        x = self.backbone(x)
        res = [conv(x) for conv in self.convs]
        res.append(F.interpolate(self.pool(x), size=x.shape[-2:], mode="bilinear", align_corners=False))
        return F.interpolate(self.project(torch.cat(res, dim=1)), size=size, mode="bilinear", align_corners=False)


@pattern(3, 8, 8)
class SubPixel(nn.Module):
    """Super-resolution by pixel shuffle with a bicubic shortcut, clamped."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.shuffle = (
            nn.Conv2d(3, 8, 5, padding=2),
            nn.Conv2d(8, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )
        self.act = nn.PReLU()

    def forward(self, x):
        up = self.shuffle(self.conv2(self.act(self.conv1(x))))
        return torch.clamp(up + F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False), 0.0, 1.0)


@pattern(3, 16, 16)
class ScaledAutoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(3, 8, 3, 2), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(512, 6)
        )
        self.expand = nn.Linear(6, 128)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.ELU(), nn.ConvTranspose2d(4, 3, 3, 2, 1, output_padding=1)
        )

    def forward(self, x):
        z = self.encoder(x)
        return torch.tanh(self.decoder(self.expand(z).view(-1, 8, 4, 4)))


class TemporalBlock(nn.Module):
    """A causal convolution whose padding is cut off."""

    def __init__(self, inputs, outputs, dilation):
        super().__init__()
        self.chomp = 2 * dilation
        self.conv1 = nn.Conv1d(inputs, outputs, 3, padding=self.chomp, dilation=dilation)
        self.conv2 = nn.Conv1d(outputs, outputs, 3, padding=self.chomp, dilation=dilation)
        self.downsample = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x):
        out = F.dropout1d(F.relu(self.conv1(x)[:, :, : -self.chomp].contiguous()), 0.2, self.training)
        out = F.relu(self.conv2(out)[:, :, : -self.chomp].contiguous())
        res = x if self.downsample is None else self.downsample(x)
        return F.relu(out + res)


@pattern(3, 20)
class TemporalConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.network, self.linear = nn.Sequential(TemporalBlock(3, 8, 1), TemporalBlock(8, 8, 2)), nn.Linear(8, 5)

    def forward(self, x):
        return self.linear(self.network(x)[:, :, -1])


@pattern(20, vocabulary=16, unused=8 * 8 + 8, uncounted=-8 * 8 * 13)
class WaveNet(nn.Module):
    """One-hot samples, gated dilated convolutions and a sum of skips; nothing reads the last residual of 13 steps."""

    def __init__(self):
        super().__init__()
        self.start = nn.Conv1d(16, 8, 1)
        self.filters, self.gates = (
            nn.ModuleList(nn.Conv1d(8, 8, 2, dilation=2**k) for k in range(3)) for _ in range(2)
        )
        self.residuals, self.skips = (nn.ModuleList(nn.Conv1d(8, 8, 1) for _ in range(3)) for _ in range(2))
        self.end = nn.Conv1d(8, 5, 1)

    def forward(self, x):
        x = self.start(F.one_hot(x, 16).float().transpose(1, 2))
        skip = 0
        for f, g, r, s in zip(self.filters, self.gates, self.residuals, self.skips, strict=True):
            y = torch.tanh(f(x)) * torch.sigmoid(g(x))
            z = s(y)
            try:
                skip = skip[:, :, -z.size(2) :]
            except TypeError:
                skip = 0
            skip = z + skip
            x = r(y) + x[:, :, -y.size(2) :]
        return self.end(F.relu(skip)).mean(2)


@pattern(3, 4, 8, 8)
class FactorizedVideo(nn.Module):
    """R(2+1)D: a convolution in space, then one in time."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, 6, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False), nn.BatchNorm3d(6), nn.ReLU(inplace=True)
        )
        self.temporal = nn.Conv3d(6, 8, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.avgpool, self.fc = nn.AdaptiveAvgPool3d((1, 1, 1)), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.avgpool(self.temporal(self.stem(x))).flatten(1))


@pattern(4, 3, 8, 8)
class TemporalShift(nn.Module):
    """Frames folded into the batch for 2-D convolutions, with channels shifted between frames."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x):
        n, t, c, h, w = x.shape
        x = F.relu(self.conv1(x.view(n * t, c, h, w)))
        x = x.view(n, t, *x.shape[1:])
        left, right, rest = x[:, 1:, :2], x[:, :-1, 2:4], x[:, :, 4:]
        x = torch.cat((F.pad(left, (0, 0, 0, 0, 0, 0, 0, 1)), F.pad(right, (0, 0, 0, 0, 0, 0, 1, 0)), rest), 2)
        x = self.conv2(x.flatten(0, 1))
        return self.fc(x.mean((2, 3)).view(n, t, -1).mean(1))


@pattern(2, 6, 6, 6)
class VolumetricUNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv3d(2, 4, 3, padding=1), nn.InstanceNorm3d(4, affine=True), nn.LeakyReLU(inplace=True)
        )
        self.up, self.out = nn.ConvTranspose3d(4, 4, 2, 2), nn.Conv3d(8, 2, 1)

    def forward(self, x):
        skip = self.down(x)
        return self.out(torch.cat((self.up(F.max_pool3d(skip, 2)), skip), dim=1))


class TransformNet(nn.Module):
    """PointNet's alignment: a matrix for each cloud, with the identity added."""

    def __init__(self, k):
        super().__init__()
        self.k, self.conv, self.fc = k, nn.Conv1d(k, 8, 1), nn.Linear(8, k * k)

    def forward(self, x):
        batchsize = x.size()[0]
        x = torch.max(F.relu(self.conv(x)), 2, keepdim=True)[0].view(-1, 8)
        iden = torch.eye(self.k).flatten().view(1, self.k * self.k).repeat(batchsize, 1)
        return (self.fc(x) + iden).view(-1, self.k, self.k)


@pattern(3, 24)
class PointNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stn, self.conv1, self.bn1, self.conv2 = (
            TransformNet(3),
            nn.Conv1d(3, 8, 1),
            nn.BatchNorm1d(8),
            nn.Conv1d(8, 16, 1),
        )
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        trans = self.stn(x)
        x = torch.bmm(x.transpose(2, 1), trans).transpose(2, 1)
        x = self.conv2(F.relu(self.bn1(self.conv1(x))))
        return F.log_softmax(self.fc(x.max(dim=2).values), dim=-1)
