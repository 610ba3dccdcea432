"""Specs of plug-ins, such as `nb201:channels=8`: they are split, normalised, and made into plug-ins."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from nasctl.errors import BadOption, NasctlError, UnknownName
from nasctl.registry import named_files
from nasctl.registry.aliases import alias_of
from nasctl.registry.members import check_members
from nasctl.registry.old_names import current_option, current_plugin
from nasctl.registry.plugins import TRUST, Plugin, available, installed

SWITCHES = {"on": True, "off": False, "yes": True, "no": False}  # words for the values of a switch

INJECTED = {
    "searchers": ("problem", "rng"),
    "strategies": ("context",),
}  # arguments of plug-ins, by kind, that no spec gives


FILE_KINDS = ("spaces", "objectives", "searchers", "strategies")  # kinds that may also be named as FILE.py:CLASS


@runtime_checkable
class CompletesOptions(Protocol):
    """A class of plug-ins that adds options of its own to the given ones, such as the digest of a file they name.

    The added options are part of every spec that nasctl writes, and so of names, ids and stored values.
    """

    @classmethod
    def completed(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options of a spec with those that follow from them.

        Args:
            options: The given options, each of the type of its default.

        Raises:
            NasctlError: What the options name cannot be read.
        """
        ...


@runtime_checkable
class HasLaterOptions(Protocol):
    """A class of plug-ins with options that were added after runs of it were stored.

    At their defaults these options are left out of the spec that names a run, so that the runs are still found.
    """

    later_options: frozenset[str]


def names(kind: str) -> list[str]:
    """Return the names of all plug-ins of a kind, sorted. No plug-in is imported."""
    return list(available(kind))


def trusted(kind: str) -> list[str]:
    """Return the names of plug-ins that are not broken and may be imported without being named, such as for a list."""
    return [name for name, plugin in available(kind).items() if plugin.trusted and not plugin.fault]


def untrusted(kind: str) -> dict[str, str]:
    """Return the names of all other plug-ins, each with its origin and the reason why it is not trusted."""
    return {
        name: f"of {plugin.origin}: {plugin.fault or 'runs only when named'} (see nasctl plugins)"
        for name, plugin in available(kind).items()
        if plugin.fault or not plugin.trusted
    }


def known(kind: str, name: str) -> str:
    """Return the name of a plug-in as `names` spells it. A user may type "-" for "_", an alias, or an old name.

    Raises:
        UnknownName: No plug-in of that kind has that name.
        NasctlError: The name is that of a file, without a class.
    """
    if kind in FILE_KINDS and named_files.is_file(name):
        return named_files.normal_name(name)
    if kind in FILE_KINDS and name.endswith(".py"):
        raise NasctlError(f"Cannot use {name}: it names a file without a class. Write {name}:CLASS.")
    name = current_plugin(kind, name)
    for spelling in (name, name.replace("-", "_"), name.replace("_", "-")):
        if spelling in names(kind):
            return spelling
    if (real := alias_of(kind, name)) is not None:
        return real
    raise UnknownName("strategy" if kind == "strategies" else kind.removesuffix("s"), name, names(kind))


def load(kind: str, name: str) -> Any:
    """Import a plug-in and return its class: the one name in its module's `__all__`, or the target of its entry point.

    Raises:
        UnknownName: No plug-in of that kind has that name.
        NasctlError: The plug-in of another distribution or of a file cannot be imported, or two distributions have that
            name.
    """
    if kind in FILE_KINDS and named_files.is_file(name):
        return named_files.load(name)
    return _resolved(kind, name).load()


def device_file(device: str) -> Path:
    """Return the file of a device's latency table.

    Args:
        device: The name of a device that nasctl or another distribution has, or a path that ends in ".json".

    Raises:
        UnknownName: No device has that name.
        NasctlError: The device of another distribution cannot be imported, or two distributions have that name.
    """
    if device.endswith(".json"):
        return Path(device)
    plugin = _resolved("devices", device)
    if plugin.point is not None:
        return Path(plugin.load())
    return Path(str(files("nasctl.hardware").joinpath("tables", f"{plugin.name}.json")))


