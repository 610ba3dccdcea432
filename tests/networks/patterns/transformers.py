"""Vision transformers in the manner of ViT, DeiT, CaiT, XCiT, Swin, PVT, LeViT and their kin."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from .registry import pattern


class PatchEmbed(nn.Module):
    def __init__(self, size=16, patch=4, width=16):
        super().__init__()
        self.img_size, self.grid_size = (size, size), (size // patch, size // patch)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.proj, self.norm = nn.Conv2d(3, width, kernel_size=patch, stride=patch), nn.Identity()

    def forward(self, x):
        _B, _C, H, W = x.shape
        torch._assert(self.img_size[0] == H, f"Input image height ({H}) doesn't match model ({self.img_size[0]}).")
        assert self.img_size[1] == W, f"Input image width ({W}) doesn't match model"
        x = self.proj(x).flatten(2).transpose(1, 2)
        return self.norm(x)


class Attention(nn.Module):
    def __init__(self, dim, num_heads=2, fused=False, qk_norm=False, bias=True):
        super().__init__()
        self.num_heads, self.head_dim, self.fused = num_heads, dim // num_heads, fused
        self.scale = self.head_dim**-0.5
        self.qkv, self.proj = nn.Linear(dim, dim * 3, bias=bias), nn.Linear(dim, dim)
        self.q_norm = nn.LayerNorm(self.head_dim) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(self.head_dim) if qk_norm else nn.Identity()
        self.attn_drop = nn.Dropout(0.1)

    def forward(self, x, attn_mask=None):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        if self.fused:
            x = F.scaled_dot_product_attention(q, k, v, attn_mask, dropout_p=self.attn_drop.p if self.training else 0.0)
        else:
            q = q * self.scale
            attn = q @ k.transpose(-2, -1)
            attn = attn if attn_mask is None else attn + attn_mask
            x = self.attn_drop(attn.softmax(dim=-1)) @ v
        x = x.transpose(1, 2).reshape(B, N, C)
        return self.proj(x)


class LayerScale(nn.Module):
    def __init__(self, dim, init_values=1e-5, inplace=False):
        super().__init__()
        self.inplace, self.gamma = inplace, nn.Parameter(init_values * torch.ones(dim))

    def forward(self, x):
        return x.mul_(self.gamma) if self.inplace else x * self.gamma


class Mlp(nn.Module):
    def __init__(self, dim, hidden, act=nn.GELU):
        super().__init__()
        self.fc1, self.act, self.fc2, self.drop = nn.Linear(dim, hidden), act(), nn.Linear(hidden, dim), nn.Dropout(0.1)

    def forward(self, x):
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class SwiGLU(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.w12, self.w3 = nn.Linear(dim, 2 * hidden), nn.Linear(hidden, dim)

    def forward(self, x):
        x1, x2 = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(x1) * x2)


class EncoderBlock(nn.Module):
    def __init__(self, dim, fused=False, qk_norm=False, mlp=Mlp):
        super().__init__()
        self.norm1, self.attn, self.ls1 = (
            nn.LayerNorm(dim),
            Attention(dim, 2, fused, qk_norm),
            LayerScale(dim, inplace=fused),
        )
        self.norm2, self.mlp, self.ls2 = nn.LayerNorm(dim, eps=1e-6), mlp(dim, 2 * dim), LayerScale(dim)

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


@pattern(3, 16, 16)
class VisionTransformer(nn.Module):
    def __init__(self, tokens=1, **options):
        super().__init__()
        self.patch_embed = PatchEmbed()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 16))
        self.pos_embed = nn.Parameter(torch.randn(1, self.patch_embed.num_patches + tokens, 16) * 0.02)
        self.blocks = nn.Sequential(*(EncoderBlock(16, **options) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def _pos_embed(self, x):
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        return x + self.pos_embed

    def forward_features(self, x):
        return self.norm(self.blocks(self._pos_embed(self.patch_embed(x))))

    def forward_head(self, x):
        return self.head(x[:, 0])

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


@pattern(3, 16, 16)
def VisionTransformerFused():
    return VisionTransformer(fused=True, qk_norm=True)


@pattern(3, 16, 16)
def VisionTransformerGated():
    return VisionTransformer(mlp=SwiGLU)


@pattern(3, 16, 16)
class DistilledTransformer(VisionTransformer):
    """DeiT: in evaluation the mean of two heads."""

    def __init__(self):
        super().__init__(2)
        self.dist_token, self.head_dist = nn.Parameter(torch.zeros(1, 1, 16)), nn.Linear(16, 5)
        self.distilled_training = False

    def _pos_embed(self, x):
        tokens = self.cls_token.expand(x.shape[0], -1, -1), self.dist_token.expand(x.shape[0], -1, -1)
        return torch.cat((*tokens, x), dim=1) + self.pos_embed

    def forward_head(self, x):
        x, x_dist = x[:, 0], x[:, 1]
        x, x_dist = self.head(x), self.head_dist(x_dist)
        if self.distilled_training and self.training:
            return x, x_dist
        return (x + x_dist) / 2


def sincos_positions(side, dim):
    grid_h, grid_w = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    omega = 1.0 / 10000 ** (torch.arange(dim // 4, dtype=torch.float32) / (dim // 4))
    w, h = grid_w.flatten()[:, None] * omega, grid_h.flatten()[:, None] * omega
    return torch.cat([w.sin(), w.cos(), h.sin(), h.cos()], dim=1)[None]


@pattern(3, 16, 16)
class SinCosTransformer(VisionTransformer):
    """Frozen sine and cosine positions and a mean over tokens."""

    def __init__(self):
        super().__init__()
        del self.cls_token
        self.pos_embed = nn.Parameter(sincos_positions(4, 16), requires_grad=False)

    def _pos_embed(self, x):
        return x + self.pos_embed

    def forward_head(self, x):
        return self.head(x.mean(dim=1))


class ClassAttention(nn.Module):
    def __init__(self, dim, num_heads=2):
        super().__init__()
        self.num_heads, self.scale = num_heads, (dim // num_heads) ** -0.5
        self.q, self.k, self.v, self.proj = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x):
        B, N, C = x.shape
        q = self.q(x[:, 0]).unsqueeze(1).reshape(B, 1, self.num_heads, C // self.num_heads).permute(0, 2, 1, 3)
        k = self.k(x).reshape(B, N, self.num_heads, C // self.num_heads).permute(0, 2, 1, 3)
        v = self.v(x).reshape(B, N, self.num_heads, C // self.num_heads).permute(0, 2, 1, 3)
        attn = (q * self.scale @ k.transpose(-2, -1)).softmax(dim=-1)
        return self.proj((attn @ v).transpose(1, 2).reshape(B, 1, C))


class TalkingHeads(nn.Module):
    def __init__(self, dim, num_heads=2):
        super().__init__()
        self.num_heads, self.scale = num_heads, (dim // num_heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dim, dim * 3), nn.Linear(dim, dim)
        self.proj_l, self.proj_w = nn.Linear(num_heads, num_heads), nn.Linear(num_heads, num_heads)

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, C // self.num_heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0] * self.scale, qkv[1], qkv[2]
        attn = self.proj_l((q @ k.transpose(-2, -1)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        attn = self.proj_w(attn.softmax(dim=-1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.proj((attn @ v).transpose(1, 2).reshape(B, N, C))


@pattern(3, 16, 16)
class CaiT(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch_embed, self.talking, self.class_attention = PatchEmbed(), TalkingHeads(16), ClassAttention(16)
        self.gamma_1, self.cls_token = nn.Parameter(1e-4 * torch.ones(16)), nn.Parameter(torch.zeros(1, 1, 16))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x):
        x = self.patch_embed(x)
        x = x + self.gamma_1 * self.talking(x)
        cls_tokens = self.cls_token.expand(x.shape[0], -1, -1)
        cls_tokens = cls_tokens + self.class_attention(self.norm(torch.cat((cls_tokens, x), dim=1)))
        return self.head(torch.cat((cls_tokens, x), dim=1)[:, 0])


class CrossCovariance(nn.Module):
    def __init__(self, dim, num_heads=2):
        super().__init__()
        self.num_heads, self.temperature = num_heads, nn.Parameter(torch.ones(num_heads, 1, 1))
        self.qkv, self.proj = nn.Linear(dim, dim * 3), nn.Linear(dim, dim)

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, C // self.num_heads).permute(2, 0, 3, 4, 1)
        q, k, v = qkv.unbind(0)
        q, k = F.normalize(q, p=2.0, dim=-1), F.normalize(k, p=2.0, dim=-1)
        attn = (q @ k.transpose(-2, -1) * self.temperature).softmax(dim=-1)
        return self.proj((attn @ v).permute(0, 3, 1, 2).reshape(B, N, C))


class FourierPositions(nn.Module):
    """XCiT's positions: sines of coordinates made in forward, then a 1x1 convolution of parameters alone."""

    def __init__(self, hidden=4, dim=16):
        super().__init__()
        self.token_projection, self.hidden = nn.Conv2d(hidden * 2, dim, 1), hidden

    def forward(self, B, H, W):
        device, dtype = self.token_projection.weight.device, self.token_projection.weight.dtype
        y = (
            torch.arange(1, H + 1, device=device).to(torch.float32).unsqueeze(1).repeat(1, 1, W)
            / (H + 1e-6)
            * 2
            * math.pi
        )
        x = torch.arange(1, W + 1, device=device).to(torch.float32).repeat(1, H, 1) / (W + 1e-6) * 2 * math.pi
        dim_t = torch.arange(self.hidden, device=device).to(torch.float32)
        dim_t = 10000 ** (2 * torch.div(dim_t, 2, rounding_mode="floor") / self.hidden)
        px, py = x[:, :, :, None] / dim_t, y[:, :, :, None] / dim_t
        px = torch.stack([px[:, :, :, 0::2].sin(), px[:, :, :, 1::2].cos()], dim=4).flatten(3)
        py = torch.stack([py[:, :, :, 0::2].sin(), py[:, :, :, 1::2].cos()], dim=4).flatten(3)
        pos = self.token_projection(torch.cat((py, px), dim=3).permute(0, 3, 1, 2).to(dtype))
        return pos.repeat(B, 1, 1, 1)


