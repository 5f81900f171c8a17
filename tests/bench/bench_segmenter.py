"""A training step of the segmenter in PyTorch, against ours in the same run: forward, matching, losses, backward,
clipping and AdamW on one image.

    bench_segmenter.py PATH_OF_BENCH_SEGMENTER [small|r50 [ROUNDS [STEPS [SIDE [THREADS]]]]]

The peer is the same network of stock modules: torchvision's ResNet (FrozenBatchNorm2d) or one with GroupNorm,
nn.MultiheadAttention, nn.Conv2d, F.grid_sample for the deformable attention and for the points, SciPy's assignment,
torch.optim.AdamW by foreach; channels-last. Each program is a process of its own, on 2 threads, and rounds are
interleaved; the figures are the fastest step of all rounds, the least processor time of a step (the better figure on a
machine that others use, with 1 thread: waiting threads spin), and the peak of resident memory.
"""
import resource
import subprocess
import sys
import time

QUERIES_CLASSES, SEGMENTS = 119, 12
SETTINGS = {
    "small": dict(side=128, dim=64, heads=4, ffn=128, layers=3, queries=20, points=256, rounds=5, steps=20),
    "r50": dict(side=928, dim=256, heads=8, ffn=2048, layers=9, queries=100, points=12544, rounds=2, steps=1),
}


