"""Products and activations in less usual spellings: einsum, bilinear, splines, capsules, highway, maxout."""

import torch
import torch.nn.functional as F
from torch import nn

from .registry import pattern


@pattern(6, 8)
class EinsumAttention(nn.Module):
    """Heads and ellipses in einsum, and sublists of numbers."""

    def __init__(self):
        super().__init__()
        self.wq, self.wk, self.wv = (nn.Parameter(torch.randn(8, 2, 4) * 0.3) for _ in range(3))
        self.wo = nn.Parameter(torch.randn(2, 4, 5) * 0.3)

    def forward(self, x):
        q, k = torch.einsum("btd,dhe->bhte", x, self.wq), torch.einsum("...td, dhe -> ...hte", x, self.wk)
        v = torch.einsum(x, [0, 1, 2], self.wv, [2, 3, 4], [0, 3, 1, 4])
        weights = torch.einsum("bhqe,bhke->bhqk", q, k).softmax(-1)
        return torch.einsum("bhqk,bhke,heo->bqo", weights, v, self.wo).mean(1)


@pattern(6, 8)
class BatchedProducts(nn.Module):
    """torch.baddbmm and torch.addmm with factors."""

    def __init__(self):
        super().__init__()
        self.scale, self.weight, self.bias = (
            nn.Parameter(torch.rand(6, 6)),
            nn.Parameter(torch.rand(8, 5)),
            nn.Parameter(torch.rand(5)),
        )

    def forward(self, x):
        attn = torch.baddbmm(self.scale, x, x.transpose(1, 2), beta=0.5, alpha=0.1).softmax(-1)
        x = torch.bmm(attn, x).mean(1)
        return torch.addmm(self.bias, x, self.weight, beta=2, alpha=0.5)


@pattern(8, uncounted=8)
class MatrixVector(nn.Module):
    """A matrix and a vector: mv, which torch's counter does not see. 8 products of one example."""

    def __init__(self):
        super().__init__()
        self.vector, self.fc = nn.Parameter(torch.rand(8)), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(x) * torch.mv(x, self.vector).unsqueeze(1)


@pattern(8, uncounted=8)
class VectorOfWeights(nn.Module):
    """A dot product of two parameters: 8 products whatever the batch."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = nn.Parameter(torch.rand(8)), nn.Parameter(torch.rand(8)), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(x) * torch.dot(self.a, self.b)


@pattern(8, uncounted=5 * 8 * 8 + 5 * 8)
class BilinearLayer(nn.Module):
    """5 outputs of 8x8 weights for 8 and 8 inputs: torch multiplies by the first input, then by the second."""

    def __init__(self):
        super().__init__()
        self.bilinear = nn.Bilinear(8, 8, 5)

    def forward(self, x):
        return self.bilinear(x, x.tanh())


@pattern(3, 8, 8)
class BilinearPooling(nn.Module):
    """Outer products of features over all places, with signed roots and unit length."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 6, 3, 2, 1), nn.Linear(36, 5)

    def forward(self, x):
        x = self.conv(x)
        x = x.view(x.shape[0], 6, 16)
        x = torch.bmm(x, torch.transpose(x, 1, 2)) / 16
        x = x.view(-1, 36)
        x = torch.sign(x) * torch.sqrt(torch.abs(x) + 1e-10)
        return self.fc(F.normalize(x))


@pattern(6, 8)
class TensorContraction(nn.Module):
    def __init__(self):
        super().__init__()
        self.core, self.fc = nn.Parameter(torch.rand(6, 8, 7)), nn.Linear(7, 5)

    def forward(self, x):
        return self.fc(torch.tensordot(x, self.core, dims=([1, 2], [0, 1])))


@pattern(8, uncounted=6 * 8)
class RadialBasis(nn.Module):
    """Distances to 6 centres of 8 values by cdist without its product form, which torch's counter does not see."""

    def __init__(self):
        super().__init__()
        self.centres, self.log_sigmas, self.fc = (
            nn.Parameter(torch.randn(6, 8)),
            nn.Parameter(torch.zeros(6)),
            nn.Linear(6, 5),
        )

    def forward(self, x):
        distances = torch.cdist(x, self.centres, compute_mode="donot_use_mm_for_euclid_dist")
        return self.fc(torch.exp(-((distances * self.log_sigmas.exp()) ** 2)))


