#!/usr/bin/env python3
"""Writes blocks.json: for each of GGUF's block types three blocks of random bytes, and the float32 numbers that gguf-py decodes them to.

    python blocks.py > blocks.json      needs gguf, numpy

Scales in half precision are finite; the second block has subnormal ones, the third the largest.
"""
import base64, json, numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Q, quants

# Where a block has numbers in half precision, in bytes.
HALVES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}
rng = np.random.default_rng(14)
text = lambda array: base64.b64encode(array.tobytes()).decode()
out = {}
for name, places in HALVES.items():
    _, size = GGML_QUANT_SIZES[Q[name]]
    blocks = rng.integers(0, 256, (3, size), dtype=np.uint8)
    for at in places:
        for block, number in enumerate((rng.standard_normal() / 50, 2.0**-24 * rng.integers(1, 1000), -65504.0)):
            blocks[block, at : at + 2] = np.array([number], np.float16).view(np.uint8)
    weights = quants.dequantize(blocks, Q[name])
    assert weights.dtype == np.float32 and np.isfinite(weights).all()
    out[name] = {"blocks": text(blocks), "weights": text(weights)}
print(json.dumps(out, indent=2))
