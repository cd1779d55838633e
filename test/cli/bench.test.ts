import { mkdtemp, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "vitest"
import { randomWeights } from "../../cli/bench/random-model.js"
import type { ArtifactWeight } from "../../runtime/artifact.js"
import { toFloat32 } from "../../runtime/weights/dtypes.js"
import { weftHere } from "./run.js"

const weight = (tensor: string, shape: readonly number[]) => ({ tensor, shape }) as ArtifactWeight
const read = async (seed: number, w: ArtifactWeight, offset: number, count: number) =>
  toFloat32("BF16", await randomWeights(seed).read(w, 2 * offset, 2 * count, new Uint8Array(2 * count)))

it("gives matrices the variance of one over their row, vectors values near one", async () => {
  const count = 100_000
  const matrix = await read(0, weight("a", [1000, 256]), 0, count)
  const mean = matrix.reduce((a, b) => a + b) / count
  const variance = matrix.reduce((a, b) => a + (b - mean) ** 2, 0) / count
  expect(Math.abs(mean)).toBeLessThan(1e-3)
  expect(variance * 256).toBeCloseTo(1, 1)
  const vector = await read(0, weight("b", [1000]), 0, 1000)
  expect(Math.min(...vector)).toBeGreaterThan(0.89)
  expect(Math.max(...vector)).toBeLessThan(1.11)
})

it("gives the same tensor the same values in whatever parts it is read, and others others", async () => {
  const w = weight("a", [40_000, 256])
  const end = 1_048_573
  const whole = await read(7, w, 0, 1000)
  const around = await read(7, w, end - 500, 1000)
  expect(await read(7, w, end, 500)).toEqual(around.subarray(500))
  expect(around.subarray(500)).toEqual(whole.subarray(0, 500))
  expect(await read(7, w, 12, 20)).toEqual(whole.subarray(12, 32))
  for (const other of [await read(8, w, 0, 20), await read(7, weight("b", [40_000, 256]), 0, 20)])
    expect(other).not.toEqual(whole.subarray(0, 20))
})

it("measures a config without a checkpoint, in every row that its context has room for", async () => {
  const config = join(await mkdtemp(join(tmpdir(), "weft-bench-test-")), "small.json")
  const sizes = { vocab_size: 256, hidden_size: 64, intermediate_size: 128, head_dim: 32, max_position_embeddings: 60 }
  const counts = { num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1 }
  const rest = { model_type: "qwen3", rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: true }
  await writeFile(config, JSON.stringify({ ...sizes, ...counts, ...rest }))
  const given = ["--config", config, "--random-weights", "--device", "wasm", "--threads", "1", "--json"]
  const { code, stdout, stderr } = await weftHere(["bench", ...given])
  expect(code, stderr).toBe(0)
  const found = JSON.parse(stdout)
  const named = found.rows.map((r: { kind: string; context: number; tokens: number }) => [r.kind, r.context, r.tokens])
  expect(named).toEqual([
    ["reading", 0, 59],
    ["greedy", 0, 58],
    ["sampled", 0, 58],
  ])
  for (const row of found.rows) {
    expect(row.least).toBeGreaterThan(0)
    expect(row.least).toBeLessThanOrEqual(row.median)
    expect(row.median).toBeLessThanOrEqual(row.most)
    expect(row.kernels).toBeGreaterThan(3)
  }
  expect(found).toMatchObject({ model: config, randomWeights: true, prefill: found.rows[0], decode: found.rows[1] })
  // One layer: q and o of 64 × 64, k and v of 32 × 64, gate, up and down of 128 × 64, the table of 256 × 64; norms of 64, 64, 32, 32 and 64.
  expect(found.weightBytes).toBe(2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64 + 256 * 64 + 3 * 64 + 2 * 32))
  // Each token reads the rows of keys and values before it, half of them on average: 32 of each, 4 bytes wide.
  expect(found.rows[1].bytes - found.weightBytesPerToken).toBe(29 * 2 * 32 * 4)
  expect(found.firstToken.coldMs).toBeGreaterThan(found.firstToken.warmMs)
}, 120_000)

it.each([
  [["--config", "x.json"], "--config and --random-weights go together"],
  [["--random-weights"], "--config and --random-weights go together"],
  [["--config", "x.json", "--random-weights", "--model", "d"], "give --model or --config, not both"],
])("refuses %s", async (args, message) => {
  const { code, stderr } = await weftHere(["bench", ...args])
  expect(code).toBe(2)
  expect(stderr).toContain(message)
})
