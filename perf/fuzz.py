"""Coverage-guided fuzzing of the parsers with atheris.

    pip install 'nasctl[fuzz]'
    python perf/fuzz.py --seconds 60 --out findings

Each parser of tests/parsers.py, or each named parser, runs for `--seconds` in a process of its own. It starts from its
seeds and from its folder of tests/corpus. The script prints one line per parser: the number of inputs and the number of
distinct findings. A finding is an input at which the parser raises an exception that it must not raise. The first input
of each distinct finding is written to the folder `--out`. After a fix, add the input to tests/corpus, reduced to the
minimum that shows the problem.
"""

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"


def fuzz(name, seconds, out):
    """Fuzz one parser; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["nasctl", "zipfile", "tarfile", "pickletools", "csv"]):
        import parsers

    found = set()

    def feed(content):
        try:
            parsers.feed(name, content)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            if (kind := (type(error).__name__, where.filename, where.lineno)) not in found:
                found.add(kind)
                (out / f"{name}-{len(found)}").write_bytes(content)
                print(f"finding {kind[0]} at {where.filename}:{where.lineno}: {error}"[:300], file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder:
        for k, seed in enumerate(parsers.PARSERS[name].seeds):
            Path(folder, f"seed{k}").write_bytes(seed)
        for known in (TESTS / "corpus" / name).glob("*"):
            Path(folder, known.name).write_bytes(known.read_bytes())
        limits = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=30", "-rss_limit_mb=4096"]
        atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={out}/{name}-", folder], feed)
        atheris.Fuzz()


def main():
    """Fuzz the parsers one after another and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="parsers; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="time for each parser, in seconds")
    parser.add_argument("--out", type=Path, default=Path("findings"), help="folder for the inputs of the findings")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.path.insert(0, str(TESTS))
    if importlib.util.find_spec("atheris") is None:
        sys.exit("Cannot fuzz: atheris is not installed. Run pip install 'nasctl[fuzz]'.")
    given.out.mkdir(parents=True, exist_ok=True)
    if given.alone:
        fuzz(given.names[0], given.seconds, given.out)
        return
    import parsers

    print("parser\tinputs\tfindings")
    for name in given.names or parsers.PARSERS:
        options = [name, "--alone", "--seconds", str(given.seconds), "--out", str(given.out)]
        done = subprocess.run([sys.executable, __file__, *options], capture_output=True, text=True, errors="replace")
        runs = re.search(r"Done (\d+) runs", done.stderr)
        findings = re.findall(r"^finding .*|^==\d+== ERROR.*", done.stderr, re.MULTILINE)
        tried = runs[1] if runs else done.stderr[-200:]
        print(f"{name}\t{tried}\t{len(findings)}", *findings, sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