def peer(kind, side, threads):
    import torch
    import torch.nn.functional as F
    import torchvision
    from scipy.optimize import linear_sum_assignment
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    s = SETTINGS[kind]
    dim, heads, classes = s["dim"], s["heads"], QUERIES_CLASSES

    def groups(channels):
        return min(channels // 4, 32)

    class Block(nn.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.a, self.na = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.GroupNorm(groups(o), o)
            self.b, self.nb = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.GroupNorm(groups(o), o)
            self.short = None if i == o and stride == 1 else nn.Sequential(
                nn.Conv2d(i, o, 1, stride, bias=False), nn.GroupNorm(groups(o), o))

        def forward(self, x):
            y = self.nb(self.b(F.relu(self.na(self.a(x)))))
            return F.relu(y + (x if self.short is None else self.short(x)))

    class SmallResnet(nn.Module):
        channels = [32, 64, 128, 256]

        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.GroupNorm(8, 32), nn.ReLU(),
                                      nn.MaxPool2d(3, 2, 1))
            self.stages = nn.ModuleList(Block(i, o, st) for i, o, st in
                                        ((32, 32, 1), (32, 64, 2), (64, 128, 2), (128, 256, 2)))

        def forward(self, x):
            x, out = self.stem(x), []
            for stage in self.stages:
                x = stage(x)
                out.append(x)
            return out

    class Resnet50(nn.Module):
        channels = [256, 512, 1024, 2048]

        def __init__(self):
            super().__init__()
            self.net = torchvision.models.resnet50(norm_layer=torchvision.ops.FrozenBatchNorm2d)
            del self.net.fc

        def forward(self, x):
            n, out = self.net, []
            x = n.maxpool(n.relu(n.bn1(n.conv1(x))))
            for stage in (n.layer1, n.layer2, n.layer3, n.layer4):
                x = stage(x)
                out.append(x)
            return out

    def sine(h, w):
        y = (torch.arange(1, h + 1)[:, None].expand(h, w) / (h + 1e-6) * 6.283185307)
        x = (torch.arange(1, w + 1)[None].expand(h, w) / (w + 1e-6) * 6.283185307)
        t = 10000 ** (2 * (torch.arange(dim // 2) // 2) / (dim // 2))
        both = [torch.stack(((a[..., None] / t)[..., 0::2].sin(), (a[..., None] / t)[..., 1::2].cos()), 3).flatten(2)
                for a in (y, x)]
        return torch.cat(both, 2).flatten(0, 1)  # [h*w, dim]

    class Deformable(nn.Module):
        def __init__(self):
            super().__init__()
            self.value, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim)
            self.offsets, self.weights = nn.Linear(dim, heads * 24), nn.Linear(dim, heads * 12)

        def forward(self, query, x, reference, sizes):
            length = x.shape[1]
            value = self.value(x).view(length, heads, dim // heads)
            offsets = self.offsets(query).view(length, heads, 3, 4, 2)
            weights = self.weights(query).view(length, heads, 12).softmax(-1)
            norm = torch.tensor([[w, h] for h, w in sizes], dtype=torch.float32)
            places = 2 * (reference[:, None, None, None] + offsets / norm[None, None, :, None]) - 1
            at, sampled = 0, []
            for level, (h, w) in enumerate(sizes):
                part = value[at:at + h * w].permute(1, 2, 0).reshape(heads, dim // heads, h, w)
                sampled.append(F.grid_sample(part, places[:, :, level].transpose(0, 1), align_corners=False))
                at += h * w
            sampled = torch.cat(sampled, 3)  # [heads, c, L, 12]
            return self.out((sampled * weights.transpose(0, 1)[:, None]).sum(-1).flatten(0, 1).t())[None]

    class EncoderLayer(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.wide, self.narrow = Deformable(), nn.Linear(dim, 1024), nn.Linear(1024, dim)
            self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

        def forward(self, x, position, reference, sizes):
            x = self.norm1(x + self.attention(x + position, x, reference, sizes))
            return self.norm2(x + self.narrow(F.relu(self.wide(x))))

    class Pixels(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.deformable = kind == "r50"
            levels = [0] if self.deformable else [3, 2, 1, 0]
            self.adapters = nn.ModuleDict({str(i): nn.Sequential(nn.Conv2d(channels[i], dim, 1, bias=False),
                                                                 nn.GroupNorm(groups(dim), dim)) for i in levels})
            self.convs = nn.ModuleDict({str(i): nn.Sequential(nn.Conv2d(dim, dim, 3, 1, 1, bias=False),
                                                              nn.GroupNorm(groups(dim), dim), nn.ReLU()) for i in levels})
            self.mask = nn.Conv2d(dim, dim, 1)
            if self.deformable:
                self.inputs = nn.ModuleList(nn.Sequential(nn.Conv2d(channels[3 - i], dim, 1),
                                                          nn.GroupNorm(32, dim)) for i in range(3))
                self.level = nn.Parameter(torch.randn(3, dim))
                self.layers = nn.ModuleList(EncoderLayer() for _ in range(6))

        def step(self, i, feature, above):
            y = self.adapters[str(i)](feature)
            if above is not None:
                y = y + F.interpolate(above, y.shape[-2:], mode="bilinear", align_corners=False)
            return self.convs[str(i)](y)

        def forward(self, features):
            if not self.deformable:
                y, out = None, []
                for i in (3, 2, 1, 0):
                    y = self.step(i, features[i], y)
                    out.append(y)
                return self.mask(y), out[:3]
            maps = [f(features[3 - i]) for i, f in enumerate(self.inputs)]
            sizes = [m.shape[-2:] for m in maps]
            x = torch.cat([m.flatten(2).transpose(1, 2) for m in maps], 1)
            position = torch.cat([sine(h, w) + self.level[i] for i, (h, w) in enumerate(sizes)])[None]
            reference = torch.cat([torch.stack(torch.meshgrid((torch.arange(w) + 0.5) / w, (torch.arange(h) + 0.5) / h,
                                                              indexing="xy"), -1).flatten(0, 1) for h, w in sizes])
            for layer in self.layers:
                x = layer(x, position, reference, sizes)
            parts = x.split([h * w for h, w in sizes], 1)
            maps = [p.transpose(1, 2).reshape(1, dim, h, w) for p, (h, w) in zip(parts, sizes)]
            return self.mask(self.step(0, features[0], maps[2])), maps

    class DecoderLayer(nn.Module):
        def __init__(self):
            super().__init__()
            self.cross, self.own = (nn.MultiheadAttention(dim, heads, batch_first=True) for _ in range(2))
            self.wide, self.narrow = nn.Linear(dim, s["ffn"]), nn.Linear(s["ffn"], dim)
            self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))

        def forward(self, x, place, keys, values, mask):
            x = self.norms[0](x + self.cross(x + place, keys, values, attn_mask=mask, need_weights=False)[0])
            placed = x + place
            x = self.norms[1](x + self.own(placed, placed, x, need_weights=False)[0])
            return self.norms[2](x + self.narrow(F.relu(self.wide(x))))

    class Segmenter(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = Resnet50() if kind == "r50" else SmallResnet()
            self.pixels = Pixels(self.backbone.channels)
            self.layers = nn.ModuleList(DecoderLayer() for _ in range(s["layers"]))
            self.queries, self.places = (nn.Parameter(torch.randn(1, s["queries"], dim)) for _ in range(2))
            self.level = nn.Parameter(torch.randn(3, dim))
            self.norm, self.label = nn.LayerNorm(dim), nn.Linear(dim, classes + 1)
            self.embed = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

        def heads(self, x, masks, size):
            x = self.norm(x)
            mask = torch.einsum("bqc,bchw->bqhw", self.embed(x), masks)
            blocked = F.interpolate(mask.detach(), size, mode="bilinear", align_corners=False).sigmoid() < 0.5
            blocked = blocked.flatten(2)
            blocked[blocked.all(-1)] = False
            return self.label(x), mask, blocked.repeat_interleave(heads, 0)

        def forward(self, image):
            masks, scales = self.pixels(self.backbone(image))
            values = [f.flatten(2).transpose(1, 2) + self.level[i] for i, f in enumerate(scales)]
            keys = [v + sine(*f.shape[-2:]) for v, f in zip(values, scales)]
            x, out = self.queries, []
            for i, layer in enumerate(self.layers):
                label, mask, blocked = self.heads(x, masks, scales[i % 3].shape[-2:])
                out.append((label, mask))
                x = layer(x, self.places, keys[i % 3], values[i % 3], blocked)
            label, mask, _ = self.heads(x, masks, scales[0].shape[-2:])
            return out + [(label, mask)]

    def sample(maps, points):
        """maps [M, H, W], points [M or 1, P, 2] in [0, 1] -> [M, P]"""
        points = points.expand(len(maps), -1, -1)
        return F.grid_sample(maps[:, None], 2 * points[:, :, None] - 1, align_corners=False)[:, 0, :, 0]

    def match(label, mask, targets, labels):
        points = torch.rand(1, s["points"], 2)
        x, t = sample(mask, points), sample(targets, points)
        positive = F.softplus(-x) @ t.t() + F.softplus(x) @ (1 - t).t()
        p = x.sigmoid()
        dice = 1 - (2 * p @ t.t() + 1) / (p.sum(1)[:, None] + t.sum(1)[None] + 1)
        cost = 5 * positive / s["points"] - 2 * label.softmax(1)[:, labels] + 5 * dice
        return linear_sum_assignment(cost.numpy())

    def head_loss(label, mask, targets, labels, weight):
        label, mask = label[0], mask[0]
        with torch.no_grad():
            rows, columns = (torch.as_tensor(i) for i in match(label, mask, targets, labels))
        wanted = torch.full((len(label),), classes)
        wanted[rows] = labels[columns]
        mask, targets = mask[rows], targets[columns]
        with torch.no_grad():
            points = torch.rand(len(mask), 3 * s["points"], 2)
            sure = sample(mask, points).abs()
            best = sure.topk(int(0.75 * s["points"]), 1, largest=False)[1]
            points = torch.cat((points.gather(1, best[..., None].expand(-1, -1, 2)),
                                torch.rand(len(mask), s["points"] - best.shape[1], 2)), 1)
            t = sample(targets, points)
        x = sample(mask, points)
        p = x.sigmoid()
        dice = (1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)).sum() / len(mask)
        return (2 * F.cross_entropy(label, wanted, weight) +
                5 * F.binary_cross_entropy_with_logits(x, t, reduction="none").mean(1).sum() / len(mask) + 5 * dice)

    model = Segmenter().to(memory_format=torch.channels_last)
    slow = list(model.backbone.parameters())
    rest = [p for n, p in model.named_parameters() if not n.startswith("backbone")]
    optimizer = torch.optim.AdamW([{"params": slow, "lr": 1e-5}, {"params": rest}], lr=1e-4, weight_decay=0.05, foreach=True)
    image = (2 * torch.rand(1, 3, side, side) - 1).to(memory_format=torch.channels_last)
    targets = torch.zeros(SEGMENTS, side, side)
    for i in range(SEGMENTS):
        top, left = i // 4 * side // 3, i % 4 * side // 4
        targets[i, top:top + side // 4, left:left + side // 5] = 1
    labels = torch.arange(SEGMENTS) * 7 % classes
    weight = torch.ones(classes + 1)
    weight[-1] = 0.1

    def step():
        loss = sum(head_loss(label, mask, targets, labels, weight) for label, mask in model(image))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimizer.step()

    print(torch.__version__, flush=True)
    warm = False
    for line in sys.stdin:
        if not warm:
            step()
            warm = True
        taken, used = [], []
        for _ in range(int(line)):
            start, busy = time.perf_counter(), time.process_time()
            step()
            taken.append(1e3 * (time.perf_counter() - start))
            used.append(1e3 * (time.process_time() - busy))
        print(min(taken), min(used), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


def bench(program, kind, rounds, steps, side, threads):
    commands = {"ours": [program, kind, str(side), str(threads)],
                "peer": [sys.executable, __file__, "--peer", kind, str(side), str(threads)]}
    running = {name: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for name, command in commands.items()}
    version = running["peer"].stdout.readline().strip()
    least = {}
    for _ in range(rounds):
        for name, process in running.items():
            process.stdin.write(f"{steps}\n")
            process.stdin.flush()
            taken, used, memory = (float(x) for x in process.stdout.readline().split())
            before = least.get(name, (taken, used, 0))
            least[name] = min(taken, before[0]), min(used, before[1]), memory
    for process in running.values():
        process.stdin.close()
        if process.wait() != 0:
            sys.exit("a bench failed")
    print(f"segmenter's training step, {kind}, {side} px, {threads} threads; peer PyTorch {version}")
    for i, (what, unit) in enumerate((("time", "ms"), ("processor time", "ms"), ("peak memory", "MiB"))):
        print(f"  {what:14} ours {least['ours'][i]:9.0f} {unit}, peer {least['peer'][i]:9.0f} {unit}: "
              f"{least['peer'][i] / least['ours'][i]:.2f}x ours")


def main():
    if sys.argv[1] == "--peer":
        return peer(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    for kind in sys.argv[2:3] or list(SETTINGS):
        given = [int(x) for x in sys.argv[3:]]
        defaults = [SETTINGS[kind]["rounds"], SETTINGS[kind]["steps"], SETTINGS[kind]["side"], 2]
        bench(sys.argv[1], kind, *(given + defaults[len(given):]))


main()
