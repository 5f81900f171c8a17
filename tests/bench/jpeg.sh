#!/usr/bin/env bash
# JPEG import against libjpeg-turbo alone.
set -eu
exec "${OUT:-build/release}/tests/bench/bench_jpeg" "${1:-150}" "${2:-5}"
