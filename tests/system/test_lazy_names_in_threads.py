"""Threads that use names for the first time at once."""

import time
from threading import Barrier, Thread

from nasctl.system import lazy_names


def test_one_thread_imports_at_a_time(monkeypatch):
    inside, most, found = [], [], []

    def import_module(home):
        inside.append(home)
        most.append(len(inside))
        time.sleep(0.02)
        inside.remove(home)
        return __import__(home)

    monkeypatch.setattr(lazy_names, "import_module", import_module)
    load, _ = lazy_names.lazy_names(__name__, {"dumps": "json", "fsum": "math"})
    together = Barrier(2)

    def use(name):
        together.wait()
        found.append(load(name).__name__)

    threads = [Thread(target=use, args=(name,)) for name in ("dumps", "fsum")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["dumps", "fsum"]
    assert max(most) == 1
