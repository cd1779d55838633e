#!/usr/bin/env python3
"""Writes quantized.json: the logits that transformers computes, in float32, for models whose quantized weights are those of test/support/quantized-files.ts.

    python quantized.py > quantized.json      needs torch, transformers, gguf

Both sides draw the stored bytes by the same formula. Here they are decoded: blocks by gguf-py, the tensors of folders by the formulas of the
libraries (GPTQModel, AutoAWQ, compressed-tensors, torch's float8_e4m3fn).
"""
import base64, json, numpy as np, torch, transformers as T
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Q, quants

BASE = dict(vocab_size=96, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=64,
            max_position_embeddings=128, bos_token_id=0, eos_token_id=1, tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=10000.0))
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=256, norm_topk_prob=True)
IDS = [(i * 37 + 5) % 96 for i in range(12)]
GROUP = 64
# Halves of blocks: where, the exponent, and whether they are negative.
HALVES = {"Q8_0": [(0, -10, 0)], "Q4_0": [(0, -6, 0)], "Q4_1": [(0, -6, 0), (2, -3, 1)], "Q5_0": [(0, -7, 0)], "Q5_1": [(0, -7, 0), (2, -3, 1)], "Q4_K": [(0, -11, 0), (2, -8, 0)],
          "Q5_K": [(0, -12, 0), (2, -8, 0)], "Q6_K": [(208, -14, 0)], "IQ4_NL": [(0, -10, 0)], "IQ4_XS": [(0, -14, 0)]}


def words(name, count):
    """Words of 32 bits: the finaliser of MurmurHash3 over their numbers, from the FNV-1a of the name on."""
    seed = 2166136261
    for byte in name.encode(): seed = (seed ^ byte) * 16777619 % 2**32
    x = np.arange(count, dtype=np.uint32) + np.uint32(seed)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)): x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(16))