def create(kind: str, spec: str, *args: Any) -> Any:
    """Make a plug-in from its spec: `name`, or `name:key=value,key=value`.

    The type of an option's default decides how a value is read: as a number, a word, on or off, or a list such as
    `resolutions=160,192`. A switch that is off by default may be named alone: `name:key`.

    Args:
        kind: A member of `KINDS`.
        spec: The spec.
        args: Positional arguments of the plug-in before its options, such as a searcher's problem and generator.

    Raises:
        UnknownName: No plug-in of that kind has that name.
        BadOption: The plug-in does not take an option or a value, an option without a default is missing, or the class
            of a file or another distribution lacks members of its kind.
    """
    name, options = _parsed(kind, spec)
    made = load(kind, name)(*args, **options)
    if named_files.is_file(name) or not type(made).__module__.startswith("nasctl."):
        check_members(kind, name, made)
    return made


def optional(kind: str, name: str) -> bool:
    """Return whether a plug-in can be made without options."""
    return all(one.default is not one.empty for one in _parameters(kind, name).values())


def _parameters(kind: str, name: str) -> dict[str, inspect.Parameter]:
    """Return the parameters of a plug-in's constructor by name, without `*args` and `**kwargs`."""
    several = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    found = inspect.signature(load(kind, name)).parameters
    return {key: one for key, one in found.items() if one.kind not in several}


def names_without_options(kind: str) -> list[str]:
    """Return the names of plug-ins that may be imported without being named, and that can be made without options."""
    return [name for name in trusted(kind) if optional(kind, name)]


def required_option(kind: str, name: str) -> str:
    """Return the first option of a plug-in that has no default; "" if every option has one."""
    parameters = _parameters(kind, name)
    takes = [key for key in parameters if key not in INJECTED.get(kind, ())]
    return next((key for key in takes if parameters[key].default is inspect.Parameter.empty), "")


def short_name(spec: str) -> str:
    """Return the name of the plug-in of a spec, or the stem of its file, for other names such as of runs."""
    return named_files.short_name(plugin_of(spec))


def plugin_of(spec: str) -> str:
    """Return the part of a spec that names the plug-in: the name before the options, or FILE.py:CLASS."""
    return named_files.split_spec(spec)[0]


def options(kind: str, spec: str) -> dict[str, Any]:
    """Return the options that a spec gives, each of the type of its default.

    Raises:
        UnknownName: No plug-in of that kind has that name.
        BadOption: The plug-in does not take an option or a value.
    """
    return _parsed(kind, spec)[1]


def option_defaults(kind: str, spec: str) -> dict[str, Any]:
    """Return the options that the plug-in of a spec takes, with their defaults; options without one are left out.

    Raises:
        UnknownName: No plug-in of that kind has that name.
    """
    parameters = _parameters(kind, plugin_of(spec))
    return {key: one.default for key, one in parameters.items() if one.default is not one.empty}


def completed(kind: str, spec: str) -> bool:
    """Return whether the options of a spec are completed by files that may change; see `CompletesOptions`.

    Raises:
        UnknownName: No plug-in of that kind has that name.
    """
    return _completes(kind, plugin_of(spec))


@lru_cache(maxsize=64)  # finding plug-ins by name takes milliseconds
def _completes(kind: str, name: str) -> bool:
    return isinstance(load(kind, name), CompletesOptions)


def normal(kind: str, spec: str) -> str:
    """Return a spec with its options sorted and without options at their default: one text for all spellings.

    Raises:
        UnknownName: No plug-in of that kind has that name.
        BadOption: The plug-in does not take an option or a value.
    """
    name, options = _parsed(kind, spec)
    parameters = _parameters(kind, name)
    changed = {key: value for key, value in options.items() if value != parameters[key].default}
    return f"{name}:{_joined(changed)}".removesuffix(":")


