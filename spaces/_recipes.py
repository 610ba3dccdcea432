"""Recipes of recurrent cells in the JSON of NAS-Bench-NLP: parsing, formatting and canonical form."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from nasctl.api import parse_json

Step = tuple[str, str, tuple[str, ...]]  # name of the step, operation, names of its inputs
Recipe = tuple[Step, ...]  # in topological order; reads x, h_prev_0, ... and produces h_new_0, ...

LINEAR = "linear"
ORDERED_OPERATIONS = ("blend",)  # operations whose inputs cannot be exchanged
# Number of inputs that each operation accepts.
ARITIES: Mapping[str, Collection[int]] = {
    LINEAR: (2, 3),
    "blend": (3,),
    "elementwise_prod": (2,),
    "elementwise_sum": (2,),
    "activation_tanh": (1,),
    "activation_sigm": (1,),
    "activation_leaky_relu": (1,),
}
MAX_STATES = 3  # states of the largest cell of the benchmark
MAX_CHARACTERS = 10_000  # longest recipe that is parsed; the longest of the benchmark has 1,300 characters


def parse_recipe(text: str) -> Recipe | None:
    """Parse a recipe in the benchmark's JSON: '{"f": {"op": "linear", "input": ["x", "h_prev_0"]}, "h_new_0": ...}'.

    Returns:
        The recipe, or None if the text is not a recipe or describes a cell whose output does not depend on x.
    """
    if len(text) > MAX_CHARACTERS or not text.lstrip().startswith("{"):
        return None
    try:
        content = parse_json(text)
    except (ValueError, RecursionError):
        return None
    if not all(_is_step(value) for value in content.values()):
        return None
    pending: dict[str, Step] = {name: (name, item["op"], tuple(item["input"])) for name, item in content.items()}
    number = sum(f"h_new_{k}" in pending for k in range(MAX_STATES))
    known = {"x", *(f"h_prev_{k}" for k in range(number))}
    if any(re.fullmatch("x|h_prev_[0-9]+", name) for name in pending):
        return None
    if {name for name in pending if re.fullmatch("h_new_[0-9]+", name)} != {f"h_new_{k}" for k in range(number)}:
        return None
    steps: list[Step] = []
    while pending:
        ready = [step for step in pending.values() if known.issuperset(step[2])]
        if not ready:
            return None  # A cycle, or an input that no step produces.
        steps += ready
        known.update(name for name, _, _ in ready)
        pending = {name: step for name, step in pending.items() if name not in known}
    recipe = required_steps(steps, {f"h_new_{k}" for k in range(number)})
    if any("x" in inputs and operation != LINEAR for _, operation, inputs in recipe):
        return None
    return recipe if number and reads_x(live_steps(recipe)) else None


def _is_step(value: object) -> bool:
    if not isinstance(value, dict) or value.keys() != {"op", "input"}:
        return False
    operation, inputs = value["op"], value["input"]
    texts = isinstance(operation, str) and isinstance(inputs, list) and all(isinstance(item, str) for item in inputs)
    return texts and len(inputs) in ARITIES.get(operation, ())


def format_recipe(recipe: Recipe) -> str:
    """Return the recipe in the benchmark's JSON."""
    return json.dumps({name: {"op": operation, "input": list(inputs)} for name, operation, inputs in recipe})


def reads_x(recipe: Iterable[Step]) -> bool:
    """Return whether any step reads x."""
    return any("x" in inputs for _, _, inputs in recipe)


def required_steps(steps: Sequence[Step], targets: Iterable[str]) -> Recipe:
    """Return the steps that `targets` depend on within one position of the sequence."""
    needed = set(targets)
    for name, _, inputs in reversed(steps):
        if name in needed:
            needed.update(inputs)
    return tuple(step for step in steps if step[0] in needed)


def live_steps(recipe: Recipe) -> Recipe:
    """Return the steps that the output h_new_0 depends on at any position of the sequence.

    Steps that only produce a state that no live step reads are dropped.
    """
    states = {0}
    while True:
        steps = required_steps(recipe, (f"h_new_{k}" for k in states))
        added = {k for k in range(MAX_STATES) if any(f"h_prev_{k}" in inputs for _, _, inputs in steps)} - states
        if not added:
            return steps
        states |= added


