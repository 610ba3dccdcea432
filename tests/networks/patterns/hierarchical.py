"""Hierarchical transformers and hybrids in the manner of PVT, MViT, CoAtNet, MobileViT, LeViT, FocalNet and VOLO."""

import torch
import torch.nn.functional as F
from torch import nn

from .registry import pattern
from .windows import relative_position_index


class SpatialReduction(nn.Module):
    """PVT's attention, whose keys and values come from a smaller map."""

    def __init__(self, dim, num_heads=2, sr_ratio=2):
        super().__init__()
        self.num_heads, self.scale, self.sr_ratio = num_heads, (dim // num_heads) ** -0.5, sr_ratio
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, dim * 2), nn.Linear(dim, dim)
        self.sr, self.norm = nn.Conv2d(dim, dim, sr_ratio, sr_ratio), nn.LayerNorm(dim)

    def forward(self, x, feat_size):
        B, N, C = x.shape
        H, W = feat_size
        q = self.q(x).reshape(B, N, self.num_heads, -1).permute(0, 2, 1, 3)
        x_ = self.sr(x.permute(0, 2, 1).reshape(B, C, H, W)).reshape(B, C, -1).permute(0, 2, 1)
        kv = self.kv(self.norm(x_)).reshape(B, -1, 2, self.num_heads, C // self.num_heads).permute(2, 0, 3, 1, 4)
        k, v = kv.unbind(0)
        attn = (q * self.scale @ k.transpose(-2, -1)).softmax(dim=-1)
        return self.proj((attn @ v).transpose(1, 2).reshape(B, N, C))


@pattern(3, 16, 16)
class PVT(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.attn, self.norm = nn.Conv2d(3, 8, 3, 2, 1), SpatialReduction(8), nn.LayerNorm(8)
        self.dwconv, self.head = nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Linear(8, 5)

    def forward(self, x):
        x = self.embed(x)
        B, C, H, W = x.shape
        x = x.flatten(2).transpose(1, 2)
        x = x + self.attn(self.norm(x), (H, W))
        x = self.dwconv(x.transpose(1, 2).view(B, C, H, W)).flatten(2).transpose(1, 2)
        return self.head(F.gelu(x).mean(dim=1))


def attention_pool(x, pool, hw, norm):
    B, heads, _, C = x.shape
    cls_tok, x = x[:, :, :1, :], x[:, :, 1:, :]
    x = pool(x.reshape(B * heads, *hw, C).permute(0, 3, 1, 2))
    hw = tuple(x.shape[2:])
    x = torch.cat((cls_tok, x.reshape(B, heads, C, -1).transpose(2, 3)), dim=2)
    return norm(x), hw


@pattern(3, 16, 16)
class MViT(nn.Module):
    """Pooling attention with a class token that no pool sees and a residual of pooled queries."""

    def __init__(self, dim=8, heads=2):
        super().__init__()
        self.heads, self.embed, self.qkv = heads, nn.Conv2d(3, dim, 3, 2, 1), nn.Linear(dim, 3 * dim)
        width = dim // heads
        self.pool_q, self.pool_k = (nn.Conv2d(width, width, 3, s, 1, groups=width, bias=False) for s in (1, 2))
        self.pool_v, self.norm = nn.MaxPool2d(3, 2, 1), nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.cls_token, self.head = nn.Parameter(torch.zeros(1, 1, dim)), nn.Linear(dim, 5)
        self.rel_pos_h = nn.Parameter(torch.zeros(15, width))

    def forward(self, x):
        x = self.embed(x)
        hw = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.size(0), -1, -1), x), dim=1)
        B, N, _ = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(dim=0)
        q, q_hw = attention_pool(q, self.pool_q, hw, self.norm[0])
        k, k_hw = attention_pool(k, self.pool_k, hw, self.norm[1])
        v, _ = attention_pool(v, self.pool_v, hw, self.norm[2])
        attn = (q * k.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        dist = torch.arange(q_hw[0], device=x.device)[:, None] - torch.arange(k_hw[0], device=x.device)[None, :] * 2
        rel = torch.einsum(
            "byhwc,hkc->byhwk", q[:, :, 1:].reshape(B, self.heads, *q_hw, -1), self.rel_pos_h[(dist + 6).long()]
        )
        bias = rel.unsqueeze(-1).expand(-1, -1, -1, -1, -1, k_hw[1]).reshape(B, self.heads, q_hw[0] * q_hw[1], -1)
        attn = attn + F.pad(bias, (1, 0, 1, 0))
        x = (attn.softmax(dim=-1) @ v + q).transpose(1, 2).reshape(B, -1, self.heads * v.shape[-1])
        return self.head(x[:, 0])


@pattern(3, 16, 16)
class CoAtNet(nn.Module):
    """A convolution stage, then attention over a map with a bias looked up by distance."""

    def __init__(self, dim=8):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, dim, 3, 2, 1), nn.BatchNorm2d(dim), nn.GELU(), nn.MaxPool2d(2))
        self.norm, self.qkv, self.proj = nn.GroupNorm(1, dim), nn.Conv2d(dim, dim * 3, 1), nn.Conv2d(dim, dim, 1)
        self.bias_table = nn.Parameter(torch.zeros(2, 7, 7))
        self.head = nn.Linear(dim, 5)

    def bias(self):
        index = relative_position_index(4)
        return torch.stack([table.flatten()[index] for table in self.bias_table])

    def forward(self, x):
        x = self.stem(x)
        B, C, H, W = x.shape
        q, k, v = self.qkv(self.norm(x)).view(B, 2, C // 2 * 3, -1).chunk(3, dim=2)
        attn = (q.transpose(-2, -1) @ k) * (C // 2) ** -0.5 + self.bias()
        y = (v @ attn.softmax(dim=-1).transpose(-2, -1)).view(B, -1, H, W)
        return self.head((x + self.proj(y)).mean((2, 3)))


@pattern(3, 16, 16)
class MobileViT(nn.Module):
    """Attention over pixels at equal places of patches, unfolded and folded by reshapes."""

    def __init__(self, dim=8, patch=2):
        super().__init__()
        self.patch, self.stem = patch, nn.Conv2d(3, dim, 3, 2, 1)
        self.attn, self.norm = nn.MultiheadAttention(dim, 2, batch_first=True), nn.LayerNorm(dim)
        self.fusion, self.head = nn.Conv2d(2 * dim, dim, 3, padding=1), nn.Linear(dim, 5)

    def forward(self, x):
        x = self.stem(x)
        shortcut, p = x, self.patch
        B, C, H, W = x.shape
        rows, columns = H // p, W // p
        x = x.reshape(B * C * rows, p, columns, p).transpose(1, 2)
        x = x.reshape(B, C, rows * columns, p * p).transpose(1, 3).reshape(B * p * p, rows * columns, C)
        x = x + self.attn(self.norm(x), self.norm(x), self.norm(x), need_weights=False)[0]
        x = x.contiguous().view(B, p * p, rows * columns, -1).transpose(1, 3)
        x = x.reshape(B * C * rows, columns, p, p).transpose(1, 2).reshape(B, C, H, W)
        return self.head(self.fusion(torch.cat((shortcut, x), dim=1)).mean((2, 3)))


@pattern(3, 16, 16)
class SeparableMobileViT(nn.Module):
    """MobileViT v2: unfold and fold by torch's functions, attention with one query."""

    def __init__(self, dim=8):
        super().__init__()
        self.dim, self.stem, self.qkv, self.out = (
            dim,
            nn.Conv2d(3, dim, 3, 2, 1),
            nn.Conv2d(dim, 1 + 2 * dim, 1),
            nn.Conv2d(dim, dim, 1),
        )
        self.head = nn.Linear(dim, 5)

    def forward(self, x):
        x = self.stem(x)
        B, C, H, W = x.shape
        patches = F.unfold(x, kernel_size=(2, 2), stride=(2, 2)).reshape(B, C, 4, -1)
        query, key, value = self.qkv(patches).split([1, self.dim, self.dim], dim=1)
        context = (key * F.softmax(query, dim=-1)).sum(dim=-1, keepdim=True)
        out = self.out(F.relu(value) * context.expand_as(value))
        x = F.fold(out.reshape(B, C * 4, -1), output_size=(H, W), kernel_size=(2, 2), stride=(2, 2))
        return self.head(x.mean((2, 3)))


class LinearNorm(nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.add_module("c", nn.Linear(inputs, outputs, bias=False))
        self.add_module("bn", nn.BatchNorm1d(outputs))

    def forward(self, x):
        x = self.c(x)
        return self.bn(x.flatten(0, 1)).reshape_as(x)


@pattern(3, 16, 16)
class LeViT(nn.Module):
    """Linear layers with batch norm over all tokens and biases that an index buffer looks up."""

    def __init__(self, dim=8, heads=2, side=4):
        super().__init__()
        self.num_heads, self.key_dim, self.stem = heads, 4, nn.Conv2d(3, dim, 4, 4)
        self.qkv, self.proj = (
            LinearNorm(dim, heads * (4 + 4 + 8)),
            nn.Sequential(nn.Hardswish(), LinearNorm(heads * 8, dim)),
        )
        self.attention_biases = nn.Parameter(torch.zeros(heads, side * side))
        places = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
        offsets = (places[..., :, None] - places[..., None, :]).abs()
        self.register_buffer("attention_bias_idxs", offsets[0] * side + offsets[1], persistent=False)
        self.attention_bias_cache = {}
        self.head, self.head_dist = (
            nn.Sequential(nn.BatchNorm1d(dim), nn.Linear(dim, 5)),
            nn.Sequential(nn.BatchNorm1d(dim), nn.Linear(dim, 5)),
        )

    def get_attention_biases(self, device):
        if torch.jit.is_tracing() or self.training:
            return self.attention_biases[:, self.attention_bias_idxs]
        device_key = str(device)
        if device_key not in self.attention_bias_cache:
            self.attention_bias_cache[device_key] = self.attention_biases[:, self.attention_bias_idxs]
        return self.attention_bias_cache[device_key]

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        B, N, _ = x.shape
        q, k, v = self.qkv(x).view(B, N, self.num_heads, -1).split([self.key_dim, self.key_dim, 8], dim=3)
        q, k, v = q.permute(0, 2, 1, 3), k.permute(0, 2, 3, 1), v.permute(0, 2, 1, 3)
        attn = (q @ k * self.key_dim**-0.5 + self.get_attention_biases(x.device)).softmax(dim=-1)
        x = x + self.proj((attn @ v).transpose(1, 2).reshape(B, N, -1))
        x = x.mean(dim=1)
        return (self.head(x) + self.head_dist(x)) / 2


@pattern(3, 16, 16)
class EdgeNeXt(nn.Module):
    """A cascade of depthwise convolutions over splits, then cross-covariance attention."""

    def __init__(self, dim=12):
        super().__init__()
        self.stem, width = nn.Conv2d(3, dim, 4, 4), dim // 3
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, groups=width) for _ in range(2))
        self.norm, self.pwconv1, self.act, self.pwconv2 = (
            nn.LayerNorm(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
        )
        self.gamma, self.head = nn.Parameter(1e-6 * torch.ones(dim)), nn.Linear(dim, 5)

    def forward(self, x):
        x = self.stem(x)
        shortcut = x
        spx = x.chunk(len(self.convs) + 1, dim=1)
        spo, sp = [], spx[0]
        for i, conv in enumerate(self.convs):
            if i > 0:
                sp = sp + spx[i]
            sp = conv(sp)
            spo.append(sp)
        spo.append(spx[-1])
        x = torch.cat(spo, 1).permute(0, 2, 3, 1)
        x = self.gamma * self.pwconv2(self.act(self.pwconv1(self.norm(x))))
        return self.head((shortcut + x.permute(0, 3, 1, 2)).mean([-2, -1]))


@pattern(3, 16, 16)
class FocalNet(nn.Module):
    def __init__(self, dim=8, levels=2):
        super().__init__()
        self.dim, self.levels, self.stem = dim, levels, nn.Conv2d(3, dim, 4, 4)
        self.f, self.h, self.proj = (
            nn.Conv2d(dim, 2 * dim + levels + 1, 1),
            nn.Conv2d(dim, dim, 1),
            nn.Conv2d(dim, dim, 1),
        )
        self.focal_layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, 3 + 2 * k, groups=dim, padding=1 + k, bias=False), nn.GELU())
            for k in range(levels)
        )
        self.act, self.head = nn.GELU(), nn.Linear(dim, 5)

    def forward(self, x):
        x = self.f(self.stem(x))
        q, ctx, gates = torch.split(x, (self.dim, self.dim, self.levels + 1), 1)
        ctx_all = 0
        for level, focal_layer in enumerate(self.focal_layers):
            ctx = focal_layer(ctx)
            ctx_all = ctx_all + ctx * gates[:, level : level + 1]
        ctx_global = self.act(ctx.mean((2, 3), keepdim=True))
        ctx_all = ctx_all + ctx_global * gates[:, self.levels :]
        return self.head(self.proj(q * self.h(ctx_all)).mean((2, 3)))


