"""The bench's native side: a training step of the same decoder in PyTorch on one thread (Debian: python3-torch,
libopenblas0-pthread). Arguments: a JSON shape. Prints "ready", then the seconds of one
step, by the clock and by the processor, for each line on stdin."""
import json
import math
import sys
import time

try:
    import torch
except ImportError as error:
    print(f"absent: {error}", flush=True)
    sys.exit(0)
import torch.nn.functional as F

s = json.loads(sys.argv[1])
torch.set_num_threads(1)
torch.manual_seed(1)
C, H, K, I, V, L = (s[k] for k in ("hiddenSize", "heads", "kvHeads", "intermediateSize", "vocabSize", "layers"))
D, B, T = C // H, s["sequences"], s["tokens"]


class Norm(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(n))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def linear(a, b):
    layer = torch.nn.Linear(a, b, bias=False)
    torch.nn.init.normal_(layer.weight, std=0.02)
    return layer


angle = torch.outer(torch.arange(T).float(), 10000.0 ** (-torch.arange(0, D, 2).float() / D))
COS, SIN = angle.cos(), angle.sin()
MASK = torch.full((T, T), -math.inf).triu(1)


def rope(x):
    a, b = x.chunk(2, -1)
    return torch.cat((a * COS - b * SIN, b * COS + a * SIN), -1)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = Norm(C), Norm(C)
        self.q, self.k, self.v, self.o = linear(C, H * D), linear(C, K * D), linear(C, K * D), linear(H * D, C)
        self.gate, self.up, self.down = linear(C, I), linear(C, I), linear(I, C)

    def forward(self, x):
        n = self.n1(x)
        q = rope(self.q(n).view(B, T, H, D).transpose(1, 2))
        k = rope(self.k(n).view(B, T, K, D).transpose(1, 2)).repeat_interleave(H // K, 1)
        v = self.v(n).view(B, T, K, D).transpose(1, 2).repeat_interleave(H // K, 1)
        p = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(D) + MASK, -1)
        x = x + self.o((p @ v).transpose(1, 2).reshape(B, T, H * D))
        n = self.n2(x)
        return x + self.down(F.silu(self.gate(n)) * self.up(n))


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(V, C)
        torch.nn.init.normal_(self.embed.weight, std=0.02)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(L))
        self.norm = Norm(C)

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.embed.weight.T


model = Model()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
ids = torch.randint(V, (B, T + 1))


def step():
    start, worked = time.perf_counter(), time.process_time()
    optimizer.zero_grad()
    F.cross_entropy(model(ids[:, :-1]).reshape(-1, V), ids[:, 1:].reshape(-1)).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return time.perf_counter() - start, time.process_time() - worked


step()
print("ready", torch.__version__, flush=True)
for _ in sys.stdin:
    print(*step(), flush=True)