def spelled_out(kind: str, spec: str) -> str:
    """Return a spec with every option, also those at their default: its meaning outlives a change of a default.

    Options that a plug-in got later (`HasLaterOptions`) are left out at their default.
    """
    name, options = _parsed(kind, spec)
    plugin = load(kind, name)
    parameters = inspect.signature(plugin).parameters.items()
    defaults = {key: one.default for key, one in parameters if one.default is not one.empty}
    later = plugin.later_options if isinstance(plugin, HasLaterOptions) else frozenset()
    kept = {key: value for key, value in (defaults | options).items() if key not in later or value != defaults[key]}
    return f"{name}:{_joined(kept)}".removesuffix(":")


def split(texts: Iterable[str]) -> list[str]:
    """Split texts of comma-separated specs: "a,b:x=1,y=2" and "c" give "a", "b:x=1,y=2" and "c".

    A piece with "=" before any ":", or with a digit first, continues the last spec. Every other piece begins a spec.

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
    """Split texts of comma-separated names, which take no options: "a,b" and "c" give "a", "b" and "c".

    Raises:
        BadOption: A name is empty.
    """
    found = [name.strip() for text in texts for name in text.split(",")]
    if not all(found):
        raise BadOption(f"{','.join(found)!r} lacks a name; give one, or leave the option out")
    return found


def _resolved(kind: str, name: str) -> Plugin:
    """Return the plug-in that a name stands for.

    Raises:
        UnknownName: No plug-in of that kind has that name.
        NasctlError: Two distributions have a plug-in of that name, and both or neither are trusted.
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
    """Return options as a spec spells them, sorted by name."""
    return ",".join(f"{key}={_written(value)}" for key, value in sorted(options.items()))


def _written(value: Any) -> str:
    """Return the value of an option as a spec spells it."""
    if isinstance(value, tuple):
        return ",".join(map(_written, value))
    return value if isinstance(value, str) else json.dumps(value)


def _parsed(kind: str, spec: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of a spec, each of the type of its default.

    Raises:
        UnknownName: No plug-in of that kind has that name.
        BadOption: The plug-in does not take an option or a value, or an option without a default is missing.
    """
    typed, text = named_files.split_spec(spec)
    name = known(kind, typed)
    parameters = _parameters(kind, name)
    takes = [key for key in parameters if key not in INJECTED.get(kind, ())]
    switches = [key for key in takes if parameters[key].default is False]
    pairs: list[list[str]] = []
    for piece in text.split(",") if text else []:
        key, equals, value = piece.partition("=")
        key = current_option(kind, name, key.strip().replace("-", "_"))
        if equals:
            pairs.append([key, value.strip()])
        elif key in switches:  # a switch may be named alone to be on
            pairs.append([key, "on"])
        elif pairs:  # a value with commas, which is a list
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
    plugin = load(kind, name)
    return name, plugin.completed(options) if isinstance(plugin, CompletesOptions) else options


def _value(option: str, text: str, default: Any) -> Any:
    """Return the value that a text stands for, of the type of the default.

    Args:
        option: The option as the user typed it, for the message.
        text: The text of the value.
        default: The default of the option.

    Raises:
        BadOption: The text is no value of that type.
    """
    if isinstance(default, str) or default is inspect.Parameter.empty:
        return text
    if isinstance(default, tuple):
        return tuple(_value(option, piece, default[0] if default else 0) for piece in text.split(",") if piece)
    value: Any
    try:
        value = SWITCHES[text] if text in SWITCHES else json.loads(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise BadOption(f"{option}: that option is a finite number")
    except (ValueError, RecursionError):  # not JSON, or a number with thousands of digits
        value = text
    kinds: dict[type, tuple[Any, str]] = {
        bool: ((bool,), "on or off"),
        int: ((int,), "a whole number"),
        float: ((int, float), "a number"),
    }
    wanted, called = kinds.get(type(default), ((object,), ""))
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        raise BadOption(f"{option}: that option is {called}")
    return float(value) if isinstance(default, float) else value
