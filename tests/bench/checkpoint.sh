#!/usr/bin/env bash
# The share of a large model's training time that goes to waiting for checkpoints.
set -eu
exec "${OUT:-build/release}/tests/bench/bench_checkpoint" "${1:-45}" "${2:-5}" "${3:-40}"
