"""Plug-ins in files that a user names, as FILE.py:CLASS, without packaging.

The module of a file is called `nasctl.registry.named_files.CODE.STEM`, where CODE spells the path of the file. A worker
process that receives an object of the class can therefore import the file.

The code of a file runs only because somebody named the file: a user on the command line, or a program with the library.
A store may name files too, and a stranger may have written the store. A file of a store runs only if the user has named
this very content before, or if `NASCTL_TRUST` has its path.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from nasctl.errors import NasctlError, UnknownName
from nasctl.registry.own_spaces import keep_networks

__path__: list[str] = []  # makes this module a package, whose submodules `_Finder` finds

FORM = re.compile(r"(?P<file>[^:]*\.py):(?P<name>[A-Za-z_]\w*)(?::(?P<options>.*))?", re.DOTALL)
MENTION = re.compile(r"[^:,=\s]*\.py(?=:)")  # a file in the words of a command line

FORBIDDEN = ",=@"  # characters that have a meaning in specs

TRUST = "NASCTL_TRUST"  # names an environment variable: distributions and paths, separated by commas, that are trusted

_words: list[Sequence[str]] = []  # the words of the command lines that are being carried out; empty in a program


@contextmanager
def named_only(words: Sequence[str]) -> Iterator[None]:
    """Let the code of a file run only if these words name it, or if the user has named this very content before."""
    _words.append(words)
    try:
        yield
    finally:
        _words.pop()


def split_spec(spec: str) -> tuple[str, str]:
    """Return the name of the plug-in of a spec, which may be FILE.py:CLASS, and the text of its options."""
    if (match := FORM.fullmatch(spec)) is not None:
        return f"{match['file']}:{match['name']}", match["options"] or ""
    name, _, options = spec.partition(":")
    return name, options


def is_file(name: str) -> bool:
    """Return whether the name of a plug-in is FILE.py:CLASS."""
    return FORM.fullmatch(name) is not None


def normal_name(name: str) -> str:
    """Return FILE.py:CLASS with the shortest spelling of its path, which stays relative if it was.

    Raises:
        NasctlError: The path has a character that has a meaning in specs.
    """
    file, _, attribute = name.rpartition(":")
    if wrong := [one for one in FORBIDDEN if one in file]:
        raise NasctlError(
            f"Cannot use {file!r}: its path has {wrong[0]!r}, which ends a name. Rename the file or folder."
        )
    return f"{os.path.normpath(os.path.expanduser(file))}:{attribute}"


def short_name(name: str) -> str:
    """Return the name of a plug-in as part of other names, such as of runs: the stem of its file."""
    return re.sub(r"\W", "_", Path(name.rpartition(":")[0]).stem) if is_file(name) else name


def load(name: str) -> Any:
    """Import the file of FILE.py:CLASS, and return the class.

    Raises:
        NasctlError: There is no such file, the user has not named it, it cannot be imported, or it has no such class.
    """
    file, _, attribute = normal_name(name).rpartition(":")
    module = load_module(name)
    found = getattr(module, attribute, None)
    if not isinstance(found, type):
        classes = [
            key for key, one in vars(module).items() if isinstance(one, type) and one.__module__ == module.__name__
        ]
        if not classes:
            raise NasctlError(
                f"Cannot find {attribute} in {file}: the file defines no class. Write one, or name another file."
            )
        raise NasctlError(str(UnknownName(f"class of {file}", attribute, classes)))
    return found


def load_module(name: str) -> ModuleType:
    """Import the file of FILE.py:NAME, and return its module.

    Raises:
        NasctlError: There is no such file, the user has not named it, or it cannot be imported.
    """
    file, path, _ = _named_content(name)
    with _explained(file):
        return import_module(_module_name(path))


def current_module(name: str) -> ModuleType:
    """Run the file of FILE.py:NAME as it is now, and return its module, which replaces an imported one.

    Objects of classes that the file had before can no longer be pickled.

    Raises:
        NasctlError: There is no such file, the user has not named it, or it cannot be imported.
    """
    file, path, content = _named_content(name)
    called = _module_name(path)
    spec = spec_from_file_location(called, path)
    assert spec is not None
    module, before = module_from_spec(spec), sys.modules.get(called)
    sys.modules[called] = module  # dataclasses of the file look the module up
    try:
        with _explained(file):
            # Compiled here, because a compiled file beside it is taken by its time in seconds.
            exec(compile(content, str(path), "exec"), vars(module))
    except NasctlError:
        del sys.modules[called]
        if before is not None:
            sys.modules[called] = before
        raise
    return module


def _named_content(name: str) -> tuple[str, Path, bytes]:
    """Return the spelling of the path of FILE.py:NAME, the path, and the content, if the user has named the file."""
    file, _, attribute = normal_name(name).rpartition(":")
    path = Path(file).absolute()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NasctlError(
            f"Cannot read {file} for {attribute} ({error.strerror}). Give the path of a Python file, from this folder"
            " or from the root."
        ) from None
    _check_named(name, file, path, content)
    return file, path, content


@contextmanager
def _explained(file: str) -> Iterator[None]:
    """Raise errors of a file's code as a `NasctlError`."""
    try:
        yield
    except (Exception, SystemExit) as error:  # the code of a user may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise NasctlError(f"Cannot import {file}: {reason}. Mend the file.") from error


