"""Accuracy of networks trained on few photos: python perf/small_data.py [--images 160] [--seeds 0 1 2] [--recipe ...].

For each network, seed and recipe the script trains as `nasctl train` does, on the first photos of some classes of
CIFAR-10, and prints the test accuracy on all 200 photos of each class that the data sets apart. A recipe is "usual",
the fixed one of the task; "default", the recipe of a command without --recipe and --epochs; or fields such as
"epochs=60,batch=16", which replace those of the usual recipe. The seed is that of weights, order and augmentation.

The data are `cifar10_train_12000.zip` and `cifar10_test_2000.zip` in the folder `images` of NASCTL_DATA, or --data.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nasctl.store.store import Store
from nasctl.training.batches import steps_per_epoch
from nasctl.training.recipe import usual
from nasctl.training.request import RecipeOptions, TrainRequest
from nasctl.training.training import Work, run_training

ARCHIVES = {"train": "cifar10_train_12000.zip", "test": "cifar10_test_2000.zip"}

NETWORKS = (
    "nb201:cells=1,channels=8,resolution=16 nb201-best-cifar10",
    "mbconv:resolution=32,width=0.5 mobilenetv3-large",
)


def photos(archive: Path, classes: int, places: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return photos of the first classes by their places in each, (N, 32, 32, 3) uint8, and their classes, (N,)."""
    with zipfile.ZipFile(archive) as opened:
        folders: dict[str, list[str]] = {}
        for name in sorted(one for one in opened.namelist() if one.endswith(".jpg")):
            folders.setdefault(name.split("/")[1], []).append(name)
        names = enumerate(sorted(folders)[:classes])
        chosen = [(name, label) for label, folder in names for name in folders[folder][places]]
        images = [np.asarray(Image.open(io.BytesIO(opened.read(name))).convert("RGB")) for name, _ in chosen]
    return np.stack(images), np.array([label for _, label in chosen])


@dataclass(frozen=True)
class Trial:
    """A network and a recipe, trained from several seeds.

    Args:
        network: Spec of the space and an architecture, separated by a space.
        recipe: "usual", "default", or fields of the recipe.
        data: Path of the photos.
    """

    network: str
    recipe: str
    data: str

    @property
    def options(self) -> RecipeOptions:
        """The recipe as a user of `nasctl train` asks for it."""
        if self.recipe == "default":
            return RecipeOptions(fields=("evaluate=0",))
        fields = () if self.recipe == "usual" else tuple(self.recipe.split(","))
        return RecipeOptions(fields=(f"epochs={usual('classes').epochs}", "evaluate=0", *fields))

    def accuracy(self, seed: int) -> tuple[str, float]:
        """Train from a seed, and return the steps and the test accuracy."""
        space, arch = self.network.split()
        request = TrainRequest((arch,), self.data, space, recipe=self.options, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            store = Store(str(Path(folder) / "trained.db"))
            ((training, data),) = request.trainings(store)
            result = run_training(training, data, store, Work(workers=0)).results["test"]
        recipe = training.recipe
        steps = f"{recipe.epochs} epochs of {steps_per_epoch(data, recipe.batch)} x {recipe.batch}"
        return steps, result.accuracy or 0.0


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[160], help="training photos, of all classes")
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--network", nargs="+", default=NETWORKS)
    parser.add_argument("--recipe", nargs="+", default=["usual", "default"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NASCTL_DATA", ".")) / "images")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for number in given.images:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"photos{number}.npz"
            x, y = photos(given.data / ARCHIVES["train"], given.classes, slice(number // given.classes))
            x_val, y_val = photos(given.data / ARCHIVES["train"], given.classes, slice(-20, None))
            x_test, y_test = photos(given.data / ARCHIVES["test"], given.classes, slice(None))
            np.savez(path, x_train=x, y_train=y, x_val=x_val, y_val=y_val, x_test=x_test, y_test=y_test)
            for network in given.network:
                for recipe in given.recipe:
                    began = time.perf_counter()
                    found = [Trial(network, recipe, str(path)).accuracy(seed) for seed in given.seeds]
                    values = 100 * np.array([accuracy for _, accuracy in found])
                    print(
                        f"{number} photos of {given.classes} classes, {network}, {recipe}: {found[0][0]},"
                        f" {' '.join(f'{one:.1f}' for one in values)}, mean {values.mean():.1f}%"
                        f" ({(time.perf_counter() - began) / len(found):.0f} s each)",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
