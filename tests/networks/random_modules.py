"""Random small modules as Python source, drawn by a sequence of bytes, for the tests of `Network.from_module`.

A byte chooses one of several possibilities and 0 chooses the simplest, so that shorter and smaller bytes make a simpler
module: hypothesis shrinks a failing one, and a coverage-guided fuzzer bends one.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeVar

import torch
from networks.patterns import Pattern
from networks.patterns.check import Outcome, compare, make_module
from torch import nn

MAXIMUM_STEPS = 10
SHAPES = ((4, 6, 6), (6, 8), (8,))  # of inputs: a map, a sequence, a vector
PREAMBLE = """
import torch, math
import torch.nn.functional as F
from torch import nn

class PlainConv(nn.Conv2d):
    pass

class ScaledConv(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

class NormAct(nn.BatchNorm2d):
    def forward(self, x):
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.1, self.eps)
        return F.relu(x, inplace=True)

class LayerNorm2d(nn.LayerNorm):
    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)
"""
Choice = TypeVar("Choice")


@dataclass
class Program:
    """A module's source while it is drawn."""

    content: Sequence[int]
    place: int = 0
    init: list[str] = field(default_factory=list)
    forward: list[str] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=lambda: count(1))

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """Return the choice of the next byte, or the first if no bytes are left."""
        byte = self.content[self.place] if self.place < len(self.content) else 0
        self.place += 1
        return choices[byte % len(choices)]

    def value(self, rank: int = 0) -> str:
        """Return a value of this number of dimensions, the newest for 0; any value if rank is 0."""
        found = [name for name, shape in self.shapes.items() if rank in (0, len(shape))]
        return self.pick(found[::-1]) if found else ""

    def part(self, made: str) -> str:
        """Add a layer and return its attribute."""
        name = f"layer{next(self.numbers)}"
        self.init.append(f"self.{name} = {made}")
        return f"self.{name}"

    def weight(self, shape: tuple[int, ...]) -> str:
        """Add a parameter, a frozen parameter or a buffer and return its attribute."""
        name = f"weight{next(self.numbers)}"
        made = f"torch.randn({shape}) * 0.3"
        self.init.append(
            self.pick(
                (
                    f"self.{name} = nn.Parameter({made})",
                    f"self.register_buffer('{name}', {made})",
                    f"self.{name} = nn.Parameter({made}, requires_grad=False)",
                    f"self.register_buffer('{name}', {made}, persistent=False)",
                    f"self.{name} = nn.Parameter(torch.full({shape}, 0.5))",
                )
            )
        )
        return f"self.{name}"

    def let(self, code: str, shape: tuple[int, ...]) -> None:
        """Add a value."""
        name = f"x{next(self.numbers)}"
        self.forward.append(f"{name} = {code}")
        self.shapes[name] = shape


def _elementwise(program: Program) -> None:
    x = program.value()
    codes = (
        "torch.relu({x})", "F.gelu({x})", "{x}.sigmoid()", "{x} * 0.5 + 1", "F.silu({x}, inplace=False)", "-{x}.tanh()",
        "{x}.clamp(-1, 1)", "torch.where({x} > 0, {x}, 0.1 * {x})", "1 - {x}.abs()", "{x}.softmax(-1)", "{x} ** 2",
        "{x} - {x}.mean(dim=1, keepdim=True)", "F.normalize({x}, dim=1)", "{x}.flip(-1)", "{x}.roll(1, 1)",
        "F.dropout({x}, 0.5, self.training)", "{x}.to({x}.dtype).contiguous()", "{x} / math.sqrt({x}.shape[-1])",
        "{x}.cumsum(-1)", "torch.sort({x}, dim=-1)[0]", "{x}.double().float()", "F.leaky_relu({x}, 0.1).mul(2)",
        "torch.cat([{x}[:, 1:], {x}[:, :1]], dim=1)", "{x}.view({x}.size(0), -1).view({x}.shape)",
        "{x}.masked_fill({x} > 1, 0.0)", "torch.addcmul({x}, {x}, {x}, value=0.1)", "{x}.new_ones({x}.shape) + {x}",
    )  # fmt: skip
    program.let(program.pick(codes).format(x=x), program.shapes[x])


def _binary(program: Program) -> None:
    x = program.value()
    same = [name for name, shape in program.shapes.items() if shape == program.shapes[x]]
    codes = (
        "{x} + {y}", "{x} * {y}", "torch.maximum({x}, {y})", "{x} - {y}", "torch.stack([{x}, {y}], 1).sum(1)",
        "torch.cat(({x}, {y}), 1).chunk(2, 1)[1]", "torch.lerp({x}, {y}, 0.3)", "sum([{x}, {y}]) / 2",
        "torch.where({x} > {y}, {x}, {y} * 2)", "torch.add({x}, {y}, alpha=0.5)", "{x}.mul({y}.sigmoid())",
    )  # fmt: skip
    program.let(program.pick(codes).format(x=x, y=program.pick(same[::-1])), program.shapes[x])


