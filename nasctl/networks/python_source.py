"""A network as a stand-alone Python file, which `nasctl export --format python` writes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import getsource
from itertools import count
from keyword import iskeyword
from math import isinf

from torch import nn

from nasctl.errors import NasctlError
from nasctl.networks.early_exit import exit_stages, thresholds_of
from nasctl.networks.executable import module_class
from nasctl.networks.graph import Network, Span
from nasctl.networks.node import Call, Node, Shape, attribute_name
from nasctl.networks.staged_net import StagedNet

HEADER = "A network that nasctl described; it needs torch and nothing else."
WIDTH = 120  # characters in a line
# The message of a file that classifies nothing, for a user who gives it a photo.
REFUSED = "Cannot read {sys.argv[1]}: the network is not one trained on images. Leave the argument out."
LETTERS = "xyzwvu"  # names of variables, in the order in which they are taken

# Expressions that replace modules of nasctl in the source: they are shorter, and these modules have no weights.
EXPRESSIONS: Mapping[str, Callable[[Sequence[str]], str]] = {
    "Add": " + ".join,
    "Multiply": " * ".join,
    "Concat": lambda values: f"torch.cat(({', '.join(values)}{',' if len(values) == 1 else ''}), 1)",
    "Zero": lambda values: f"{values[0]} * 0.0",
}


def call_source(call: Call) -> str:
    """Return a call as Python source; classes of torch.nn are written nn.Name."""
    return f"{_class_name(call)}({', '.join(_arguments(call))})"


@dataclass(frozen=True)
class Application:
    """Source that goes into the file of a network beside its class.

    Attributes:
        imports: The import statements, in place of those that the class alone needs.
        constants: Assignments of constants, which stand before all classes.
        functions: Functions, which stand after the class.
        main: Body of the main program; if empty, the class is run on an example.
    """

    imports: str
    constants: str
    functions: Sequence[str]
    main: str = ""


def source(
    network: Network,
    name: str = "Net",
    header: str = HEADER,
    vocabulary: int = 0,
    application: Application | None = None,
) -> str:
    """Return the Python source of a module class that needs torch and nothing else.

    The state dict of the class has the keys of `network.module()`, so weights can be loaded from one into the other.

    Args:
        network: The network that the class computes.
        name: Name of the class.
        header: Text of the module's docstring.
        vocabulary: Number of tokens from which the file's example input is drawn; 0 for images.
        application: What the file holds beside the class; nothing if None.

    Raises:
        NasctlError: The name of a layer, or the module class of a plug-in, cannot be written as Python.
    """
    calls = {python_attribute(node): node.layer.module(*node.in_shapes) for node in network.nodes}
    classes = _own_classes(call for call in calls.values() if not _expression(call) and call.factory != "EarlyExit")
    if exit_stages(network):
        classes.append(getsource(StagedNet))
    body = [*_exits(network), *_init(network), "", *_forward(network)]
    shapes = f"{', '.join(map(_shape, network.input_shapes))} -> {_shape(_out_shape(network))}"
    imports = "import torch\nfrom torch import Tensor, nn\n" if application is None else application.imports
    constants = f"\n{application.constants}" if application else ""
    parts = [
        f'"""{_escaped(header)}"""\n\n{imports}{constants}',
        *classes,
        "\n".join([f"class {name}({_base_class(network)}):", f'    """{shapes}; B is the batch."""', "", *body, ""]),
        *(application.functions if application else []),
        _main(network, f"{name}().eval()" if application is None else "load()", vocabulary)
        if application is None or not application.main
        else f'if __name__ == "__main__":\n{application.main}\n',
    ]
    return "\n\n".join(parts)


def _init(network: Network) -> Iterator[str]:
    """Yield the lines of the constructor: one call for each layer that is a module."""
    yield "    def __init__(self) -> None:"
    yield "        super().__init__()"
    for span in network.spans:
        if len(span.emission.nodes) > 1:
            yield _comment(span, span.emission.key.partition(" @ ")[0])
        for node in network.nodes_of(span):
            call = node.layer.module(*node.in_shapes)
            if not _expression(call) and not node.module_of and call.factory != "EarlyExit":
                yield from _assignment(f"        self.{python_attribute(node)} = ", call)
            for own, layer, other, _ in node.shared:
                yield f"        {_member(python_attribute(node), own)} = {_member(attribute_name(layer), other)}"


def _assignment(start: str, call: Call) -> Iterator[str]:
    """Yield the lines of an assignment, broken as ruff and black break long lines."""
    line = start + call_source(call)
    if len(line) <= WIDTH:
        yield line
        return
    yield f"{start}{_class_name(call)}("
    yield from _bracketed([*call.args], _arguments(call), " " * 12)
    yield "        )"


def _bracketed(values: Sequence[object], texts: Sequence[str], indent: str) -> Iterator[str]:
    """Yield the lines between brackets: one line if it is short enough, else one line for each value."""
    line = indent + ", ".join(texts)
    if len(line) <= WIDTH and len(texts) > 1:
        yield line
        return
    for place, text in enumerate(texts):
        value = values[place] if place < len(values) else None
        if len(f"{indent}{text},") > WIDTH and isinstance(value, tuple):
            yield f"{indent}("
            yield from _bracketed(value, [literal(one) for one in value], indent + "    ")
            yield f"{indent}),"
        else:
            yield f"{indent}{text},"


def _class_name(call: Call) -> str:
    factory = module_class(call)
    return f"nn.{factory.__name__}" if _is_torchs(factory) else factory.__name__


def _arguments(call: Call) -> list[str]:
    return [*map(literal, call.args), *(f"{key}={literal(value)}" for key, value in call.options.items())]


def literal(value: object) -> str:
    """Return a value as Python source, with double quotes around plain strings."""
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, float) and isinf(value):
        return "1e999" if value > 0 else "-1e999"  # a literal, which can be read without running it
    plain = isinstance(value, str) and value.isprintable() and not set(value) & {'"', "\\"}
    return f'"{value}"' if plain else repr(value)


def _forward(network: Network) -> Iterator[str]:
    """Yield the lines of the forward method, or of a method for each stage of a network with early exits."""
    inputs = [-1 - k for k in range(len(network.input_shapes))]
    stages = exit_stages(network)
    if not stages:
        yield from _method("forward", network, range(len(network.nodes)), inputs, [network.output])
    for number, stage in enumerate(stages):
        if number:
            yield ""
        yield from _method(f"stage{number + 1}", network, stage.nodes, stage.inputs, [stage.logits, *stage.outputs])


def _method(
    name: str, network: Network, places: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
) -> Iterator[str]:
    """Yield the lines of a method that runs some layers.

    Variables are assigned by linear-scan register allocation: a chain needs one variable, a residual a second one. A
    variable is reused or deleted as soon as no later node needs its value, so that memory is freed.

    Args:
        name: Name of the method.
        network: The network.
        places: Positions of the layers, in an order in which they can run.
        inputs: Positions of the values that the method takes.
        outputs: Positions of the values that it returns; several make it return a tuple.
    """
    names = {value: _variable(k) for k, value in enumerate(inputs)}  # variables of values that are still needed
    last = {source: k for k in places for source in network.nodes[k].inputs} | dict.fromkeys(
        outputs, len(network.nodes)
    )
    result = "Tensor" if name == "forward" else "tuple[Tensor, ...]"
    yield f"    def {name}(self, {', '.join(f'{names[value]}: Tensor' for value in inputs)}) -> {result}:"
    chosen, final = set(places), places[-1] if places else -1
    for span in network.spans:
        own = range(span.start, span.start + len(span.emission.nodes))
        if len(span.emission.nodes) > 1 and not chosen.isdisjoint(own):
            yield _comment(span, " x ".join(map(_shape, span.emission.in_shapes)), _shape(span.emission.out_shape))
        for position in own:
            if position not in chosen:
                continue
            node = network.nodes[position]
            value = _value(node, [names[source] for source in node.inputs])
            spent = [names.pop(source) for source in dict.fromkeys(node.inputs) if last[source] == position]
            if position not in last:  # a layer without a reader still runs, as in the module
                yield f"        {value}"
            else:
                taken = set(names.values())
                free = (one for one in map(_variable, count()) if one not in taken)
                names[position] = min(spent, key=_order) if spent else next(free)
                yield f"        {names[position]} = {value}"
            left = sorted(set(spent) - set(names.values()), key=_order)
            if left and position != final:
                yield f"        del {', '.join(left)}"
    found = ", ".join(names[value] for value in outputs)
    yield f"        return {found}" if name == "forward" else f"        return ({found}{',' * (len(outputs) == 1)})"


def _base_class(network: Network) -> str:
    return StagedNet.__name__ if exit_stages(network) else "nn.Module"


def _exits(network: Network) -> Iterator[str]:
    """Yield the constants of the class of a network with early exits, and an empty line behind them."""
    stages = exit_stages(network)
    if not stages:
        return
    names = {-1: "input"} | {k: python_attribute(node) for k, node in enumerate(network.nodes)}
    tables: Mapping[str, tuple[object, ...]] = {
        "THRESHOLDS": thresholds_of(network),
        "STAGES": tuple(tuple(names[value] for value in stage.inputs) for stage in stages),
        "VALUES": tuple(tuple(names[value] for value in stage.outputs) for stage in stages),
    }
    for name, value in tables.items():
        line = f"    {name} = {literal(value)}"
        if len(line) <= WIDTH:
            yield line
        else:
            yield f"    {name} = ("
            yield from _bracketed(value, [literal(one) for one in value], " " * 8)
            yield "    )"
    yield ""


def _main(network: Network, made: str, vocabulary: int) -> str:
    """Return the code that runs the network, which an expression makes, on an example when the file is run.

    The file refuses arguments, because a user may take it for one of a trained network, which classifies photos.
    """
    sizes = [f"({', '.join(map(str, (1, *shape)))})" for shape in network.input_shapes]
    drawn = [f"torch.randint({vocabulary}, {size})" if vocabulary else f"torch.randn{size}" for size in sizes]
    return "\n".join(
        [
            'if __name__ == "__main__":',
            "    import sys",
            "",
            "    if len(sys.argv) > 1:",
            f'        sys.exit(f"{REFUSED}")',
            f"    net = {made}",
            "    with torch.no_grad():",
            f"        out = net({', '.join(drawn)})",
            '    print(f"{tuple(out.shape)}, {sum(p.numel() for p in net.parameters()):,} parameters")',
            "",
        ]
    )


def _value(node: Node, inputs: Sequence[str]) -> str:
    """Return the expression that computes a node."""
    expression = _expression(node.layer.module(*node.in_shapes))
    attribute, parts = attribute_name(node.module_of) or python_attribute(node), node.layer.rows
    if expression:
        return expression(inputs)
    if parts is None:
        return f"self.{attribute}({', '.join(inputs)})"
    given = ", ".join(f"{one}.flatten(0, 1)" for one in inputs)
    return f"self.{attribute}({given}).unflatten(0, (-1, {parts}))"


def python_attribute(node: Node) -> str:
    """Return the attribute under which `network.module()` holds the module of a node.

    Raises:
        NasctlError: The attribute is no identifier of Python.
    """
    name = attribute_name(node.name)
    if not name.isidentifier() or iskeyword(name):
        raise NasctlError(
            f"cannot write the layer {node.name!r} as Python: its name is no identifier; rename it in its space"
        )
    return name


def _member(attribute: str, path: str) -> str:
    """Return the expression of a parameter or buffer in the module of a layer, whatever its name is."""
    *words, last = path.split(".")
    text = f"self.{attribute}"
    for word in words:
        text = f"{text}.{word}" if word.isidentifier() else f"{text}._modules[{literal(word)}]"
    return f"{text}.{last}" if last.isidentifier() else f"{text}.__dict__[{literal(last)}]"


def _expression(call: Call) -> Callable[[Sequence[str]], str] | None:
    return EXPRESSIONS.get(call.factory) if isinstance(call.factory, str) else None


def _own_classes(calls: Iterator[Call]) -> list[str]:
    """Return the source of each module class that is not torch's, once.

    Raises:
        NasctlError: The source of a class is not available, or two classes have the same name.
    """
    found: dict[str, type[nn.Module]] = {}
    for call in calls:
        factory = module_class(call)
        if _is_torchs(factory):
            continue
        if found.setdefault(factory.__name__, factory) is not factory:
            raise NasctlError(
                f"cannot write two module classes named {factory.__name__!r} into one file; rename one in its plug-in"
            )
    try:
        return [getsource(factory) for factory in found.values()]
    except OSError as error:
        raise NasctlError(
            f"cannot write the module of a layer as Python: it has no source ({error}); define its class in a file"
        ) from error


def _is_torchs(factory: type[nn.Module]) -> bool:
    return getattr(nn, factory.__name__, None) is factory


def _out_shape(network: Network) -> Shape:
    """Return the shape of the network's output; a network without layers returns its input."""
    return network.out_shape if network.output >= 0 else network.input_shapes[-1 - network.output]


def _comment(span: Span, *words: str) -> str:
    return f"        # {span.name}: {' -> '.join(words)}"


def _shape(shape: Shape) -> str:
    return f"({', '.join(['B', *map(str, shape)])})"


def _variable(k: int) -> str:
    return LETTERS[k] if k < len(LETTERS) else f"t{k - len(LETTERS) + 1}"


def _order(variable: str) -> int:
    """Return the k for which `_variable(k)` is this variable."""
    return LETTERS.index(variable) if variable in LETTERS else len(LETTERS) + int(variable[1:]) - 1


def _escaped(text: str) -> str:
    """Escape text for a docstring in triple quotes, whatever the options of a plug-in contain."""
    shown = (one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text.replace("\\", "\\\\"))
    return re.sub(r'"(?=""|\Z)', r"\"", "".join(shown))
