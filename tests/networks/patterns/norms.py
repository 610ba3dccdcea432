"""Norms and convolutions that networks bring themselves: subclasses, functional norms and computed weights."""

import torch
import torch.nn.functional as F
from torch import nn

from .registry import pattern


class Wrapped(nn.Module):
    """A stem, a norm and a classifier."""

    def __init__(self, norm, conv=nn.Conv2d):
        super().__init__()
        self.conv1, self.norm, self.conv2 = conv(3, 8, 3, padding=1), norm(8), conv(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(F.relu(self.conv2(self.norm(self.conv1(x)))).mean((2, 3)))


class BatchNormAct2d(nn.BatchNorm2d):
    """A batch norm with its activation, by the functional form that timm has."""

    def __init__(self, num_features, act_layer=nn.ReLU):
        super().__init__(num_features)
        self.drop, self.act = nn.Identity(), act_layer(inplace=True)

    def forward(self, x):
        torch._assert(x.ndim == 4, f"expected 4D input (got {x.ndim}D input)")
        exponential_average_factor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        bn_training = True if self.training else (self.running_mean is None) and (self.running_var is None)
        mean = self.running_mean if not self.training or self.track_running_stats else None
        var = self.running_var if not self.training or self.track_running_stats else None
        x = F.batch_norm(x, mean, var, self.weight, self.bias, bn_training, exponential_average_factor, self.eps)
        return self.act(self.drop(x))


class PlainBatchNorm(nn.BatchNorm2d):
    """A subclass that changes the constructor only."""

    def __init__(self, channels):
        super().__init__(channels, eps=1e-3, momentum=0.05)


class FrozenBatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.rand(num_features) + 0.5)
        self.register_buffer("bias", torch.randn(num_features))
        self.register_buffer("running_mean", torch.randn(num_features))
        self.register_buffer("running_var", torch.rand(num_features) + 0.5)

    def forward(self, x):
        w, b = self.weight.reshape(1, -1, 1, 1), self.bias.reshape(1, -1, 1, 1)
        scale = w * (self.running_var.reshape(1, -1, 1, 1) + self.eps).rsqrt()
        return x * scale + (b - self.running_mean.reshape(1, -1, 1, 1) * scale)


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class GroupNormAct(nn.GroupNorm):
    def __init__(self, channels, groups=4):
        super().__init__(groups, channels, eps=1e-6)
        self.act = nn.SiLU()

    def forward(self, x):
        return self.act(F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps))


class RootMeanSquareNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(dim))

    def _norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + self.eps)

    def forward(self, x):
        return self._norm(x.float()).type_as(x) * self.weight[:, None, None]


class EvoNorm(nn.Module):
    """EvoNorm-S0, whose group deviation goes through a reshape and an expand."""

    def __init__(self, channels, groups=4):
        super().__init__()
        self.groups, self.eps = groups, 1e-5
        self.weight, self.bias, self.v = (nn.Parameter(torch.ones(channels)) for _ in range(3))

    def deviation(self, x):
        B, C, H, W = x.shape
        x_dtype = x.dtype
        x = x.reshape(B, self.groups, C // self.groups, H, W)
        std = x.float().var(dim=(2, 3, 4), unbiased=False, keepdim=True).add(self.eps).sqrt().to(x_dtype)
        return std.expand(x.shape).reshape(B, C, H, W)

    def forward(self, x):
        v_shape = (1, -1, 1, 1)
        x = x * (x * self.v.view(v_shape).to(x.dtype)).sigmoid() / self.deviation(x)
        return x * self.weight.view(v_shape) + self.bias.view(v_shape)


class FilterResponseNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma, self.beta, self.tau = (nn.Parameter(torch.zeros(1, channels, 1, 1)) for _ in range(3))
        self.eps = nn.Parameter(torch.full((1, channels, 1, 1), 1e-6))

    def forward(self, x):
        nu2 = torch.mean(x**2, dim=[2, 3], keepdim=True)
        x = x * torch.rsqrt(nu2 + torch.abs(self.eps))
        return torch.max(self.gamma * x + self.beta, self.tau)


class SwitchedNorm(nn.Module):
    """A mix of instance and layer statistics by a softmax over parameters."""

    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.ones(1, channels, 1, 1)),
            nn.Parameter(torch.zeros(1, channels, 1, 1)),
        )
        self.mix = nn.Parameter(torch.ones(2))

    def forward(self, x):
        mean_in, var_in = x.mean((-1, -2), keepdim=True), x.var((-1, -2), keepdim=True)
        mean_ln = mean_in.mean(1, keepdim=True)
        var_ln = (var_in + mean_in**2).mean(1, keepdim=True) - mean_ln**2
        mix = F.softmax(self.mix, 0)
        mean, var = mix[0] * mean_in + mix[1] * mean_ln, mix[0] * var_in + mix[1] * var_ln
        return (x - mean) / (var + 1e-5).sqrt() * self.weight + self.bias


