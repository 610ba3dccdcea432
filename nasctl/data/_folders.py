"""The files of a folder or a zip archive of images, and everything that the listing leaves out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from nasctl.errors import NasctlError

LEFTOVERS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})  # lower-case names of files that Windows leaves

ENCRYPTED = 0x1  # bit of a zip entry's flags

UTF8_NAME = 0x800  # bit of a zip entry's flags

FOLDERS_LIMIT = 1_000_000  # folders of a listing; links can make a small folder look endless

NAMED = 3  # things that a note names before "and N more"


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a folder or zip.

    Attributes:
        name: Relative path with forward slashes and without "." or "..".
        key: The path as the file system or the zip has it, by which the file is opened.
        size: Size in bytes, unpacked.
    """

    name: str
    key: str
    size: int


@dataclass(frozen=True)
class Listing:
    """The files of a folder or zip, without hidden files and those that macOS leaves behind.

    Attributes:
        files: The files, sorted by name.
        folders: Relative paths of all folders, empty folders included.
        notes: Sentences about files that the listing leaves out.
    """

    files: list[ListedFile]
    folders: frozenset[str]
    notes: tuple[str, ...] = ()


Identity = tuple[int, int]  # of a folder, under whatever path: its device and its inode


@dataclass
class _Walk:
    """The state of a walk through a folder."""

    root: Path
    files: list[ListedFile] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)  # names by the reason

    def leave_out(self, reason: str, name: str) -> None:
        self.left_out.setdefault(reason, []).append(name)


def list_folder(folder: Path) -> Listing:
    """List the files of a folder and its subfolders.

    Links to files and to folders are followed, except for a link to a folder that lies above the link or above the
    listed folder: everything that such a link adds lies outside of the listed folder, or is listed already.

    Raises:
        OSError: The folder cannot be opened.
        NasctlError: Links lead to more than `FOLDERS_LIMIT` folders.
    """
    walk = _Walk(folder)
    with os.scandir(folder):  # an error in a subfolder is only noted
        pass
    # Paths, each with the folders that no link in it may lead to.
    pending = [("", _above(folder.absolute()) | _above(folder.resolve()))]
    while pending:
        name, above = pending.pop()
        if len(walk.folders) > FOLDERS_LIMIT:
            raise NasctlError(f"Cannot list {folder}: its links lead to over {FOLDERS_LIMIT:,} folders. Remove links.")
        pending.extend(_scan(walk, name, above))
    notes = [f"{quoted(names)}: {reason}." for reason, names in walk.left_out.items()]
    return Listing(sorted(walk.files, key=lambda file: file.name), frozenset(walk.folders), tuple(notes))


def _above(folder: Path) -> frozenset[Identity]:
    """Return the identities of a folder and of all folders above it."""
    found = set()
    for path in (folder, *folder.parents):
        with suppress(OSError):
            found.add(_identity(path.stat()))
    return frozenset(found)


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _scan(walk: _Walk, name: str, above: frozenset[Identity]) -> Iterator[tuple[str, frozenset[Identity]]]:
    """Add the files of one folder to a walk, and yield its subfolders."""
    try:
        with os.scandir(walk.root / name) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        walk.leave_out("this folder cannot be opened", name)
        return
    for entry in found:
        path = f"{name}/{entry.name}" if name else entry.name
        if is_junk(entry.name):
            continue
        try:
            if entry.is_dir():
                identity = _identity(entry.stat())
                if identity in above:
                    link = "this link leads to" if entry.is_symlink() else "this is also"  # such as a mounted folder
                    walk.leave_out(f"{link} a folder above itself", path)
                    continue
                walk.folders.append(path)
                # The folders above the target of a link are not those above the link.
                inside = _above(Path(entry.path).resolve()) if entry.is_symlink() else {identity}
                yield path, above | inside
            elif entry.is_file():
                walk.files.append(ListedFile(path, path, entry.stat().st_size))
            elif entry.is_symlink() and not os.path.exists(entry.path):
                walk.leave_out("this link is dead", path)
            else:
                walk.leave_out("this is neither a file nor a folder", path)
        except OSError:
            walk.leave_out("this file cannot be looked up", path)


def list_zip(path: Path) -> Listing:
    """List the files of a zip archive.

    Names may be absolute, contain backslashes, "." or "..", or be UTF-8 without saying so. If two names are the same
    path, the later entry counts, as when the archive is unpacked.

    Raises:
        NasctlError: The file is no zip archive, or is protected by a password.
    """
    try:
        with ZipFile(path) as archive:
            entries = archive.infolist()
    except (BadZipFile, ValueError, NotImplementedError):  # a name is not text, or zipfile lacks the compression
        raise NasctlError(f"{path} is no zip archive, or a broken one") from None
    files: dict[str, ListedFile] = {}
    folders: set[str] = set()
    doubles = []
    for entry in entries:
        name = _normalised(entry)
        if not name or is_junk(name):
            continue
        if entry.is_dir() or entry.filename.endswith("\\"):
            folders.add(name)
            continue
        if entry.flag_bits & ENCRYPTED:
            raise NasctlError(f"Cannot read {path}: {name} in it is protected by a password. Unpack the archive first.")
        if name in files:
            doubles.append(name)
        files[name] = ListedFile(name, entry.filename, entry.file_size)
    folders.update(name.rpartition("/")[0] for name in files)
    above = {name[:place] for name in folders for place, mark in enumerate(name) if mark == "/"}
    notes = (f"{quoted(doubles)}: this path is in the archive more than once; the last one counts.",)
    return Listing(
        sorted(files.values(), key=lambda file: file.name),
        frozenset((folders | above) - {""}),
        notes if doubles else (),
    )


def is_junk(name: str) -> bool:
    """Return whether a file is hidden, or left behind by macOS."""
    return any(part == "__MACOSX" or part.startswith(".") for part in name.split("/"))


def quoted(names: Sequence[str]) -> str:
    """Return a few names, and the number of the others: "a, b, c and 4 more"."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def counted_suffixes(names: Sequence[str]) -> str:
    """Return the suffixes of files with their numbers, "3 .txt, 1 without suffix", except for Windows' leftovers."""
    kept = (name for name in names if name.rpartition("/")[2].lower() not in LEFTOVERS)
    counts = Counter(os.path.splitext(name)[1].lower() or "without suffix" for name in kept)
    found = counts.most_common()
    more = [f"{sum(number for _, number in found[6:])} of other suffixes"] if len(found) > 6 else []
    return ", ".join([*(f"{number:,} {suffix}" for suffix, number in found[:6]), *more])


def _normalised(entry: ZipInfo) -> str:
    """Return the path of a zip entry with forward slashes, and without a drive, "." or ".."; "" for the root."""
    name = entry.filename
    if not entry.flag_bits & UTF8_NAME:  # many programs write UTF-8 and do not set the flag
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    parts: list[str] = []
    for part in name.replace("\\", "/").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", ".") and not (not parts and len(part) == 2 and part[1] == ":"):
            parts.append(part)
    return "/".join(parts)