@pattern(8)
class Prototypes(nn.Module):
    """Distances to prototypes by the squared form: a product and two sums of squares."""

    def __init__(self):
        super().__init__()
        self.fc, self.prototypes = nn.Linear(8, 4), nn.Parameter(torch.randn(5, 4))

    def forward(self, x):
        x = self.fc(x)
        squares = x.pow(2).sum(1, keepdim=True) + self.prototypes.pow(2).sum(1)
        return -(squares - 2 * x @ self.prototypes.t()).clamp_min(0).sqrt()


@pattern(8)
class CosineClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.randn(5, 8)), nn.Parameter(torch.tensor(10.0))

    def forward(self, x):
        return self.scale * F.linear(F.normalize(x), F.normalize(self.weight))


def squash(x, dim=-1):
    squared = (x**2).sum(dim=dim, keepdim=True)
    return squared / (1 + squared) * x / (squared.sqrt() + 1e-8)


@pattern(3, 8, 8)
class CapsuleNet(nn.Module):
    """Primary capsules, a transform for each pair and two rounds of routing."""

    def __init__(self):
        super().__init__()
        self.conv, self.primary = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, 2)
        self.W = nn.Parameter(0.1 * torch.randn(1, 8, 5, 6, 4))

    def forward(self, x):
        x = self.primary(F.relu(self.conv(x)))
        u = squash(x.view(x.size(0), -1, 4))
        u_hat = torch.matmul(self.W, u[:, :, None, :, None]).squeeze(-1)
        b = torch.zeros(x.size(0), 8, 5, 1, device=x.device)
        for i in range(2):
            v = squash((F.softmax(b, dim=2) * u_hat).sum(dim=1))
            if i == 0:
                b = b + (u_hat * v.unsqueeze(1)).sum(-1, keepdim=True)
        return v.norm(dim=-1)


class SplineLinear(nn.Module):
    """A layer of a KAN: B-splines on a grid in a buffer, and a base activation."""

    def __init__(self, inputs, outputs, size=4, order=2):
        super().__init__()
        self.order, step = order, 2 / size
        grid = (torch.arange(-order, size + order + 1) * step - 1).expand(inputs, -1).contiguous()
        self.register_buffer("grid", grid)
        self.base_weight = nn.Parameter(torch.randn(outputs, inputs) * 0.3)
        self.spline_weight = nn.Parameter(torch.randn(outputs, inputs, size + order) * 0.3)

    def b_splines(self, x):
        assert x.dim() == 2
        grid, x = self.grid, x.unsqueeze(-1)
        bases = ((x >= grid[:, :-1]) & (x < grid[:, 1:])).to(x.dtype)
        for k in range(1, self.order + 1):
            left = (x - grid[:, : -(k + 1)]) / (grid[:, k:-1] - grid[:, : -(k + 1)]) * bases[:, :, :-1]
            bases = left + (grid[:, k + 1 :] - x) / (grid[:, k + 1 :] - grid[:, 1:(-k)]) * bases[:, :, 1:]
        return bases.contiguous()

    def forward(self, x):
        base = F.linear(F.silu(x), self.base_weight)
        return base + F.linear(
            self.b_splines(x).view(x.size(0), -1), self.spline_weight.view(self.spline_weight.size(0), -1)
        )


@pattern(6)
def SplineNetwork():
    return nn.Sequential(SplineLinear(6, 8), SplineLinear(8, 5))


@pattern(8)
class Highway(nn.Module):
    def __init__(self, size=8, layers=2):
        super().__init__()
        self.nonlinear, self.linear, self.gate = (
            nn.ModuleList(nn.Linear(size, size) for _ in range(layers)) for _ in range(3)
        )

    def forward(self, x):
        for nonlinear, linear, gate in zip(self.nonlinear, self.linear, self.gate, strict=True):
            g = torch.sigmoid(gate(x))
            x = g * F.relu(nonlinear(x)) + (1 - g) * linear(x)
        return x


