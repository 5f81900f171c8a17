#!/usr/bin/env bash
# Jobs per second with empty stages, beside GNU make and Snakemake.
set -eu
exec "${OUT:-build/release}/tests/bench/bench_jobs" "${1:-50}" "${2:-3}"
