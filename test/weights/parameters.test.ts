/** One error tells everything that does not fit between a checkpoint and a model. */

import { expect, test } from "vitest"
import type { StoredTensor } from "../../runtime/weights/checkpoint.js"
import type { StoredType } from "../../runtime/weights/dtypes.js"
import { matchParameters } from "../../runtime/weights/parameters.js"
import { thrown } from "./support.js"

function checkpoint(...tensors: (readonly [name: string, dtype: StoredType, shape: readonly number[]])[]) {
  const stored = tensors.map(([name, dtype, shape]): [string, StoredTensor] => [
    name,
    { name, dtype, shape, begin: 0, end: 0, file: "model.safetensors", byteLength: 0 },
  ])
  return { folder: "models/x", tensors: new Map(stored) }
}

test("what fits is returned by name, in the order of the model", () => {
  const matched = matchParameters(checkpoint(["b", "F32", []], ["a", "BF16", [2, 3]], ["c", "F16", [0]]), [
    { name: "a", shape: [2, 3] },
    { name: "b", shape: [] },
    { name: "c", shape: [0] },
  ])
  expect([...matched.values()].map(({ name, dtype }) => [name, dtype])).toEqual([
    ["a", "BF16"],
    ["b", "F32"],
    ["c", "F16"],
  ])
})

test("a tied checkpoint may carry its table under both names, if they are alike", async () => {
  const embed = [{ name: "embed", shape: [4] }]
  const alternatives = { embed: ["lm_head.weight"] }
  const tied = checkpoint(["embed", "BF16", [4]], ["lm_head.weight", "BF16", [4]])
  expect(matchParameters(tied, embed, { alternatives }).get("embed")!.name).toBe("embed")
  const other = checkpoint(["embed", "BF16", [4]], ["lm_head.weight", "I8", [4]])
  expect(await thrown(() => matchParameters(other, embed, { alternatives }))).toContain(
    '"lm_head.weight" is I8 [4], and "embed" is BF16 [4] is the same',
  )
})

const nameOf = { name: "model.layers.0.up.weight", shape: [1] }
const stored = (...names: readonly string[]) => checkpoint(...names.map((name) => [name, "F32", [1]] as const))

test("tables and masks that follow from the config are passed over", () => {
  const buffers = checkpoint(
    [nameOf.name, "F32", [1]],
    ["model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [32]],
    ["model.layers.0.attn.bias", "F32", [1, 1, 64, 64]],
    ["model.layers.0.attn.masked_bias", "F32", []],
    ["model.layers.0.attn.mask", "BOOL", [1, 64]],
    ["model.position_ids", "I64", [1, 64]],
  )
  const warnings: string[] = []
  matchParameters(buffers, [nameOf], { onWarning: (message) => warnings.push(message) })
  expect(warnings).toEqual([])
})

test("what would have changed the numbers is refused; the model's file may say that it does not", async () => {
  for (const own of [
    "model.layers.0.up.bias",
    "model.layers.1.up.weight",
    "model.embed_norm.weight",
    "model.layers.0.x",
  ]) {
    const refused = await thrown(() => matchParameters(stored(nameOf.name, own), [nameOf]))
    expect(refused).toContain(`1 not in the model:\n    "${own}"`)
    expect(refused).toContain("`ignore` of the model's file")
    matchParameters(stored(nameOf.name, own), [nameOf], { ignore: [own.replace("0", "*")] })
  }
})

test("modules that are not the model's are told", () => {
  const warnings: string[] = []
  const extra = ["score.weight", "vision.blocks.0.up.weight"]
  matchParameters(stored(nameOf.name, ...extra), [nameOf], { onWarning: (message) => warnings.push(message) })
  expect(warnings).toEqual([
    'tensors of the checkpoint that the model does not use\n  2 not in the model:\n    "score.weight"\n    "vision.blocks.0.up.weight"',
  ])
})

test("a hint tells names that are another's from tensors that are not there", async () => {
  expect(await thrown(() => matchParameters(stored("h.0.up.weight", "h.1.up.weight"), [nameOf]))).toContain(
    'hint: the names are those of another export or another family: the model has "model.layers.0.up.weight", the checkpoint "h.0.up.weight"',
  )
  expect(await thrown(() => matchParameters(stored(), [nameOf]))).toContain("hint: the export is incomplete")
})

test("everything wrong is in one error", async () => {
  const stored = checkpoint(
    ["wide", "BF16", [4, 2]],
    ["flat", "F32", []],
    ["whole", "I64", [1]],
    ["wide.extra\u001b[31m", "F32", []],
  )
  const layers = Array.from({ length: 12 }, (_, layer) => ({ name: `layers.${layer}.weight`, shape: [1] }))
  const expected = [
    ...layers,
    { name: "wide", shape: [2, 4] },
    { name: "flat", shape: [8] },
    { name: "whole", shape: [1] },
    { name: "__proto__", shape: [1] },
  ]
  expect(await thrown(() => matchParameters(stored, expected))).toBe(
    `checkpoint/parameters: the checkpoint "models/x" does not fit the model
  13 missing:
    "layers.0.weight"
    "layers.1.weight"
    "layers.2.weight"
    "layers.3.weight"
    "layers.4.weight"
    "layers.5.weight"
    "layers.6.weight"
    "layers.7.weight"
    "layers.8.weight"
    "layers.9.weight"
    and 3 more
  1 not in the model:
    "wide.extra\\u001b[31m"
  2 of another shape:
    "wide" is [4, 2], the model has [2, 4]
    "flat" is [], the model has [8]
  1 of another type:
    "whole" is I64, weights are F64, F32, F16, BF16 or in a format of blocks
hint: the export is incomplete, or config.json is that of another model`,
  )
})