@pattern(8)
class Maxout(nn.Module):
    def __init__(self, pieces=3):
        super().__init__()
        self.pieces, self.fc1, self.fc2 = pieces, nn.Linear(8, 6 * pieces), nn.Linear(6, 5)

    def forward(self, x):
        shape = [*x.size()]
        shape[-1] = 6
        out = self.fc1(x).view(*shape, self.pieces)
        m, _i = out.max(len(shape))
        return self.fc2(m)


@pattern(8)
class CrossNetwork(nn.Module):
    """Explicit feature crosses: the input times a scalar product with itself."""

    def __init__(self):
        super().__init__()
        self.kernels = nn.ParameterList([nn.Parameter(torch.randn(8, 1) * 0.3) for _ in range(2)])
        self.bias, self.fc = nn.ParameterList([nn.Parameter(torch.zeros(8, 1)) for _ in range(2)]), nn.Linear(8, 5)

    def forward(self, inputs):
        x_0 = inputs.unsqueeze(2)
        x_l = x_0
        for i in range(2):
            xl_w = torch.tensordot(x_l, self.kernels[i], dims=([1], [0]))
            x_l = torch.matmul(x_0, xl_w) + self.bias[i] + x_l
        return self.fc(torch.squeeze(x_l, dim=2))


@pattern(6, vocabulary=12)
class FactorizationMachine(nn.Module):
    """Square of sums less sum of squares over embedded fields, with offsets in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("offsets", torch.arange(6) * 12)
        self.embedding, self.linear, self.bias = nn.Embedding(72, 4), nn.Embedding(72, 1), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        x = x + self.offsets.unsqueeze(0)
        e = self.embedding(x)
        pairs = 0.5 * (torch.sum(e, dim=1) ** 2 - torch.sum(e**2, dim=1)).sum(dim=1, keepdim=True)
        return torch.sum(self.linear(x), dim=1) + self.bias + pairs


@pattern(5, 8)
class GraphConvolution(nn.Module):
    """Nodes of a fixed graph, whose normalized adjacency is a buffer."""

    def __init__(self):
        super().__init__()
        adjacency = torch.eye(5) + torch.diag(torch.ones(4), 1) + torch.diag(torch.ones(4), -1)
        self.register_buffer("adjacency", adjacency / adjacency.sum(1, keepdim=True))
        self.weight1, self.weight2 = nn.Parameter(torch.randn(8, 6) * 0.3), nn.Parameter(torch.randn(6, 5) * 0.3)

    def forward(self, x):
        x = F.elu(self.adjacency @ (x @ self.weight1))
        return torch.matmul(self.adjacency, x @ self.weight2).mean(1)


@pattern(8)
class MixtureOfExperts(nn.Module):
    """Every expert runs; a softmax over the two largest gates weights them."""

    def __init__(self):
        super().__init__()
        self.gate, self.experts = (
            nn.Linear(8, 3),
            nn.ModuleList(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5)) for _ in range(3)),
        )

    def forward(self, x):
        top, index = torch.topk(self.gate(x), 2, dim=-1)
        gates = torch.zeros(x.size(0), 3, device=x.device).scatter(1, index, F.softmax(top, dim=-1))
        return torch.einsum("be,beo->bo", gates, torch.stack([expert(x) for expert in self.experts], dim=1))


@pattern(8)
class HyperNetwork(nn.Module):
    """Weights of one layer computed from a parameter by another layer."""

    def __init__(self):
        super().__init__()
        self.z, self.make, self.fc = nn.Parameter(torch.randn(4)), nn.Linear(4, 64), nn.Linear(8, 5)

    def forward(self, x):
        weight = self.make(self.z.unsqueeze(0)).view(8, 8)
        return self.fc(torch.relu(F.linear(x, weight)))


@pattern(3, 8, 8)
class GramStyle(nn.Module):
    """matmul by method, mm on flattened maps, and an outer sum."""

    def __init__(self):
        super().__init__()
        self.conv, self.weight = nn.Conv2d(3, 4, 3), nn.Parameter(torch.randn(16, 5) * 0.3)

    def forward(self, x):
        f = self.conv(x).flatten(2)
        gram = f.matmul(f.transpose(-1, -2)).div(f.numel() / f.shape[0])
        return gram.flatten(1).mm(self.weight)