def _check_named(name: str, file: str, path: Path, content: bytes) -> None:
    """Check that a user has named a file, and remember that.

    Raises:
        NasctlError: Only a store or another file names it.
    """
    if not _words:
        return
    line = f"{hashlib.sha256(content).hexdigest()} {path}"
    remembered = _remembered()
    changed = any(one.endswith(f" {path}") for one in remembered) and line not in remembered
    mentions = (os.path.normpath(os.path.expanduser(one)) for word in _words[-1] for one in MENTION.findall(word))
    if any(Path(one).absolute() == path for one in mentions):
        if changed:
            said = (
                f"Warning: {file} has changed since it was last used; if a store has values of its networks, they are"
                " those of the code before."
            )
            print(said, file=sys.stderr)
        if line not in remembered:
            with suppress(OSError):  # a home that cannot be written: the file has to be named each time
                _memory().parent.mkdir(parents=True, exist_ok=True)
                with _memory().open("a") as memory:
                    memory.write(f"{line}\n")
        return
    trusted = [str(Path(one.strip()).expanduser().absolute()) for one in os.environ.get(TRUST, "").split(",") if one]
    if line not in remembered and str(path) not in trusted:
        why = "it has changed since you named it" if changed else "only a store names it, and code may do anything"
        raise NasctlError(
            f"Cannot run {file}: {why}. Read it; then name {name} in a command, or put {TRUST}={file} before this one."
        )


def _memory() -> Path:
    """Return the file that holds the digests and paths of files that the user has named."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "nasctl" / "named_files"


def _remembered() -> set[str]:
    try:
        return set(_memory().read_text().splitlines())
    except (OSError, RuntimeError, ValueError):  # RuntimeError: there is no home
        return set()


def _module_name(path: Path) -> str:
    """Return the name of the module of a file. Its last part, which keys of latency tables show, is the file's stem."""
    return f"{__name__}.f{os.fsencode(path).hex()}.{short_name(f'{path}:X')}"


class _Finder(MetaPathFinder):
    """Finds the modules of named files by their names, also in worker processes."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of a file, or of the package around it; None for all other modules."""
        if not fullname.startswith(f"{__name__}.f"):
            return None
        code, *rest = fullname.removeprefix(f"{__name__}.f").split(".")
        if not rest:
            return ModuleSpec(fullname, _EmptyPackage(), is_package=True)
        if len(rest) != 1:
            return None
        file = os.fsdecode(bytes.fromhex(code))
        return spec_from_file_location(fullname, file, loader=_NamedLoader(fullname, file))


class _NamedLoader(SourceFileLoader):
    """Imports the module of a file, also in a worker process, and lets its search spaces keep their networks."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the file."""
        super().exec_module(module)
        keep_networks(module)


class _EmptyPackage(Loader):
    """Makes the package around the module of a file, which has no code."""

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing."""


sys.meta_path.append(_Finder())