def _tuples(program: Program) -> None:
    x = program.value()
    shape = program.shapes[x]
    half = shape[0] // 2
    if half:
        code = program.pick(
            (
                f"torch.cat({x}.chunk(2, 1), 1)",
                f"torch.cat({x}.split({half}, 1)[::-1], dim=1)",
                f"torch.stack(torch.unbind({x}, 1), 1)",
                f"torch.cat([one * (k + 1) for k, one in enumerate({x}.split([1, {shape[0] - 1}], dim=1))], 1)",
                f"torch.cat(list(reversed({x}.tensor_split(2, dim=1))), 1)",
                f"torch.cat([*{x}.split(1, 1)][1:] + [{x}[:, :1]], 1)",
            )
        )
        program.let(code, shape)


def _slices(program: Program) -> None:
    x = program.value()
    shape = program.shapes[x]
    half = shape[0] // 2
    if half:
        choices = (
            (f"{x}[:, :{half}]", half), (f"{x}[:, {half}:]", shape[0] - half), (f"{x}[:, ::2]", -(-shape[0] // 2)),
            (f"{x}.chunk(2, dim=1)[0]", -(-shape[0] // 2)), (f"{x}[:, : {x}.shape[1] // 2]", half),
            (f"{x}.narrow(1, 1, {half})", half), (f"{x}[:, [1, 0]]", 2),
            (f"{x}.index_select(1, torch.tensor([0, 1]))", 2),
        )  # fmt: skip
        code, first = program.pick(choices)
        program.let(code, (first, *shape[1:]))


def _weights(program: Program) -> None:
    x = program.value()
    shape = program.shapes[x]
    last = (shape[-1],)
    token, square = (1, *shape), (shape[-1], shape[-1])
    expand = f"expand({x}.size(0), *[-1] * {len(shape)})"
    choices = (
        lambda: f"{x} * {program.weight(last)}",
        lambda: f"{x} + {program.weight(token)}",
        lambda: f"F.linear({x}, {program.weight(square)})",
        lambda: f"{x} @ {program.weight(square)}.t()",
        lambda: f"torch.cat(({program.weight(token)}.{expand}, {x}), 1)[:, {shape[0]}:]",
        lambda: f"{x} * {program.weight((2, 1))}.softmax(0)[0]",
        lambda: f"{x} + torch.arange({shape[-1]}, device={x}.device) * 0.1",
        lambda: f"{x} + torch.linspace(0, 1, {shape[-1]})",
        lambda: f"{x} * torch.ones({shape[-1]}) / {x}.shape[1]",
    )
    program.let(program.pick(choices)(), shape)


def _map_layer(program: Program) -> None:
    x = program.value(3)
    if x:
        c, h, w = program.shapes[x]
        choices = (
            (f"nn.Conv2d({c}, {c}, 3, padding=1)", (c, h, w)), (f"nn.BatchNorm2d({c})", (c, h, w)),
            (f"PlainConv({c}, 4, 1, bias=False)", (4, h, w)), (f"ScaledConv({c}, 6, 3, 1, 1)", (6, h, w)),
            (f"nn.Conv2d({c}, {c}, 3, padding='same', groups={c})", (c, h, w)), (f"NormAct({c})", (c, h, w)),
            (f"LayerNorm2d({c})", (c, h, w)), (f"nn.GroupNorm(1, {c})", (c, h, w)), (f"nn.PReLU({c})", (c, h, w)),
            (f"nn.ConvTranspose2d({c}, 3, 3, 1, 1)", (3, h, w)), ("nn.MaxPool2d(3, 1, 1)", (c, h, w)),
            (f"nn.Sequential(nn.Conv2d({c}, 4, 1), nn.ReLU(inplace=True), nn.Dropout(0.1))", (4, h, w)),
            (f"nn.InstanceNorm2d({c})", (c, h, w)), ("nn.AdaptiveAvgPool2d((2, 2))", (c, 2, 2)),
            ("nn.Upsample(scale_factor=2)", (c, 2 * h, 2 * w)),
        )  # fmt: skip
        made, shape = program.pick(choices)
        if max(shape) <= 24:
            program.let(f"{program.part(made)}({x})", shape)


def _map_function(program: Program) -> None:
    x = program.value(3)
    if x:
        c, h, w = program.shapes[x]
        choices = (
            (f"{x}.mean((2, 3))", (c,)), (f"{x}.flatten(2).transpose(1, 2)", (h * w, c)),
            (f"F.pad({x}, (1, 1, 0, 0))", (c, h, w + 2)), (f"{x}.amax(dim=(-1, -2))", (c,)),
            (f"{x} * F.adaptive_avg_pool2d({x}, 1).sigmoid()", (c, h, w)), (f"torch.flatten({x}, 1)", (c * h * w,)),
            (f"F.avg_pool2d({x}, 3, 1, 1)", (c, h, w)), (f"{x}.permute(0, 2, 3, 1).contiguous()", (h, w, c)),
            (f"{x}.reshape({x}.shape[0], {c}, -1).std(-1)", (c,)), (f"{x}.norm(dim=(2, 3))", (c,)),
            (f"F.interpolate({x}, size=(4, 5), mode='bilinear', align_corners=False)", (c, 4, 5)),
            (f"{x}.flatten(0, 1).unsqueeze(1).sub(1).squeeze(1).unflatten(0, (-1, {c}))", (c, h, w)),
            (f"{x}.max(dim=1, keepdim=True)[0]", (1, h, w)), (f"{x}.view({x}.shape[0], {c}, {h} * {w}).sum(2)", (c,)),
        )  # fmt: skip
        code, shape = program.pick(choices)
        program.let(code, shape)


def _sequence(program: Program) -> None:
    x = program.value(2)
    if x:
        t, d = program.shapes[x]
        part, encoder = program.part, f"nn.TransformerEncoderLayer({d}, 1, 8, batch_first=True)"
        choices = (
            (lambda: f"{part(f'nn.Linear({d}, 6)')}({x})", (t, 6)), (lambda: f"{x}.mean(1)", (d,)),
            (lambda: f"{part(f'nn.LayerNorm({d})')}({x})", (t, d)), (lambda: f"{x}[:, -1]", (d,)),
            (lambda: f"({x} @ {x}.transpose(-2, -1) * {d}**-0.5).softmax(-1) @ {x}", (t, d)),
            (lambda: f"{part(f'nn.LSTM({d}, 5, batch_first=True)')}({x})[0]", (t, 5)),
            (lambda: f"{part(f'nn.GRU({d}, 5, batch_first=True)')}({x})[1][-1]", (5,)),
            (lambda: f"{part(f'nn.Conv1d({d}, 4, 3, padding=1)')}({x}.transpose(1, 2)).mT", (t, 4)),
            (lambda: f"{part(f'nn.MultiheadAttention({d}, 1, batch_first=True)')}({x}, {x}, {x})[0]", (t, d)),
            (lambda: f"F.scaled_dot_product_attention({x}, {x}, {x})", (t, d)),
            (lambda: f"{part(encoder)}({x})", (t, d)),
            (lambda: f"torch.einsum('btd,bsd->bts', {x}, {x})", (t, t)), (lambda: f"{x}.unbind(1)[0]", (d,)),
            (lambda: f"torch.bmm({x}.transpose(1, 2), {x})", (d, d)), (lambda: f"{x}.max(1).values", (d,)),
            (lambda: f"{part(f'nn.Linear({t}, {t})')}({x}.transpose(1, 2)).transpose(1, 2)", (t, d)),
            (lambda: f"{part(f'nn.Linear({d}, 3)')}({x}.reshape(-1, {d})).view(-1, {t}, 3)", (t, 3)),
        )  # fmt: skip
        make, shape = program.pick(choices)
        program.let(make(), shape)


def _vector(program: Program) -> None:
    x = program.value(1)
    if x:
        (d,) = program.shapes[x]
        layer, norm = program.pick((f"nn.Linear({d}, 5)", f"nn.Linear({d}, 6, bias=False)")), f"nn.BatchNorm1d({d})"
        choices = (
            (lambda: f"{program.part(layer)}({x})", (5 if "5" in layer.split(",")[1] else 6,)),
            (lambda: f"{program.part(norm)}({x})", (d,)), (lambda: f"{x}.unsqueeze(1)", (1, d)),
            (lambda: f"{x}[:, None, :, None].squeeze(-1) * {x}[..., None]", (d, d)),
            (lambda: f"{program.part('nn.Linear(1, 4)')}({x}.unsqueeze(-1))", (d, 4)),
            (lambda: f"F.layer_norm({x}, ({d},))", (d,)), (lambda: f"{x}.repeat(1, 2)", (2 * d,)),
        )  # fmt: skip
        make, shape = program.pick(choices)
        if max(shape) <= 400:
            program.let(make(), shape)


def _in_place(program: Program) -> None:
    x = program.value()
    codes = (
        "{x}.clone().mul_(2)",
        "{y} = {x} + 1; {y} *= 2; {y}",
        "{y} = {x} * 1; {y}.relu_(); {y} + {x}",
        "{y} = F.relu({x} * 1, inplace=True); {y} - 1",
        "{y} = {x}.clone(); {y}[:, 0] = 0; {y}",
        "{y} = {x}.clone(); {y}[:, :1].add_(1); {y}",
        "{y} = torch.zeros_like({x}); {y}[:, :1] = {x}[:, :1]; {y} + {x}",
        "{y} = torch.empty_like({x}); torch.mul({x}, 2, out={y}); {y}",
        "{y} = {x} * 1; {y}.transpose(0, -1).neg_(); {y}",
        "{y} = {x} + 0; {z} = {y} * 2; {y}.zero_(); {y} + {z}",
        "{y} = {x}.clone(); {y}[{y} < 0] = 0.0; {y}",
        "{x}.mul_(1.5); {x} + 1",
        "{y} = {x}; {y} += 1; {y} * 2",
    )
    y, z = (f"y{next(program.numbers)}" for _ in range(2))
    *lines, result = program.pick(codes).format(x=x, y=y, z=z).split("; ")
    program.forward += lines
    program.let(result, program.shapes[x])


def _shared(program: Program) -> None:
    x = program.value(1)
    if x:
        (d,) = program.shapes[x]
        layer = program.part(f"nn.Linear({d}, {d})")
        codes = ("{l}({l}({x}))", "F.linear({l}({x}), {l}.weight.t())", "{l}({x}) + {l}({x} * 2)")
        program.let(program.pick(codes).format(l=layer, x=x), (d,))


def _odd(program: Program) -> None:
    """Add a step that is no fixed function of one example."""
    x = program.value()
    codes = (
        "{x} / {x}.shape[0]",
        "{x} - {x}.mean(0)",
        "{x} if isinstance({x}, torch.Tensor) else -{x}",
        "{x} * torch.rand(1)",
        "{x} if {x}.shape[0] < 4 else 2 * {x}",
        "{x} * float({x}.detach().max())",
        "{x} if {x}.sum() > 0 else -{x}",
        "F.dropout({x}, 0.5)",
        "{x} + {x}[:1]",
        "{x}.roll(1, 0)",
        "{x} * {x}.numel()",
        "{x} if type({x}) is torch.Tensor else {x} * 2",
        "torch.tensor({x}.tolist())",
        "{x} + torch.randn_like({x})",
        "torch.sort({x}, 0)[0]",
    )
    program.let(program.pick(codes).format(x=x), program.shapes[x])


STEPS = (
    _elementwise, _map_layer, _sequence, _vector, _map_function, _binary, _weights, _tuples, _slices, _in_place,
    _shared, _map_layer, _sequence, _vector, _map_function, _odd,
)  # fmt: skip


def draw_source(content: bytes) -> tuple[str, tuple[int, ...]]:
    """Return the source of a class `Net` and the shape of its input."""
    program = Program(content)
    shape = program.pick(SHAPES)
    program.shapes["x"] = shape
    for _ in range(MAXIMUM_STEPS):
        if program.place < len(content):
            program.pick(STEPS)(program)
    # Whatever nothing reads is part of the output: a network leaves dead code out, and torch counts it.
    unread = [name for name in program.shapes if not _is_read(name, program.forward)] or ["x"]
    result = unread[0] if len(unread) == 1 else f"torch.cat([{', '.join(f'{name}.flatten(1)' for name in unread)}], 1)"
    lines = ["class Net(nn.Module):", "    def __init__(self):", "        super().__init__()"]
    lines += [f"        {line}" for line in program.init]
    lines += ["    def forward(self, x):", *(f"        {line}" for line in program.forward), f"        return {result}"]
    return PREAMBLE + "\n".join(lines) + "\n", shape


def _is_read(name: str, lines: Sequence[str]) -> bool:
    return any(re.search(rf"\b{name}\b", line.partition(" = ")[2] or line) for line in lines)


def module_class(source: str) -> type[nn.Module]:
    """Return the class that a source defines; its lines are shown in tracebacks."""
    name, names = f"<module {hash(source)}>", {}
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), names)
    return names["Net"]


def check(content: bytes) -> Outcome:
    """Trace the module that the bytes draw and compare the network with it."""
    source, shape = draw_source(content)
    kind = module_class(source)
    pattern = Pattern("Net", kind, shape, 0, 0, 0, True, "random")
    return compare(replace(pattern, unused=_unused(make_module(pattern), shape)))


def _unused(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Return the number of trainable parameters that the output does not depend on."""
    try:
        out = module(torch.randn(3, *shape))
        if not isinstance(out, torch.Tensor) or not out.requires_grad:
            return sum(one.numel() for one in module.parameters() if one.requires_grad)
        out.sum().backward()
    except RuntimeError:  # the module fails, or changes in place what autograd has kept
        with torch.no_grad():
            return 0
    return sum(one.numel() for one in module.parameters() if one.requires_grad and one.grad is None)
