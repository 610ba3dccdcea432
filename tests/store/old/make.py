"""Make the store of this folder, and what the commands said of it, with nasctl as it was before it had packages.

    git worktree add ../old f6d04d8   # the last commit whose nasctl/ holds flat modules only
    PYTHONPATH=../old python tests/store/old/make.py tests/store/old

Nothing of the folder is made again with a later nasctl: `tests/store/test_old_store.py` compares that one with this.
"""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

SEARCHES = {  # options of `nasctl search`, by a short name for the run
    "image": "--space nbmacro --device gpu -o snip -c latency<=3 -c macs<=70% --record memory --searcher guided"
    " --fidelity size=8,batch=4,repeats=1",
    "costs": "--space nbmacro --device gpu -o params -c latency<=3 -c macs<=70% --searcher nsga2 --seed 1",
    "tokens": "--space flexibert -o softmax_confidence,params --searcher nsga2 --fidelity size=8,batch=2,repeats=1",
    "failed": "--space nb201:channels=1,cells=1 -o ntk_cond,macs --searcher random:batch=10"
    " --fidelity size=8,batch=32,repeats=1",
}
BUDGETS = {"image": 30, "costs": 40, "tokens": 24, "failed": 25}
LONGER = 60  # candidates of the run "costs" when it was resumed
SHOWN = (("runs", "show"), ("pareto", "show", "--run"))


def nasctl(folder, *words):
    """Run a command in a folder and return what it prints on stdout."""
    command = [sys.executable, "-m", "nasctl", *words]
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True, text=True).stdout


def shown(folder, run):
    """Return the JSON that each of `SHOWN` prints of a run."""
    return [json.loads(nasctl(folder, *words, run, "--json")) for words in SHOWN]


def main(place):
    """Search, show and write."""
    with TemporaryDirectory() as folder:
        names = {}
        for key, options in SEARCHES.items():
            searched = nasctl(folder, "search", *options.split(), f"--budget={BUDGETS[key]}", "--json")
            names[key] = json.loads(searched)["run"]
        before = {
            key: [json.loads(nasctl(folder, *words, name, "--json")) for words in SHOWN] for key, name in names.items()
        }
        listed = json.loads(nasctl(folder, "runs", "list", "--json"))
        (place / "store.db.gz").write_bytes(gzip.compress(Path(folder, "nasctl.db").read_bytes(), mtime=0))
        nasctl(folder, "search", *SEARCHES["costs"].split(), f"--budget={LONGER}")
        after = shown(folder, names["costs"])
    said = {"names": names, "list": listed, "shown": before, "costs resumed": after}
    (place / "said.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