@pattern(3, 16, 16)
class XCiT(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch_embed, self.pos_embed = nn.Conv2d(3, 16, 4, 4), FourierPositions()
        self.attn, self.norm, self.head = CrossCovariance(16), nn.LayerNorm(16), nn.Linear(16, 5)
        self.local = nn.Conv2d(16, 16, 3, padding=1, groups=16)

    def forward(self, x):
        B = x.shape[0]
        x = self.patch_embed(x)
        H, W = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2)
        x = x + self.pos_embed(B, H, W).reshape(B, -1, x.shape[1]).permute(0, 2, 1)
        x = x + self.attn(self.norm(x))
        x = x + self.local(x.permute(0, 2, 1).reshape(B, 16, H, W)).reshape(B, 16, -1).permute(0, 2, 1)
        return self.head(x.mean(1))


@pattern(3, 16, 16)
class RegisterTokens(VisionTransformer):
    """DINOv2's order: positions before the class token, then four registers that the head skips."""

    def __init__(self):
        super().__init__(0)
        self.reg_token = nn.Parameter(torch.zeros(1, 4, 16))

    def _pos_embed(self, x):
        to_cat = [self.cls_token.expand(x.shape[0], -1, -1), self.reg_token.expand(x.shape[0], -1, -1)]
        return torch.cat([*to_cat, x + self.pos_embed], dim=1)

    def forward_head(self, x):
        return self.head(torch.cat((x[:, 0], x[:, 5:].mean(1)), -1)[:, 8:24])


