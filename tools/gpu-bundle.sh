#!/usr/bin/env bash
# gpu-bundle.sh DIR: publishes the program for GPU machines as one self-contained file, with the golden references and the cases and
# programs of the comparison beside it where they are at hand. Fails where all of it is larger than 60 MiB.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1 shared=../shared limit=60
rm -rf "$out"
dotnet publish tests/Gpu/Gpu.csproj -c Release -p:Bundle=true -v q --nologo -o "$out"
rm -f "$out"/*.xml "$out"/*.json
if [ -d "$shared/golden/ops" ]; then
  mkdir -p "$out/golden"
  cp -r "$shared/golden/ops" "$out/golden/"
fi
for file in cases-gpu.json torch/peer.py; do
  [ ! -f "$shared/peers/$file" ] || cp "$shared/peers/$file" "$out/"
done
cp tools/gpu-run.sh "$out/run.sh"
size=$(du -sb "$out" | cut -f 1)
awk -v size="$size" -v limit="$limit" -v out="$out" 'BEGIN {
  printf "%s: %.1f MiB, at most %d\n", out, size / 1048576, limit
  exit size > limit * 1048576
}'
