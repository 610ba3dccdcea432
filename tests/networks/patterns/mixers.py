"""ConvNeXt and networks that mix tokens without attention: MLP-Mixer, gMLP, PoolFormer, Fourier layers, Perceiver."""

import torch
import torch.nn.functional as F
from torch import nn

from .registry import pattern


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x):
        return F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps).permute(
            0, 3, 1, 2
        )


class Permute(nn.Module):
    def __init__(self, *dims):
        super().__init__()
        self.dims = dims

    def forward(self, x):
        return torch.permute(x, self.dims)


class ConvNeXtBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim), Permute(0, 2, 3, 1), nn.LayerNorm(dim, eps=1e-6),
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim), Permute(0, 3, 1, 2),
        )  # fmt: skip
        self.layer_scale = nn.Parameter(torch.ones(dim, 1, 1) * 1e-6)

    def forward(self, x):
        return x + self.layer_scale * self.block(x)


@pattern(3, 16, 16)
class ConvNeXt(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 4, 4), LayerNorm2d(8)),
            ConvNeXtBlock(8),
            LayerNorm2d(8),
            nn.Conv2d(8, 16, 2, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(LayerNorm2d(16, eps=1e-6), nn.Flatten(1), nn.Linear(16, 5))

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)))


class GlobalResponseNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        x_g = x.norm(p=2, dim=(1, 2), keepdim=True)
        x_n = x_g / (x_g.mean(dim=-1, keepdim=True) + 1e-6)
        return x + torch.addcmul(self.bias.view(1, 1, 1, -1), self.weight.view(1, 1, 1, -1), x * x_n)


@pattern(3, 16, 16)
class ConvNeXtV2(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.dwconv, self.norm = (
            nn.Conv2d(3, 8, 4, 4),
            nn.Conv2d(8, 8, 7, padding=3, groups=8),
            nn.LayerNorm(8),
        )
        self.mlp, self.head = (
            nn.Sequential(nn.Linear(8, 32), nn.GELU(), GlobalResponseNorm(32), nn.Linear(32, 8)),
            nn.Linear(8, 5),
        )

    def forward(self, x):
        x = self.stem(x)
        x = self.mlp(self.norm(self.dwconv(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2) + x
        return self.head(x.mean([-2, -1]))


class MixerBlock(nn.Module):
    def __init__(self, dim, tokens):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp_tokens = nn.Sequential(nn.Linear(tokens, 8), nn.GELU(), nn.Linear(8, tokens))
        self.mlp_channels = nn.Sequential(nn.Linear(dim, 32), nn.GELU(), nn.Linear(32, dim))

    def forward(self, x):
        x = x + self.mlp_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.mlp_channels(self.norm2(x))


@pattern(3, 16, 16)
class MlpMixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, 8, 4, 4), nn.Sequential(MixerBlock(8, 16), MixerBlock(8, 16))
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.stem(x).flatten(2).mT)).mean(1))


class Affine(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.ones(1, 1, dim)), nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x):
        return torch.addcmul(self.beta, self.alpha, x)


@pattern(3, 16, 16)
class ResMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.linear_tokens = nn.Conv2d(3, 8, 4, 4), Affine(8), nn.Linear(16, 16)
        self.ls1, self.head = nn.Parameter(1e-4 * torch.ones(8)), nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = x + self.ls1 * self.linear_tokens(self.norm(x).transpose(1, 2)).transpose(1, 2)
        return self.head(x.mean(dim=1))


