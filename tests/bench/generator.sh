#!/bin/sh
# A generator step at published size, ours against PyTorch's forms of it, in
# one interleaved run. The peer's OpenBLAS misreads some newer CPUs and falls
# to its oldest kernels, so its core type is named where AVX-512 is there.
set -eu
OUT=${OUT:-build/release}
if grep -qw avx512f /proc/cpuinfo; then export OPENBLAS_CORETYPE=SkylakeX; fi
exec /usr/bin/python3 tests/bench/bench_generator.py "$OUT/tests/bench/bench_generator" "$@"
