#!/bin/sh
# 20 variants of the generator on one feature store against 20 runs that recompute the segmenter: a small study in full,
# then published sizes measured on a few images and multiplied. `small` or `full` as an argument: that one alone.
set -eu
OUT=${OUT:-build/release}
exec /usr/bin/python3 tests/bench/bench_ablation.py "$OUT/zeroth" "$@"
