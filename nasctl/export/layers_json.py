"""Export as JSON that lists blocks, layers, shapes and costs."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nasctl.export.model import Model, Runner
from nasctl.networks.executable import NASCTL_MODULES, module_class, share_tensor
from nasctl.networks.node import Node, attribute_name
from nasctl.networks.python_source import call_source, python_attribute
from nasctl.registry.version import __version__

ABOUT = (
    "Layers run in their order on a batch; the inputs of a layer are outputs of earlier layers, by name, or 'input'. "
    "Operations that begin with nn. are constructor calls of torch.nn; Add() sums its inputs, WeightedSum(n) sums n "
    "inputs times its factors, Multiply() multiplies its inputs, Concat() joins their channels, Zero() gives zeros. "
    "Shapes leave the batch out. MACs (macs) are those of convolutions and matrix products for one example; memory is "
    "the peak of activations in bytes for one example. A "
    "layer with 'module_of' runs the module of that layer; 'shared' names tensors that are those of earlier layers; a "
    "layer with 'rows' takes (B, rows, ...) as (B * rows, ...)."
)


def write_json(model: Model, draft: Path) -> None:
    """Write the blocks and layers of a model, with their wiring, shapes and costs, as JSON."""
    network = model.architecture.network
    names = {-1: "input"} | {k: python_attribute(node) for k, node in enumerate(network.nodes)}
    layers = [
        {
            "name": python_attribute(node),
            "block": span.name,
            "operation": call_source(node.layer.module(*node.in_shapes)),
            "inputs": [names[source] for source in node.inputs],
            "in_shapes": [list(shape) for shape in node.in_shapes],
            "out_shape": list(node.out_shape),
            "params": node.params,
            "macs": node.layer.macs(*node.in_shapes),
            **_sharing(node),
        }
        for span in network.spans
        for node in network.nodes_of(span)
    ]
    blocks = [{"name": span.name, "key": span.emission.key} for span in network.spans]
    parts = {"output": names[network.output], "blocks": blocks, "layers": layers}
    whole = {"about": ABOUT, "nasctl": __version__, **model.facts(), **parts}
    draft.write_text(_formatted(whole), encoding="utf-8")


def _sharing(node: Node) -> dict[str, Any]:
    """Return what a layer shares with earlier layers, and the parts that it takes as its batch, if any."""
    found: dict[str, Any] = {}
    if node.layer.rows is not None:
        found["rows"] = node.layer.rows
    if node.module_of:
        found["module_of"] = attribute_name(node.module_of)
    if node.shared:
        found["shared"] = {one.own: [attribute_name(one.layer), one.other] for one in node.shared}
    return found


def _formatted(content: Mapping[str, Any]) -> str:
    """Return JSON text with one line for each fact, block and layer."""
    lines = []
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            text = "[\n  " + ",\n  ".join(json.dumps(item, default=str) for item in value) + "\n ]"
        else:
            text = json.dumps(value, default=str)
        lines.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def load_json(model: Model, path: Path) -> Runner:
    """Construct the layers that the file lists, with the module's weights."""
    content = json.loads(path.read_text(encoding="utf-8"))
    calls = [node.layer.module(*node.in_shapes) for node in model.architecture.network.nodes]
    known = NASCTL_MODULES | {call_source(call).partition("(")[0]: module_class(call) for call in calls}
    own = [layer for layer in content["layers"] if "module_of" not in layer]
    with torch.random.fork_rng(devices=[]):
        net = nn.ModuleDict({layer["name"]: _construct(layer["operation"], known) for layer in own}).eval()
    for layer in own:
        for name, (source, other) in layer.get("shared", {}).items():
            share_tensor(net[layer["name"]], name, net[source], other)
    net.load_state_dict(model.module.state_dict())

    def run(examples: Tensor) -> Tensor:
        with torch.no_grad():
            return _run_layers(net, content, model.normalised(examples))

    return run


def _run_layers(net: nn.ModuleDict, content: Mapping[str, Any], examples: Tensor) -> Tensor:
    """Run the layers of the file in their order, and return the output, (B, ...)."""
    values = {"input": examples}
    for layer in content["layers"]:
        part, given = net[layer.get("module_of", layer["name"])], [values[name] for name in layer["inputs"]]
        if "rows" in layer:
            value = part(*[one.flatten(0, 1) for one in given]).unflatten(0, (-1, layer["rows"]))
        else:
            value = part(*given)
        values[layer["name"]] = value
    return values[content["output"]]


def _construct(operation: str, known: Mapping[str, type[nn.Module]]) -> nn.Module:
    """Construct the module of an operation in the file, which is a call of a known class with literals."""
    call = ast.parse(operation, mode="eval").body
    if not isinstance(call, ast.Call):
        raise ValueError(f"{operation} is no call")
    options = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
    return known[ast.unparse(call.func)](*map(ast.literal_eval, call.args), **options)
