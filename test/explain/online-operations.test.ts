/**
 * What hardware computes for online folds: each score once, whatever the shape of heads, and however little a workgroup may hold. A fold whose
 * scores are computed anew for each of its channels computes ten times what it needs.
 */
import { describe, expect, test } from "vitest"
import { devices } from "../../compiler/explain/devices.js"
import { entryFacts } from "../../compiler/explain/facts.js"
import { launchWork } from "../../compiler/explain/lanes/work.js"
import { nodesOf } from "../../compiler/ir/query.js"
import { long, seed } from "../laws/settings.js"
import { compileConfig } from "../support/configs.js"

const { adapter } = devices["nvidia-h200"]!

/** A model that is little more than its heads. */
const compiled = (entry: string, channels: number, queries: number, keys: number, workgroupBytes: number) =>
  compileConfig("qwen3-0.6b", "webgpu", {
    adapter: { ...adapter, workgroupBytes },
    entries: [entry],
    config: {
      hidden_size: 64,
      intermediate_size: 64,
      num_hidden_layers: 1,
      max_position_embeddings: 8704,
      vocab_size: 64,
      eos_token_id: 1,
      bos_token_id: 1,
      head_dim: channels,
      num_attention_heads: queries,
      num_key_value_heads: keys,
    },
  })

/** Operations of a prompt over those of a program that computes each tensor once. */
async function ratios(channels: number, queries: number, keys: number, bytes: number, rows: readonly number[]) {
  const compilation = await compiled("prefill", channels, queries, keys, bytes)
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

/** Every other one by the seed of the run; all in long ones. */
const drawn = <T>(all: readonly T[]): readonly T[] => (long ? all : all.filter((_, i) => i % 2 === seed % 2))

describe("a prompt computes at most 1.25 times the operations of the unfused program", () => {
  const rows = [1, 5, 64, 100, 512]
  test.each(drawn(shapes))("$queries query heads on $keys key heads of $channels channels", async (s) => {
    for (const { seq, past, ratio } of await ratios(s.channels, s.queries, s.keys, 49152, rows))
      expect(ratio, `${seq} rows after ${past}`).toBeLessThanOrEqual(1.25)
  })
  test.each(drawn([16384, 32768]))("where a workgroup holds %i bytes", async (bytes) => {
    for (const channels of [64, 128])
      for (const { seq, past, ratio } of await ratios(channels, 4, 2, bytes, rows))
        expect(ratio, `${seq} rows after ${past}, ${channels} channels`).toBeLessThanOrEqual(1.25)
  })
  test("and at most 1.5 times where one row more than a block takes another block", async () => {
    for (const { past, ratio } of await ratios(64, 4, 2, 49152, [33]))
      expect(ratio, `after ${past}`).toBeLessThanOrEqual(1.5)
  })
})

describe("a step folds what it has seen with lanes over channels", () => {
  // Lanes have registers for 32 elements that they add up, 8 channels of four rows or 12 of two: blocks that share what they read take other rows.
  test.each([
    { channels: 128, queries: 16, keys: 8, sharing: 1 },
    { channels: 128, queries: 32, keys: 8, sharing: 1 },
    { channels: 128, queries: 32, keys: 4, sharing: 2 },
    { channels: 64, queries: 4, keys: 2, sharing: 1 },
    { channels: 96, queries: 4, keys: 1, sharing: 2 },
    { channels: 256, queries: 4, keys: 1, sharing: 1 },
  ])("$queries query heads on $keys key heads of $channels channels", async ({ channels, queries, keys, sharing }) => {
    const compilation = await compiled("step", channels, queries, keys, 49152)
    const { kernels } = compilation
    const online = kernels.filter(({ kernel }) =>
      nodesOf(
        kernel.items.map((i) => i.value),
        "reduce",
      ).some((r) => r.monoid.kind === "online"),
    )
    // One folds parts of the keys, the other what has become of them.
    expect(online.length).toBe(2)
    for (const { schedule } of online)
      expect(Object.values(schedule.stores[0]!.tile).some((t) => (t.lanes ?? 1) > 1)).toBe(true)
    const work = (past: number) =>
      compilation.within(() =>
        online.map(
          ({ loops }) => launchWork(loops, { sizes: new Map([["past", past]]), latency: () => 0, expected: 1 })!,
        ),
      )
    const alike = keys * sharing
    for (const past of [1023, 4095, 8191]) {
      const [parts, whole] = work(past)
      const bytes = (past + 1) * keys * channels * 2 * 4
      // A block asks for each key and value once for all of its rows; what else is asked for are queries, again by each subgroup.
      const others = parts!.blocks * 8 * (queries / keys / sharing) * channels * 4
      expect(parts!.requested, `bytes after ${past}`).toBeLessThanOrEqual(1.02 * sharing * bytes + 1.2 * others)
      // No score is computed for more than one channel, and what is merged of groups is little beside.
      const needed = (past + 1) * queries * 4 * channels
      expect(parts!.operations + whole!.operations, `operations after ${past}`).toBeLessThanOrEqual(3 * needed)
      // No lane waits for another but where groups are merged, and where queries that the block computes itself are there.
      expect(parts!.barriers).toBeLessThanOrEqual(4)
      expect(whole!.barriers).toBeLessThanOrEqual(2)
      // Blocks for the cores of the device, as far as there are keys for them.
      expect(parts!.blocks).toBe(alike * Math.min(64, 256 / alike, Math.ceil((past + 1) / 64)))
    }
    // Parts that do not exist are no blocks.
    expect(work(0)[0]!.blocks).toBe(alike)
  })
})
