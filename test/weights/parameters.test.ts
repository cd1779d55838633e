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

test("a tied checkpoint may carry a head that the model does not ask for", () => {
  const tied = checkpoint(["embed", "BF16", [4]], ["lm_head.weight", "I8", [4]])
  const ignore = (name: string) => name === "lm_head.weight"
  expect([...matchParameters(tied, [{ name: "embed", shape: [4] }], { ignore }).keys()]).toEqual(["embed"])
})

test("everything wrong is in one error", async () => {
  const stored = checkpoint(
    ["wide", "BF16", [4, 2]],
    ["flat", "F32", []],
    ["whole", "I64", [1]],
    ["extra\u001b[31m", "F32", []],
  )
  const layers = Array.from({ length: 7 }, (_, layer) => ({ name: `layers.${layer}.weight`, shape: [1] }))
  const expected = [
    ...layers,
    { name: "wide", shape: [2, 4] },
    { name: "flat", shape: [8] },
    { name: "whole", shape: [1] },
    { name: "__proto__", shape: [1] },
  ]
  expect(await thrown(() => matchParameters(stored, expected))).toBe(
    `checkpoint/parameters: the checkpoint "models/x" does not fit the model
  8 missing:
    "layers.0.weight"
    "layers.1.weight"
    "layers.2.weight"
    "layers.3.weight"
    "layers.4.weight"
    and 3 more
  1 not in the model:
    "extra\\u001b[31m"
  2 of another shape:
    "wide" is [4, 2], the model has [2, 4]
    "flat" is [], the model has [8]
  1 of another type:
    "whole" is I64, weights are F32, F16 or BF16
hint: the weights belong to another config.json or another model family, or the export is incomplete`,
  )
})
