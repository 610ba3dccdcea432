"""Modules that spell products of matrices in many ways, with closed forms of their multiply-accumulates."""

import torch
import torch.nn.functional as F
from torch import nn

P = torch.rand


class Calls(nn.Module):
    """A module whose forward method is a function, with parts and parameters by name."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            setattr(self, name, nn.Parameter(part, part.is_floating_point()) if torch.is_tensor(part) else part)

    def forward(self, x):
        return self.function(self, x)


def rnn(kind, *sizes, **options):
    return Calls(lambda m, x: m.a(x)[0], a=kind(*sizes, batch_first=True, **options))


def attend(m, x, **options):
    return F.scaled_dot_product_attention(x, x, x, **options)


# A module, the shape of one example and the closed form of its MACs.
MODULES = {
    # vectors and bilinear forms
    "mv": (Calls(lambda m, x: x @ m.w, w=P(8)), (6, 8), 6 * 8),
    "addmv": (Calls(lambda m, x: torch.addmv(x[:, 0], x, m.w), w=P(8)), (8,), 8),
    "addmv_": (Calls(lambda m, x: torch.zeros_like(x[:, 0]).addmv_(x, m.w), w=P(8)), (8,), 8),
    "dot": (Calls(lambda m, x: x * torch.dot(m.w, m.w), w=P(8)), (8,), 8),
    "vdot": (Calls(lambda m, x: x * torch.vdot(m.w, m.w), w=P(8)), (8,), 8),
    "inner": (Calls(lambda m, x: torch.inner(x, m.w), w=P(3, 8)), (6, 8), 6 * 8 * 3),
    "vecdot": (Calls(lambda m, x: torch.linalg.vecdot(x, m.w), w=P(8)), (6, 8), 6 * 8),
    "bilinear": (Calls(lambda m, x: m.a(x, x[:, :7]), a=nn.Bilinear(8, 7, 5)), (8,), 5 * (8 * 7 + 7)),
    "bilinear of one": (Calls(lambda m, x: m.a(x[:, :1], x), a=nn.Bilinear(1, 8, 5)), (8,), 5 * (8 + 8)),
    "trilinear": (
        Calls(lambda m, x: torch._trilinear(x, m.w, x, [1, 3], [0], [1, 2], [2, 3]), w=P(5, 8, 8)),
        (8,),
        5 * (8 * 8 + 8),
    ),
    # einsum
    "einsum dot": (Calls(lambda m, x: torch.einsum("bi,bi->b", x, x)), (8,), 8),
    "einsum sublists": (
        Calls(lambda m, x: torch.einsum(x, [0, ..., 1], m.w, [1], [0, ...]), w=P(5)),
        (3, 4, 5),
        3 * 4 * 5,
    ),
    "einsum ellipsis": (Calls(lambda m, x: torch.einsum("...i, ji -> ...j", x, m.w), w=P(7, 5)), (3, 5), 3 * 5 * 7),
    "einsum implicit": (Calls(lambda m, x: torch.einsum("bi,ij", x, m.w), w=P(5, 7)), (5,), 5 * 7),
    "einsum of three": (Calls(lambda m, x: torch.einsum("bi,ij,bj->b", x, m.w, x), w=P(5, 7)[:, :5]), (5,), 25 + 5),
    "einsum without a sum": (Calls(lambda m, x: torch.einsum("bi,j->bij", x, m.w), w=P(7)), (5,), 0),
    "einsum sums first": (Calls(lambda m, x: torch.einsum("bij,bi->b", x, x[..., 0])), (5, 7), 5),
    # products of matrices
    "tensordot": (Calls(lambda m, x: torch.tensordot(x, m.w, dims=2), w=P(6, 8, 4)), (6, 8), 6 * 8 * 4),
    "multi_dot": (Calls(lambda m, x: torch.linalg.multi_dot([x, m.w, m.v]), w=P(8, 9), v=P(9, 2)), (8,), 144 + 8 * 2),
    "matrix_power": (Calls(lambda m, x: torch.linalg.matrix_power(x, 5)), (4, 4), 3 * 64),
    "addbmm": (Calls(lambda m, x: x + torch.addbmm(m.w, m.v, m.v), w=P(4, 4), v=P(3, 4, 4)), (4, 4), 3 * 64),
    "baddbmm": (Calls(lambda m, x: torch.baddbmm(x, x, x)), (6, 6), 216),
    "outer, kron, addr": (
        Calls(lambda m, x: x + torch.outer(m.w, m.w) + torch.addr(m.v, m.w, m.w) + torch.kron(m.v, m.v)[:4, :4],
              w=P(4), v=P(4, 4)),
        (4, 4),
        0,
    ),
    "unfold": (Calls(lambda m, x: m.w @ F.unfold(x, 3), w=P(2, 27)), (3, 6, 6), 2 * 27 * 16),
    "vmap": (Calls(lambda m, x: torch.vmap(lambda row: m.w @ row)(x), w=P(6, 8)), (8,), 48),
    "loop over examples": (Calls(lambda m, x: torch.stack([row @ m.w for row in x]), w=P(8, 6)), (8,), 48),
    "grouped": (
        Calls(lambda m, x: x + torch._grouped_mm(m.w.bfloat16(), m.w.bfloat16()).float(), w=P(4, 16, 16)),
        (4, 16, 16),
        4 * 16**3,
    ),
    "integers": (Calls(lambda m, x: x + torch._int_mm(m.w.char(), m.w.char()), w=P(32, 32)), (32, 32), 32**3),
    "complex": (
        Calls(lambda m, x: torch.einsum("bixy,ioxy->boxy", torch.fft.rfft2(x), torch.view_as_complex(m.w)).abs(),
              w=P(3, 5, 4, 3, 2)),
        (3, 4, 4),
        3 * 5 * 4 * 3,
    ),
    "grid of a spatial transformer": (
        Calls(
            lambda m, x: F.grid_sample(
                x, F.affine_grid(m.a(x[:, 0, 0]).view(-1, 2, 3), x.shape, False), align_corners=False
            ),
            a=nn.Linear(8, 6),
        ),
        (3, 7, 8),
        8 * 6 + 7 * 8 * 2 * 3,
    ),
    # distances
    "cdist": (Calls(lambda m, x: torch.cdist(x, m.w), w=P(30, 8)), (40, 8), 40 * 30 * 8),
    "cdist of few": (Calls(lambda m, x: torch.cdist(x, m.w), w=P(3, 8)), (4, 8), 4 * 3 * 8),
    "cdist of absolute values": (Calls(lambda m, x: torch.cdist(x, m.w, p=1), w=P(3, 8)), (4, 8), 0),
    # convolutions
    "conv1d": (nn.Conv1d(4, 6, 3, 2, groups=2), (4, 9), 6 * 4 * 2 * 3),
    "conv2d same": (nn.Conv2d(4, 3, 5, padding="same"), (4, 6, 6), 36 * 3 * 4 * 25),
    "conv2d dilated": (nn.Conv2d(4, 8, 3, dilation=2, groups=4), (4, 7, 7), 9 * 8 * 9),
    "conv3d": (nn.Conv3d(2, 3, 3), (2, 5, 5, 5), 27 * 3 * 2 * 27),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 5), 25 * 4 * 3 * 9),
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 3, padding=1), (4, 5), 5 * 4 * 6 * 3),
    "conv_tbc": (
        Calls(lambda m, x: torch.conv_tbc(torch.stack(x.unbind(1)), m.w, m.b).mT, w=P(3, 8, 5), b=P(5)),
        (9, 8),
        7 * 3 * 8 * 5,
    ),
    # recurrent layers
    "rnn": (rnn(nn.RNN, 16, 8, nonlinearity="relu"), (12, 16), 12 * 8 * 24),
    "lstm": (rnn(nn.LSTM, 16, 8), (12, 16), 12 * 4 * 8 * 24),
    "lstm with projections": (
        rnn(nn.LSTM, 16, 8, 2, bidirectional=True, proj_size=4),
        (12, 16),
        12 * 2 * ((32 * 16 + 32 * 4 + 32) + (32 * 8 + 32 * 4 + 32)),
    ),
    "gru": (Calls(lambda m, x: m.a(x.transpose(0, 1))[1][0], a=nn.GRU(16, 8)), (12, 16), 12 * 3 * 8 * 24),
    "gru cell": (Calls(lambda m, x: m.a(x), a=nn.GRUCell(16, 8)), (16,), 3 * 8 * 24),
    "lstm cell": (Calls(lambda m, x: m.a(x)[0], a=nn.LSTMCell(16, 8)), (16,), 4 * 8 * 24),
    # attention
    "attention": (Calls(attend), (4, 5, 8), 4 * 5 * 5 * 16),
    "causal attention": (Calls(lambda m, x: attend(m, x, is_causal=True)), (4, 5, 8), 4 * 5 * 5 * 16),
    "masked attention": (Calls(lambda m, x: attend(m, x, attn_mask=m.w), w=P(5, 5)), (4, 5, 8), 4 * 5 * 5 * 16),
    "grouped queries": (
        Calls(lambda m, x: F.scaled_dot_product_attention(x, x[:, :2], x[:, :2, :, :6], enable_gqa=True)),
        (4, 5, 8),
        4 * 5 * 5 * 14,
    ),
    "keys of one head": (
        Calls(lambda m, x: F.scaled_dot_product_attention(x, x[:, :1, :3], x[:, :1, :3])),
        (4, 5, 8),
        4 * 5 * 3 * 16,
    ),
    "multi-head attention": (
        Calls(lambda m, x: m.a(x, x, x)[0], a=nn.MultiheadAttention(8, 2, batch_first=True)),
        (6, 8),
        6 * 8 * 32 + 2 * 36 * 8,
    ),
    "encoder layer": (
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (6, 8), 6 * 8 * (32 + 32) + 2 * 36 * 8
    ),
    "decoder layer": (
        Calls(lambda m, x: m.a(x, x), a=nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)),
        (6, 8),
        2 * (6 * 8 * 32 + 2 * 36 * 8) + 6 * 8 * 32,
    ),
    # products that do not depend on the examples
    "hypernetwork": (Calls(lambda m, x: x @ (m.u @ m.v), u=P(5, 3), v=P(3, 4)), (5,), 5 * 4 + 5 * 3 * 4),
    "spectral norm": (nn.utils.parametrizations.spectral_norm(nn.Linear(8, 4)), (8,), 32 + 32 + 4),
    "position bias": (
        Calls(lambda m, x: x + m.a(m.w).mT[:, :, None] + m.b(x), w=P(9, 2), a=nn.Linear(2, 4), b=nn.Linear(5, 5)),
        (4, 9, 5),
        9 * 2 * 4 + 4 * 9 * 25,
    ),
    "memory beside the examples": (
        Calls(lambda m, x: (torch.cat([x, m.w]) @ m.v)[:-1], w=P(1, 5), v=P(5, 7)), (5,), 2 * 5 * 7
    ),
    # nothing to count
    "elementwise and sums": (Calls(lambda m, x: (x * x).sum(-1) + F.cosine_similarity(x, x, -1)), (6, 8), 0),
    "fourier": (Calls(lambda m, x: torch.fft.irfft2(torch.fft.rfft2(x) * 2)), (4, 4), 0),
    "norms and pools": (
        nn.Sequential(nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.RMSNorm(6), nn.LPPool2d(2, 2), nn.PReLU()),
        (4, 6, 6),
        0,
    ),
    "resizing": (nn.Sequential(nn.Upsample(scale_factor=2, mode="bicubic"), nn.PixelShuffle(2)), (4, 4, 4), 0),
}  # fmt: skip

ATEN = torch.ops.aten
# Operators that torch takes on some devices or in some modes, called directly.
OPERATORS = {
    "packed attention": (
        Calls(lambda m, x: ATEN._native_multi_head_attention(x, x, x, 8, 2, m.w, m.w[:, 0], m.v, m.v[0])[0],
              w=P(24, 8), v=P(8, 8)),
        (6, 8),
        6 * 8 * 32 + 2 * 36 * 8,
    ),
    "encoder layer": (
        Calls(
            lambda m, x: ATEN._transformer_encoder_layer_fwd(
                x, 8, 2, m.w, m.w[:, 0], m.v, m.v[0], True, False, 1e-5, *4 * [m.v[0]], m.w[:16], m.w[:16, 0],
                m.w[:16].T, m.v[0],
            ),
            w=P(24, 8), v=P(8, 8),
        ),
        (6, 8),
        6 * 8 * (32 + 32) + 2 * 36 * 8,
    ),
    "flash attention": (
        Calls(lambda m, x: ATEN._flash_attention_forward(x, x, x, None, None, 5, 5, 0.0, False, False)[0]),
        (5, 4, 8),
        4 * 5 * 5 * 16,
    ),
    "efficient attention": (
        Calls(lambda m, x: ATEN._efficient_attention_forward(x, x, x, *5 * [None], 0.0, 0)[0]),
        (5, 4, 8),
        4 * 5 * 5 * 16,
    ),
    "flash attention with gradients": (
        Calls(lambda m, x: ATEN._scaled_dot_product_flash_attention(x, x, x)[0]), (4, 5, 8), 4 * 5 * 5 * 16
    ),
    "slow transposed convolution": (
        Calls(lambda m, x: ATEN.slow_conv_transpose2d(x, m.w, [3, 3]), w=P(4, 6, 3, 3)), (4, 5, 5), 25 * 4 * 6 * 9
    ),
    "addmm with an activation": (
        Calls(lambda m, x: ATEN._addmm_activation(m.w[0], x, m.w), w=P(8, 3)), (8,), 8 * 3
    ),
    "packed integers": (
        Calls(lambda m, x: ATEN._weight_int8pack_mm(x.bfloat16(), m.w.char(), m.w[:, 0].bfloat16()), w=P(16, 32)),
        (32,),
        32 * 16,
    ),
    "eight bits": (
        Calls(
            lambda m, x: x + torch._scaled_mm(
                m.w.to(torch.float8_e4m3fn), m.w.to(torch.float8_e4m3fn).t(),
                scale_a=x.new_ones(()), scale_b=x.new_ones(()), out_dtype=torch.bfloat16,
            ).float(),
            w=P(32, 32),
        ),
        (32, 32),
        32**3,
    ),
    "groups of rows": (Calls(lambda m, x: x + grouped(m.w, m.v, x), w=P(32, 16), v=P(2, 16, 16)), (32, 16), 8192),
    "groups of columns": (Calls(lambda m, x: x + grouped(m.v, m.w, x), w=P(16, 32), v=P(2, 16, 16)), (16, 32), 8192),
    "groups of sums": (Calls(lambda m, x: x + grouped(m.w, m.v, x), w=P(16, 32), v=P(32, 16)), (2, 16, 16), 8192),
}  # fmt: skip


def grouped(left, right, x):
    ends = torch.tensor([16, 32], dtype=torch.int32, device=x.device)
    return torch._grouped_mm(left.bfloat16(), right.bfloat16(), offs=ends).float()
