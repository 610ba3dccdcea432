"""Finds plug-ins by name, and makes them from what a person types."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from nasctl.errors import BadOption, NasctlError, UnknownName
from nasctl.registry.old_names import current_option, current_plugin
from nasctl.registry.plugins import TRUST, Plugin, available, installed

SWITCHES = {"on": True, "off": False, "yes": True, "no": False}


def names(kind: str) -> list[str]:
    """Every name of this kind, sorted; imports no plug-in."""
    return list(available(kind))


def trusted(kind: str) -> list[str]:
    """Of those, the names whose plug-ins may run where nobody named them, as where all are listed; no broken ones."""
    return [name for name, plugin in available(kind).items() if plugin.trusted and not plugin.fault]


def untrusted(kind: str) -> dict[str, str]:
    """All other names, and for each where it comes from and why it is not among them."""
    return {
        name: f"of {plugin.origin}: {plugin.fault or 'runs only when named'} (see nasctl plugins)"
        for name, plugin in available(kind).items()
        if plugin.fault or not plugin.trusted
    }


def known(kind: str, name: str) -> str:
    """The name as `names` has it: what a person types may have "-" for "_".

    Raises:
        UnknownName: No plug-in of that kind has that name.
    """
    name = current_plugin(kind, name)
    for spelling in (name, name.replace("-", "_"), name.replace("_", "-")):
        if spelling in names(kind):
            return spelling
    raise UnknownName(kind.removesuffix("s"), name, names(kind))


def load(kind: str, name: str) -> Any:
    """The plug-in's class: the one name in its module's `__all__`, or what the entry point points at.

    Raises:
        UnknownName: No plug-in of that kind has that name.
        NasctlError: That of another distribution cannot be imported, or two of them have one of that name.
    """
    return _meant(kind, name).load()


def device_file(device: str) -> Path:
    """The file of a device's table: shipped, of another distribution, or, if it ends in ".json", the path itself.

    Raises:
        UnknownName: There is no such device.
        NasctlError: That of another distribution cannot be imported, or two of them have one of that name.
    """
    if device.endswith(".json"):
        return Path(device)
    plugin = _meant("devices", device)
    if plugin.point is not None:
        return Path(plugin.load())
    return Path(str(files("nasctl.hardware").joinpath("tables", f"{plugin.name}.json")))


def create(kind: str, spec: str, *args: Any) -> Any:
    """Make a plug-in from what a person typed: `name`, or `name:key=value,key=value`.

    Values are read as the option's type wants them: numbers, words, on/off, and lists such as `resolutions=160,192`. A
    switch that is off by default may be named alone: `name:key`.

    Raises:
        UnknownName: No plug-in of that kind has that name.
        BadOption: The plug-in does not take an option or a value, or does not get one that it must have.
    """
    name, options = _parsed(kind, spec)
    return load(kind, name)(*args, **options)


def optional(kind: str, name: str) -> bool:
    """Whether a plug-in can be made without options."""
    return all(one.default is not one.empty for one in inspect.signature(load(kind, name)).parameters.values())


def normal(kind: str, spec: str) -> str:
    """The spec with its options in order and without those at their default: the same for all ways to write it.

    Raises:
        UnknownName: No plug-in of that kind has that name.
        BadOption: It does not take such an option.
    """
    name, options = _parsed(kind, spec)
    parameters = inspect.signature(load(kind, name)).parameters
    changed = {key: value for key, value in options.items() if value != parameters[key].default}
    return f"{name}:{_joined(changed)}".removesuffix(":")


def spelled_out(kind: str, spec: str) -> str:
    """The spec with every option, those at their default too: what does not change when a default does."""
    name, options = _parsed(kind, spec)
    parameters = inspect.signature(load(kind, name)).parameters.items()
    defaults = {key: one.default for key, one in parameters if one.default is not one.empty}
    return f"{name}:{_joined(defaults | options)}".removesuffix(":")


def split(texts: Iterable[str]) -> list[str]:
    """Specs given one by one or separated by commas: "a,b:x=1,y=2" and "c" are "a", "b:x=1,y=2" and "c".

    A piece that gives an option its value, or begins with a digit, goes on with the last spec; all others begin one.

    Raises:
        BadOption: A piece is empty.
    """
    specs: list[str] = []
    for text in texts:
        for k, piece in enumerate(text.split(",")):
            head = piece.strip().partition(":")[0]
            if not head:
                raise BadOption(f"{text!r} lacks a name; give one, or leave the option out")
            if k and ("=" in head or head[0].isdigit()):
                specs[-1] += f",{piece.strip()}"
            else:
                specs.append(piece.strip())
    return specs


def listed(texts: Iterable[str]) -> list[str]:
    """Names given one by one or separated by commas, which take no options: "a,b" and "c" are "a", "b" and "c".

    Raises:
        BadOption: One is empty.
    """
    found = [name.strip() for text in texts for name in text.split(",")]
    if not all(found):
        raise BadOption(f"{','.join(found)!r} lacks a name; give one, or leave the option out")
    return found


def _meant(kind: str, name: str) -> Plugin:
    """The plug-in that a name stands for.

    Raises:
        UnknownName: No plug-in of that kind has that name.
        NasctlError: Two distributions have one, and it is not known which is meant.
    """
    name = known(kind, name)
    first, *others = (one for one in installed(kind) if one.name == name)
    if first.point is not None and others and others[0].trusted == first.trusted:
        raise NasctlError(
            f"{name!r} is in {first.origin} and in {others[0].origin}; uninstall one, or trust one alone: "
            f"{TRUST}={first.distribution}"
        )
    return first


def _joined(options: dict[str, Any]) -> str:
    return ",".join(f"{key}={_written(value)}" for key, value in sorted(options.items()))


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_written, value))
    return value if isinstance(value, str) else json.dumps(value)


def _parsed(kind: str, spec: str) -> tuple[str, dict[str, Any]]:
    """The name and the options of a spec, each of the type of its default."""
    typed, _, text = spec.partition(":")
    name = known(kind, typed)
    parameters = inspect.signature(load(kind, name)).parameters
    injected = ("problem", "rng") if kind == "searchers" else ()
    takes = [key for key in parameters if key not in injected]
    pairs: list[list[str]] = []
    for piece in text.split(",") if text else []:
        key, equals, value = piece.partition("=")
        if equals:
            pairs.append([current_option(kind, name, key.strip().replace("-", "_")), value.strip()])
        elif key in takes and parameters[key].default is False:  # a switch may be named to be on
            pairs.append([key, "on"])
        elif pairs:
            pairs[-1][1] += f",{piece.strip()}"
        else:
            raise BadOption(f"{spec!r}: {piece!r} is no option; write {name}:key=value,key=value")
    options: dict[str, Any] = {}
    for key, value in pairs:
        if key in options:
            raise BadOption(f"{spec!r} gives {key!r} twice; leave one out")
        if key not in takes:
            raise BadOption(str(UnknownName(f"option of {name!r}", key, takes or ["none"])))
        options[key] = _value(f"{name}:{key}={value}", value, parameters[key].default)
    missing = [key for key in takes if parameters[key].default is inspect.Parameter.empty and key not in options]
    if missing:
        raise BadOption(f"{name!r} needs {missing[0]!r}: write {name}:{missing[0]}=...")
    return name, options


def _value(given: str, text: str, default: Any) -> Any:
    """A value of the default's type.

    Raises:
        BadOption: The text is none.
    """
    if isinstance(default, str) or default is inspect.Parameter.empty:
        return text
    if isinstance(default, tuple):
        return tuple(_value(given, piece, default[0] if default else 0) for piece in text.split(",") if piece)
    value: Any
    try:
        value = SWITCHES[text] if text in SWITCHES else json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or a number of thousands of digits
        value = text
    kinds: dict[type, tuple[Any, str]] = {
        bool: ((bool,), "on or off"),
        int: ((int,), "a whole number"),
        float: ((int, float), "a number"),
    }
    wanted, called = kinds.get(type(default), ((object,), ""))
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        raise BadOption(f"{given}: that option is {called}")
    return float(value) if isinstance(default, float) else value
