#!/bin/sh
# A training step of the segmenter, small and with ResNet-50 at 928 pixels, ours against PyTorch's in one interleaved
# run; the peer's OpenBLAS as in generator.sh.
set -eu
OUT=${OUT:-build/release}
if grep -qw avx512f /proc/cpuinfo; then export OPENBLAS_CORETYPE=SkylakeX; fi
openmp=/usr/lib/$(uname -m)-linux-gnu/openblas-openmp
if [ -d "$openmp" ]; then export LD_LIBRARY_PATH="$openmp${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; fi
exec /usr/bin/python3 tests/bench/bench_segmenter.py "$OUT/tests/bench/bench_segmenter" "$@"
