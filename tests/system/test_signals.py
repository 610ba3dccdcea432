"""Ctrl-C, SIGTERM and SIGKILL: the first two end a search where it can go on, and the third costs nothing either."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from multiprocessing import get_context

import numpy as np
import pytest

import nasctl
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.system.signals import SIGNALS, Stopped, stop_asked, stoppable, uninterrupted
from nasctl.testing import found

NASCTL = [sys.executable, "-m", "nasctl"]
RUN = Run("nbmacro", ("params", "macs"), "random")  # which measures nothing before it asks
# An objective whose tenth candidate is in one call of a library for an hour.
STUCK = """
import hashlib, os, sys
from nasctl.search.run import Run
from nasctl.system.signals import stoppable
from nasctl.store.store import Store
from nasctl.objectives.params import Params
inner, count = Params.__call__, iter(range(100))
def stuck(self, candidate):
    if next(count) == 9:
        os.write(1, b"stuck\\n")
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
    return inner(self, candidate)
Params.__call__ = stuck
with stoppable():
    list(Run("nbmacro", ("params", "macs"), "random").search(Store(sys.argv[1]), 50))
"""


@pytest.fixture(autouse=True)
def restored():
    """A person may stop the tests, too."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_waits_for_the_write_that_is_under_way(number, code, tmp_path):
    store, done = Store(tmp_path / "store"), []

    def write():
        with store.database.writing() as database:
            database.execute("INSERT INTO text (value) VALUES ('kept')")
            os.kill(os.getpid(), number)
            time.sleep(0.05)
            done.append("within")
        done.append("after")

    with stoppable(), pytest.raises(Stopped) as stopped:
        write()
    assert (done, stopped.value.code) == (["within"], code)
    assert ("kept",) in store.database.connection.execute("SELECT value FROM text").fetchall()


def test_of_nested_blocks_the_outer_one_is_finished():
    done = []

    def nested():
        with uninterrupted():
            with uninterrupted():
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.05)
            done.append(stop_asked())
        done.append("after")

    with stoppable(), pytest.raises(Stopped):
        nested()
    assert done == [True]
    assert not stop_asked()


def test_a_signal_that_comes_twice_at_once_is_one():
    def thrice():
        with uninterrupted():
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.02)

    with stoppable(), pytest.raises(Stopped):
        thrice()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_search_that_is_stopped_says_how_to_go_on(number, code, tmp_path):
    arguments = [
        "search",
        "--space",
        "mbconv",
        "-o",
        "params,macs",
        "--budget",
        "90000",
        "--store",
        str(tmp_path / "s"),
    ]
    search = subprocess.Popen([*NASCTL, *arguments], stderr=subprocess.PIPE, text=True)
    while "generation 0" not in search.stderr.readline():
        assert search.poll() is None
    search.send_signal(number)
    _, said = search.communicate()
    assert search.returncode == code
    assert said.rstrip().endswith(shlex.join(["nasctl", *arguments]))
    assert "Traceback" not in said
    (run,) = Store(tmp_path / "s").runs()
    assert run.visited >= 20


def test_the_second_signal_stops_at_once_even_in_a_library(tmp_path):
    with subprocess.Popen([sys.executable, "-c", STUCK, tmp_path / "store"], stdout=subprocess.PIPE) as search:
        search.stdout.readline()
        time.sleep(0.3)
        search.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert search.poll() is None  # it cannot be heeded yet
        search.send_signal(signal.SIGINT)
        search.wait(10)
    assert search.returncode == 130
    whole = found(RUN, tmp_path / "other", 50)
    assert Store(tmp_path / "store").evaluations(RUN.name) == whole[:9]
    assert found(RUN, tmp_path / "store", 50) == whole


def _search(path):
    found(RUN, path, 400)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nobody disturbed, and the seconds that it takes."""
    start = time.monotonic()
    return found(RUN, tmp_path_factory.mktemp("whole") / "store", 400), time.monotonic() - start


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20))])
def test_a_search_that_is_killed_ends_as_if_it_had_not_been(seed, whole, tmp_path):
    visited, seconds = whole
    moments, context = np.random.default_rng(seed), get_context("forkserver")
    context.set_forkserver_preload(["nasctl.testing", "nasctl.searchers.mtf_pdns"])
    for _ in range(3):
        process = context.Process(target=_search, args=(tmp_path / "store",))
        process.start()
        time.sleep(moments.uniform(0, seconds))
        process.kill()
        process.join()
        store = Store(tmp_path / "store")
        (sound,) = store.database.connection.execute("PRAGMA integrity_check").fetchone()
        kept = store.evaluations(RUN.name) if store.runs() else []
        assert (sound, kept) == ("ok", visited[: len(kept)])
    assert found(RUN, tmp_path / "store", 400) == visited


def test_ctrl_c_while_the_command_line_is_imported_leaves_no_traceback():
    interrupted = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background ignores it
        "class Pressed:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'nasctl.cli':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "from nasctl.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_the_package_imports_little_before_the_command_line_guards_against_ctrl_c():
    """Until then, Ctrl-C leaves a traceback."""
    code = "import sys, nasctl; print(*(name for name in sys.modules if name.startswith('nasctl.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"nasctl.system", "nasctl.system.lazy_names", "nasctl.system.old_modules"}


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5])
def test_ctrl_c_in_the_first_half_second_leaves_no_traceback(seconds, tmp_path):
    words = ["search", "nbmacro", "-o", "params,macs", "--budget", "90000", "--store", str(tmp_path / "store")]
    search = subprocess.Popen(
        [*NASCTL, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    time.sleep(seconds)
    search.send_signal(signal.SIGINT)
    out, said = search.communicate()
    if "Traceback" in said or "Fatal" in said:  # of Python itself, which has not come to the command line yet
        package = os.path.dirname(nasctl.__file__)
        files = {file for file in re.findall(r'File "([^"]+)"', said) if file.startswith(package)}
        assert files <= {nasctl.__file__}  # where a few modules are imported
    else:
        assert search.returncode in (-signal.SIGINT, 130)  # a shell calls both 130
        assert out == ""
