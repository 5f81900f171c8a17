"""Numbers of torchvision's backbones for test_resnet.c and test_weight_exchange.c: writes torchvision_reference.h beside
this file.

Needs Debian's python3-torchvision. Every weight and the image come from a formula that the test repeats: element i of
the tensor NAME is a function (torchvision_formula.h) of u = splitmix64(fnv1a64(NAME) + i) >> 40, 24 bits, over 2^24, in [0, 1):
    convolutions (2u - 1) sqrt(3 / fan in)      .running_var 0.5 + u      norms' .weight 0.3 + 0.6 u
    .bias and .running_mean 0.2 (u - 0.5)       image and cotangents 2u - 1
Outputs are those of layer1 to layer4 (of MobileNetV2, of features 3, 6, 13 and 17), gradients those of their sum times
the cotangents. Of each tensor SAMPLES
elements are kept, evenly spaced in channels-last order for maps, and the norm of all.
"""
import os
import sys

import numpy
import torch
import torchvision

SAMPLES = 24
HEIGHT, WIDTH = 70, 100
GRADIENTS = {"resnet18": ["conv1.weight", "layer2.0.downsample.0.weight", "layer4.1.conv2.weight"],
             "resnet50": ["conv1.weight", "layer1.0.conv1.weight", "layer2.0.conv2.weight",
                          "layer3.0.downsample.0.weight", "layer3.5.conv2.weight", "layer4.2.conv3.weight"],
             "mobilenet_v2": []}


def uniform(name, count):
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 % 2**64
    z = (numpy.uint64(key) + numpy.arange(count, dtype=numpy.uint64)) + numpy.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(40)).astype(numpy.float64) / 2**24


def fill(name, shape):
    u = uniform(name, int(numpy.prod(shape)))
    if len(shape) == 4 and name.endswith(".weight"):
        values = (2 * u - 1) * numpy.sqrt(3 / numpy.prod(shape[1:]))
    elif name.endswith(".running_var"):
        values = 0.5 + u
    elif name.endswith(".weight"):
        values = 0.3 + 0.6 * u
    elif name.endswith((".bias", ".running_mean")):
        values = 0.2 * (u - 0.5)
    else:
        values = 2 * u - 1
    return torch.from_numpy(values.astype(numpy.float32).reshape(shape))


def kept(tensor):
    values = tensor.detach().numpy().reshape(-1).astype(numpy.float64)
    index = [i * (len(values) - 1) // (SAMPLES - 1) for i in range(SAMPLES)]
    return numpy.sqrt((values * values).sum()), [float(values[i]) for i in index]


def stages(model):
    """What makes each of the four outputs from the one before."""
    if hasattr(model, "features"):
        f = model.features
        return [f[:4], f[4:7], f[7:14], f[14:18]]
    stem = torch.nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    return [torch.nn.Sequential(stem, model.layer1), model.layer2, model.layer3, model.layer4]


def run(name):
    model = getattr(torchvision.models, name)().eval()
    state = {k: fill(k, v.shape) if v.dtype == torch.float32 else v for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    x = fill("image", (1, HEIGHT, WIDTH, 3)).permute(0, 3, 1, 2)
    total, rows = 0, []
    for k, stage in enumerate(stages(model), 1):
        x = stage(x)
        y = x.permute(0, 2, 3, 1)
        rows.append((f"layer{k}", *kept(y)))
        total = total + (y * fill(f"cotangent{k}", y.shape)).sum()
    total.backward()
    parameters = dict(model.named_parameters())
    return rows + [(g, *kept(parameters[g].grad)) for g in GRADIENTS[name]]


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torchvision_reference.h")
    with open(path, "w") as out:
        out.write("/* Made by torchvision_reference.py, which says what these are, with torch "
                  f"{torch.__version__.split('+')[0]} and\n * torchvision {torchvision.__version__.split('+')[0]}. */\n")
        out.write(f"enum {{ REFERENCE_SAMPLES = {SAMPLES}, REFERENCE_HEIGHT = {HEIGHT}, REFERENCE_WIDTH = {WIDTH} }};\n\n"
                  "typedef struct Reference { const char *name; double norm, values[REFERENCE_SAMPLES]; } Reference;\n")
        for name in GRADIENTS:
            out.write(f"\nstatic const Reference {name}_reference[] = {{\n")
            for tensor, norm, values in run(name):
                out.write(f'    {{"{tensor}", {norm:.9g},\n')
                for i in range(0, SAMPLES, 6):
                    line = ", ".join(f"{v:.9g}" for v in values[i:i + 6])
                    out.write(f"     {'{' if i == 0 else ' '}{line}{'}},' if i + 6 >= SAMPLES else ','}\n")
            out.write("};\n")
    print(path, file=sys.stderr)


main()
