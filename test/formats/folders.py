#!/usr/bin/env python3
"""Writes folders.json: a weight each as quantized folders store it, and the float32 numbers that it stands for.

    python folders.py > folders.json      needs torch, numpy

Codes, zeros and scales are drawn, the weights follow from them, and they are packed as the libraries pack them: GPTQ as GPTQModel (zeros less
one as one subtraction from the word), AWQ as AutoAWQ, integers of compressed-tensors as its `pack_to_int32`, e4m3 by torch.
"""
import base64, json, numpy as np, torch

rng = np.random.default_rng(14)
text = lambda array: base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
cases = []
OUT, GROUP = 24, 32
STEM = "model.layers.0.mlp.up_proj"


def case(name, config, form, tensors, weight):
    stored = {}
    for key, value in tensors.items():
        t = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(value))
        dtype = {torch.int32: "I32", torch.int64: "I64", torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32", torch.int8: "I8", torch.float8_e4m3fn: "F8_E4M3"}[t.dtype]
        stored[f"{STEM}.{key}"] = {"dtype": dtype, "shape": list(t.shape), "data": text(t.contiguous().reshape(-1).view(torch.uint8).numpy())}
    weight = np.asarray(weight, dtype=np.float32)
    assert np.isfinite(weight).all()
    cases.append({"name": name, "config": config, "format": form, "tensors": stored, "shape": list(weight.shape), "weight": text(weight)})


def packed(fields, bits, axis):
    """Fields along an axis into words, the first in the lowest bits; what is left of the last word is zero."""
    per = 32 // bits
    moved = np.moveaxis(fields.astype(np.uint32), axis, -1)
    moved = np.pad(moved, [(0, 0)] * (moved.ndim - 1) + [(0, -moved.shape[-1] % per)])
    words = np.bitwise_or.reduce(moved.reshape(*moved.shape[:-1], -1, per) << (bits * np.arange(per, dtype=np.uint32)), axis=-1)
    return np.moveaxis(words, -1, axis)


signed = lambda words: words.astype(np.uint32).view(np.int32)


def scales_of(shape, kind):
    drawn = torch.from_numpy(np.array((0.5 + rng.random(shape)) / 40, dtype=np.float32)).to({"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[kind])
    return drawn, drawn.float().numpy()


def gptq(name, form, bits=4, columns=64, group=GROUP, sym=False, version="gptq", kind="f16", order=None, index=True, shown=None, **more):
    size = columns if group == -1 else group
    groups = -(-columns // size)
    middle = 2 ** (bits - 1)
    q = rng.integers(0, 2**bits, (columns, OUT))
    z = np.full((groups, OUT), middle) if sym else rng.integers(0, 2**bits, (groups, OUT))
    stored, s = scales_of((groups, OUT), kind)
    g = np.arange(columns) // size
    if order: g = rng.permutation(g)
    weight = (s[g] * (q - z[g]).astype(np.float32)).T
    words = packed(z, bits, 1)
    if version == "gptq" and shown != "as-they-are": words = words - np.uint32(sum(1 << (bits * i) for i in range(32 // bits)))
    tensors = {"qweight": signed(packed(q, bits, 0)), "qzeros": signed(words), "scales": stored}
    if index: tensors["g_idx"] = g.astype(np.int32)
    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "sym": sym, "desc_act": bool(order), "checkpoint_format": version, **more}
    case(name, config, form, tensors, weight)


def awq(name, form, columns=64, group=GROUP, kind="f16"):
    size = columns if group == -1 else group
    groups = -(-columns // size)
    q, z = rng.integers(0, 16, (columns, OUT)), rng.integers(0, 16, (groups, OUT))
    stored, s = scales_of((groups, OUT), kind)
    weight = (s.repeat(size, 0)[:columns] * (q - z.repeat(size, 0)[:columns]).astype(np.float32)).T
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    shuffled = lambda a: a.reshape(a.shape[0], -1, 8)[:, :, order].reshape(a.shape)
    tensors = {"qweight": signed(packed(shuffled(q), 4, 1)), "qzeros": signed(packed(shuffled(z), 4, 1)), "scales": stored}
    case(name, {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm", "modules_to_not_convert": None}, form, tensors, weight)


def fp8(name, form, config, scale_name, shape, kind, columns=64, block=(1, 1)):
    w = torch.from_numpy((rng.standard_normal((OUT, columns)) * 60).astype(np.float32)).clamp(-448, 448).to(torch.float8_e4m3fn)
    w.view(torch.uint8)[0, :4] = torch.tensor([0x80, 0x01, 0xFE, 0x7E], dtype=torch.uint8)
    stored, s = scales_of(shape, kind)
    spread = s.reshape(s.shape if s.ndim == 2 else (-1, 1)).repeat(block[0], 0)[:OUT].repeat(block[1], 1)[:, :columns]
    tensors = {"weight": w, scale_name: stored.reshape(shape), "input_scale": torch.ones(1)}
    case(name, config, form, tensors, w.float().numpy() * spread)


def compressed(name, form, bits=4, columns=64, group=GROUP, sym=True, kind="bf16", order=None):
    size = columns if group == -1 else group
    groups = -(-columns // size)
    half = 2 ** (bits - 1)
    q = rng.integers(-half, half, (OUT, columns))
    z = np.zeros((OUT, groups), dtype=np.int64) if sym else rng.integers(-half, half, (OUT, groups))
    stored, s = scales_of((OUT, groups), kind)
    g = np.arange(columns) // size
    if order == "random": g = rng.permutation(g)
    weight = s[:, g] * (q - z[:, g]).astype(np.float32)
    tensors = {"weight_packed": signed(packed(q + half, bits, 1)), "weight_scale": stored, "weight_shape": torch.tensor([OUT, columns])}
    if not sym: tensors["weight_zero_point"] = signed(packed(z + half, bits, 0))
    if order: tensors["weight_g_idx"] = (g if order == "random" else np.full(columns, -1)).astype(np.int32)
    weights = {"num_bits": bits, "type": "int", "symmetric": sym, "strategy": "channel" if group == -1 else "group", "group_size": None if group == -1 else group, "actorder": "group" if order else None}
    case(name, ct("pack-quantized", weights), form, tensors, weight)


def plain_integers(name, form, columns=64):
    q = rng.integers(-128, 128, (OUT, columns))
    stored, s = scales_of((OUT, 1), "bf16")
    weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "group_size": None}
    case(name, ct("int-quantized", weights), form, {"weight": q.astype(np.int8), "weight_scale": stored}, s * q.astype(np.float32))


ct = lambda form, weights: {"quant_method": "compressed-tensors", "format": form, "ignore": ["lm_head"], "kv_cache_scheme": None, "quantization_status": "compressed",
                            "config_groups": {"group_0": {"targets": ["Linear"], "input_activations": None, "output_activations": None, "weights": weights}}}
floats = lambda **more: ct("float-quantized", {"num_bits": 8, "type": "float", "symmetric": True, **more})
blocks = lambda *size: {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": list(size)}

gptq("gptq symmetric", "int4-g32-symmetric", sym=True)
gptq("gptq symmetric, zeros as they are", "int4-g32-symmetric", sym=True, shown="as-they-are")
gptq("gptq symmetric, second version", "int4-g32-symmetric", sym=True, version="gptq_v2")
gptq("gptq with zeros, some of them 0", "int4-g32")
gptq("gptq with zeros, second version", "int4-g32-bf16", version="gptq_v2", kind="bf16")
gptq("gptq in another order", "int4-g32-ordered", order=True, columns=96)
gptq("gptq symmetric in another order", "int4-g32-symmetric-ordered", sym=True, order=True)
gptq("gptq without an index", "int4-g32", index=False)
gptq("gptq of 8 bits", "int8-g32", bits=8)
gptq("gptq of 2 bits", "int2-g32-f32", bits=2, kind="f32")
gptq("gptq of rows", "int4-row-symmetric", group=-1, sym=True)
gptq("gptq that leaves modules out", "int4-g32-symmetric", sym=True, dynamic={"-:.*gate": {}}, lm_head=False)
awq("awq", "int4-g32")
awq("awq of rows", "int4-row-bf16", group=-1, kind="bf16")
fp8("fp8 in blocks", "fp8-16x32", blocks(16, 32), "weight_scale_inv", (2, 2), "f32", block=(16, 32))
fp8("fp8 in blocks, some of them cut off", "fp8-16x32", blocks(16, 32), "weight_scale_inv", (2, 3), "bf16", columns=70, block=(16, 32))
fp8("fp8 of a tensor", "fp8-tensor", {"quant_method": "fp8", "activation_scheme": "static"}, "weight_scale", (), "f32", block=(OUT, 64))
fp8("fbgemm", "fp8-row", {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0, "modules_to_not_convert": ["lm_head"]}, "weight_scale", (OUT, 1), "f32", block=(1, 64))
fp8("compressed-tensors, fp8 of rows", "fp8-row", floats(strategy="channel"), "weight_scale", (OUT, 1), "bf16", block=(1, 64))
fp8("compressed-tensors, fp8 of a tensor", "fp8-tensor", floats(strategy="tensor"), "weight_scale", (1,), "bf16", block=(OUT, 64))
fp8("compressed-tensors, fp8 in blocks", "fp8-16x32", floats(strategy="block", block_structure=[16, 32]), "weight_scale", (2, 2), "bf16", block=(16, 32))
compressed("compressed-tensors, symmetric", "int4-g32-symmetric-bf16")
compressed("compressed-tensors with zeros", "int4-g32", sym=False, kind="f16")
compressed("compressed-tensors of rows and 8 bits", "int8-row-bf16", bits=8, columns=70, group=-1, sym=False)
compressed("compressed-tensors in another order", "int4-g32-symmetric-ordered-bf16", order="random")
compressed("compressed-tensors with an index that was not filled", "int4-g32-symmetric-bf16", order="unset")
plain_integers("compressed-tensors, integers as they are", "int8-row-symmetric-bf16")
print(json.dumps(cases, indent=2))
