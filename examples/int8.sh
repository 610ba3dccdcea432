# From a trained network to int8 files: bash examples/int8.sh, in an empty folder.
set -e
nasctl train --space nats_size:resolution=16 --arch 1,2,1,2,2 --data digits --epochs 6 --name digits
# The same bits everywhere, by ONNX Runtime's quantiser, which says how accurate and how fast the file is.
nasctl export --weights digits --format onnx --int8 -o digits.onnx
# Other bits in each layer: the smallest network found that has at least 85% of the validation images right.
nasctl search --space quantized:of=digits,weights=4,6,8,levels=uniform,activations=8 --data digits --budget 40 \
    --objective accuracy,size --constraint "accuracy>=85"
best=$(nasctl pareto pick --best size --json | python -c 'import json, sys; print(json.load(sys.stdin)["id"])')
nasctl export --arch "$best" --format onnx -o small.onnx