class SpatialGatingUnit(nn.Module):
    def __init__(self, dim, tokens):
        super().__init__()
        self.norm, self.proj = nn.LayerNorm(dim // 2), nn.Linear(tokens, tokens)

    def forward(self, x):
        u, v = x.chunk(2, dim=-1)
        v = self.proj(self.norm(v).transpose(-1, -2))
        return u * v.transpose(-1, -2)


@pattern(3, 16, 16)
class GatedMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.fc1, self.gate, self.fc2 = (
            nn.Conv2d(3, 8, 4, 4),
            nn.Linear(8, 32),
            SpatialGatingUnit(32, 16),
            nn.Linear(16, 8),
        )
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.flatten(self.stem(x), start_dim=2).transpose(1, 2)
        x = x + self.fc2(self.gate(F.gelu(self.fc1(x), approximate="tanh")))
        return self.head(torch.mean(x, dim=1))


class Pooling(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

    def forward(self, x):
        return self.pool(x) - x


@pattern(3, 16, 16)
class PoolFormer(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.stem, self.norm1, self.norm2, self.token_mixer = (
            nn.Conv2d(3, dim, 7, 4, 2),
            nn.GroupNorm(1, dim),
            nn.GroupNorm(1, dim),
            Pooling(),
        )
        self.layer_scale_1, self.layer_scale_2 = (nn.Parameter(1e-5 * torch.ones(dim)) for _ in range(2))
        self.mlp, self.head = (
            nn.Sequential(nn.Conv2d(dim, 2 * dim, 1), nn.GELU(), nn.Conv2d(2 * dim, dim, 1)),
            nn.Linear(dim, 5),
        )

    def forward(self, x):
        x = self.stem(x)
        x = x + self.layer_scale_1.unsqueeze(-1).unsqueeze(-1) * self.token_mixer(self.norm1(x))
        x = x + self.layer_scale_2[:, None, None] * self.mlp(self.norm2(x))
        return self.head(x.mean([-2, -1]))


class StarReLU(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale, self.bias, self.relu = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1)), nn.ReLU()

    def forward(self, x):
        return self.scale * self.relu(x) ** 2 + self.bias


@pattern(3, 16, 16)
class MetaFormer(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.act, self.dwconv = (
            nn.Conv2d(3, 8, 4, 4),
            StarReLU(),
            nn.Conv2d(8, 8, 7, padding=3, groups=8, bias=False),
        )
        self.res_scale, self.head = nn.Parameter(torch.ones(8)), nn.Linear(8, 5)

    def forward(self, x):
        x = self.act(self.stem(x))
        x = x * self.res_scale.view(-1, 1, 1) + self.dwconv(x)
        return self.head(x.square().mean((2, 3)).sqrt())


@pattern(3, 16, 16)
class GlobalFilter(nn.Module):
    """GFNet: a learned filter of complex weights in the frequency domain."""

    def __init__(self, dim=8, side=4):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, dim, 4, 4), nn.Linear(dim, 5)
        self.complex_weight = nn.Parameter(torch.randn(side, side // 2 + 1, dim, 2) * 0.02)

    def forward(self, x):
        x = self.stem(x).permute(0, 2, 3, 1)
        _, a, b, _ = x.shape
        x = torch.fft.rfft2(x, dim=(1, 2), norm="ortho")
        x = x * torch.view_as_complex(self.complex_weight)
        x = torch.fft.irfft2(x, s=(a, b), dim=(1, 2), norm="ortho")
        return self.head(x.mean((1, 2)))


@pattern(12, 8)
class FNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x):
        x = self.norm(x + torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real)
        return self.head(x.mean(1))


@pattern(3, 16, 16)
class FastFourierConv(nn.Module):
    """Real and imaginary parts stacked as channels, mixed by a 1x1 convolution."""

    def __init__(self, dim=8):
        super().__init__()
        self.stem, self.conv, self.bn = (
            nn.Conv2d(3, dim, 4, 4),
            nn.Conv2d(2 * dim, 2 * dim, 1, bias=False),
            nn.BatchNorm2d(2 * dim),
        )
        self.head = nn.Linear(dim, 5)

    def forward(self, x):
        x = self.stem(x)
        batch, _c, h, w = x.shape
        ffted = torch.fft.rfftn(x, dim=(-2, -1), norm="ortho")
        ffted = torch.stack((ffted.real, ffted.imag), dim=-1).permute(0, 1, 4, 2, 3).contiguous()
        ffted = F.relu(self.bn(self.conv(ffted.view(batch, -1, *ffted.size()[3:]))))
        ffted = ffted.view(batch, -1, 2, *ffted.size()[2:]).permute(0, 1, 3, 4, 2).contiguous()
        x = torch.fft.irfftn(torch.complex(ffted[..., 0], ffted[..., 1]), s=(h, w), dim=(-2, -1), norm="ortho")
        return self.head(x.mean((2, 3)))


@pattern(3, 16, 16)
class Perceiver(nn.Module):
    """Latents that attend to pixels with Fourier features of their places."""

    def __init__(self, latents=4, dim=8):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, dim) * 0.02)
        axis = torch.linspace(-1.0, 1.0, 16)
        self.register_buffer("places", torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1))
        self.to_q, self.to_kv = nn.Linear(dim, 16, bias=False), nn.Linear(7, 32, bias=False)
        self.to_out, self.norm, self.head = nn.Linear(16, dim), nn.LayerNorm(dim), nn.Linear(dim, 5)

    def forward(self, x):
        b = x.shape[0]
        places = torch.cat((self.places.sin(), self.places.cos()), dim=-1).expand(b, -1, -1, -1)
        data = torch.cat((x.permute(0, 2, 3, 1), places), dim=-1).flatten(1, 2)
        latents = self.latents.unsqueeze(0).repeat(b, 1, 1)
        q, (k, v) = self.to_q(latents), self.to_kv(data).chunk(2, dim=-1)
        sim = torch.einsum("b i d, b j d -> b i j", q, k) * 16**-0.5
        latents = latents + self.to_out(torch.einsum("b i j, b j d -> b i d", sim.softmax(dim=-1), v))
        return self.head(self.norm(latents).mean(dim=-2))
