"""Plug-ins by name: spaces, objectives, searchers, devices, benchmarks and data.

A plug-in is addressed by a spec, `name` or `name:key=value,key=value`. Names come from the files of nasctl and from
the entry points of other distributions; no plug-in is imported before it is named.
"""

from nasctl.registry.aliases import with_aliases
from nasctl.registry.plugins import KINDS, Plugin, available, installed
from nasctl.registry.specs import (
    completed,
    create,
    device_file,
    known,
    listed,
    load,
    names,
    names_without_options,
    normal,
    option_defaults,
    optional,
    options,
    plugin_of,
    required_option,
    short_name,
    spelled_out,
    split,
    trusted,
    untrusted,
)

__all__ = [
    "KINDS",
    "Plugin",
    "available",
    "completed",
    "create",
    "device_file",
    "installed",
    "known",
    "listed",
    "load",
    "names",
    "names_without_options",
    "normal",
    "option_defaults",
    "optional",
    "options",
    "plugin_of",
    "required_option",
    "short_name",
    "spelled_out",
    "split",
    "trusted",
    "untrusted",
    "with_aliases",
]
