"""What an ablation costs with a feature store and without one.

Usage: bench_ablation.py ZEROTH [small|full]

With: shard, backbone and extract once, then generator and evaluate of every variant, as `zeroth run` does it; seconds
are those of its ledger, one job at a time, of one thread each.
Without: shard and backbone once too, but every variant runs the frozen segmenter itself, as the published code does: in
every iteration over the images that the iteration reads, and once over the test images. That time is counted, not run:
seconds an image of the extract job above, times images. An iteration's images are as many as give its classifier.rows
of real queries. Augmentation and loading of weights are not counted for the peer; reading images, matching and writing
features are part of an image's seconds.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

VARIANTS = 20
COCO_TRAIN, COCO_VAL = 118287, 5000

SMALL = {"train": 500, "val": 100, "size": "64x64", "steps": 500, "images": 8, "passes": 1, "config": """
  segmenter: {backbone: resnet, backbone_rate: 1, width: 24, dim: 64, heads: 4, ffn: 128, layers: 3, queries: 16}
  train: {steps: 100, batch: 8}
  generator: {steps: 500, rows: 64, ffn: 256, layers: 2, primitives: 100}
  classifier: {rows: 128}
"""}
FULL = {"train": 12, "val": 6, "size": "480x640", "steps": 100, "images": 12, "passes": 2, "config": """
  segmenter: {backbone: resnet50, pixel_decoder: deformable, pixel_layers: 6, pixel_ffn: 1024, dim: 256, heads: 8,
              ffn: 2048, layers: 9, queries: 100}
  train: {steps: 1, batch: 1, crop: [64, 64]}
  extract: {mirror: true}
  generator: {steps: 100, rows: 96, ffn: 1024, layers: 3, primitives: 400}
  classifier: {rows: 1200, optimizer: sgd}
"""}


def variants(count):
    """What an ablation varies: kinds, terms, primitives, weights, K."""
    gmmn = "generator.kind: gmmn, generator.disentangle: false, generator.align: false"
    chosen = [gmmn, "generator.disentangle: false, generator.align: false", "generator.align: false", "seed: 0"]
    chosen += [f"generator.primitives: {n}" for n in (25, 50, 200, 400, 800)]
    chosen += [f"generator.weight: {w}" for w in (0, 0.001, 0.01, 0.1)]
    chosen += [f"generator.align_{terms}: false" for terms in ("seen_seen", "unseen_unseen", "seen_unseen")]
    chosen += [f"classifier.unseen_choice: {k}" for k in (1, 2)]
    chosen += ["generator.noise: false", "classifier.when: after"]
    assert len(chosen) == VARIANTS
    return chosen[:count]


def run(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {result.returncode}:\n{result.stdout}")
    return result.stdout


def measure(zeroth, place, plan, count):
    """Seconds of each job by stage, and of one image as extract took it."""
    run(zeroth, "data", "synth", "--output", f"{place}/data", "--train", str(plan["train"]), "--val", str(plan["val"]),
        "--size", plan["size"], "--unseen-rate", "0")  # no training image is dropped
    study = pathlib.Path(place, "study.yaml")
    study.write_text("name: ablation\nwork: work\nconfig:\n"
                     "  data: {root: data, unseen_file: unseen.txt, class_vectors: class_vectors.csv}\n"
                     + plan["config"].lstrip("\n") + "variants:\n"
                     + "".join(f"  v{i}: {{{text}}}\n" for i, text in enumerate(variants(count))))
    run(zeroth, "run", str(study), "--jobs", "1")
    seconds = {}
    for artifact in pathlib.Path(place, "work", "artifacts").iterdir():
        job = json.loads(run(zeroth, "ledger", "show", str(study), artifact.name, "--format", "json"))
        seconds.setdefault(job["stage"], []).append(sum(attempt["seconds"] for attempt in job["attempts"]))
    assert len(seconds["evaluate"]) == count, seconds
    return seconds, seconds["extract"][0] / (plan["train"] * plan["passes"] + plan["val"])


def tell(shared, extract, variant, image, images):
    """`shared`: shard and backbone; `variant`: generator and evaluate of one; seconds. `images`: of one variant."""
    ours, peer = shared + extract + VARIANTS * variant, shared + VARIANTS * (image * images + variant)
    first = f"{shared:.0f} s shard and backbone + " if shared > 0 else ""
    print(f"    with the store:    {first}{extract:.0f} s extract + {VARIANTS} x {variant:.1f} s generator and evaluate "
          f"= {ours:.0f} s")
    print(f"    recomputing:       {first}{VARIANTS} x ({images} images x {1000 * image:.1f} ms + {variant:.1f} s) = "
          f"{peer:.0f} s")
    print(f"    ratio: {peer / ours:.1f}x; against extracting once a variant: "
          f"{(shared + VARIANTS * (extract + variant)) / ours:.1f}x")


def bench_small(zeroth):
    with tempfile.TemporaryDirectory() as place:
        seconds, image = measure(zeroth, place, SMALL, VARIANTS)
    images = SMALL["steps"] * SMALL["images"] + SMALL["val"]
    print(f"  small: {SMALL['train']} training and {SMALL['val']} test scenes of 64 px, {SMALL['steps']} iterations of "
          f"{SMALL['images']} images; all {VARIANTS} variants run")
    tell(seconds["shard"][0] + seconds["backbone"][0], seconds["extract"][0],
         (sum(seconds["generator"]) + sum(seconds["evaluate"])) / VARIANTS, image, images)


def bench_full(zeroth):
    count, iterations = 3, 20000
    with tempfile.TemporaryDirectory() as place:
        seconds, image = measure(zeroth, place, FULL, count)
    generator = sum(seconds["generator"]) / count * iterations / FULL["steps"]
    evaluate = sum(seconds["evaluate"]) / count * COCO_VAL / FULL["val"]
    print(f"  published sizes on COCO, multiplied from {FULL['train']} + {FULL['val']} images of 640x480 and "
          f"{FULL['steps']} iterations of {count} variants:\n    ResNet-50, 100 queries, {iterations} iterations of "
          f"{FULL['images']} images; {COCO_TRAIN} training images, each also mirrored, and {COCO_VAL} test images;\n"
          "    training the segmenter, the same for both, is left out")
    tell(0, image * (2 * COCO_TRAIN + COCO_VAL), generator + evaluate, image, iterations * FULL["images"] + COCO_VAL)


def main():
    benches = {"small": bench_small, "full": bench_full}
    chosen = sys.argv[2:] or list(benches)
    if len(sys.argv) < 2 or any(name not in benches for name in chosen):
        sys.exit(__doc__)
    print(f"ablation: {VARIANTS} variants of the generator on one feature store, against {VARIANTS} runs that recompute\n"
          "  the segmenter, one job at a time. Assumed of the peer: every iteration runs the frozen segmenter over its\n"
          "  images (as many as give its classifier.rows of real queries), and evaluation over the test images, at the\n"
          "  time that an image took in our extract job; its augmentation is not counted", flush=True)
    for name in chosen:
        benches[name](sys.argv[1])


if __name__ == "__main__":
    main()
