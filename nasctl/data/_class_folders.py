"""The class of each image of a folder, from the folders that hold the images."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from nasctl.data._folders import quoted

TRAINING = frozenset({"train", "training"})  # lower-case names of folders of training images

OTHER_SPLITS = frozenset({"val", "valid", "validation", "dev", "test", "testing", "eval"})

SPLITS = TRAINING | OTHER_SPLITS

# Lower-case names of folders that hold the images of a class without naming it.
CONTAINERS = frozenset({"images", "image", "imgs", "img", "jpg", "jpeg", "jpegs", "png", "pngs", "photos", "pictures"})

Folders = tuple[str, ...]  # folders above images, the outermost first

Paths = dict[str, Folders]  # by the path of the folder that holds images: what counts of this path

Held = dict[str, list[int]]  # by the path of a folder: indices of the images in it


@dataclass(frozen=True)
class ClassFolders:
    """The images of a folder that count, each with its class.

    Attributes:
        places: Indices of the images that count, (K,), in the order of their classes and paths.
        classes: The class of each of these images, (K,).
        notes: Sentences about images that do not count, and about folders that do not simply name a class.
    """

    places: list[int]
    classes: list[str]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, names: Sequence[str]) -> ClassFolders:
        """Find the classes of images.

        The class of an image is the innermost folder above it, with these exceptions. Images outside of all folders, or
        beside the folders of the classes, count only if there are no others. If a folder `train` holds classes, only
        its images count. A folder that has the name of a split, or a name like `images`, is no class, and the folder
        above it is, unless other folders lie beside it. If all images lie in folders of one name, the folders above
        these are the classes. Subfolders of a folder that itself holds images belong to the class of that folder.

        Args:
            names: Paths of the images with forward slashes.
        """
        held: Held = defaultdict(list)
        for k, name in enumerate(names):
            held[name.rpartition("/")[0]].append(k)
        paths = {folder: tuple(folder.split("/")) if folder else () for folder in held}
        notes: list[str] = []
        paths = _outside(paths, held, names, notes)
        paths = _training(paths, held, notes)
        paths = _inside(paths, held, names, notes)
        found = {k: _last(folders) for folder, folders in _climbed(paths, notes).items() for k in held[folder]}
        places = sorted(found, key=lambda k: (found[k], names[k].split("/")))
        return cls(places, [found[k] for k in places], tuple(notes))


def _outside(paths: Paths, held: Held, names: Sequence[str], notes: list[str]) -> Paths:
    """Leave out images outside of all folders, unless there are no others."""
    inside = {k: folders for k, folders in paths.items() if folders}
    if not inside or len(inside) == len(paths):
        return paths
    notes.append(f"{quoted([names[k] for k in held['']])}: outside of all folders, not used.")
    return inside


def _training(paths: Paths, held: Held, notes: list[str]) -> Paths:
    """Keep the images of training folders, as paths below these; without training folders keep all images."""
    kept: Paths = {}
    for k, folders in paths.items():
        for place, folder in enumerate(folders[:-1]):
            if folder.lower() in TRAINING:
                kept[k] = folders[place + 1 :]
                break
    leaves = {folders[-1].lower() for folders in paths.values() if folders}
    if not kept and leaves <= SPLITS and leaves & TRAINING:  # `train/1.png`, or `cat/train/1.png`
        kept = {k: folders[:-1] for k, folders in paths.items() if folders[-1].lower() in TRAINING}
    elif not kept and leaves and leaves <= SPLITS:
        notes.append(f"The images of {_listed(leaves)} are used together.")
        return {k: folders[:-1] for k, folders in paths.items()}
    if not kept:
        splits = {part.lower() for folders in paths.values() for part in folders[:-1]} & OTHER_SPLITS
        if len(splits) > 1:
            notes.append(f"The images of {_listed(splits)} are used together.")
        return paths
    rest: Counter[str] = Counter()
    for k, folders in paths.items():
        if k not in kept:
            rest[_split(folders)] += len(held[k])
    used = f"Only the {sum(len(held[k]) for k in kept):,} images for training are used"
    notes.append(f"{used}, not {', '.join(f'{number:,} of {name}' for name, number in rest.items())}." if rest else "")
    notes[:] = filter(None, notes)
    return kept


def _last(folders: Folders) -> str:
    """Return the innermost folder, or "" if there is none."""
    return folders[-1] if folders else ""


def _split(folders: Folders) -> str:
    """Return the folder that names the split of an image, or its outermost folder."""
    return next((folder for folder in folders if folder.lower() in SPLITS), folders[0])


def _inside(paths: Paths, held: Held, names: Sequence[str], notes: list[str]) -> Paths:
    """Leave out images that lie beside the folders of the classes, and cut off the folders above all images."""
    while paths:
        deeper = {k: folders for k, folders in paths.items() if len(folders) > 1}
        if len({folders[:1] for folders in paths.values()}) > 1 or not deeper:
            return paths
        if len({folders[1] for folders in deeper.values()}) < 2 and len(deeper) < len(paths):
            return paths  # one folder with one subfolder: all of one class
        if len(deeper) < len(paths):
            beside = [names[k] for folder in paths if folder not in deeper for k in held[folder]]
            notes.append(f"{quoted(beside)}: beside the folders of the classes, not used.")
        paths = {k: folders[1:] for k, folders in deeper.items()}
    return paths


def _climbed(paths: Paths, notes: list[str]) -> Paths:
    """Return the folders down to the one that names the class, of each image."""
    kept = _without_containers(paths)
    while len(set(kept.values())) > 1 and len(leaves := {folders[-1:] for folders in kept.values()}) == 1:
        notes.append(f"All images lie in folders called {quoted(leaves.pop())}; the folders above are the classes.")
        kept = {k: folders[:-1] or folders for k, folders in kept.items()}
    holders = {folders for folders in kept.values() if folders}
    joined = set()
    for k, folders in kept.items():
        top = next((folders[:place] for place in range(1, len(folders)) if folders[:place] in holders), folders)
        if top != folders:
            joined.add("/".join(folders))
            kept[k] = top
    if joined:
        notes.append(f"{quoted(sorted(joined))}: images of subfolders count to the class of the folder above.")
    notes.extend(_ambiguous(set(kept.values())))
    return kept


def _without_containers(paths: Paths) -> Paths:
    """Cut off innermost folders that name no class."""
    while True:
        beside = defaultdict(set)
        for folders in set(paths.values()):
            beside[folders[:-1]].add(folders[-1].lower() if folders else "")
        bare = {above for above, names in beside.items() if above and names <= CONTAINERS | SPLITS}
        if not bare:
            return paths
        paths = {k: folders[:-1] if folders[:-1] in bare else folders for k, folders in paths.items()}


def _ambiguous(found: set[Folders]) -> list[str]:
    """Return a sentence if the classes have folders above them that might be meant as classes."""
    above = {"/".join(folders[:-1]) for folders in found if len(folders) > 1}
    if len(above) < 2 or {name.lower() for name in above} <= SPLITS:
        return []
    leaves = {folders[-1] for folders in found if folders}
    joined = " Folders of one name are one class." if len(leaves) < len(found) else ""
    return [f"The innermost folders are the classes, not the folders above them ({quoted(sorted(above))}).{joined}"]


def _listed(names: set[str]) -> str:
    """Return names in their order, with "and" before the last."""
    *most, last = sorted(names)
    return f"{', '.join(most)} and {last}" if most else last


__all__ = ["ClassFolders"]
