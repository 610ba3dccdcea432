"""Options of a command in a TOML file: reading them, and writing them back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from nasctl.commands import WORDS
from nasctl.commands._groups import GroupedCommand
from nasctl.errors import NasctlError, UnknownName
from nasctl.system import files

SIZE_LIMIT = 1_000_000  # bytes of a configuration file
SWITCHES = {"true": True, "false": False}
NOT_RECORDED = {"store", "json"}  # options that say where a run is kept or how it is printed, not what it is


class Configured(GroupedCommand):
    """A command whose options may also come from a file, each under its long name.

    Precedence, highest first: options that are typed, `--set`, environment variables, the file, defaults.

    Values of the file and of `--set` are inserted as words in front of the typed words. Click then converts and checks
    all of them alike, so a new option needs nothing here.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        typed, _, _ = self.make_parser(ctx).parse_args(list(args))
        options, settings = _options(self), dict[str, list[str]]()
        if (path := typed.get("config")) is not None:
            for key, value in read_config(path).items():
                option = _known(key, options, path)
                words = _words(option, key, value, path)
                if option.resolve_envvar_value(ctx) is None:
                    settings[key] = words
        for key, values in _pairs(typed.get("set", ())).items():
            option = _known(key, options, "--set")
            value = values if option.multiple else values[-1]
            settings[key] = _words(option, key, SWITCHES.get(values[-1]) if option.is_flag else value, "--set")
        # A word such as SPACE stands for the option of its name, `--space`.
        given = {*typed, *(name.removesuffix("_word") for name, value in typed.items() if isinstance(value, str))}
        inserted = [word for key, words in settings.items() if options[key].name not in given for word in words]
        ctx.meta.setdefault(WORDS, []).extend(inserted)
        return super().parse_args(ctx, [*inserted, *args])


config_option = click.option(
    "--config",
    metavar="FILE",
    expose_value=False,
    help='Read options from a TOML file, by their long names: budget = 300, device = ["gpu"]. `runs show --config`'
    " prints such a file. Options that are typed come first, then --set, environment variables, and the file.",
)
set_option = click.option(
    "--set",
    multiple=True,
    metavar="KEY=VALUE",
    expose_value=False,
    help="Replace one value of the file, written as on the command line. Repeatable, also to give a list.",
)


def read_config(path: str) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        NasctlError: The file cannot be read, is too large, or is not TOML in UTF-8.
    """
    import tomllib

    try:
        with files.opened(path) as file:
            content = file.read(SIZE_LIMIT + 1)
        if len(content) > SIZE_LIMIT:
            raise ValueError(f"more than {SIZE_LIMIT:,} bytes")
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise NasctlError(
            f"the configuration {path} cannot be read ({error.strerror}); give another with --config"
        ) from error
    except (ValueError, RecursionError) as error:
        raise NasctlError(
            f"the configuration {path} is no TOML file in UTF-8 ({error}); write lines such as budget = 300"
        ) from error


def to_toml(settings: Mapping[str, Any]) -> str:
    """Return TOML for text, numbers, switches and lists of these. TOML writes them as JSON does.

    Raises:
        NasctlError: A text holds bytes that are not Unicode, such as a path may have.
    """
    lines = [f"{_key(key)} = {_escaped(json.dumps(value, ensure_ascii=False))}\n" for key, value in settings.items()]
    return "".join(lines)


def _key(text: str) -> str:
    return text if re.fullmatch("[A-Za-z0-9_-]+", text) else _escaped(json.dumps(text, ensure_ascii=False))


def _escaped(text: str) -> str:
    """Escape characters that a terminal could interpret as commands.

    Raises:
        NasctlError: The text holds bytes that are not Unicode.
    """
    if any("\ud800" <= one <= "\udfff" for one in text):
        raise NasctlError(f"{ascii(text)[:80]} is no text, which TOML cannot hold; type the options instead")
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in text)


def option_values(ctx: click.Context) -> dict[str, Any]:
    """Return every option value of a call by its long name, with defaults, without options that have no value."""
    values = {key: ctx.params.get(str(option.name)) for key, option in _options(ctx.command).items()}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value is not None and key not in NOT_RECORDED
    }


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return the options that a file may hold, by their long names."""
    options = [one for one in command.params if isinstance(one, click.Option) and one.name not in ("config", "set")]
    return {word.removeprefix("--"): one for one in options for word in one.opts if word.startswith("--")}


def _known(key: str, options: Mapping[str, click.Option], source: str) -> click.Option:
    """Return the option of that name.

    Raises:
        NasctlError: The command has no such option.
    """
    if key not in options:
        raise NasctlError(f"{source}: {UnknownName('option', key, sorted(options))}")
    return options[key]


def _pairs(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the values given with `--set`, by key.

    Raises:
        NasctlError: A text has no "=".
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise NasctlError(f"--set takes KEY=VALUE, such as budget=300, and not {text!r}")
        found.setdefault(key.strip(), []).append(value.strip())
    return found


def _words(option: click.Option, key: str, value: Any, source: str) -> list[str]:
    """Return the words that give an option this value on a command line.

    Raises:
        NasctlError: The value has another type than the option.
    """
    if option.is_flag and isinstance(value, bool):
        return [f"--{key}"] if value else []
    values = value if option.multiple and isinstance(value, list) else [value]
    if option.is_flag or not all(map(_is_plain, values)):
        takes = "true or false" if option.is_flag else "text or a number" + ", or a list of these" * option.multiple
        raise NasctlError(f"{source}: {key} takes {takes}; mend what stands there")
    return [f"--{key}={one}" for one in values]


def _is_plain(value: object) -> bool:
    """Return whether a value can be typed: text without NUL, a float, or an integer of at most 64 bits."""
    if isinstance(value, int):
        return not isinstance(value, bool) and value.bit_length() < 64
    return isinstance(value, float) or (isinstance(value, str) and "\0" not in value)
