#!/usr/bin/env bash
# run.sh [DEVICE] [FOLDER]: on the GPU machine, inside the bundle: verifies the device, times the cases, times PyTorch on the same cases where
# python3 has it, all in one run. Everything that was printed lies in the folder.
set -uo pipefail
device=${1:-cuda:0} out=${2:-results}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
# NCCL often comes with PyTorch alone, outside of the loader's folders.
nccl=$(python3 -c 'import nvidia.nccl as n; print(list(n.__path__)[0] + "/lib")' 2> /dev/null) && export LD_LIBRARY_PATH="$nccl:${LD_LIBRARY_PATH:-}"
{ date -u; nvidia-smi; "$here/cudakernels-gpu" env; } > "$out/machine.txt" 2>&1
"$here/cudakernels-gpu" verify --device "$device" --json "$out/verify.json" 2>&1 | tee "$out/verify.txt"
status=${PIPESTATUS[0]}
precisions=fp32
[ "${device%%:*}" = cuda ] && precisions="fp32 tf32 bf16"
for precision in $precisions; do
  "$here/cudakernels-gpu" bench --device "$device" --precision "$precision" --cases "$here/cases-gpu.json" --seconds 0.6 --json - || status=1
done > "$out/bench.jsonl" 2> >(tee "$out/bench.txt" >&2)
if [ "${device%%:*}" = cuda ] && python3 -c 'import torch' 2> /dev/null; then
  for precision in fp32 tf32 bf16; do
    for layout in nchw nhwc; do
      python3 "$here/peer.py" "$here/cases-gpu.json" --device cuda --precision "$precision" --layout "$layout"
    done
  done 2>&1 | tee "$out/peer.jsonl"
else
  echo "PyTorch was not timed: needs a cuda device and python3 with torch" | tee "$out/peer.txt"
fi
"$here/cudakernels-gpu" verify --tables "$out" > "$out/tables.md"
exit "$status"