def canonical_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe without dead steps, with an order and names that depend on its graph alone.

    Recipes that differ only in names, in the order of steps, in the order of states beside the first, or in the order
    of exchangeable inputs have the same canonical form.

    The form may be incomplete for graphs with equal parts that no symmetry maps onto one another: two equal recipes
    could then keep different forms. Recipes with the same form always compute the same function, so the only cost is a
    repeated evaluation.
    """
    recipe = live_steps(recipe)
    rank = _canonical_ranks(recipe)
    states = sorted((name for name in rank if name.startswith("h_prev_")), key=rank.__getitem__)
    names = {name: f"h_prev_{k}" for k, name in enumerate(states)}
    names |= {_new_state(name): f"h_new_{k}" for k, name in enumerate(states)}
    ordered = sorted(recipe, key=lambda step: rank[step[0]])
    names |= {name: f"node_{k}" for k, (name, _, _) in enumerate(ordered) if name not in names}
    return tuple(
        (names[name], operation, tuple(names.get(item, item) for item in _sorted_inputs(operation, inputs, rank)))
        for name, operation, inputs in ordered
    )


def _canonical_ranks(recipe: Recipe) -> dict[str, int]:
    """Return a rank of x, each state and each step; inputs rank before their users, and names have no influence.

    Colours are refined by the colours of neighbours until nothing changes (colour refinement). If several nodes still
    share a colour, the first node of the first shared colour gets a colour of its own, and refinement continues.
    """
    inputs = {name: step_inputs for name, _, step_inputs in recipe}
    states = {f"h_prev_{k}" for k in range(MAX_STATES) if f"h_new_{k}" in inputs}
    partners = {name: _new_state(name) for name in states} | {_new_state(name): name for name in states}
    kinds: dict[str, tuple[int, str]] = {"x": (0, ""), **dict.fromkeys(sorted(states), (0, "state"))}
    kinds["h_prev_0"] = (0, "first state")
    users: dict[str, list[tuple[str, int]]] = {name: [] for name in (*kinds, *inputs)}
    for name, operation, step_inputs in recipe:
        kinds[name] = 1 + max(kinds[item][0] for item in step_inputs), operation
        for position, item in enumerate(step_inputs):
            users[item].append((name, position if operation in ORDERED_OPERATIONS else 0))
    colour = _dense_ranks(kinds)
    while True:
        signatures = {
            name: (
                colour[name],
                [colour[item] for item in _sorted_inputs(kind, inputs.get(name, ()), colour)],
                sorted((colour[user], position) for user, position in users[name]),
                colour[partners[name]] if name in partners else -1,
            )
            for name, (_, kind) in kinds.items()
        }
        refined = _dense_ranks(signatures)
        if max(refined.values()) == max(colour.values()):
            if max(refined.values()) == len(kinds) - 1:
                return refined
            colours = list(refined.values())
            shared = min(item for item in colours if colours.count(item) > 1)
            first = next(name for name, item in refined.items() if item == shared)
            refined = _dense_ranks({name: (item, name != first) for name, item in refined.items()})
        colour = refined


def _dense_ranks(values: Mapping[str, object]) -> dict[str, int]:
    """Return the ranks of the values from 0 without gaps; equal values share a rank."""
    distinct: list[object] = []
    for value in sorted(values.values()):  # type: ignore[type-var]  # all values have one comparable type
        if not distinct or value != distinct[-1]:
            distinct.append(value)
    return {name: distinct.index(value) for name, value in values.items()}


def _sorted_inputs(operation: str, inputs: tuple[str, ...], rank: Mapping[str, int]) -> Sequence[str]:
    return inputs if operation in ORDERED_OPERATIONS else sorted(inputs, key=rank.__getitem__)


def _new_state(state: str) -> str:
    return state.replace("prev", "new")
