#!/usr/bin/env python3
"""Time the ONNX files of this folder, and write times.csv for `nasctl device import` or `nasctl device adapt`.

    python3 time_kit.py                                    ONNX Runtime; needs: pip install onnxruntime numpy
    python3 time_kit.py --tool trtexec --flags=--fp16      TensorRT
    python3 time_kit.py --tool benchmark_app               OpenVINO
    python3 time_kit.py --tool benchmark_model --convert   TensorFlow Lite; --convert needs onnx2tf
    python3 time_kit.py --tool benchncnn --convert         ncnn; --convert needs onnx2ncnn

--command changes the command of a tool, for example for a phone:
    --command "adb shell /data/local/tmp/benchmark_model --graph=/data/local/tmp/{name} --num_threads={threads}"

This script runs with Python 3.8 and later, and does not need nasctl.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import json
import random
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Container, Dict, Mapping, Sequence  # noqa: UP035  # Python 3.8 needs these

TURN = 20  # blocks that run in turn: as many as a network of the kit has
VISITS = 6  # timings of each file, spread over the whole measurement
MAX_VISITS = 18  # timings after which a noisy file is written as it is
WARM_UP_TURNS, MIN_TURNS = 2, 5  # turns of a visit that are not counted, and that are made at least
MAX_RELATIVE_ERROR, NEGLIGIBLE_MS = 0.05, 0.01  # error of a median up to which a file needs no more visits
SMALLEST_MS = 1e-6  # a block that takes no more time than a call without work
# An ONNX file that returns its input. Its time, the cost of a call, is subtracted from blocks.
IDENTITY = bytes.fromhex(
    "08083a3f0a100a017812017922084964656e746974791201675a130a0178120e0a0c08011"
    "2080a0208010a02080162130a0179120e0a0c080112080a0208010a02080142040a00100d"
)
Model = Dict[str, Any]  # noqa: UP006  # an entry of the manifest
SECONDS = r"([\d.]+(?:e[+-]?\d+)?)"


class Tool:
    """A program that times one file: its command, the conversion that it needs, and the lines that it prints."""

    def __init__(self, command: str, suffix: str, convert: str, patterns: Sequence[str], ms: float) -> None:
        self.command, self.suffix, self.convert, self.patterns, self.ms = command, suffix, convert, patterns, ms

    def read(self, text: str) -> float | None:
        """Return the milliseconds in the output of the program, or None: the last match of the first pattern."""
        for pattern in self.patterns:
            found = re.findall(pattern, text)
            if found:
                return float(found[-1]) * self.ms
        return None


TOOLS = {
    "trtexec": Tool(
        "trtexec --onnx={path} --warmUp=200 --iterations=50 --duration=1 --noDataTransfers {flags}",
        ".onnx",
        "",
        [r"GPU Compute Time: min = .*?median = " + SECONDS + " ms", r"Latency: min = .*?median = " + SECONDS + " ms"],
        1.0,
    ),
    "benchmark_app": Tool(
        "benchmark_app -m {path} -d CPU -api sync -niter 50 -hint none -nthreads {threads} -nstreams 1 {flags}",
        ".onnx",
        "",
        [r"Median:\s+" + SECONDS + " ms"],
        1.0,
    ),
    "benchmark_model": Tool(
        "benchmark_model --graph={path} --num_threads={threads} --warmup_runs=10 --num_runs=50 {flags}",
        ".tflite",
        "onnx2tf -i {onnx} -o {folder} -nuo -n",
        [r"count=\d+ first=.*median=" + SECONDS, r"Inference \(avg\): " + SECONDS],
        1e-3,
    ),
    "benchncnn": Tool(
        "benchncnn 50 {threads} 0 -1 0 param={path} shape={shapes} {flags}",
        ".param",
        "onnx2ncnn {onnx} {path} {path}.bin",
        [r"avg =\s+" + SECONDS],
        1.0,
    ),
}


def main(words: Sequence[str] | None = None) -> int:
    """Time all files and write the table; return 1 if a file could not be timed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", default="onnxruntime", choices=["onnxruntime", *TOOLS])
    parser.add_argument("--threads", type=int, default=1, help="threads of the runtime (default: 1)")
    parser.add_argument("--seconds", type=float, default=0.5, help="ONNX Runtime: total time of a file (default: 0.5)")
    parser.add_argument("--provider", default="CPUExecutionProvider", help="ONNX Runtime: execution provider")
    parser.add_argument("--command", help="command of the tool, with {path}, {name}, {threads}, {shapes} and {flags}")
    parser.add_argument("--flags", default="", help="more options of the tool")
    parser.add_argument("--convert", action="store_true", help="convert the files first, where the tool needs it")
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent, help="folder of the kit")
    parser.add_argument("--out", type=Path, help="file to write (default: times.csv in the folder)")
    given = parser.parse_args(words)
    models = json.loads((given.folder / "manifest.json").read_text())["files"]
    out = given.out or given.folder / "times.csv"
    if given.tool == "onnxruntime":
        time_with_onnxruntime(given, models, out)
        failed: list[tuple[str, str]] = []
    else:
        failed = time_with_tool(given, models, out)
    for name, reason in failed:
        say(f"not timed: {name}: {reason}")
    say(f"{len(models) - len(failed)} of {len(models)} files in {out}")
    return 1 if failed else 0


