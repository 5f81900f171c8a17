#!/usr/bin/env python3
"""A .pth or .pkl of weights as a safetensors file, which 'segmenter.weights' and 'zeroth weights' read.

    python3 docs/convert_weights.py resnet50.pth resnet50.safetensors

Needs PyTorch and nothing else. Takes what torch.load or pickle.load gives: a state dict, one below "model" or
"state_dict" (detectron2, Mask2Former, PADing), or a module. Names stay as they are: Zeroth knows torchvision's,
detectron2's, Mask2Former's and PADing's. Floats become float32; counters of batches and whatever is no tensor are left
out, and said so. Loading a pickle runs code of whoever made it: convert files of those you trust.
"""
import json
import pickle
import struct
import sys

import numpy
import torch


def load(path):
    try:
        content = torch.load(path, map_location="cpu")
    except Exception:  # detectron2's .pkl is a plain pickle, of Python 2's time
        with open(path, "rb") as file:
            content = pickle.load(file, encoding="latin1")
    if hasattr(content, "state_dict"):
        content = content.state_dict()
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        sys.exit(f"{path}: holds a {type(content).__name__}, not a dictionary of tensors")
    return content


def tensors(content):
    for name, value in content.items():
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu()
            value = value.float().numpy() if value.is_floating_point() else value.numpy()
        if not isinstance(value, numpy.ndarray) or value.dtype.kind != "f":
            print(f"left out: {name}", file=sys.stderr)
            continue
        yield (name[len("module."):] if name.startswith("module.") else name,
               numpy.ascontiguousarray(value, dtype="<f4"))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    arrays = dict(tensors(load(sys.argv[1])))
    if not arrays:
        sys.exit(f"{sys.argv[1]}: no tensor in it")
    header, at = {"__metadata__": {"format": "pt", "source": sys.argv[1].rsplit("/", 1)[-1]}}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(sys.argv[2], "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            out.write(array.tobytes())
    print(f"{sys.argv[2]}: {len(arrays)} tensors")


if __name__ == "__main__":
    main()
