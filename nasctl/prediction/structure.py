"""Features of a network as data, for which no module is built: operations, paths, depth and width of its stages.

References:
    Kadlecová et al., "Surprisingly strong performance prediction with neural graph features", ICML 2024,
    arXiv:2404.16551 (GRAF): counts of operations, lengths of the shortest and the longest path over a set of
    operations, and degrees of nodes. GRAF reads the cell of a benchmark. Here the graph is the whole network, so that
    every space has the features, and the length of a path is the number of its layers of a kind.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from nasctl.networks.graph import Network
from nasctl.networks.node import Node

VERSION = "1"  # raised whenever the features of a network change, because fitted predictors depend on them
MERGES = ("Add", "WeightedSum", "Concat", "Multiply", "ConcatFeatures")  # layers that join several paths


def structure_features(network: Network) -> dict[str, float]:
    """Return the features of a network by name. A name that another network has and this one lacks means 0.

    The stages are numbered from the input on. A stage is a run of layers with feature maps of one size.

    Args:
        network: The network.
    """
    nodes = network.nodes
    kinds = [operation_kind(node) for node in nodes]
    stages = _stages(nodes)
    found: dict[str, float] = defaultdict(float)
    found["log params"] = float(np.log1p(network.params))
    found["log macs"] = float(np.log1p(network.macs))
    costs: Counter[str] = Counter()
    for node, kind, stage in zip(nodes, kinds, stages, strict=True):
        macs, params = node.layer.macs(*node.in_shapes), node.params
        costs[f"log macs stage {stage}"] += macs
        costs[f"log params stage {stage}"] += params
        if kind:
            found[f"{kind}: layers"] += 1
            found[f"{kind}: layers in stage {stage}"] += 1
            costs[f"{kind}: log macs"] += macs
            found[f"width of stage {stage}"] = max(found[f"width of stage {stage}"], _width(node))
    found |= {name: float(np.log1p(value)) for name, value in costs.items()}
    found |= _path_features(nodes, kinds, network.output)
    found |= _degree_features(nodes, kinds, stages)
    return dict(found)


def operation_kind(node: Node) -> str:
    """Return the kind of operation of a layer, such as "Conv 3 depthwise"; "" for norms, activations and merges."""
    name = type(node.layer).__name__
    has_weights = node.params > 0 and "Norm" not in name
    if name in MERGES or not (has_weights or "Pool" in name or "Scores" in name):
        return ""
    words = [name, *(str(getattr(node.layer, one)) for one in ("kernel", "dilation") if _above_one(node, one))]
    groups = getattr(node.layer, "groups", 1)
    return " ".join([*words, *(["depthwise"] if isinstance(groups, int) and groups > 1 else [])])


def _above_one(node: Node, name: str) -> bool:
    value = getattr(node.layer, name, 1)
    return (name == "kernel" and hasattr(node.layer, name)) or value != 1


def _width(node: Node) -> int:
    """Return the channels of an image's map, or the features of a token."""
    return node.out_shape[0] if len(node.out_shape) == 3 else node.out_shape[-1]


def _stages(nodes: Sequence[Node]) -> list[int]:
    """Return the stage of each node: the place of its map's size among all sizes, the largest first."""
    sizes = [node.out_shape[1] if len(node.out_shape) == 3 else 0 for node in nodes]
    places = {size: place for place, size in enumerate(sorted(set(sizes), reverse=True))}
    return [places[size] for size in sizes]


def _path_features(nodes: Sequence[Node], kinds: Sequence[str], output: int) -> dict[str, float]:
    """Return the fewest and the most layers of each set of kinds on a path from the input to the output.

    A layer that reads several values lies on several paths. The number of paths is its logarithm.
    """
    distinct = sorted(set(kinds) - {""})
    sets = {kind: {kind} for kind in distinct}
    sets["operations"] = set(distinct)
    sets["convolutions"] = {kind for kind in distinct if "Conv" in kind}
    sets["wide convolutions"] = {kind for kind in sets["convolutions"] if not kind.startswith("Conv 1")}
    sets["pools"] = {kind for kind in distinct if "Pool" in kind}
    weight = {kind: np.array([float(kind in one) for one in sets.values()]) for kind in {*distinct, ""}}  # (S,)
    start = np.zeros(len(sets))
    fewest: list[np.ndarray] = []  # by node, (S,)
    most: list[np.ndarray] = []
    paths: list[float] = []  # logarithms
    for node, kind in zip(nodes, kinds, strict=True):
        readers = node.inputs
        low = np.min([fewest[i] if i >= 0 else start for i in readers], axis=0) if readers else start
        high = np.max([most[i] if i >= 0 else start for i in readers], axis=0) if readers else start
        fewest.append(low + weight[kind])
        most.append(high + weight[kind])
        paths.append(float(np.logaddexp.reduce([paths[i] if i >= 0 else 0.0 for i in readers])) if readers else 0.0)
    if output < 0:  # the network returns its input
        return {}
    found = {f"{name}: fewest on a path": float(one) for name, one in zip(sets, fewest[output], strict=True)}
    found |= {f"{name}: most on a path": float(one) for name, one in zip(sets, most[output], strict=True)}
    return found | {"log paths": paths[output]}


def _degree_features(nodes: Sequence[Node], kinds: Sequence[str], stages: Sequence[int]) -> dict[str, float]:
    """Return the number of values that are joined in each stage, by the kind of operation that computes them.

    A value that no operation computes since the last merge comes over a skip connection.
    """
    origin: list[str] = []  # by node: the kind of the last operation before it, since the last merge
    found: dict[str, float] = defaultdict(float)
    last: dict[int, Mapping[str, float]] = {}
    for node, kind, stage in zip(nodes, kinds, stages, strict=True):
        merge = type(node.layer).__name__ in MERGES
        sources = [origin[i] if i >= 0 else "skip" for i in node.inputs]
        origin.append(kind or ("skip" if merge or not sources else sources[0]))
        if merge:
            last[stage] = Counter(sources)
            for source in sources:
                found[f"{source}: joined in stage {stage}"] += 1
    for stage, sources_of in last.items():
        found |= {f"{source}: joined last in stage {stage}": float(n) for source, n in sources_of.items()}
    return found
