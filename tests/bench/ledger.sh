#!/usr/bin/env bash
# A ledger of 100 000 jobs: a look at it, and an event folded in.
set -eu
OUT=${OUT:-build/release}
exec "$OUT/tests/bench/bench_ledger" "$OUT/zeroth" "${1:-100000}"