def rotate_half(x):
    return torch.stack([-x[..., 1::2], x[..., ::2]], -1).reshape(x.shape)


@pattern(3, 16, 16)
class RotaryTransformer(nn.Module):
    """EVA's rotary positions, from a buffer that is not saved."""

    def __init__(self):
        super().__init__()
        self.patch_embed, self.qkv, self.head = PatchEmbed(), nn.Linear(16, 48, bias=False), nn.Linear(16, 5)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(16)), nn.Parameter(torch.zeros(16))
        self.register_buffer("k_bias", torch.zeros(16), persistent=False)
        angles = torch.arange(16)[:, None] / 100 ** (torch.arange(4) / 4)
        self.register_buffer(
            "rope", torch.cat([angles.sin(), angles.cos()], -1).repeat_interleave(2, -1), persistent=False
        )

    def rotated(self, x):
        sin, cos = self.rope.tensor_split(2, -1)
        return x * cos + rotate_half(x) * sin

    def forward(self, x):
        x = self.patch_embed(x)
        B, N, C = x.shape
        qkv = F.linear(input=x, weight=self.qkv.weight, bias=torch.cat((self.q_bias, self.k_bias, self.v_bias)))
        q, k, v = qkv.reshape(B, N, 3, 2, -1).permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(self.rotated(q).type_as(v), self.rotated(k), v)
        return self.head(x.transpose(1, 2).reshape(B, N, C)[:, -1])
