/**
 * What hardware computes for online folds: each score once, whatever the shape of heads, and however little a workgroup may hold. A fold whose
 * scores are computed anew for each of its channels computes ten times what it needs.
 */
import { describe, expect, test } from "vitest"
import { devices } from "../../compiler/explain/devices.js"
import { entryFacts } from "../../compiler/explain/facts.js"
import { compileConfig } from "../support/configs.js"

const { adapter } = devices["nvidia-h200"]!

/** Operations of a prompt over those of a program that computes each tensor once, for a model that is little more than its heads. */
async function ratios(
  channels: number,
  queries: number,
  keys: number,
  workgroupBytes: number,
  rows: readonly number[],
) {
  const small = { hidden_size: 64, intermediate_size: 64, num_hidden_layers: 1, max_position_embeddings: 1024 }
  const tokens = { vocab_size: 64, eos_token_id: 1, bos_token_id: 1 }
  const heads = { head_dim: channels, num_attention_heads: queries, num_key_value_heads: keys }
  const compilation = await compileConfig("qwen3-0.6b", "webgpu", {
    adapter: { ...adapter, workgroupBytes },
    entries: ["prefill"],
    config: { ...small, ...tokens, ...heads },
  })
  return rows.flatMap((seq) =>
    [0, 512].map((past) => {
      const facts = entryFacts(compilation, "prefill", new Map(Object.entries({ past, seq })))!
      return { seq, past, ratio: facts.operations / facts.unfusedOperations }
    }),
  )
}

const shapes = [
  ...[64, 96, 256].map((channels) => ({ channels, queries: 4, keys: 1 })),
  ...[64, 80, 128].map((channels) => ({ channels, queries: 16, keys: 8 })),
]

describe("a prompt computes at most 1.25 times the operations of the unfused program", () => {
  const rows = [1, 2, 5, 16, 64, 100, 512]
  test.each(shapes)("$queries query heads on $keys key heads of $channels channels", async (s) => {
    for (const { seq, past, ratio } of await ratios(s.channels, s.queries, s.keys, 49152, rows))
      expect(ratio, `${seq} rows after ${past}`).toBeLessThanOrEqual(1.25)
  })
  test.each([16384, 32768, 49152])("where a workgroup holds %i bytes", async (bytes) => {
    for (const channels of [64, 128])
      for (const { seq, past, ratio } of await ratios(channels, 4, 2, bytes, rows))
        expect(ratio, `${seq} rows after ${past}, ${channels} channels`).toBeLessThanOrEqual(1.25)
  })
  test("and at most 1.5 times where one row more than a block takes another block", async () => {
    for (const { past, ratio } of await ratios(64, 4, 2, 49152, [33]))
      expect(ratio, `after ${past}`).toBeLessThanOrEqual(1.5)
  })
})
