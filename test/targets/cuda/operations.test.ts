/** Every operation on every dtype at every width against the table, as CUDA on a processor. */
import { beforeAll, describe, expect, it } from "vitest"
import { allocateBuffer, memoryOf } from "../../../compiler/interpret/memory.js"
import { literal } from "../../../compiler/ir/expression.js"
import { lacking } from "../../../compiler/targets/cuda/operations.js"
import { batchesOf, cases, count, dtypes, inputs, keyOf, wrongOfBatch } from "../operations.js"
import { compilerPresent, runCuda } from "./run.js"

const batches = batchesOf(lacking)
const failures = new Map<string, string[]>()

describe.skipIf(!compilerPresent())("operations as CUDA", () => {
  beforeAll(() => {
    const sources = dtypes.map((d) => [`in_${d}`, memoryOf(d, inputs[d].flat())] as const)
    const launches = batches.map(({ kernel, cases }) => {
      const out = allocateBuffer("u32", "u32", cases.length * count)
      const buffers = kernel.buffers.map((b) => ({
        ...b,
        size: literal(b.name === "out" ? cases.length * count : 3 * count),
      }))
      return {
        kernel: { ...kernel, buffers },
        memories: new Map([...sources, ["out", out]]),
        symbols: new Map<string, number>(),
      }
    })
    for (const [i, after] of runCuda(launches).entries())
      for (const { key, problem } of wrongOfBatch(batches[i]!, after!.get("out")!.values))
        failures.set(key, [...(failures.get(key) ?? []), problem])
  })

  it.each([...new Set(cases.map(keyOf))])("%s", (key) => {
    expect(failures.get(key)?.slice(0, 6) ?? []).toEqual([])
  })
})
