"""Examples that `--help` ends with, by command; a test checks that every command and option in them exists.

A command may give its own as its `epilog`.
"""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "bench list": ("nasctl bench list",),
    "bench run": (
        "nasctl bench run nb201 --searcher guided,random --evaluations 150 --seeds 20",
        "nasctl bench run nb201 --searcher darts,gdas --data photos --space nb201:cells=1,resolution=16",
    ),
    "data import": ("nasctl data import nbmacro nas-bench-macro_cifar10.json",),
    "data list": ("nasctl data list",),
    "device adapt": (
        "nasctl device adapt --csv five/times.csv --name myphone",
        "nasctl device adapt note10 --space mbconv --csv five.csv --name myphone",
    ),
    "device fit": ("nasctl device fit --space mbconv --csv times.csv --name myphone",),
    "device import": ("nasctl device import kit/ --csv times.csv --name myphone",),
    "device kit": (
        "nasctl device kit --space mbconv -o kit/",
        "nasctl device kit --space mbconv --only-networks --networks 5 -o five/",
    ),
    "device list": ("nasctl device list", "nasctl device list --space mbconv"),
    "device predict": ("nasctl device predict mbconv-00n3b58remecxnv7 --device gpu,mobile",),
    "device profile": ("nasctl device profile --space mbconv --name mylaptop --wait 60",),
    "device show": ("nasctl device show pixel4",),
    "device validate": ("nasctl device validate mylaptop.json --space mbconv",),
    "export": (
        "nasctl export nb201-0me6",
        "nasctl export nb201-0me6 --format python,onnx -o net/",
        "nasctl export --weights TRAINING --format onnx --int8",
        "nasctl export nb201-0me6 --weights SUPERNET",
    ),
    "find": (
        "nasctl find --device pixel4 --latency 20ms --params 6M",
        "nasctl find --device mobile --latency 30ms --data digits --trainings 8",
        "nasctl find --macs 300M --params 5M",
    ),
    "help": ("nasctl help search", "nasctl help device profile"),
    "objective calibrate": ("nasctl objective calibrate --space nb201",),
    "objective correlate": ("nasctl objective correlate --space nb201 --truth accuracies.csv",),
    "objective fit": ("nasctl objective fit --space nb201 --truth accuracies.csv",),
    "objective list": ("nasctl objective list",),
    "objective score": ("nasctl objective score --space nb201 -o swap,naswot,params --sample 20",),
    "pareto hypervolume": ("nasctl pareto hypervolume",),
    "pareto pick": (
        "nasctl pareto pick",
        'nasctl pareto pick --under "latency<=20ms"',
        "nasctl pareto pick --best macs",
    ),
    "pareto plot": (
        "nasctl pareto plot -o front.svg",
        "nasctl pareto plot --x latency --y snip --mark mobilenetv3-large",
    ),
    "pareto show": ("nasctl pareto show", "nasctl pareto show --run nb201 --json"),
    "plugins": ("nasctl plugins",),
    "report": ("nasctl report", "nasctl report --run nb201 -o reports/"),
    "runs compare": ("nasctl runs compare first second",),
    "runs delete": ("nasctl runs delete nb201-1c9f2a07",),
    "runs list": ("nasctl runs list",),
    "runs retry": ("nasctl runs retry nb201-1c9f2a07",),
    "runs show": ("nasctl runs show", "nasctl runs show --config > search.toml"),
    "search": (
        "nasctl search mbconv --device gpu",
        'nasctl search mbconv --device pixel4 --constraint "latency<=20ms"',
        "nasctl search nb201 --data photos --trainings 20 --workers auto",
        "nasctl search own.py:Space -o zico,params",
    ),
    "searcher list": ("nasctl searcher list",),
    "show": ("nasctl show nb201-0me6", "nasctl show 4,0,3,1,4,3 --space nb201"),
    "space fit": (
        'nasctl space fit --device pixel4 --constraint "latency<=20ms,params<=6M"',
        'nasctl space fit mbconv --device pixel4 --constraint "latency<=20ms"',
    ),
    "space list": ("nasctl space list",),
    "space profile": ("nasctl space profile mbconv --device gpu",),
    "space references": ("nasctl space references mbconv --device mobile",),
    "space sample": ("nasctl space sample nb201 -n 5", "nasctl space sample nb201 -n 5 --from SUPERNET"),
    "space show": ("nasctl space show mbconv:width=1.0",),
    "supernet controller": ("nasctl supernet controller SUPERNET",),
    "supernet delete": ("nasctl supernet delete SUPERNET",),
    "supernet list": ("nasctl supernet list",),
    "supernet show": ("nasctl supernet show SUPERNET", "nasctl supernet show SUPERNET --plot supernet.png"),
    "supernet train": (
        "nasctl supernet train --space mbconv --data photos",
        "nasctl supernet train --space nbmacro:resolution=16 --data photos --strategy single_path --epochs 50",
        "nasctl supernet train --space nbmacro:resolution=8 --data digits --epochs 5 --dry-run",
    ),
    "supernet evaluate": (
        "nasctl supernet evaluate SUPERNET",
        "nasctl supernet evaluate SUPERNET --arch nb201-0me6 --images 500",
    ),
    "supernet select": (
        "nasctl supernet select SUPERNET --by argmax",
        "nasctl supernet select SUPERNET --by top-samples --samples 50",
        "nasctl supernet select SUPERNET --by perturbation -o swap",
    ),
    "supernet strategies": ("nasctl supernet strategies",),
    "train": (
        "nasctl train --arch nb201-0me6 --data photos",
        "nasctl train --run nb201 --top 5 --data photos --epochs 20",
        "nasctl train --run nb201 --top 5 --data photos --from SUPERNET",
    ),
    "train delete": ("nasctl train delete TRAINING",),
    "train list": ("nasctl train list",),
    "train plot": ("nasctl train plot TRAINING",),
    "train show": ("nasctl train show TRAINING",),
    "version": ("nasctl version",),
}


def epilog(command: str) -> str | None:
    """Return the end of the help of a command such as "space list"; None if there is no example."""
    found = EXAMPLES.get(command)
    if not found:
        return None
    return "\n".join(["\b", "Example:" if len(found) == 1 else "Examples:", *(f"  {line}" for line in found)])