def time_with_tool(given: argparse.Namespace, models: Sequence[Model], out: Path) -> list[tuple[str, str]]:
    """Time each file by a command, in random order, and return the files that failed with a reason."""
    tool, rows = TOOLS[given.tool], known_rows(out)
    failed: list[tuple[str, str]] = []
    due = [model for model in models if model["file"] not in rows]
    random.shuffle(due)
    for number, model in enumerate(due, 1):
        onnx = given.folder / model["file"]
        path = onnx.with_suffix(tool.suffix)
        try:
            if given.convert and tool.convert and not path.exists():
                convert(tool, onnx, path)
            shapes = ",".join("[" + ",".join(map(str, reversed(shape))) + "]" for shape in model["inputs"])
            facts = {"path": path, "name": path.name, "threads": given.threads, "shapes": shapes, "flags": given.flags}
            output = run((given.command or tool.command).format(**facts))
            ms = tool.read(output)
            if ms is None:
                raise RuntimeError(f"the output has no time; its end is {output[-200:]!r}")
        except (OSError, RuntimeError) as error:
            failed.append((model["file"], str(error)))
            continue
        rows[model["file"]] = [f"{max(ms, SMALLEST_MS):.6f}", "", ""]
        write_rows(out, rows)
        say(f"{number} of {len(due)}: {model['file']} {ms:.4f} ms")
    return failed


def convert(tool: Tool, onnx: Path, path: Path) -> None:
    """Convert a file for a tool."""
    folder = path.with_suffix("")
    run(tool.convert.format(onnx=onnx, path=path, folder=folder))
    made = sorted(folder.glob("*float32.tflite")) if folder.is_dir() else []
    if made:
        made[0].rename(path)
    if not path.exists():
        raise RuntimeError(f"the conversion made no {path.name}")


def run(command: str) -> str:
    """Return what a command prints.

    Raises:
        RuntimeError: It failed.
    """
    done = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{command} failed: {done.stdout[-300:]}")
    return done.stdout


