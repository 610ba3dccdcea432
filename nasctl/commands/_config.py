"""Options of a command from a TOML file, and back into one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from nasctl.errors import NasctlError, UnknownName
from nasctl.system import files

LARGEST = 1_000_000  # bytes of a file that are read
SWITCHES = {"true": True, "false": False}
ELSEWHERE = {"store", "json"}  # where a run is kept and how it is printed are no part of what it is


class Configured(click.Command):
    """A command whose options may also stand in a file, each under its long name.

    They are put before what was typed, as if they had been typed too: types, messages and options that are added later
    need nothing here. What was typed wins over `--set`, that over the file, and that over environment and defaults.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        typed, _, _ = self.make_parser(ctx).parse_args(list(args))
        options, settings = _options(self), dict[str, list[str]]()
        if (path := typed.get("config")) is not None:
            for key, value in read(path).items():
                settings[key] = _words(_known(key, options, path), key, value, path)
        for key, values in _pairs(typed.get("set", ())).items():
            option = _known(key, options, "--set")
            value = values if option.multiple else values[-1]
            settings[key] = _words(option, key, SWITCHES.get(values[-1]) if option.is_flag else value, "--set")
        rest = [word for key, words in settings.items() if options[key].name not in typed for word in words]
        return super().parse_args(ctx, [*rest, *args])


config_option = click.option(
    "--config",
    metavar="FILE",
    expose_value=False,
    help='Take options from a TOML file, by their long names: budget = 300, device = ["gpu"]; `runs show --config`'
    " prints one. What is typed wins over --set, that over the file, and that over environment variables.",
)
set_option = click.option(
    "--set",
    multiple=True,
    metavar="KEY=VALUE",
    expose_value=False,
    help="Give an option of the file another value, as it would be typed; repeat it for another, or for lists.",
)


def read(path: str) -> dict[str, Any]:
    """What a TOML file says.

    Raises:
        NasctlError: It cannot be read, or is none.
    """
    import tomllib

    try:
        with files.opened(path) as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"more than {LARGEST:,} bytes")
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise NasctlError(
            f"the configuration {path} cannot be read ({error.strerror}); give another with --config"
        ) from error
    except (ValueError, RecursionError) as error:
        raise NasctlError(
            f"the configuration {path} is no TOML file in UTF-8 ({error}); write lines such as budget = 300"
        ) from error


def toml(settings: Mapping[str, Any]) -> str:
    """Text, numbers, switches and lists of these as TOML, which has them as JSON does.

    Raises:
        NasctlError: What is to be text holds bytes that are none.
    """
    lines = [f"{_key(key)} = {_escaped(json.dumps(value, ensure_ascii=False))}\n" for key, value in settings.items()]
    return "".join(lines)


def _key(text: str) -> str:
    return text if re.fullmatch("[A-Za-z0-9_-]+", text) else _escaped(json.dumps(text, ensure_ascii=False))


def _escaped(text: str) -> str:
    """Without what a terminal could take for more than text.

    Raises:
        NasctlError: It holds bytes that are no text, such as a path may have.
    """
    if any("\ud800" <= one <= "\udfff" for one in text):
        raise NasctlError(f"{ascii(text)[:80]} is no text, which TOML cannot hold; type the options instead")
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in text)


def resolved(ctx: click.Context) -> dict[str, Any]:
    """Every option that a command was called with, defaults too, by its long name; without those that have no value."""
    found = {key: ctx.params.get(str(option.name)) for key, option in _options(ctx.command).items()}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in found.items()
        if value is not None and key not in ELSEWHERE
    }


def _options(command: click.Command) -> dict[str, click.Option]:
    """What may stand in a file: the options by their long names."""
    options = [one for one in command.params if isinstance(one, click.Option) and one.name not in ("config", "set")]
    return {word.removeprefix("--"): one for one in options for word in one.opts if word.startswith("--")}


def _known(key: str, options: Mapping[str, click.Option], where: str) -> click.Option:
    """The option of that name.

    Raises:
        NasctlError: There is none.
    """
    if key not in options:
        raise NasctlError(f"{where}: {UnknownName('option', key, sorted(options))}")
    return options[key]


def _pairs(texts: Sequence[str]) -> dict[str, list[str]]:
    """The values that were set, by key.

    Raises:
        NasctlError: One has no key.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise NasctlError(f"--set takes KEY=VALUE, such as budget=300, and not {text!r}")
        found.setdefault(key.strip(), []).append(value.strip())
    return found


def _words(option: click.Option, key: str, value: Any, where: str) -> list[str]:
    """The words to type that give an option this value.

    Raises:
        NasctlError: It is of another type than the option's.
    """
    if option.is_flag and isinstance(value, bool):
        return [f"--{key}"] if value else []
    values = value if option.multiple and isinstance(value, list) else [value]
    if option.is_flag or not all(map(_is_plain, values)):
        takes = "true or false" if option.is_flag else "text or a number" + ", or a list of these" * option.multiple
        raise NasctlError(f"{where}: {key} takes {takes}; mend what stands there")
    return [f"--{key}={one}" for one in values]


def _is_plain(value: object) -> bool:
    """Whether it can be typed; what an int of more than 64 bits or a NUL is, the command line does not say."""
    if isinstance(value, int):
        return not isinstance(value, bool) and value.bit_length() < 64
    return isinstance(value, float) or (isinstance(value, str) and "\0" not in value)
