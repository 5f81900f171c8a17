#!/usr/bin/env bash
# Planning a study of 10 000 trials, plain and with halving (30 000).
set -eu
OUT=${OUT:-build/release}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"$OUT/zeroth" data synth --output "$place/data" --train 100 --val 20 -q
cat >"$place/plain.yaml" <<STUDY
config:
  data: {root: data, unseen_file: unseen.txt, class_vectors: class_vectors.csv}
variants: {primitive: {}, gmmn: {generator.kind: gmmn}}
sweep:
  generator.primitives: {range: [1, 101]}
  seed: {range: 50}
STUDY
{ cat "$place/plain.yaml"; echo 'halving: {metric: pq.unseen, key: generator.steps, factor: 3, rungs: 3}'; } >"$place/halving.yaml"
"$OUT/tests/bench/bench_plan" "$OUT/zeroth" "$place/plain.yaml" 10000
"$OUT/tests/bench/bench_plan" "$OUT/zeroth" "$place/halving.yaml" 30000
