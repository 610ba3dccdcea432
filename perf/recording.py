"""Record commands in a terminal of 80 columns as an animated SVG: python perf/recording.py -o docs/first-search.svg.

    python perf/recording.py -o FILE.svg ["COMMAND" ...]

The commands run one after another in a temporary folder, and each sees its output as a terminal. Lines appear in the
SVG in the order in which they were printed, with pauses of at most a second. Readers who ask their system for less
motion, and programs without animation, see the last picture. The default commands are those of the README's first
search, with a small budget.
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 80
PAUSE = 1.0  # longest pause between lines of the picture, in seconds

COMMANDS = (
    'nasctl search --space mbconv --device mobile --constraint "latency<=31" --budget 100',
    "nasctl pareto show --top 5",
    "nasctl pareto pick",
)

STYLE = """
    @keyframes appear { from { visibility: hidden } to { visibility: visible } }
    @media (prefers-reduced-motion: no-preference) { .late { animation: appear 0s linear both } }
"""


def run(command: str, folder: str) -> list[tuple[float, str]]:
    """Return the lines that a command prints, stdout and stderr together, with their times in seconds."""
    terminal, inner = pty.openpty()
    errors, written = os.pipe()
    environment = {**os.environ, "COLUMNS": str(WIDTH), "LINES": "40", "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    process = subprocess.Popen(["/bin/bash", "-c", command], cwd=folder, env=environment, stdout=inner, stderr=written)
    os.close(inner)
    os.close(written)
    begun, lines = time.monotonic(), list[tuple[float, str]]()
    pending, sources = {terminal: "", errors: ""}, {terminal, errors}
    while sources:
        for source in select.select(list(sources), [], [])[0]:
            try:
                content = os.read(source, 1 << 16).decode(errors="replace")
            except OSError:  # the other end of a pseudo-terminal is closed
                content = ""
            if not content:
                sources.discard(source)
                continue
            *whole, pending[source] = (pending[source] + content).replace("\r\n", "\n").split("\n")
            lines += [(time.monotonic() - begun, line) for line in whole]
    if process.wait():
        raise SystemExit(f"{command!r} ended with code {process.returncode}")
    return lines


def animated(svg: str, delays: list[float]) -> str:
    """Return the SVG of rich with lines that appear after their delays in seconds."""
    svg = svg.replace("</style>", f"{STYLE}</style>", 1)
    svg = re.sub(r',\s*url\("https:[^)]*\)\s*format\("[^"]*"\)', "", svg)  # fonts of the network: it loads nothing

    def late(match: re.Match[str]) -> str:
        delay = delays[min(int(match[2]), len(delays) - 1)]
        return f'{match[1]} style="animation-delay:{delay:.2f}s"'.replace('class="', 'class="late ', 1)

    return re.sub(r'(<text class="[^"]*-r\d+"[^>]*clip-path="url\(#[\w-]*-line-(\d+)\)")', late, svg)


def main() -> None:
    """Run the commands and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", default=COMMANDS, metavar="COMMAND")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    delays, now = list[float](), 0.0
    with tempfile.TemporaryDirectory() as folder:
        for command in args.commands:
            shown = [(0.0, f"\x1b[1m$ {command}\x1b[0m"), *run(command, folder)]
            last = 0.0
            for at, line in shown:
                now, last = now + min(PAUSE, max(0.05, at - last)), at
                text = Text.from_ansi(line)
                before = console.export_text(clear=False).count("\n")
                console.print(text)
                delays += [now] * (console.export_text(clear=False).count("\n") - before)
            now += PAUSE
    args.output.write_text(animated(console.export_svg(title="nasctl"), delays))


if __name__ == "__main__":
    main()
