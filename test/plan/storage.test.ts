/** What `fast` rounds and what it leaves: the same launches over smaller memory, and choices that are made on f32. */
import { describe, expect, test } from "vitest"
import type { Artifact } from "../../runtime/artifact.js"
import { memoryOf } from "../../runtime/memory.js"
import { compileConfig } from "../support/configs.js"

const entries = ["prefill", "step", "greedy"]
const adapter = { subgroupSize: 32 }

/** The lengths of the rows of scratch buffers that lie in a storage. */
const rows = ({ buffers }: Artifact, storage: string): ReadonlySet<number> =>
  new Set(buffers.filter((b) => b.role === "scratch" && b.storage === storage).map((b) => b.shape.at(-1)!))

describe.each(["qwen3-0.6b", "qwen3-30b-a3b"] as const)("%s", (name) => {
  test("runs as many kernels in fast as in exact, and its cache takes half", async () => {
    const [exact, fast] = await Promise.all(
      (["exact", "fast"] as const).map((precision) => compileConfig(name, "webgpu", { precision, adapter, entries })),
    )
    for (const entry of entries)
      expect(fast!.artifact.entries[entry]!.launches.length).toBe(exact!.artifact.entries[entry]!.launches.length)
    const [before, after] = [memoryOf(exact!.artifact), memoryOf(fast!.artifact)]
    expect(after.state / before.state).toBeCloseTo(0.5, 2)
    expect(after.scratch).toBeLessThan(before.scratch)
    const kept = fast!.artifact.buffers.filter((b) => b.role === "output" || b.name === "states.token")
    expect(kept.map((b) => b.storage)).not.toContain("bf16")
  })
})

test("what is handed from layer to layer, and what experts are chosen by, stays f32", async () => {
  const { artifact: dense } = await compileConfig("qwen3-0.6b", "webgpu", { precision: "fast", adapter, entries })
  expect([...rows(dense, "bf16")].sort()).toEqual([128, 3072]) // Channels of heads; the hidden layer.
  expect(rows(dense, "f32")).toContain(1024) // embed
  const { artifact: sparse } = await compileConfig("qwen3-30b-a3b", "webgpu", { precision: "fast", adapter, entries })
  expect([...rows(sparse, "bf16")]).toEqual([768]) // The hidden layer of experts: nothing is chosen by it.
  expect(rows(sparse, "f32")).toContain(2048)
})
