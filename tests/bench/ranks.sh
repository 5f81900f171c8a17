#!/usr/bin/env bash
# The part of the sum of gradients over two ranks that the backward pass hides.
set -eu
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
exec mpirun --oversubscribe -n "${RANKS:-2}" "${OUT:-build/release}/tests/bench/bench_ranks" "$@"