def draw(name, count, dtype): return words(name, -(-count * np.dtype(dtype).itemsize // 4)).view(dtype)[:count].copy()
def number(field, mantissa, exponent_bits, bias, exponent): return field & ((1 << mantissa) - 1) | ((exponent + bias) << mantissa)


def floats(name, shape, kind):
    """Numbers of a kind; of one dimension 0.75 … 1.25, else about 0.09, the sign random, and routers wider."""
    count = int(np.prod(shape))
    if len(shape) == 1: return (0.75 + (draw(name, count, np.uint32) >> 16) / 2**17).astype(np.float32).reshape(shape)
    if kind == "router": return (((draw(name, count, np.uint32) >> 16) - 32768.0) / 2**17).astype(np.float32).reshape(shape)
    raw = draw(name, count, np.uint16)
    if kind == "F16": return (raw & 0x83FF | (11 << 10)).astype(np.uint16).view(np.float16).astype(np.float32).reshape(shape)
    return ((raw & 0x807F | (123 << 7)).astype(np.uint32) << 16).view(np.float32).reshape(shape)


def blocks(name, shape, kind):
    if kind in ("F16", "BF16"): return floats(name, shape, kind)
    size, bytes_ = GGML_QUANT_SIZES[Q[kind]]
    raw = draw(name, int(np.prod(shape)) // size * bytes_, np.uint8).reshape(-1, bytes_)
    for at, exponent, negative in HALVES[kind]:
        half = np.ascontiguousarray(raw[:, at : at + 2]).view(np.uint16)
        raw[:, at : at + 2] = (half & 0x3FF | ((exponent + 15) << 10) | (negative << 15)).astype(np.uint16).view(np.uint8)
    return quants.dequantize(raw.reshape(*shape[:-1], -1), Q[kind]).reshape(shape)


nibbles = lambda w: (w[..., None] >> (4 * np.arange(8, dtype=np.uint32))) & 15
half_scales = lambda name, shape: (draw(name, int(np.prod(shape)), np.uint16) & 0x3FF | (9 << 10)).astype(np.uint16).view(np.float16).astype(np.float32).reshape(shape)
spread = lambda a, times, axis: np.repeat(a, times, axis)


def module(stem, shape, method):
    """The weight [out, in] of a linear layer of a folder."""
    out, columns = shape
    groups = columns // GROUP
    if method.startswith("gptq"):
        q = np.moveaxis(nibbles(words(f"{stem}.qweight", columns // 8 * out).reshape(columns // 8, out)), -1, 1).reshape(columns, out)
        z = np.full((groups, out), 8) if "symmetric" in method else nibbles(words(f"{stem}.qzeros", groups * out // 8).reshape(groups, -1) + np.uint32(0x11111111)).reshape(groups, out)
        order = np.arange(columns) * 37 % columns // GROUP if "order" in method else np.arange(columns) // GROUP
        return (half_scales(f"{stem}.scales", (groups, out))[order] * (q.astype(np.int64) - z[order]).astype(np.float32)).T
    if method == "awq":
        inverse = [0, 4, 1, 5, 2, 6, 3, 7]
        q = nibbles(words(f"{stem}.qweight", columns * out // 8).reshape(columns, -1))[..., inverse].reshape(columns, out)
        z = nibbles(words(f"{stem}.qzeros", groups * out // 8).reshape(groups, -1))[..., inverse].reshape(groups, out)
        return (spread(half_scales(f"{stem}.scales", (groups, out)), GROUP, 0) * (q.astype(np.int64) - spread(z.astype(np.int64), GROUP, 0)).astype(np.float32)).T
    if method == "compressed-tensors":
        q = nibbles(words(f"{stem}.weight_packed", out * columns // 8).reshape(out, -1)).reshape(out, columns).astype(np.int64) - 8
        bits = (draw(f"{stem}.weight_scale", out * groups, np.uint16) & 0x7F | (121 << 7)).astype(np.uint32) << 16
        return spread(bits.view(np.float32).reshape(out, groups), GROUP, 1) * q.astype(np.float32)
    raw = draw(f"{stem}.weight", out * columns, np.uint8)
    raw = np.where(raw & 0x7F == 0x7F, raw & 0xF7, raw).astype(np.uint8)
    codes = torch.from_numpy(raw).view(torch.float8_e4m3fn).float().numpy().reshape(shape)
    rows, width = (1, columns) if method == "fp8-row" else (128, 128)
    shape = (-(-out // rows), -(-columns // width))
    bits = draw(f"{stem}.weight_scale", shape[0] * shape[1], np.uint32) & 0x7FFFFF | (116 << 23)
    return codes * spread(spread(bits.astype(np.uint32).view(np.float32).reshape(shape), rows, 0)[:out], width, 1)[:, :columns]


@torch.no_grad()
def logits(weight_of, experts):
    config = (T.Qwen3MoeConfig if experts else T.Qwen3Config)(**{**BASE, **(EXPERTS if experts else {})})
    model = T.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    for name, p in model.named_parameters(): p.copy_(torch.from_numpy(np.array(weight_of(name, tuple(p.shape)), dtype=np.float32)))
    found = model(torch.tensor([IDS]), use_cache=False).logits[0]
    assert 0.1 < found.abs().mean() < 10, found.abs().mean()
    return base64.b64encode(found.contiguous().numpy().tobytes()).decode()


def in_blocks(kind_of):
    def weight(name, shape):
        if len(shape) == 1: return floats(name, shape, "F32")
        if name.endswith("mlp.gate.weight"): return floats(name, shape, "router")
        if name.endswith("gate_up_proj"):
            part = (shape[0], shape[1] // 2, shape[2])
            return np.concatenate([blocks(name.replace("gate_up", of), part, kind_of(of)) for of in ("gate", "up")], 1)
        return blocks(name, shape, kind_of(name))
    return weight


def in_folder(method):
    def weight(name, shape):
        if name.endswith("mlp.gate.weight"): return floats(name, shape, "router")
        if ".experts." in name:
            stem, last = name.rsplit(".", 1)
            of = ["gate", "up"] if last == "gate_up_proj" else ["down"]
            part = (shape[1] // len(of), shape[2])
            return np.stack([np.concatenate([module(f"{stem}.{e}.{o}_proj", part, method) for o in of]) for e in range(shape[0])])
        return module(name.removesuffix(".weight"), shape, method) if "layers" in name and len(shape) == 2 else floats(name, shape, "BF16")
    return weight


mixed = lambda name: "Q8_0" if "embed" in name else "Q6_K" if "v_proj" in name or "down_proj" in name or name.startswith("lm_head") else "Q4_K"
cases = {kind: (in_blocks(lambda _, k=kind: k), False) for kind in ("F16", "BF16", *HALVES)}
cases |= {"mixed": (in_blocks(mixed), False), "mixed, experts": (in_blocks(mixed), True), "IQ4_XS, experts": (in_blocks(lambda _: "IQ4_XS"), True)}
cases |= {m: (in_folder(m), False) for m in ("gptq-symmetric", "gptq", "gptq-order", "awq", "fp8", "fp8-row", "compressed-tensors")}
cases |= {f"{m}, experts": (in_folder(m), True) for m in ("gptq-order", "fp8")}
print(json.dumps({name: logits(*case) for name, case in cases.items()}, indent=2))
