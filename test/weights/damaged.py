"""Writes damaged.json: what transformers computes in float32 with weights that were damaged in known ways. Run where torch and transformers are:

    python test/weights/damaged.py

Each case names a golden checkpoint, the bytes that were put into it ([tensor, first byte, hex]), the ids, and either the logits of the last
position or null where one of them is not finite.
"""
import json, os, random, struct, torch, transformers as T
from safetensors.torch import load_file

here = os.path.dirname(os.path.abspath(__file__))
draw = random.Random(11)
bf16 = lambda x: struct.pack("<f", x)[2:]
odd = [bf16(float("nan")), bytes([0xFF, 0xFF]), bf16(float("inf")), bf16(float("-inf")), bf16(3.3e38), bf16(-3.3e38), bf16(1e-39), bf16(1e20), bf16(-1e4), bytes(2)]

def damage(tensors):
    name = draw.choice(sorted(tensors))
    count = tensors[name].numel()
    at, kind = draw.randrange(count), draw.randrange(4)
    if kind < 2: return name, 2 * at, draw.choice(odd)
    length = min(count - at, draw.choice([1, 4, 24]))
    if kind == 2: return name, 2 * at, bytes(draw.randrange(256) for _ in range(2 * length))
    return name, 2 * at, draw.choice(odd) * length

cases = []
for golden in ["qwen3-tied", "qwen3-moe"]:
    folder = os.path.join(here, "../golden", golden)
    tensors = load_file(os.path.join(folder, "model.safetensors"))
    ids = load_file(os.path.join(folder, "golden.safetensors"))["input_ids"][0, :10].tolist()
    whole = T.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    original = {k: v.clone() for k, v in whole.state_dict().items()}
    for _ in range(30):
        put = [damage(tensors) for _ in range(draw.choice([1, 1, 2]))]
        changed = {k: v.clone() for k, v in tensors.items()}
        for name, at, data in put:
            flat = changed[name].view(-1).view(torch.uint8)
            flat[at:at + len(data)] = torch.tensor(list(data), dtype=torch.uint8)
        import tempfile, shutil
        from safetensors.torch import save_file
        with tempfile.TemporaryDirectory() as t:
            shutil.copy(os.path.join(folder, "config.json"), t)
            save_file(changed, os.path.join(t, "model.safetensors"), metadata={"format": "pt"})
            model = T.AutoModelForCausalLM.from_pretrained(t, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad(): logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        finite = bool(torch.isfinite(logits).all())
        cases.append(dict(golden=golden, put=[[n, a, d.hex()] for n, a, d in put], ids=ids, logits=[float(f"{x:.8g}") for x in logits.tolist()] if finite else None))
print(sum(c["logits"] is None for c in cases), "of", len(cases), "are not finite")
with open(os.path.join(here, "damaged.json"), "w") as out:
    json.dump(cases, out, separators=(",", ":"))
    out.write("\n")
