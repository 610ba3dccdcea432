"""YAML by the core schema of YAML 1.2, without the traps of YAML 1.1."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from typing import Any

import yaml

MAX_DEPTH = 8  # levels of nesting; known latency tables have up to four

# The core schema (YAML 1.2.2, section 10.3.2): tags of plain scalars, their pattern and the characters they begin with.
CORE_SCHEMA = (
    ("tag:yaml.org,2002:null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C loader is ten times faster
    """A safe loader with the scalars of YAML 1.2 that refuses a key which stands twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's name; not the resolvers of YAML 1.1

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "it is not an object", node.start_mark)
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise _refusal("a key is a list or an object", key_node)
            if key in found:
                raise _refusal(f"{str(key)[:60]!r} is there twice", key_node)
            found[key] = self.construct_object(value_node, deep=deep)
        return found


def load(text: bytes | str, max_depth: int = MAX_DEPTH) -> Any:
    """Return the values of a YAML document.

    Numbers are those of YAML 1.2: 7e-07, 584e-2, .5, 0x1f and 0o17 are numbers, 010 is ten, and 1_000, 1:30, yes, no,
    on and off are text. Dates are text.

    Args:
        text: The document; bytes may be in UTF-8 or UTF-16.
        max_depth: Deepest nesting. The C loader would overflow its stack, which ends the process.

    Raises:
        ValueError: The text is no YAML document, or a key stands twice, or it nests deeper, or it merges objects (<<),
            each merge of which can double their size.
    """
    try:
        _check_events(yaml.parse(text, Loader=_Loader), max_depth)
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def _check_events(events: Iterable[yaml.Event], max_depth: int) -> None:
    """Refuse what the loader does not bound, and what YAML 1.1 means otherwise in a document that claims to be 1.1."""
    depth, old = 0, False
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > max_depth:
            raise ValueError(f"it nests deeper than {max_depth} levels")
        if isinstance(event, yaml.DocumentStartEvent):
            old = event.version == (1, 1)
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<":
            raise ValueError("it merges objects (<<); write them out")
        if isinstance(event, yaml.ScalarEvent) and old and event.implicit[0] and _means_otherwise(event.value):
            raise ValueError(f"{event.value[:60]!r} means one thing in YAML 1.1 and another in 1.2; put it in quotes")


def _means_otherwise(text: str) -> bool:
    """Return whether the tag of a plain scalar by YAML 1.1 differs from its tag by YAML 1.2, or 010 is eight."""
    tags = [kind().resolve(yaml.ScalarNode, text, (True, False)) for kind in (yaml.resolver.Resolver, _Core)]
    return tags[0] != tags[1] or re.fullmatch(r"[-+]?0[0-9]+", text) is not None


class _Core(yaml.resolver.BaseResolver):  # type: ignore[misc]  # PyYAML has no types
    """The resolver of the core schema by itself."""


def _refusal(reason: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, reason, node.start_mark)


def _integer(loader: Any, node: yaml.ScalarNode) -> int:
    """Return the integer of a scalar, which an explicit tag may have forced."""
    text = str(loader.construct_scalar(node))
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    if not re.fullmatch(CORE_SCHEMA[2][1], text):
        raise _refusal(f"{text[:60]!r} is no whole number", node)
    return int(text if base == 10 else text[2:], base)


def _number(loader: Any, node: yaml.ScalarNode) -> float:
    """Return the number of a scalar, which an explicit tag may have forced."""
    text = str(loader.construct_scalar(node))
    if not re.fullmatch(CORE_SCHEMA[3][1], text):
        raise _refusal(f"{text[:60]!r} is no number", node)
    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))


for _tag, _pattern, _first in CORE_SCHEMA:
    for _kind in (_Loader, _Core):
        _kind.add_implicit_resolver(_tag, re.compile(f"(?:{_pattern})\\Z"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)
