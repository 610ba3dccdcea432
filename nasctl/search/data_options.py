"""Options of a search space that follow from data: the outputs of the classifier, and the size of the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nasctl import registry
from nasctl.data import Data, Summarized, TokenData, source
from nasctl.errors import NasctlError
from nasctl.evaluation import ranges
from nasctl.hardware.kinds import TRIAL_NETWORKS, load_table
from nasctl.search.request import SearchRequest, SettingOptions
from nasctl.store.store import Store

SHRUNK = 3  # times per side that images may shrink without a warning
STEP = 32  # pixels; resolutions are multiples of it, because many spaces halve the resolution five times


def image_side(data: Data) -> int | None:
    """Return the shorter side of the largest image of data in pixels; None where sizes are not known."""
    sizes = data.summary.sizes if isinstance(data, Summarized) else None
    return None if sizes is None else min(sizes.largest)


def _shrunk(spec: str, data: Data) -> list[str]:
    """Return the sentence that images of data are scaled down to those of a space; none if they are not.

    Args:
        spec: Spec of the space.
        data: The data; drawn data and text have no sizes.
    """
    given, side = registry.create("spaces", spec).input, image_side(data)
    if side is None or given.kind != "images" or side <= given.shape[-1]:
        return []
    size = given.shape[-1]
    can_grow = isinstance(registry.option_defaults("spaces", spec).get("resolution"), int)
    if side > SHRUNK * size:
        larger = -(-side // (SHRUNK * STEP)) * STEP
        cost = f"{(larger / size) ** 2:.0f} times the MACs"
        remedy = f" Give the space resolution={larger}, at about {cost}." if can_grow else ""
        return [
            f"Warning: images of {side} pixels are scaled down to {size}x{size}, {side / size:.0f} times per side, so"
            f" that networks of {spec} see coarse shapes only.{remedy}"
        ]
    whole = max(STEP, -(-side // STEP) * STEP)
    remedy = f"; resolution={whole} of the space keeps their size, at a higher cost" if can_grow else ""
    return [f"images of {side} pixels are scaled down to {size}x{size}, the input of the networks{remedy}"]


def following_options(spec: str, data: Data) -> dict[str, int]:
    """Return the options of a space that follow from data and that its spec does not give.

    `classes` is the number of classes of the data. `resolution` is the size of the images, rounded up to a multiple of
    32 pixels, where they are smaller than the default of the space. Options that would have their default are left out.

    Args:
        spec: Spec of the space.
        data: The data; drawn data and text have neither classes nor sizes.

    Raises:
        NasctlError: The spec names something that does not exist.
    """
    if isinstance(data, TokenData):
        return {}
    given, defaults = registry.options("spaces", spec), registry.option_defaults("spaces", spec)
    wanted: dict[str, int | None] = {"classes": getattr(data, "classes", None)}
    side, default = image_side(data), defaults.get("resolution")
    if side is not None and isinstance(default, int) and not given.get("resolutions"):
        wanted["resolution"] = min(default, max(STEP, -(-side // STEP) * STEP))
    return {
        key: value
        for key, value in wanted.items()
        if value is not None and key in defaults and key not in given and value != defaults[key]
    }


def with_options(spec: str, options: dict[str, Any]) -> str:
    """Return the spec of a space with further options, in its normal form."""
    text = ",".join(f"{key}={value}" for key, value in options.items())
    mark = ("," if registry.options("spaces", spec) else ":") if text else ""
    return registry.normal("spaces", f"{spec}{mark}{text}")


def fitted_request(
    request: SearchRequest,
    setting: SettingOptions,
    store: Store,
    finish: Callable[[SearchRequest], SearchRequest] = lambda request: request,
) -> tuple[SearchRequest, list[str]]:
    """Return a search whose space has the outputs and the image size of its data, and sentences that say so.

    A run that was begun before options followed from data keeps its own.

    Args:
        request: The search as a user asks for it.
        setting: Its setting, which names the data.
        store: The store, in which an earlier run is looked for.
        finish: Completes a search, such as for trainings.

    Raises:
        NasctlError: A spec or the data does not exist, or the data does not fit the space.
    """
    if setting.data is None:
        return finish(request), []
    setting.setting(registry.create("spaces", request.space))  # refuses data of the wrong kind
    data = source(setting.data)
    options = following_options(request.space, data)
    spare = [] if "classes" in options else spare_outputs(request.space, setting.data, data)
    if "resolution" in options and not _priced(with_options(request.space, options), request.devices):
        del options["resolution"]  # the tables know the space at its own resolution alone
    if not options:
        return finish(request), [*spare, *_shrunk(request.space, data)]
    words = " and ".join(f"{key}={value}" for key, value in options.items())
    fitted, earlier = finish(replace(request, space=with_options(request.space, options))), finish(request)
    # `finish` may set the same options, as trainings set the classes.
    differs = registry.spelled_out("spaces", earlier.space) != registry.spelled_out("spaces", fitted.space)
    if differs and _is_recorded(earlier, setting, store):
        other = f"--space {fitted.space} with another --run" if request.name else f"--space {fitted.space}"
        return earlier, [
            f"goes on with the run in the store, whose space was chosen without {words} of the data; {other} begins a"
            " new run"
        ]
    said = f"{words} of the space {'follows' if len(options) == 1 else 'follow'} from {setting.data}"
    return fitted, [said, *spare, *_shrunk(fitted.space, data)]


def spare_outputs(spec: str, name: str, data: Data) -> list[str]:
    """Return the sentence on a space whose networks have more outputs than the data has classes; none otherwise.

    Args:
        spec: Spec of the space as a user wrote it.
        name: Name of the data as a user wrote it.
        data: The data.
    """
    outputs = {**registry.option_defaults("spaces", spec), **registry.options("spaces", spec)}.get("classes")
    classes = getattr(data, "classes", None)
    if not isinstance(outputs, int) or classes is None or outputs <= classes:
        return []
    return [f"{name} has {classes} classes and the networks {outputs} outputs; classes={classes} of the space fits"]


def _priced(spec: str, devices: Sequence[str]) -> bool:
    """Return whether the tables of devices know the blocks of a random network of a space."""
    space = registry.create("spaces", spec)
    try:
        for device in registry.listed(devices):
            table = load_table(device, spec)
            for genome in ranges.sample(space, TRIAL_NETWORKS):
                table.latency(space.network(genome))
    except NasctlError:
        return False
    return True


def _is_recorded(request: SearchRequest, setting: SettingOptions, store: Store) -> bool:
    """Return whether a store has the run of a search."""
    run = request.run(setting, store=store)
    found = {one.name: one.record.asked.get("space") for one in store.runs()}
    return bool(found.get(run.name) == run.asked["space"])
