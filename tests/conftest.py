import os
import tempfile

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line has it; numpy reads it when it is imported

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # Every test process has a temporary folder of its own, with its own lock against measurements of this machine.
    os.environ["TMPDIR"] = tempfile.mkdtemp(prefix=f"nasctl-{worker}-")
    tempfile.tempdir = None

import pytest
import torch
from paths import DATA

if DATA.is_dir():
    os.environ.setdefault("NASCTL_DATA", str(DATA))  # where benchmarks read published tables, in processes of tests too

pytest.register_assert_rewrite("nasctl.testing")
torch.set_num_threads(1)  # on a busy machine threads that wait for one another cost ten times what they bring


@pytest.fixture(scope="session")
def data():
    """The folder of a published data set, by its name; tests skip where it is absent."""

    def folder(name):
        if not (DATA / name).is_dir():
            pytest.skip(f"no data folder (set NASCTL_DATA to a directory that holds {name}/)")
        return DATA / name

    return folder


@pytest.fixture
def own_lock(monkeypatch, tmp_path_factory):
    """Profiles that run on this machine meanwhile are none of a test's business."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("lock")))