class StandardizedConv2d(nn.Conv2d):
    def forward(self, x):
        weight = self.weight
        mean = weight.mean(dim=1, keepdim=True).mean(dim=2, keepdim=True).mean(dim=3, keepdim=True)
        std = (weight - mean).view(weight.size(0), -1).std(dim=1).view(-1, 1, 1, 1) + 1e-5
        return F.conv2d(
            x, (weight - mean) / std.expand_as(weight), self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class ScaledStandardizedConv2d(nn.Conv2d):
    """NFNet's convolution: its weight is standardized by batch_norm and scaled by a gain."""

    def __init__(self, *args, gamma=1.7, eps=1e-6, **options):
        super().__init__(*args, **options)
        self.gain = nn.Parameter(torch.full((self.out_channels, 1, 1, 1), 1.0))
        self.scale, self.eps = gamma * self.weight[0].numel() ** -0.5, eps

    def forward(self, x):
        weight = F.batch_norm(
            self.weight.reshape(1, self.out_channels, -1), None, None,
            weight=(self.gain * self.scale).view(-1), training=True, momentum=0.0, eps=self.eps,
        ).reshape_as(self.weight)  # fmt: skip
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class SpectralConv2d(nn.Conv2d):
    """A convolution whose weight is divided by its Frobenius norm."""

    def forward(self, x):
        return self._conv_forward(x, self.weight / torch.linalg.vector_norm(self.weight), self.bias)


class GroupedInstanceNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.half = channels // 2
        self.IN, self.BN = nn.InstanceNorm2d(self.half, affine=True), nn.BatchNorm2d(channels - self.half)

    def forward(self, x):
        split = torch.split(x, self.half, 1)
        return torch.cat((self.IN(split[0].contiguous()), self.BN(split[1].contiguous())), 1)


def functional_instance_norm(channels):
    class FunctionalInstanceNorm(nn.Module):
        def forward(self, x):
            return F.instance_norm(x) + F.normalize(x, dim=1)

    return FunctionalInstanceNorm()


def without_statistics(channels):
    return nn.BatchNorm2d(channels, affine=False)


def _norm(name, norm, conv=nn.Conv2d):
    def make():
        return Wrapped(norm, conv)

    make.__name__, make.__module__ = name, __name__
    pattern(3, 8, 8)(make)


for _name, _kind in {
    "BatchNormActivation": BatchNormAct2d,
    "BatchNormSubclass": PlainBatchNorm,
    "BatchNormFrozen": FrozenBatchNorm,
    "BatchNormWithoutAffine": without_statistics,
    "LayerNormOfChannels": LayerNorm2d,
    "GroupNormActivation": GroupNormAct,
    "RMSNormOfChannels": RootMeanSquareNorm,
    "EvoNormS0": EvoNorm,
    "FilterResponse": FilterResponseNorm,
    "SwitchableNorm": SwitchedNorm,
    "InstanceBatchNorm": GroupedInstanceNorm,
    "FunctionalInstanceNorm": functional_instance_norm,
}.items():
    _norm(_name, _kind)
for _name, _conv in {
    "WeightStandardization": StandardizedConv2d,
    "NormFreeConv": ScaledStandardizedConv2d,
    "NormalizedWeight": SpectralConv2d,
}.items():
    _norm(_name, nn.BatchNorm2d, _conv)


@pattern(6, 16)
class TorchRMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.scale, self.fc = nn.RMSNorm(16, eps=1e-6), nn.Parameter(torch.ones(16)), nn.Linear(16, 5)

    def forward(self, x):
        return self.fc(F.rms_norm(self.norm(x), (16,), self.scale, 1e-6).mean(1))


@pattern(3, 8, 8)
class ParametrizedConv(nn.Module):
    """Weight norm by torch's own parametrization."""

    def __init__(self):
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3))
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


class ConditionalConv(nn.Module):
    """CondConv: experts' kernels mixed for each example and applied as one grouped convolution."""

    def __init__(self, inputs, outputs, experts=4):
        super().__init__()
        self.shape = (outputs, inputs, 3, 3)
        self.weight = nn.Parameter(torch.randn(experts, outputs * inputs * 9) * 0.1)
        self.bias = nn.Parameter(torch.randn(experts, outputs))

    def forward(self, x, routing_weights):
        B, C, H, W = x.shape
        weight = torch.matmul(routing_weights, self.weight).view(B * self.shape[0], *self.shape[1:])
        bias = torch.matmul(routing_weights, self.bias).view(B * self.shape[0])
        out = F.conv2d(x.reshape(1, B * C, H, W), weight, bias, padding=1, groups=B)
        return out.view(B, self.shape[0], out.shape[-2], out.shape[-1])


@pattern(3, 8, 8)
class CondConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.routing_fn, self.conv, self.fc = nn.Linear(3, 4), ConditionalConv(3, 8), nn.Linear(8, 5)

    def forward(self, x):
        pooled_inputs = F.adaptive_avg_pool2d(x, 1).flatten(1)
        routing_weights = torch.sigmoid(self.routing_fn(pooled_inputs))
        return self.fc(F.relu(self.conv(x, routing_weights)).mean((2, 3)))


class Involution(nn.Module):
    def __init__(self, channels, kernel=3, group_channels=4):
        super().__init__()
        self.kernel, self.groups, self.group_channels = kernel, channels // group_channels, group_channels
        self.conv1, self.conv2 = (
            nn.Conv2d(channels, channels // 2, 1),
            nn.Conv2d(channels // 2, kernel**2 * self.groups, 1),
        )
        self.unfold = nn.Unfold(kernel, 1, (kernel - 1) // 2, 1)

    def forward(self, x):
        weight = self.conv2(F.relu(self.conv1(x)))
        b, _c, h, w = weight.shape
        weight = weight.view(b, self.groups, self.kernel**2, h, w).unsqueeze(2)
        out = self.unfold(x).view(b, self.groups, self.group_channels, self.kernel**2, h, w)
        return (weight * out).sum(dim=3).view(b, self.groups * self.group_channels, h, w)


@pattern(3, 8, 8)
class RedNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.inv, self.fc = nn.Conv2d(3, 8, 3, 2, 1), Involution(8), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.inv(self.stem(x)).mean((2, 3)))
