/** Which type each tensor of a model gets. */
import { expect, test } from "vitest"
import type { Target } from "../../cli/quantize/targets.js"
import type { FileTensor } from "../../cli/quantize/tensors.js"
import { typed } from "../../cli/quantize/types.js"

const tensor = (name: string, shape: readonly number[], dtype = "BF16"): FileTensor =>
  ({ name, shape, parts: [{ dtype }], head: undefined }) as unknown as FileTensor
const typeOf = (name: string, to: Target, shape: readonly number[] = [512, 512], layers = 16) =>
  typed(tensor(name, shape), to, layers).type

test("embedding and head have more bits than what is between", () => {
  for (const name of ["token_embd.weight", "output.weight"])
    expect((["q4_k", "mixed", "q6_k", "q8_0"] as const).map((to) => typeOf(name, to))).toEqual([
      "q6_k",
      "q6_k",
      "q8_0",
      "q8_0",
    ])
  expect((["q4_k", "mixed", "q6_k", "q8_0"] as const).map((to) => typeOf("blk.5.attn_q.weight", to))).toEqual([
    "q4_k",
    "q4_k",
    "q6_k",
    "q8_0",
  ])
})

test("what vectors and routers say is not rounded", () => {
  for (const to of ["q4_k", "q8_0"] as const) {
    expect(typeOf("blk.0.attn_norm.weight", to, [512])).toBe("F32")
    expect(typeOf("blk.0.attn_q.bias", to, [512])).toBe("F32")
    expect(typeOf("blk.0.ffn_gate_inp.weight", to, [8, 512])).toBe("F32")
    expect(typeOf("blk.0.ffn_gate_inp_shexp.weight", to, [1, 512])).toBe("F32")
    expect(typeOf("blk.0.ffn_gate_exps.weight", to, [8, 256, 512])).toBe(to)
  }
})

test("mixed: values and what leaves the feed-forward layers, in the layers of llama.cpp's Q4_K_M", () => {
  const wider = (name: string) =>
    Array.from({ length: 16 }, (_, i) => i).filter((i) => typeOf(`blk.${i}.${name}.weight`, "mixed") === "q6_k")
  // use_more_bits of llama.cpp: the first eighth, the last, and of those between every third.
  for (const name of ["attn_v", "ffn_down", "ffn_down_exps"]) expect(wider(name)).toEqual([0, 1, 4, 7, 10, 13, 14, 15])
  for (const name of ["attn_q", "attn_k", "attn_output", "ffn_up", "ffn_gate"]) expect(wider(name)).toEqual([])
})

test("rows that are no whole number of blocks: q8_0, or as they are", () => {
  expect(typed(tensor("blk.0.attn_q.weight", [64, 96]), "q4_k", 2)).toMatchObject({ type: "q8_0", wanted: "q4_k" })
  expect(typed(tensor("blk.0.attn_q.weight", [64, 48]), "q4_k", 2)).toMatchObject({ type: "BF16", wanted: "q4_k" })
  expect(typed(tensor("blk.0.attn_q.weight", [64, 48], "F16"), "q8_0", 2)).toMatchObject({ type: "F16" })
  expect(typed(tensor("blk.0.attn_q.weight", [64, 48], "q4_0"), "q8_0", 2)).toMatchObject({ type: "F32" })
  expect(typed(tensor("blk.0.attn_q.weight", [64, 256]), "q4_k", 2)).toMatchObject({ type: "q4_k", wanted: "q4_k" })
})
