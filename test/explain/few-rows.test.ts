/** Few rows by matrix units: weights are read once for all of them, by all multiprocessors; counted, not timed. */
import { beforeAll, describe, expect, test } from "vitest"
import type { Compilation } from "../../compiler/compile.js"
import { deviceOn, devices } from "../../compiler/explain/devices.js"
import { kernelCosts } from "../../compiler/explain/kernels.js"
import { compileConfig } from "../support/configs.js"

const device = deviceOn(devices["nvidia-h200"]!, "cuda")!
const past = 1024

describe("logits of up to 16 tokens of 8B, after 1,024", () => {
  let compilation: Compilation
  beforeAll(async () => {
    const adapter = { subgroupSize: 32, capability: 90 }
    compilation = await compileConfig("qwen3-8b", "cuda", { precision: "fast", adapter, context: 8448 })
  }, 60_000)
  const costs = (entry: string, seq: number) => {
    const sizes = new Map([
      ["past", past],
      ["seq", seq],
    ])
    const kernels = kernelCosts(compilation, entry, sizes, device)
    const sum = (of: (k: (typeof kernels)[number]) => number) => kernels.reduce((n, k) => n + k.launches * of(k), 0)
    return { kernels, bytes: sum((k) => k.bytes), microseconds: sum((k) => k.estimatedMicroseconds!) }
  }
  /** Those that read weights of some size. */
  const streaming = (entry: string, seq: number) => costs(entry, seq).kernels.filter((k) => k.bytes > 20e6)

  test("move what one token does, and little beside", () => {
    const one = costs("step", 1)
    for (const seq of [2, 4, 8, 16]) expect(costs("logits.16", seq).bytes, `${seq}`).toBeLessThan(1.03 * one.bytes)
  })

  test("take all multiprocessors, with rows on the narrow side", () => {
    const kernels = streaming("logits.16", 8)
    expect(kernels.length).toBe(5)
    for (const k of kernels) {
      expect(k.atom, k.name).toBe("mma.m16n8k16.bf16")
      expect(k.blocks, k.name).toBeGreaterThanOrEqual(128)
    }
  })

  test("take as long as one another", () => {
    const [few, most] = [costs("logits.16", 2), costs("logits.16", 16)]
    expect(most.microseconds).toBeLessThan(1.05 * few.microseconds)
  })
})
