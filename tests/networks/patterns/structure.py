"""Ways of Python and of torch that modules are written with: containers, hooks, checkpoints, lambdas, wrappers."""

import copy
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial, reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from .registry import pattern


class Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pattern(3, 8, 8)
def LambdaLayers():
    pool = Lambda(lambda x: F.adaptive_avg_pool2d(x, 1))
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), Lambda(torch.relu), pool, Lambda(lambda x: x.view(x.size(0), -1)), nn.Linear(8, 5)
    )


@pattern(8)
class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Sequential(nn.Linear(8, 8), nn.GELU()) for _ in range(3))

    def forward(self, x):
        x = checkpoint(self.a, x, use_reentrant=False)
        x = checkpoint(lambda y: self.b(y) + y, x, use_reentrant=False)
        return checkpoint_sequential(self.c, 2, x, use_reentrant=False)


def scaled_twice():
    layer = nn.Linear(8, 8)
    layer.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    layer.register_forward_hook(lambda module, args, out: out + 1)
    return layer


@pattern(8)
def Hooked():
    return nn.Sequential(scaled_twice(), nn.ReLU(), nn.Linear(8, 5))


@pattern(8)
class Registers(nn.Module):
    """ModuleDict by names, ParameterDict and names that Python keeps for itself."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict(
            OrderedDict([("in", nn.Linear(8, 8)), ("1x1", nn.Linear(8, 8)), ("a+b", nn.Linear(8, 5))])
        )
        self.scales = nn.ParameterDict({"first": nn.Parameter(torch.ones(8)), "second": nn.Parameter(torch.zeros(8))})

    def forward(self, x):
        x = self.layers["in"](x) * self.scales["first"]
        x = self.layers["1x1"](F.relu(x)) + self.scales["second"]
        return self.layers["a+b"](x)


@pattern(8)
class AwkwardNames(nn.Module):
    """Names with spaces and dashes, and two that become one when punctuation goes."""

    def __init__(self):
        super().__init__()
        for name in ("re lu-1", "re_lu_1", "forward_", "weight"):
            self.add_module(name, nn.Linear(8, 8))

    def forward(self, x):
        for part in self.children():
            x = torch.relu(part(x))
        return x


@dataclass
class Features:
    last: Tensor
    pooled: Tensor


@pattern(3, 8, 8)
class DataclassFeatures(nn.Module):
    """A data class and a dictionary between parts."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def features(self, x):
        x = self.conv(x)
        return Features(last=x, pooled=x.mean((2, 3)))

    def forward(self, x):
        features = self.features(x)
        return {"logits": self.fc(features.pooled)}["logits"]


@pattern(8)
class Scripted(nn.Module):
    """Branches for scripting, tracing and training, an optional argument and a default."""

    def __init__(self, depth=3):
        super().__init__()
        self.layers, self.grad_checkpointing = nn.ModuleList(nn.Linear(8, 8) for _ in range(depth)), True
        self.return_all = False

    def forward(self, x, mask: Tensor | None = None, scale: float = 0.5):
        outputs = []
        for i, layer in enumerate(self.layers):
            if self.grad_checkpointing and not torch.jit.is_scripting() and self.training:
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
            if mask is not None:
                x = x * mask
            if i % 2 == 0:
                outputs.append(x * scale)
        return outputs if self.return_all else torch.stack(outputs, 1).sum(1)


@pattern(8)
class Recursive(nn.Module):
    """Deep layer aggregation: a tree of modules by recursion, children passed in a list."""

    def __init__(self, levels=2):
        super().__init__()
        self.levels = levels
        self.tree1 = nn.Linear(8, 8) if levels == 1 else Recursive(levels - 1)
        self.tree2 = nn.Linear(8, 8) if levels == 1 else Recursive(levels - 1)
        self.root = nn.Linear(16, 8) if levels == 1 else nn.Linear(24, 8)

    def forward(self, x, children=None):
        children = [] if children is None else children
        if self.levels == 1:
            x1 = self.tree1(x)
            return self.root(torch.cat([self.tree2(x1), x1], 1))
        children.append(x)
        x1 = self.tree1(x)
        children.append(x1)
        return self.root(torch.cat([self.tree2(x1), *children], 1))


@pattern(8)
class TiedWeights(nn.Module):
    """An autoencoder that decodes by the transposed weight of its encoder."""

    def __init__(self):
        super().__init__()
        self.encoder, self.bias = nn.Linear(8, 4), nn.Parameter(torch.zeros(8))

    def forward(self, x):
        return F.linear(torch.sigmoid(self.encoder(x)), self.encoder.weight.t(), self.bias)


