"""A generator step (all losses, backward, Adam) in PyTorch, against ours in the same run.

    bench_generator.py PATH_OF_BENCH_GENERATOR [ROUNDS [STEPS]]

Forms of the peer, all on 2 threads with the same sizes, dropout and noise:
  published  as the method's published code: the primitives repeated for every
             row, self-attention of length 1 in full, seen and unseen classes
             one after the other, every pair concatenated for the relation net
  shared     keys and values of the primitives computed once for all rows
  best       shared, and every other saving that ours has: length-1
             self-attention as two products, one batch of seen and unseen rows,
             the relation net's first layer factorised, Adam by foreach

Rounds of each are interleaved; the figure is the fastest step of all rounds,
since whatever else the machine does only ever adds.
"""
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

CLASSES, UNSEEN, VECTOR, DIM, ROWS = 133, 14, 300, 256, 96
PRIMITIVES, LAYERS, HEADS, FFN, DROPOUT = 400, 3, 8, 1024, 0.1
SIGMAS = (2, 5, 10, 20, 40, 80)
WEIGHT, W1, W2, W3, TEMPERATURE = 1e-4, 1.0, 1.0, 0.5, 0.1
WARM = 3


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.own = nn.MultiheadAttention(DIM, HEADS, dropout=DROPOUT)
        self.cross = nn.MultiheadAttention(DIM, HEADS, dropout=DROPOUT)
        self.wide, self.narrow = nn.Linear(DIM, FFN), nn.Linear(FFN, DIM)
        self.norms = nn.ModuleList(nn.LayerNorm(DIM) for _ in range(3))
        self.drop = nn.Dropout(DROPOUT)

    def own_short(self, x):
        """Self-attention of sequences of length 1: the weight is 1, dropped per row and head."""
        value = F.linear(x, self.own.in_proj_weight[2 * DIM:], self.own.in_proj_bias[2 * DIM:])
        kept = F.dropout(torch.ones(x.shape[0], HEADS, 1), DROPOUT)
        value = (value.view(-1, HEADS, DIM // HEADS) * kept).view(-1, DIM)
        return self.own.out_proj(value)

    def forward(self, x, primitives, form):
        """published: x [1, M, D], primitives [N, M, D]; else x [M, D], primitives [N, 1, D]."""
        if form == "published":
            update = self.own(x, x, x)[0]
        elif form == "shared":
            update = self.own(x[None], x[None], x[None])[0][0]
        else:
            update = self.own_short(x)
        x = self.norms[0](x + self.drop(update))
        if form == "published":
            update = self.cross(x, primitives, primitives)[0]
        else:
            update = self.cross(x[:, None], primitives, primitives, need_weights=False)[0][:, 0]
        x = self.norms[1](x + self.drop(update) + torch.randn_like(x))
        update = self.narrow(self.drop(F.relu(self.wide(x))))
        return self.norms[2](x + self.drop(update))


def encoder():
    return nn.Sequential(nn.Linear(DIM, DIM), nn.Linear(DIM, DIM), nn.LeakyReLU(0.2), nn.Dropout(DROPOUT))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(VECTOR, DIM)
        self.primitives = nn.Parameter(torch.randn(PRIMITIVES, DIM))
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(DIM)
        self.related, self.unrelated = encoder(), encoder()
        self.decoder = nn.Sequential(nn.Linear(2 * DIM, DIM), nn.LeakyReLU(0.2), nn.Dropout(DROPOUT),
                                     nn.Linear(DIM, DIM), nn.LeakyReLU(0.2), nn.Dropout(DROPOUT))
        self.pair, self.score = nn.Linear(2 * DIM, DIM), nn.Linear(DIM, 1)
        self.vectors = torch.randn(CLASSES, VECTOR)
        self.unseen = torch.arange(CLASSES - UNSEEN, CLASSES)
        self.classifier = nn.Linear(DIM, CLASSES + 1)

    def generate(self, a, form):
        if form == "published":
            x, memory = a[None], self.primitives[:, None].repeat(1, a.shape[0], 1)
        else:
            x, memory = a, self.primitives[:, None]
        for layer in self.layers:
            x = layer(x, memory, form)
        return self.norm(x).view(-1, DIM)

    def relation(self, r, a, form):
        if form == "best":
            pairs = F.linear(r, self.pair.weight[:, :DIM])[:, None] + F.linear(a, self.pair.weight[:, DIM:], self.pair.bias)
        else:
            rows, classes = r.shape[0], a.shape[0]
            pairs = torch.cat((r[:, None].expand(rows, classes, DIM), a[None].expand(rows, classes, DIM)), 2)
            pairs = self.pair(pairs.reshape(-1, 2 * DIM)).view(rows, classes, DIM)
        return torch.sigmoid(self.score(F.relu(pairs)))[..., 0]

    def parts(self, labels, form):
        """a, fake, related, unrelated, rebuilt: each a pair of seen and unseen rows; and a of every class."""
        every = self.project(self.vectors)
        chosen = (every[labels], every[self.unseen] if form == "best" else self.project(self.vectors[self.unseen]))
        batches = (torch.cat(chosen),) if form == "best" else chosen
        made = []
        for a in batches:
            fake = self.generate(a, form)
            related, unrelated = self.related(fake), self.unrelated(fake)
            made.append((a, fake, related, unrelated, self.decoder(torch.cat((related, unrelated), 1))))
        if form == "best":
            return [x.split((ROWS, UNSEEN)) for x in made[0]], every
        return list(zip(*made)), every


def moment_matching(x, y):
    both = torch.cat((x, y))
    squares = (both * both).sum(1, keepdim=True)
    exponent = both @ both.t() - 0.5 * squares - 0.5 * squares.t()
    scale = torch.cat((torch.full((len(x), 1), 1 / len(y)), torch.full((len(y), 1), -1 / len(x))))
    scale = scale @ scale.t()
    return torch.sqrt(sum((scale * torch.exp(exponent / sigma)).sum() for sigma in SIGMAS))


def kl(x, target):
    return F.kl_div(F.log_softmax(x / TEMPERATURE, 1), F.log_softmax(target / TEMPERATURE, 1), reduction="sum",
                    log_target=True) / x.numel()


def cosine(x, y):
    return F.normalize(x, dim=1) @ F.normalize(y, dim=1).t()


def loss_of(model, real, labels, form):
    (a, fake, related, unrelated, rebuilt), every = model.parts(labels, form)
    total = moment_matching(fake[0], real) + 0.001 * F.cross_entropy(model.classifier(fake[0]), labels)
    relation = (F.cross_entropy(model.relation(related[0], every, form), labels) +
                F.cross_entropy(model.relation(related[1], a[1], form), torch.arange(UNSEEN))) / 2
    apart = sum(kl(u, torch.randn_like(u)) for u in unrelated) / 2
    rebuild = sum(F.l1_loss(x, y) for x, y in zip(rebuilt, fake)) / 2
    align = sum(kl(cosine(related[i], related[j]), cosine(a[i], a[j])) for i, j in ((0, 0), (1, 1), (0, 1))) / 3
    return total + WEIGHT * (W1 * (align + 0.5 * apart) + W2 * 0.2 * relation + W3 * rebuild)


class Peer:
    def __init__(self, form):
        torch.manual_seed(1)
        self.form, self.model = form, Model()
        trained = [p for n, p in self.model.named_parameters() if not n.startswith("classifier")]
        self.optimizer = torch.optim.Adam(trained, lr=5e-4, foreach=form == "best")
        self.real = torch.randn(ROWS, DIM)
        self.labels = torch.arange(ROWS) * 7 % (CLASSES - UNSEEN)

    def step(self):
        loss = loss_of(self.model, self.real, self.labels, self.form)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def time(self, steps):
        for _ in range(1 if self.form == "published" else WARM):
            self.step()
        taken = []
        for _ in range(steps):
            start = time.perf_counter()
            self.step()
            taken.append(1e3 * (time.perf_counter() - start))
        return min(taken)


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 15
    torch.set_num_threads(2)
    ours = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    peers = [Peer(form) for form in ("published", "shared", "best")]
    taken = {peer.form: [] for peer in peers}
    taken["ours"] = []
    for _ in range(rounds):
        ours.stdin.write(f"{steps}\n")
        ours.stdin.flush()
        taken["ours"].append(float(ours.stdout.readline()))
        for peer in peers:
            taken[peer.form].append(peer.time(2 if peer.form == "published" else steps))
    ours.stdin.close()
    if ours.wait() != 0:
        sys.exit("bench_generator failed")
    best = {form: min(values) for form, values in taken.items()}
    print(f"generator step, 2 threads: ours {best['ours']:.2f} ms")
    for form in ("published", "shared", "best"):
        print(f"  PyTorch {torch.__version__}, {form:9} {best[form]:8.2f} ms   {best[form] / best['ours']:6.2f}x ours")


main()
