"""Plots where no home folder can be written."""

import os
import subprocess
import sys


def test_a_home_that_cannot_be_written_says_nothing_of_matplotlib(tmp_path):
    (tmp_path / "home").touch()  # a file, so no folder can be made in it
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""}
    environment.pop("MPLCONFIGDIR", None)
    nasctl = [sys.executable, "-m", "nasctl"]
    search = ["search", "--space", "nbmacro", "-o", "params,macs", "--budget", "5"]
    subprocess.run([*nasctl, *search], cwd=tmp_path, env=environment, check=True, capture_output=True)
    done = subprocess.run(
        [*nasctl, "pareto", "plot"], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert "atplotlib" not in done.stderr
