"""Start-up time of `nasctl --help`, compared with Python itself.

    python perf/startup.py [--json FILE]

Target: under 0.3 s.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

COMMANDS = {
    "python": [sys.executable, "-c", ""],
    "nasctl --help": [sys.executable, "-m", "nasctl", "--help"],
    "nasctl search --help": [sys.executable, "-m", "nasctl", "search", "--help"],
}


def seconds(command):
    """Return the wall-clock seconds of one call."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


parser = argparse.ArgumentParser()
parser.add_argument("--json", type=Path)
given = parser.parse_args()
rounds = [{name: seconds(command) for name, command in COMMANDS.items()} for _ in range(11)]
figures = {name: median(one[name] for one in rounds) for name in COMMANDS}
for name, figure in figures.items():
    print(f"{name:22} {figure:.3f} s")
if given.json:
    given.json.write_text(json.dumps(figures) + "\n")