def time_with_onnxruntime(given: argparse.Namespace, models: Sequence[Model], out: Path) -> None:
    """Time blocks in turn with one another, and whole networks alone; visit all in random order, several times."""
    keep_memory()
    blocks: dict[str, Path | bytes] = {}
    networks: dict[str, Path | bytes] = {}
    for model in models:
        (blocks if model["genome"] is None else networks)[model["file"]] = given.folder / model["file"]
    if blocks:
        blocks[""] = IDENTITY
    times: dict[str, list[float]] = {name: [] for name in (*blocks, *networks)}
    for number in range(1, MAX_VISITS + 1):
        for group, length in ((blocks, min(TURN, len(blocks))), (networks, 1)):
            due = [name for name in group if len(times[name]) < number and (number <= VISITS or noisy(times[name]))]
            random.shuffle(due)
            for start in range(0, len(due), max(length, 1)):
                names = due[start : start + length]
                others = sorted(group.keys() - set(names))
                names += random.sample(others, min(length - len(names), len(others)))
                calls = [call(group[name], given) for name in names]
                for name, ms in zip(names, in_turn(calls, given.seconds / VISITS * len(names))):  # noqa: B905
                    times[name].append(ms)
        write_rows(out, onnxruntime_rows(times, blocks))
        say(f"round {number}: {sum(map(noisy, times.values()))} of {len(times)} files are noisy")
        if number >= VISITS and not any(map(noisy, times.values())):
            break


def onnxruntime_rows(times: Mapping[str, Sequence[float]], blocks: Container[str]) -> dict[str, list[str]]:
    """Return the rows of times.csv; the cost of a call is subtracted from blocks."""
    rows = {}
    idle = quartiles(times[""])[1] if times.get("") else 0.0
    for name, found in times.items():
        if name and found:
            low, median, high = quartiles(found)
            ms = max(median - (idle if name in blocks else 0.0), SMALLEST_MS)
            rows[name] = [f"{ms:.6f}", f"{high - low:.6f}", str(len(found))]
    return rows


def call(model: Path | bytes, given: argparse.Namespace) -> Callable[[], object]:
    """Return a function that runs an ONNX file, a path or its content, once, with random inputs."""
    import numpy
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = given.threads, 1
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, options, providers=[given.provider])
    generator = numpy.random.default_rng(0)
    feed = {}
    for one in session.get_inputs():
        tokens = "int" in one.type
        feed[one.name] = (
            generator.integers(0, 2, one.shape).astype("int64" if "64" in one.type else "int32")
            if tokens
            else generator.standard_normal(one.shape).astype("float32")
        )
    return lambda: session.run(None, feed)


def in_turn(calls: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """Return the median time of each call in ms, over turns in which all calls run one after another."""
    turns: list[list[float]] = []
    end = time.perf_counter() + seconds
    while len(turns) < WARM_UP_TURNS + MIN_TURNS or time.perf_counter() < end:
        stamps = [time.perf_counter()]
        for one in calls:
            one()
            stamps.append(time.perf_counter())
        turns.append([1e3 * (after - before) for before, after in zip(stamps, stamps[1:])])  # noqa: B905, RUF007
    return [quartiles(column)[1] for column in zip(*turns[WARM_UP_TURNS:])]  # noqa: B905


def noisy(found: Sequence[float]) -> bool:
    """Return whether the median of the visits of a file is too uncertain."""
    if len(found) < VISITS:
        return True
    low, median, high = quartiles(found)
    return bool(high - low > max(MAX_RELATIVE_ERROR * median, NEGLIGIBLE_MS) * len(found) ** 0.5)


def quartiles(values: Sequence[float]) -> list[float]:
    """Return the quartiles of numbers, with linear interpolation."""
    ordered = sorted(values)
    found = []
    for share in (0.25, 0.5, 0.75):
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        found.append(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
    return found


def known_rows(out: Path) -> dict[str, list[str]]:
    """Return the rows of an earlier call, by file, which are not timed again."""
    if not out.exists():
        return {}
    with out.open(newline="") as file:
        return {row["file"]: [row["ms"], row["iqr"], row["n"]] for row in csv.DictReader(file)}


def write_rows(out: Path, rows: Mapping[str, Sequence[str]]) -> None:
    """Write times.csv."""
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "ms", "iqr", "n"])
        writer.writerows([name, *row] for name, row in rows.items())


def keep_memory() -> None:
    """Keep freed memory in the process where the C library is glibc: returning it to the system takes time."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(-4, 0)  # M_MMAP_MAX
    mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def say(text: str) -> None:
    """Print a line for people."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
