#!/usr/bin/env bash
# What `make demo` does after the build: scenes, study, table, pictures.
set -eu
cd "$(dirname "$0")/.."
zeroth=${OUT:-build/release}/zeroth
[ -f demo/data/panoptic_val.json ] || "$zeroth" data synth --output demo/data --train 4000 --val 400
"$zeroth" run configs/demo.yaml
echo
"$zeroth" report configs/demo.yaml
echo
model=$("$zeroth" report configs/demo.yaml --models | awk -F'\t' '$1 ~ /^full N100/ { print $NF; exit }')
echo "Pictures (image, truth, prediction; unseen classes hatched): $model/pictures"
echo "Segment an image of your own:  $zeroth predict $model IMAGE"
