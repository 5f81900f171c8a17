#!/bin/sh
# A generator step at published size, ours against PyTorch's forms of it, in
# one interleaved run. Two things make the peer as fast as it can be here: its
# OpenBLAS misreads some newer CPUs and falls to its oldest kernels, so its core
# type is named where AVX-512 is there; and OpenBLAS's own threads beside
# OpenMP's would spin against each other, so the OpenMP build is taken.
set -eu
OUT=${OUT:-build/release}
if grep -qw avx512f /proc/cpuinfo; then export OPENBLAS_CORETYPE=SkylakeX; fi
openmp=/usr/lib/$(uname -m)-linux-gnu/openblas-openmp
if [ -d "$openmp" ]; then export LD_LIBRARY_PATH="$openmp${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; fi
exec /usr/bin/python3 tests/bench/bench_generator.py "$OUT/tests/bench/bench_generator" "$@"