@pattern(8)
class SharedLayer(nn.Module):
    """One layer that runs three times."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)

    def forward(self, x):
        for _ in range(3):
            x = x + torch.tanh(self.layer(self.norm(x)))
        return x


@pattern(3, 8, 8)
class SharedHeads(nn.Module):
    """One convolutional head over maps of two sizes."""

    def __init__(self):
        super().__init__()
        self.stem, self.down, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(6, 5, 1)

    def forward(self, x):
        x = self.stem(x)
        maps = [x, self.down(x)]
        return torch.cat([self.head(one).flatten(2) for one in maps], dim=-1)


@pattern(8)
def FrozenBackbone():
    """Transfer learning: frozen layers before a trainable one."""
    backbone = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
    return nn.Sequential(backbone.requires_grad_(False), nn.Linear(8, 5))


@pattern(3, 8, 8)
class NormalizedInput(nn.Module):
    """Mean and deviation of images in buffers, and a reduction over a list of branches."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)
        self.branches, self.fc = nn.ModuleList(nn.Conv2d(3, 6, k, padding=k // 2) for k in (1, 3, 5)), nn.Linear(6, 5)

    def forward(self, x):
        x = (x - self.mean) / self.std
        x = reduce(torch.add, [branch(x) for branch in self.branches])
        return self.fc(x.mean(dim=(2, 3)))


class PlainLinear(nn.Linear):
    pass


class Renamed(nn.Sequential):
    def forward(self, x):
        for part in self:
            x = part(x) if not isinstance(part, PlainLinear) else part(x) + x
        return x


@pattern(8)
def SequentialSubclass():
    act = partial(nn.LeakyReLU, 0.1, inplace=True)
    return Renamed(
        PlainLinear(8, 8),
        act(),
        nn.Sequential(*[copy.deepcopy(PlainLinear(8, 8)) for _ in range(2)])[:1],
        nn.Softsign(),
    )


@pattern(8)
class ReassignedInPlace(nn.Module):
    """In-place calls on values of its own, that nothing reads later."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, x):
        y = self.a(x)
        y.mul_(2).add_(1)
        y = y.clamp_(-3, 3)
        y /= 2
        y *= x
        return self.b(y)


@pattern(4, 8)
class SliceAssignment(nn.Module):
    """Parts of a fresh tensor filled by assignment."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        out = torch.zeros_like(x)
        out[..., :4] = self.a(x[..., :4])
        out[..., 4:] = self.b(x[..., 4:])
        return out


@pattern(3, 8, 8)
class TemporalDifference(nn.Module):
    """Channel shift by assignment on a copy, as video networks have it."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x):
        x = self.conv(x)
        out = x.clone()
        out[:, :2, 1:] = x[:, :2, :-1]
        return self.fc(out.mean((2, 3)))


@pattern(8)
class EarlyExits(nn.Module):
    """Several heads whose mean is the output."""

    def __init__(self):
        super().__init__()
        self.blocks, self.heads = (
            nn.ModuleList(nn.Linear(8, 8) for _ in range(3)),
            nn.ModuleList(nn.Linear(8, 5) for _ in range(3)),
        )

    def forward(self, x):
        exits = []
        for block, head in zip(self.blocks, self.heads, strict=True):
            x = F.mish(block(x))
            exits.append(head(x).softmax(-1))
        *first, last = exits
        return (sum(first) + 2 * last) / (len(first) + 2)


@pattern(3, 9, 9)
class RotationEquivariant(nn.Module):
    """One kernel in four rotations, as one convolution with more channels."""

    def __init__(self):
        super().__init__()
        self.weight, self.fc = nn.Parameter(torch.randn(4, 3, 3, 3) * 0.2), nn.Linear(4, 5)

    def forward(self, x):
        filters = torch.cat([torch.rot90(self.weight, k, (2, 3)) for k in range(4)])
        x = F.conv2d(x, filters).view(x.shape[0], 4, 4, 7, 7)
        return self.fc(x.amax(1).mean((2, 3)))


@pattern(3, 8, 8)
class BlurPool(nn.Module):
    """Anti-aliased downsampling with a fixed kernel that is expanded to all channels."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 5)
        coefficients = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer(
            "filt", (coefficients[:, None] * coefficients / 16)[None, None].repeat(6, 1, 1, 1), persistent=False
        )

    def forward(self, x):
        x = F.pad(self.conv(x), (1, 1, 1, 1), "reflect")
        return self.fc(F.conv2d(x, self.filt, stride=2, groups=x.shape[1]).flatten(2).mean(-1))


@pattern(3, 16, 16)
class SpaceToDepth(nn.Module):
    """Focus slices, then a gather by a permutation in a buffer and a flip."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(12, 8, 3), nn.Linear(8, 5)
        self.register_buffer("order", torch.tensor([3, 1, 0, 2, 7, 6, 5, 4]))

    def forward(self, x):
        x = torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)
        x = self.conv(x).index_select(1, self.order)[:, self.order].flip(-1)
        return self.fc(x.mean((2, 3)))


@pattern(2, 8, 8, uncounted=8 * 8 * 3 * 2)
class GridSampler(nn.Module):
    """A spatial transformer: 8x8 places of 3 coordinates times a matrix of 2 rows, for each example."""

    def __init__(self):
        super().__init__()
        self.loc, self.conv = nn.Linear(128, 6), nn.Conv2d(2, 5, 3)

    def forward(self, x):
        theta = self.loc(x.flatten(1)).view(-1, 2, 3)
        grid = F.affine_grid(theta, x.size(), align_corners=False)
        return self.conv(F.grid_sample(x, grid, align_corners=False)).mean((2, 3))
