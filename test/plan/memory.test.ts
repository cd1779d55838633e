/** What a plan says of memory before anything is allocated. */
import { describe, expect, test } from "vitest"
import { livesOf } from "../../compiler/plan/plan.js"
import type { Artifact } from "../../runtime/artifact.js"
import { memoryOf } from "../../runtime/memory.js"
import { compileConfig } from "../support/configs.js"
import { peak } from "./peak.js"

const MiB = 2 ** 20
const entries = ["prefill", "step"]
/** A state's axis of keys: the whole context, or what the option makes of it. */
const keys = (a: Artifact) => a.buffers.find((b) => b.name.endsWith(".k") && b.role === "state")!.shape[0]

/** Bytes of the slots for scratch buffers. Prints what is in use when most is. */
function scratchBytes(artifact: Artifact): number {
  const { buffers } = artifact
  const lives = [...livesOf(Object.values(artifact.entries), buffers)]
  const at = (launch: number) => lives.filter(([, l]) => l.first <= launch && launch <= l.last)
  const most = peak(lives.map(([, l]) => l))
  const full = lives.map(([, l]) => l.first).find((f) => at(f).reduce((n, [, l]) => n + l.bytes, 0) === most) ?? 0
  const large = at(full).filter(([, l]) => l.bytes > MiB / 2)
  const table = large.map(([i, l]) => `  ${buffers[i]!.name} [${buffers[i]!.shape}] ${(l.bytes / MiB).toFixed(1)} MiB`)
  const bytes = memoryOf(artifact).scratch
  console.log(
    `${(bytes / MiB).toFixed(1)} MiB of scratch, ${(most / MiB).toFixed(1)} in use at once:\n${table.join("\n")}`,
  )
  return bytes
}

describe("scratch memory of a prompt", () => {
  const prompt = async (chunk: number) => {
    const { artifact } = await compileConfig("qwen3-0.6b", "webgpu", { chunk, entries })
    const { context } = artifact.model!
    for (const b of artifact.buffers)
      if (b.role === "scratch")
        expect(
          b.shape.filter((n) => n >= context),
          `${b.name} [${b.shape}]`,
        ).toEqual([])
    return scratchBytes(artifact)
  }
  test("of 4096 tokens is at most 160 MiB, twice the tokens take at most 2.2 times as much, and nothing is as long as the context", async () => {
    const short = await prompt(4096)
    expect(short).toBeLessThanOrEqual(160 * MiB)
    expect(await prompt(8192)).toBeLessThanOrEqual(2.2 * short)
  })
})

describe("the estimate", () => {
  test("names every byte of the plan, and the weights are those of the checkpoint", async () => {
    const { artifact } = await compileConfig("qwen3-0.6b", "webgpu", { entries })
    const { total, weights, state, scratch, constants, exchange } = memoryOf(artifact)
    expect(weights + state + scratch + constants + exchange).toBe(total)
    expect(weights).toBe(2 * 596_049_920)
    expect(state).toBe(28 * 2 * 40960 * 8 * 128 * 4 + 151936 * 4 + 16)
  })

  test("with a shorter context the cache of keys and values shrinks with it, and nothing grows", async () => {
    const [whole, short] = await Promise.all(
      [undefined, 4096].map((context) =>
        compileConfig("qwen3-0.6b", "wasm", { entries, ...(context === undefined ? {} : { context }) }),
      ),
    )
    expect(keys(whole!.artifact)).toBe(40960)
    expect(keys(short!.artifact)).toBe(4096)
    expect(short!.artifact.model!.context).toBe(4096)
    expect(memoryOf(short!.artifact).state).toBeLessThan(memoryOf(whole!.artifact).state / 9.9)
    expect(memoryOf(short!.artifact).total).toBeLessThan(memoryOf(whole!.artifact).total)
  })
})
