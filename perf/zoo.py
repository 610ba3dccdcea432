"""Trace the models of public zoos with `Network.from_module` and compare each network with its model.

    python perf/zoo.py --zoo timm
    python perf/zoo.py --zoo plain

The zoo's packages are installed without their dependencies in a folder of their own. Packages that they import and that
no model needs (torchvision, huggingface_hub) are replaced by empty ones. Models are chosen from all families, the
smallest by name first, and made with random weights for their default input. The script prints one line per model, then
the totals and the reasons of what is not exact. The verdicts:

exact      outputs equal with the model's weights on a batch size that tracing does not use, parameters equal, and
           multiply-accumulates equal torch's FlopCounterMode; an explained difference is named in the line
refused    `Network.from_module` raised a NasctlError
wrong      the network differs from its model
crashed    `Network.from_module` raised another exception
too slow   tracing took more processor time than the limit
left out   the model cannot be made, fails on one tensor, does not return one tensor or is random in evaluation; it does
           not count in the totals
unchecked  the model has more than 400 million parameters, or a limit of the comparison was reached

Results are kept in the folder. Models that have a result are skipped unless --again is given. A pass over timm takes
about 20 minutes of processor time; models that the machine cannot hold need a lower --jobs.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock, local

DEFAULT_MODELS = {"timm": 190, "plain": 231}


def arguments():
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--zoo", choices=("timm", "plain"), default="timm", help="default: timm")
    parser.add_argument("--models", type=int, help=f"number of models; default: {DEFAULT_MODELS}")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these models instead")
    parser.add_argument("--seconds", type=int, default=120, help="processor time for tracing one model; default: 120")
    parser.add_argument("--memory", type=float, default=12, help="memory of one process, in GiB; default: 12")
    parser.add_argument("--jobs", type=int, default=1, help="models at a time; default: 1")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "nasctl-zoo", help="packages, results"
    )
    parser.add_argument("--json", type=Path, help="file of the results; default: ZOO.json in the folder")
    parser.add_argument("--again", action="store_true", help="trace models that have a result too")
    parser.add_argument("--list", action="store_true", help="print the names of the models, and end")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    given.json = given.json or given.folder / f"{given.zoo}.json"
    return given


class Workers:
    """Child processes that hold the zoo's packages and check one model at a time, one process for each thread."""

    def __init__(self, given):
        self._given, self._local, self._all = given, local(), []

    def check(self, name):
        """Return the result of one model."""
        process = getattr(self._local, "process", None) or self._start()
        process.stdin.write(f"{name}\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            self._local.process = None
            return {"name": name, "status": "unchecked", "reason": "the process that forks checks ended"}
        return json.loads(line)

    def _start(self):
        command = [sys.executable, __file__, "--serve", "--zoo", self._given.zoo, "--folder", str(self._given.folder)]
        command += ["--seconds", str(self._given.seconds), "--memory", str(self._given.memory)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True, env=environment)
        process.stdout.readline()  # the packages are imported
        self._local.process = process
        self._all.append(process)
        return process

    def close(self):
        """End the processes."""
        for process in self._all:
            process.stdin.close()
            process.wait()


def line_of(result):
    """Return the line that is printed for a result."""
    seconds, params = result.get("seconds"), result.get("params")
    size = f"{params / 1e6:.1f}M" if params else ""
    timed = "" if seconds is None else f"{seconds:.1f} s"
    return f"{result['status']:10}{size:>8}{timed:>9}  {result['name']}  {result.get('reason', '')}".rstrip()


def kind_of(reason):
    """Return a reason without the names and numbers of one model."""
    text = reason.partition(" cannot be made a network: ")[2] or reason
    text = re.sub(r"\b[\w-]*(?:\.[\w-]+)+", "NAME", text)
    return re.sub(r"\d+(?:[.,]\d+)*", "N", text)


def print_totals(results):
    """Print the numbers of verdicts, then the reasons of those that are not exact."""
    totals = Counter(result["status"] for result in results)
    print(f"\n{len(results)} models:", ", ".join(f"{number} {status}" for status, number in totals.most_common()))
    counted = len(results) - totals["left out"]
    print(f"{totals['exact']} of {counted} are exact: {100 * totals['exact'] / max(1, counted):.1f}%")
    for status in totals:
        reasons = Counter(kind_of(one.get("reason", "")) for one in results if one["status"] == status)
        if status != "exact":
            print(f"\n{status}:", *(f"{number:5}  {reason}" for reason, number in reasons.most_common()), sep="\n")


def main():
    """Check the models that have no result, and print all."""
    given = arguments()
    from zoo_catalogue import import_zoo, install, select

    target = install(given.zoo, given.folder)
    if given.serve:
        from zoo_check import serve

        serve(given.zoo, target, {"seconds": given.seconds, "memory": given.memory})
        return
    names = given.only
    if not names:
        import_zoo(given.zoo, target)
        names = select(given.zoo, given.models or DEFAULT_MODELS[given.zoo])
    if given.list:
        print(*names, sep="\n")
        return
    results = json.loads(given.json.read_text()) if given.json.exists() else {}
    workers, lock = Workers(given), Lock()

    def check(name):
        if given.again or name not in results:
            result = workers.check(name)
            with lock:
                results[name] = result
                given.json.write_text(json.dumps(results, indent=1))
        with lock:
            print(line_of(results[name]), flush=True)

    with ThreadPoolExecutor(given.jobs) as threads:
        list(threads.map(check, names))
    workers.close()
    print_totals([results[name] for name in names])


if __name__ == "__main__":
    main()
