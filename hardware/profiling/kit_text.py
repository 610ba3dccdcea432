"""The text and the script that a kit carries for whoever times it."""

from __future__ import annotations

from importlib.resources import files

README = "README.txt"
SCRIPT = "time_kit.py"
TURN = 20  # blocks in turn where the kit has no whole network; `time_kit.py` is written with this number

README_TEXT = """\
{number} ONNX files. Each is one block of a neural network, or a whole network, with inputs of a fixed shape: float32,
batch {batch}; manifest.json lists the shapes. Weights are random, because only the time counts: all files read theirs
from weights*.bin, so keep these beside them.

1. Copy the folder to the device, and time the files with the runtime of your deployment. Nothing else should run
   there: one process at a time, fixed threads, precision and clock. Let a hot phone cool down. time_kit.py does it,
   writes times.csv, and goes on where it stopped:

   ONNX Runtime       pip install onnxruntime numpy
                      python3 time_kit.py --threads 4
   TensorRT           python3 time_kit.py --tool trtexec --flags=--fp16
   OpenVINO           pip install openvino
                      python3 time_kit.py --tool benchmark_app --threads 4
   TensorFlow Lite    pip install onnx2tf       (on a computer, with its needs, to convert; then copy *.tflite)
                      python3 time_kit.py --tool benchmark_model --convert --threads 4
   ... on a phone     adb push benchmark_model *.tflite /data/local/tmp
                      python3 time_kit.py --tool benchmark_model --threads 4 --command "adb shell
                        /data/local/tmp/benchmark_model --graph=/data/local/tmp/{{name}} --num_threads={{threads}}
                        --warmup_runs=10 --num_runs=50"
   ncnn               python3 time_kit.py --tool benchncnn --convert --threads 4     (--convert needs onnx2ncnn)

   A converter that does not read external data needs whole files:
   python3 -c "import onnx, sys; onnx.save(onnx.load(sys.argv[1]), sys.argv[2])" IN.onnx OUT.onnx

2. With any other tool, make 10 or more runs of each file to warm up and then 50 or more, in random order of the files
   if possible, and write times.csv with one line per file, in milliseconds for one run of the whole batch:
   file,ms,iqr,n
   where ms is the median, iqr the 75th minus the 25th percentile, and n the number of runs; iqr and n are optional.

3. {next}
   makes the table, and prints how far its predictions are from measured whole networks.
"""
IMPORT = "nasctl device import FOLDER --csv times.csv --name NAME"
ADAPT = "nasctl device adapt --csv times.csv --name NAME"


def readme(number: int, batch: int, blocks: bool) -> str:
    """Return the instructions of a kit.

    Args:
        number: Number of its ONNX files.
        batch: Examples per batch.
        blocks: Whether the kit has blocks; whole networks alone are for `nasctl device adapt`.
    """
    return README_TEXT.format(number=number, batch=batch, next=IMPORT if blocks else ADAPT)


def script(turn: int) -> str:
    """Return the script that times a kit.

    Args:
        turn: Blocks that run in turn, as many as a whole network has.
    """
    text = files("nasctl.hardware.profiling").joinpath(SCRIPT).read_text(encoding="utf-8")
    return text.replace(f"\nTURN = {TURN} ", f"\nTURN = {turn} ")
