"""The command lines of README.md and docs/: how a test runs them in seconds, and which of them it leaves out."""

import csv
import gzip
import json
import random
import re
import shutil
from dataclasses import dataclass, field

from paths import ROOT
from PIL import Image

from nasctl import registry
from nasctl.architectures import ids

PAGES = {path.stem: path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
BUDGET = 8  # candidates of a search, in place of those that a page says
BLOCK = re.compile(r"^```(?:console|text)\n(.*?)^```|(?<=\n\n)((?: {4}[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^ *(?:\$ )?((?:nasctl|python3?|pip|echo|eval|bash) .*)$", re.MULTILINE)
# Options that take long, with others in their place.
SHORTER = (
    (r"--budget \d+", f"--budget {BUDGET}"),
    (r"--epochs \d+", "--epochs 1"),
    (r"--trainings \d+", "--trainings 2"),
    (r"--workers \S+", "--workers 1"),
    (r"--sample \d+", "--sample 10"),
    (r"--top \d+", "--top 2"),
    (r"--samples \d+", "--samples 4"),
    (r"--networks 200", "--networks 20"),
    (r"--images \d+", "--images 20"),
    (r"--data digits", "--data few"),
)
PUBLISHED = "needs a published file, which a reader downloads"
PROFILE = "times every block of this machine, for minutes"
INSTALLS = "installs packages; .ci/run does it"
SCRIPT = "a script that measures for minutes; tests/test_documentation.py checks its options"
# Beginnings of the lines that are not run, with the reason. `python perf/` and `python -m perf.` are among them.
EXEMPT = {
    "pip install": INSTALLS,
    "python perf/": SCRIPT,
    "python -m perf.": SCRIPT,
    "nasctl find --device pixel4 --latency 20ms": "takes as long as the line of the README, which runs",
    "nasctl device profile": PROFILE,
    "nasctl device validate my-laptop.json": "times networks on the machine of the table",
    "nasctl device validate laptop.json": "times networks on the machine of the table",
    "nasctl device import 224_lookup_table.yaml": PUBLISHED,
    "nasctl device import i7-8700K_lut.yaml.gz": PUBLISHED,
    "nasctl search --space mbconv --device note10-ofa.json": PUBLISHED,
    "nasctl bench run": PUBLISHED,
    "nasctl objective correlate --space nb201 --truth naslib:": PUBLISHED,
    "nasctl objective correlate --space tnb101_micro": PUBLISHED,
    "nasctl objective correlate --space darts:pool_norms=true": PUBLISHED,
    "nasctl objective correlate --space rnn": PUBLISHED,
    "nasctl objective correlate --space bert": PUBLISHED,
    "nasctl objective score --space nb201 --all": PUBLISHED,
}


def untested_text(page):
    """The text of a page, without blocks that other tests run."""
    text = PAGES[page].read_text()
    if page == "README":  # tests/test_readme.py runs the tour
        before, heading, tour = text.partition("## Five minutes\n")
        return before + heading + re.sub(r"^```console\n.*?^```", "", tour, flags=re.MULTILINE | re.DOTALL)
    return text


def command_lines(text):
    """The command lines of a page's blocks, without prompts, in order."""
    for block in map("".join, BLOCK.findall(text)):
        yield from COMMAND.findall(block.replace("\\\n", " "))


def exemption(line):
    """The beginning of a line that is not run, or None."""
    return next((start for start in EXEMPT if line.startswith(start)), None)


def shorter(line):
    """A line with options that take seconds."""
    line = re.sub(" +# .*", "", line)
    for long, short in SHORTER:
        line = re.sub(long, short, line)
    trains = re.match(r"nasctl (supernet )?train --|nasctl search .*--trainings", line)
    return f"{line} --epochs 1" if trains and "--epochs" not in line else line


@dataclass(frozen=True)
class Page:
    """What a page takes for granted.

    Args:
        before: Command lines that run first.
        values: Words in place of placeholders, or functions of (line, folder, nasctl) that return them; nasctl is a
            function that runs a command line and returns its stdout.
        more: Options of lines, by their beginnings.
    """

    before: tuple = ()
    values: dict = field(default_factory=dict)
    more: dict = field(default_factory=dict)


def newest_front(line, folder, nasctl):
    """The id of a network of the newest run."""
    return json.loads(nasctl("nasctl pareto show --json"))[0]["id"]


def newest_training(line, folder, nasctl):
    """The name of the newest training."""
    return nasctl("nasctl train list").splitlines()[1].partition("\t")[0]


def mobile_id(line, folder, nasctl):
    """The id of a network of mbconv."""
    space = registry.create("spaces", "mbconv")
    return ids.encode("mbconv", space.genes, space.canonical((0,) * len(space.genes)))


def exported(line, folder, nasctl):
    """The Python file of a trained network."""
    return next(path.name for path in folder.glob("nbmacro_*.py") if "predict" in path.read_text())


OWN = (  # what own.py has in place of examples/own_space.py
    ("class FourConvolutions", "class Plain"),
    ("class Depth", "class Layers"),
    ("Classifier(10)", "Classifier(self.classes)"),
    ("    def canonical", "    def __init__(self, classes=10):\n        self.classes = classes\n\n    def canonical"),
)
CELLS, SMALL = "nb201:channels=8,cells=1,resolution=8", "nbmacro:resolution=8"  # in place of larger spaces
SUPERNET = "--data few --epochs 1 --set flip=false --name"
LONGER = "--data few --epochs 12 --set flip=false --set evaluate=12 --name"
FEW_METRICS = {"nasctl objective correlate": "--objective synflow,jacov"}
SETUPS = {
    "README": Page(values={"FILE": "table.csv"}, more=FEW_METRICS),
    "choices": Page(
        values={
            "D": "few",
            "NAME": "plain",
            "nb201:resolution=32": CELLS,
            "mbconv:resolution=32": "mbconv:width=0.5,resolution=32",
            r"--epochs 1(?= .*--name plain)": "--epochs 60",
            r"--epochs 1(?= .*--from plain)": "--epochs 12",
        }
    ),
    "compression": Page(values={"ID": newest_front, "python,onnx": "python"}),
    "devices": Page(
        values={
            "ARCH": mobile_id,
            "kit --space mbconv": "kit --space nbmacro",
            "--networks 5": "--networks 2",
            "--threads 4(?= --seconds)": "--threads 1",
        },
        more={"nasctl device kit": "--networks 2", "python3": "--seconds 0.02"},
    ),
    "export": Page(
        (
            f"nasctl search --space {SMALL} --objective params,macs",
            f"nasctl train --space {SMALL} --arch 11111111 --data few --epochs 1",
            f"nasctl supernet train --space {SMALL} {SUPERNET} shared",
        ),
        {
            "ARCH": newest_front,
            "TRAINING": newest_training,
            "SUPERNET": "shared",
            r"nbmacro_\w+\.py": exported,
            "nbmacro-35746a43": newest_training,
        },
        {"nasctl export --arch ARCH --weights": "-o supernet/"},
    ),
    "metrics": Page(
        values={"FILE": "accuracies.csv", "TABLE": "table.csv", "SPACE": "nb201", "DATA": "photos"}, more=FEW_METRICS
    ),
    "prediction": Page(more={"nasctl objective fit": "--objective params,macs"}),
    "report": Page(("nasctl search --space nbmacro --device gpu --record macs",)),
    "spaces": Page(values={r"mynet(?= --)": "mynet.py:MyNet"}),
    "training": Page(values={r"(?<=--halving 3 --data few )--epochs 1": "--epochs 6"}),
    "supernets": Page(
        (
            f"nasctl supernet train --space {CELLS} {SUPERNET} cells",
            f"nasctl supernet train --space {SMALL} {LONGER} macro",
            f"nasctl search --space {SMALL} --objective params,macs --run searched",
            f"nasctl train --space {SMALL} --arch 22222222 --data few --epochs 1 --name largest",
        ),
        {
            "NAME": lambda line, folder, nasctl: "cells" if "nb201" in line else "macro",
            "ID": newest_front,
            "RUN": "searched",
            "TRAINING": "largest",
            "S": SMALL,
            "D": "few",
            "--data photos": "--data few",
            "--space nb201 ": f"--space {CELLS} ",
            "--space nbmacro ": f"--space {SMALL} ",
        },
    ),
}


def make_files(folder):
    """Write the files that pages take for granted: images, tables, spaces and metrics."""
    _images(folder / "photos", 3, 12, 32)
    _images(folder / "few", 10, 12, 8)
    Image.new("RGB", (16, 16)).save(folder / "zero.png")
    for name, page, start in (("spread", "metrics", '"""A training-free'), ("mynet", "spaces", '"""A search space')):
        (source,) = re.findall(rf"^```python\n({start}.*?)^```", PAGES[page].read_text(), re.MULTILINE | re.DOTALL)
        (folder / f"{name}.py").write_text(source)
    own = (ROOT / "examples" / "own_space.py").read_text()
    for old, new in OWN:
        own = own.replace(old, new, 1)
    (folder / "own.py").write_text(own)
    shutil.copy(ROOT / "hardware" / "tables" / "x86-torch.json", folder / "laptop.json")
    shutil.copy(folder / "laptop.json", folder / "my-laptop.json")
    _accuracies(folder)
    _latencies(folder)


def _images(folder, classes, number, side):
    """Write images of random colours, in a folder for each class."""
    rng = random.Random(0)
    for k in range(classes):
        (folder / f"class{k}").mkdir(parents=True)
        for n in range(number):
            image = Image.frombytes("RGB", (side, side), rng.randbytes(3 * side * side))
            image.save(folder / f"class{k}" / f"{n}.png")


def _accuracies(folder):
    """Write tables of made-up accuracies of cells of NAS-Bench-201."""
    text = gzip.decompress((ROOT / "nasctl" / "benchmarks" / "nb201.csv.gz").read_bytes()).decode()
    rows = random.Random(0).sample([row for row in csv.DictReader(text.splitlines()) if row["synflow"]], 40)
    for name, column in (("table.csv", "test_acc_200_cifar10"), ("accuracies.csv", "test_acc")):
        with open(folder / name, "w", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            out.writerow(["arch", column])
            out.writerows([row["arch"], float(row["synflow"])] for row in rows)


def _latencies(folder):
    """Write tables of made-up latencies of networks of mbconv."""
    space, rng = registry.create("spaces", "mbconv"), random.Random(0)
    for name, number in (("times.csv", 60), ("others.csv", 12), ("five.csv", 5)):
        drawn = [
            space.canonical(tuple(rng.randrange(len(gene.choices)) for gene in space.genes)) for _ in range(number)
        ]
        with open(folder / name, "w", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            out.writerow(["arch", "ms"])
            out.writerows([ids.encode("mbconv", space.genes, one), space.network(one).macs / 1e7] for one in drawn)
