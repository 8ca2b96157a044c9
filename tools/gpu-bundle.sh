#!/usr/bin/env bash
# gpu-bundle.sh DIR: publishes the program for GPU machines as one self-contained file, with the golden references and the cases and
# programs of the comparison beside it where they are at hand. Fails where all of it is larger than 60 MiB.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1 shared=../shared limit=60
rm -rf "$out"
# Never trimmed: the compiler of the kernels reads the code of what would be removed.
dotnet publish tests/Gpu/Gpu.csproj -c Release -r linux-x64 --self-contained -v q --nologo -o "$out" \
  -p:PublishSingleFile=true -p:EnableCompressionInSingleFile=true -p:IncludeNativeLibrariesForSelfExtract=true -p:PublishTrimmed=false
rm -f "$out"/*.xml "$out"/*.runtimeconfig.json
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
