"""The bench's native side: the training step of decoder.ts in PyTorch on one thread (Debian: python3-torch,
libopenblas0-pthread). Arguments: the step as JSON; a file of its weights, f32, in the order of "names". Prints "ready",
then for each line on stdin the loss before one step, and its seconds by the clock and by the processor."""
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
EPS, THETA = s["normEps"], s["ropeTheta"]
C, H, K, I, V, L = (s[k] for k in ("hiddenSize", "heads", "kvHeads", "intermediateSize", "vocabSize", "layers"))
ids = torch.tensor(s["ids"])
D, B, T = C // H, ids.shape[0], ids.shape[1] - 1


class Norm(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(n))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * self.weight


def linear(a, b):
    return torch.nn.Linear(a, b, bias=False)


angle = torch.outer(torch.arange(T).float(), THETA ** (-torch.arange(0, D, 2).float() / D))
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
        self.blocks = torch.nn.ModuleList(Block() for _ in range(L))
        self.norm = Norm(C)

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.embed.weight.T


model = Model()
OURS = {
    "self_attn.q_proj": "q",
    "self_attn.k_proj": "k",
    "self_attn.v_proj": "v",
    "self_attn.o_proj": "o",
    "mlp.gate_proj": "gate",
    "mlp.up_proj": "up",
    "mlp.down_proj": "down",
    "input_layernorm": "n1",
    "post_attention_layernorm": "n2",
}


def ours(name):
    name = name.replace("model.embed_tokens", "embed").replace("model.layers", "blocks").replace("model.norm", "norm")
    for theirs, own in OURS.items():
        name = name.replace(theirs, own)
    return name


with open(sys.argv[2], "rb") as file:
    flat = torch.frombuffer(bytearray(file.read()), dtype=torch.float32)
state, at = dict(model.named_parameters()), 0
with torch.no_grad():
    for name in s["names"]:
        p = state.pop(ours(name))
        p.copy_(flat[at : at + p.numel()].view(p.shape))
        at += p.numel()
assert not state and at == flat.numel(), list(state)
optimizer = torch.optim.AdamW(
    model.parameters(), lr=s["learningRate"], betas=(s["beta1"], s["beta2"]), eps=s["epsilon"], weight_decay=0
)


def step():
    start, worked = time.perf_counter(), time.process_time()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(ids[:, :-1]).reshape(-1, V), ids[:, 1:].reshape(-1))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), s["maxGradNorm"])
    optimizer.step()
    return loss.item(), time.perf_counter() - start, time.process_time() - worked


print("ready", torch.__version__, flush=True)
for _ in sys.stdin:
    print(*step(), flush=True)
