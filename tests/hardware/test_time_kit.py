"""The script of a kit: what it reads of each tool, its turns, and its table."""

import csv
import json
import sys

import pytest

from nasctl.hardware.profiling import time_kit

# Lines as the tools print them, from their own documentation and logs.
OUTPUTS = {
    "trtexec": (
        "[I] Latency: min = 6.12 ms, max = 8.45 ms, mean = 6.79 ms, median = 6.75 ms, percentile(90%) = 7.02 ms\n"
        "[I] GPU Compute Time: min = 5.95 ms, max = 8.10 ms, mean = 6.55 ms, median = 6.50 ms, percentile(99%) = 8 ms\n"
        "[I] Total GPU Compute Time: 7.02881 s\n",
        6.5,
    ),
    "benchmark_app": (
        "[ INFO ] First inference took 3.10 ms\n[ INFO ] Latency:\n[ INFO ]    Median:        1.23 ms\n"
        "[ INFO ]    Average:       1.30 ms\n",
        1.23,
    ),
    "benchmark_model": (
        "INFO: count=1 curr=1357602 p5=1357602 median=1357602 p95=1357602\n"
        "INFO: count=50 first=1249964 curr=1240143 min=1238588 max=1252566 avg=1.24027e+06 std=2565 p5=1238753 "
        "median=1239807 p95=1247415\n"
        "INFO: Inference timings in us: Init: 5579, First inference: 1357602, Warmup (avg): 1.3576e+06, "
        "Inference (avg): 1.24027e+06\n",
        1239.807,
    ),
    "benchncnn": ("loop_count = 4\n          squeezenet  min =  147.48  max =  149.35  avg =  148.40\n", 148.4),
}


@pytest.mark.parametrize("tool", OUTPUTS)
def test_the_time_of_a_tool_is_read(tool):
    text, ms = OUTPUTS[tool]
    assert time_kit.TOOLS[tool].read(text) == pytest.approx(ms)
    assert time_kit.TOOLS[tool].read("error: no such file") is None


def test_older_benchmark_models_print_the_mean():
    text = "count=50 first=249042 curr=250889 min=247067 max=254474 avg=249684 std=1442\nInference (avg): 249684\n"
    assert time_kit.TOOLS["benchmark_model"].read(text) == pytest.approx(249.684)


@pytest.fixture
def folder(tmp_path):
    files = [{"file": f"{name}.onnx", "genome": None, "inputs": [[3, 8, 6]]} for name in "ab"]
    (tmp_path / "manifest.json").write_text(json.dumps({"files": files}))
    return tmp_path


def rows(folder):
    with (folder / "times.csv").open() as file:
        return {row["file"]: row["ms"] for row in csv.DictReader(file)}


def test_a_tool_is_run_for_each_file_and_resumed(folder, capsys):
    fake = f"{sys.executable} -c \"print('avg = 2.5 {{shapes}} {{name}} {{flags}}')\""
    words = ["--folder", str(folder), "--tool", "benchncnn", "--flags", "x", "--command", fake]
    assert time_kit.main(words) == 0
    assert rows(folder) == {"a.onnx": "2.500000", "b.onnx": "2.500000"}
    assert time_kit.main([*words[:-1], "false"]) == 0  # nothing is left to time
    (folder / "times.csv").write_text("file,ms,iqr,n\na.onnx,1,,\n")
    assert time_kit.main([*words[:-1], "false"]) == 1
    assert rows(folder) == {"a.onnx": "1"}
    assert "not timed: b.onnx: false failed" in capsys.readouterr().err


def test_the_shapes_of_ncnn_begin_with_the_width(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(time_kit, "run", lambda command: seen.append(command) or "avg = 1.0")
    assert time_kit.main(["--folder", str(folder), "--tool", "benchncnn", "--threads", "2"]) == 0
    assert sorted(seen)[0].startswith(f"benchncnn 50 2 0 -1 0 param={folder / 'a.param'} shape=[6,8,3]")


def test_blocks_are_timed_in_turn_and_less_the_cost_of_a_call(folder, monkeypatch):
    monkeypatch.setattr(time_kit, "call", lambda model, given: model)
    turns = []

    def in_turn(calls, seconds):
        turns.append(len(calls))
        return [0.5 if one == time_kit.IDENTITY else 2.0 for one in calls]

    monkeypatch.setattr(time_kit, "in_turn", in_turn)
    assert time_kit.main(["--folder", str(folder)]) == 0
    assert rows(folder) == {"a.onnx": "1.500000", "b.onnx": "1.500000"}
    assert turns == [3] * time_kit.VISITS


def test_quartiles_are_those_of_numpy():
    assert time_kit.quartiles([4, 1, 3, 2]) == [1.75, 2.5, 3.25]
    assert not time_kit.noisy([1.0] * 6)
    assert time_kit.noisy([1.0, 2.0] * 3)
    assert time_kit.noisy([1.0] * 5)