@pattern(3, 16, 16)
class OutlookAttention(nn.Module):
    """VOLO: attention weights for each window from its centre, applied to unfolded values and folded back."""

    def __init__(self, dim=8, heads=2, kernel=3):
        super().__init__()
        self.kernel, self.num_heads, self.stem = kernel, heads, nn.Conv2d(3, dim, 4, 4)
        self.v, self.attn, self.proj = (
            nn.Linear(dim, dim, bias=False),
            nn.Linear(dim, kernel**4 * heads),
            nn.Linear(dim, dim),
        )
        self.unfold = nn.Unfold(kernel_size=kernel, padding=1, stride=2)
        self.pool, self.head = nn.AvgPool2d(2, 2, ceil_mode=True), nn.Linear(dim, 5)

    def forward(self, x):
        x = self.stem(x).permute(0, 2, 3, 1)
        B, H, W, C = x.shape
        v = self.v(x).permute(0, 3, 1, 2)
        h, w = -(-H // 2), -(-W // 2)
        v = self.unfold(v).reshape(B, self.num_heads, C // self.num_heads, self.kernel**2, h * w).permute(0, 1, 4, 3, 2)
        attn = self.pool(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        attn = self.attn(attn).reshape(B, h * w, self.num_heads, self.kernel**2, self.kernel**2).permute(0, 2, 1, 3, 4)
        x = (attn.softmax(dim=-1) @ v).permute(0, 1, 4, 3, 2).reshape(B, C * self.kernel**2, h * w)
        x = F.fold(x, output_size=(H, W), kernel_size=self.kernel, padding=1, stride=2)
        return self.head(self.proj(x.permute(0, 2, 3, 1)).mean((1, 2)))
