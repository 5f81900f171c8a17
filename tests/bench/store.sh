#!/usr/bin/env bash
# Shuffled reads of a data set against a raw read of its file.
set -eu
exec "${OUT:-build/release}/tests/bench/bench_store" "${1:-150}" "${2:-9}"
