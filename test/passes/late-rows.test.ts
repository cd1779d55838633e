/** Blocks of late rows come first where those have most to fold, and only there. */
import { expect, test } from "vitest"
import { compileProgram } from "../../compiler/compile.js"
import { add, apply, literal, symbol, variable } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { maskedLift } from "../../compiler/ir/verify/masks.js"
import { growingAlong } from "../../compiler/tile/range.js"
import { qwen3 } from "../support/driver.js"

const [key, row, head, past] = [variable("key"), variable("row"), variable("head"), symbol("past", 4096, 512)]
const rows = [
  { name: "row", extent: literal(512) },
  { name: "head", extent: literal(8) },
]
const at = add(past, row)
const within = apply("le", key, at)
const window = apply("gt", key, add(at, literal(-16)))

/** The axis along which there is more and more to fold where a score counts only under this condition. */
const growing = (condition: Expression) => {
  const score = apply("select", condition, variable("score", "f32"), literal(Number.NEGATIVE_INFINITY, "f32"))
  return growingAlong(maskedLift(score, "max")!, "key", rows)?.name
}

test.each([
  ["up to the row", within, "row"],
  ["up to the row, from the other side", apply("ge", at, key), "row"],
  ["a window before the row", apply("and", within, window), undefined],
  ["from the row on", apply("ge", key, at), undefined],
  ["less and less of them", apply("le", key, apply("sub", literal(600), row)), undefined],
  ["what is the same for all rows", apply("lt", key, past), undefined],
  ["up to the row, from a fixed one on", apply("and", within, apply("ge", key, literal(3))), "row"],
  ["up to a sum of two axes", apply("le", key, add(at, head)), undefined],
])("%s", (_, condition, axis) => expect(growing(condition)).toBe(axis))

test("of a prompt's folds those up to the row are begun with the last rows, those of a window are not", async () => {
  const program = (await qwen3()).configure({
    model_type: "qwen3",
    vocab_size: 64,
    hidden_size: 32,
    intermediate_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 16,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    tie_word_embeddings: true,
    max_position_embeddings: 1024,
    use_sliding_window: true,
    sliding_window: 64,
    max_window_layers: 1,
    layer_types: ["full_attention", "sliding_attention"],
  })
  const options = {
    target: "cuda",
    precision: "fast",
    storage: () => "bf16",
    chunk: 512,
    entries: ["prefill"],
  } as const
  const { kernels, entries, artifact } = compileProgram(program, "qwen3", {
    ...options,
    storage: () => "bf16",
  })
  expect(entries.map((e) => e.name)).toEqual(["prefill", "prefill.16"])
  const folds = (entry: string) =>
    [...new Set(artifact.entries[entry]!.launches.map((l) => l.kernel))].flatMap((i) => {
      const { kernel, schedule } = kernels[i]!
      const [store] = schedule.stores
      const isOnline = store!.atom !== undefined && "key" in store!.reduce
      return isOnline ? [[kernel.name, store!.backwards, store!.raster?.[0]] as const] : []
    })
  const [whole, windowed, ...others] = folds("prefill")
  expect(others).toEqual([])
  expect(whole!.slice(1)).toEqual([true, expect.stringMatching(/^seq/)])
  expect(windowed!.slice(1)).toEqual([undefined, undefined])
  // Of few rows there is one block.
  expect(folds("prefill.16").map(([, backwards]) => backwards)).toEqual([undefined, undefined])
})
