"""Transformers with windows in the manner of Swin."""

import torch
import torch.nn.functional as F
from torch import nn

from .registry import pattern


def window_partition(x, size):
    B, H, W, C = x.shape
    x = x.view(B, H // size, size, W // size, size, C)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, size, size, C)


def window_reverse(windows, size, H, W):
    C = windows.shape[-1]
    x = windows.view(-1, H // size, W // size, size, size, C)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, H, W, C)


def relative_position_index(size):
    coords = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")).flatten(1)
    relative = (coords[:, :, None] - coords[:, None, :]).permute(1, 2, 0).contiguous() + size - 1
    relative[:, :, 0] *= 2 * size - 1
    return relative.sum(-1)


class WindowAttention(nn.Module):
    def __init__(self, dim, window, num_heads=2):
        super().__init__()
        self.window, self.num_heads, self.scale = window, num_heads, (dim // num_heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, num_heads))
        self.register_buffer("relative_position_index", relative_position_index(window), persistent=False)
        self.qkv, self.proj, self.softmax = nn.Linear(dim, dim * 3), nn.Linear(dim, dim), nn.Softmax(dim=-1)

    def _get_rel_pos_bias(self):
        area = self.window**2
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)].view(area, area, -1)
        return bias.permute(2, 0, 1).contiguous().unsqueeze(0)

    def forward(self, x, mask=None):
        B_, N, _C = x.shape
        qkv = self.qkv(x).reshape(B_, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attn = q * self.scale @ k.transpose(-2, -1) + self._get_rel_pos_bias()
        if mask is not None:
            num_win = mask.shape[0]
            attn = attn.view(-1, num_win, self.num_heads, N, N) + mask.unsqueeze(1).unsqueeze(0)
            attn = attn.view(-1, self.num_heads, N, N)
        x = self.softmax(attn) @ v
        return self.proj(x.transpose(1, 2).reshape(B_, N, -1))


class SwinBlock(nn.Module):
    def __init__(self, dim, side, window, shift):
        super().__init__()
        self.window, self.shift, self.norm1, self.attn = window, shift, nn.LayerNorm(dim), WindowAttention(dim, window)
        self.mlp = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        mask = None
        if shift:
            img_mask, cnt = torch.zeros((1, side, side, 1)), 0
            for h in ((0, -window), (-window, -shift), (-shift, None)):
                for w in ((0, -window), (-window, -shift), (-shift, None)):
                    img_mask[:, h[0] : h[1], w[0] : w[1], :] = cnt
                    cnt += 1
            windows = window_partition(img_mask, window).view(-1, window * window)
            mask = windows.unsqueeze(1) - windows.unsqueeze(2)
            mask = mask.masked_fill(mask != 0, -100.0).masked_fill(mask == 0, 0.0)
        self.register_buffer("attn_mask", mask, persistent=False)

    def _attn(self, x):
        _, H, W, C = x.shape
        shifted = torch.roll(x, shifts=(-self.shift, -self.shift), dims=(1, 2)) if self.shift else x
        pad_b, pad_r = (self.window - H % self.window) % self.window, (self.window - W % self.window) % self.window
        shifted = F.pad(shifted, (0, 0, 0, pad_r, 0, pad_b))
        windows = window_partition(shifted, self.window).view(-1, self.window * self.window, C)
        windows = self.attn(windows, mask=self.attn_mask).view(-1, self.window, self.window, C)
        shifted = window_reverse(windows, self.window, H + pad_b, W + pad_r)[:, :H, :W, :].contiguous()
        return torch.roll(shifted, shifts=(self.shift, self.shift), dims=(1, 2)) if self.shift else shifted

    def forward(self, x):
        B, H, W, C = x.shape
        x = x + self._attn(self.norm1(x))
        x = x.reshape(B, -1, C)
        return (x + self.mlp(x)).reshape(B, H, W, C)


class PatchMerging(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * dim), nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x):
        _, H, W, _ = x.shape
        x = F.pad(x, (0, 0, 0, W % 2, 0, H % 2))
        x = torch.cat([x[:, 0::2, 0::2, :], x[:, 1::2, 0::2, :], x[:, 0::2, 1::2, :], x[:, 1::2, 1::2, :]], -1)
        return self.reduction(self.norm(x))


@pattern(3, 32, 32)
class Swin(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, 8, 4, 4)
        self.layers = nn.Sequential(
            SwinBlock(8, 8, 4, 0), SwinBlock(8, 8, 4, 2), PatchMerging(8), SwinBlock(16, 4, 4, 0)
        )
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x):
        x = self.patch_embed(x).permute(0, 2, 3, 1)
        return self.head(self.norm(self.layers(x)).mean(dim=(1, 2)))


@pattern(3, 28, 28)
class SwinPadded(Swin):
    """A map of 7x7 with windows of 4, so padding and cropping are real."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(SwinBlock(8, 8, 4, 0), PatchMerging(8))


class CosineWindowAttention(nn.Module):
    """Swin v2: cosine attention, a clamped logit scale and positions from an MLP over a table of coordinates."""

    def __init__(self, dim, window, num_heads=2):
        super().__init__()
        self.window, self.num_heads = window, num_heads
        self.logit_scale = nn.Parameter(torch.log(10 * torch.ones(num_heads, 1, 1)))
        self.cpb_mlp = nn.Sequential(nn.Linear(2, 8), nn.ReLU(inplace=True), nn.Linear(8, num_heads, bias=False))
        steps = torch.arange(-(window - 1), window, dtype=torch.float32)
        table = torch.stack(torch.meshgrid(steps, steps, indexing="ij")).permute(1, 2, 0).contiguous().unsqueeze(0)
        self.register_buffer(
            "relative_coords_table", torch.sign(table) * torch.log2(table.abs() + 1.0) / 3, persistent=False
        )
        self.register_buffer("relative_position_index", relative_position_index(window), persistent=False)
        self.qkv, self.q_bias, self.v_bias = (
            nn.Linear(dim, dim * 3, bias=False),
            *(nn.Parameter(torch.zeros(dim)) for _ in range(2)),
        )
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        B_, N, C = x.shape
        bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias, requires_grad=False), self.v_bias))
        qkv = (
            F.linear(input=x, weight=self.qkv.weight, bias=bias)
            .reshape(B_, N, 3, self.num_heads, -1)
            .permute(2, 0, 3, 1, 4)
        )
        q, k, v = qkv[0], qkv[1], qkv[2]
        attn = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        attn = attn * torch.clamp(self.logit_scale, max=4.6052).exp()
        table = self.cpb_mlp(self.relative_coords_table).view(-1, self.num_heads)
        bias = table[self.relative_position_index.view(-1)].view(N, N, -1).permute(2, 0, 1).contiguous()
        attn = attn + 16 * torch.sigmoid(bias).unsqueeze(0)
        return self.proj((attn.softmax(-1) @ v).transpose(1, 2).reshape(B_, N, C))


@pattern(3, 16, 16)
class SwinV2(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch_embed, self.attn, self.norm = nn.Conv2d(3, 8, 2, 2), CosineWindowAttention(8, 4), nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.patch_embed(x).permute(0, 2, 3, 1)
        B, H, W, C = x.shape
        windows = self.attn(window_partition(x, 4).view(-1, 16, C)).view(-1, 4, 4, C)
        return self.head((x + self.norm(window_reverse(windows, 4, H, W))).view(B, H * W, C).mean(1))
