/** What the plan of a decode step promises: few kernels a layer, one set of commands for every length, no work that grows with the maximum. */
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { type Compilation, compileProgram } from "../../compiler/compile.js"
import { evaluate } from "../../compiler/ir/expression.js"
import type { ArtifactTarget } from "../../runtime/artifact.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { qwen3 } from "../support/driver.js"
import { root } from "../support/goldens.js"

/** Compilations by what they were made of: claims share them. */
const compiled = new Map<string, Promise<Compilation>>()

function compileTales(target: ArtifactTarget, changes: Record<string, unknown>): Promise<Compilation> {
  const key = JSON.stringify([target, changes])
  const known = compiled.get(key) ?? compileOnce(target, changes)
  compiled.set(key, known)
  return known
}

async function compileOnce(target: ArtifactTarget, changes: Record<string, unknown>): Promise<Compilation> {
  const checkpoint = await openCheckpoint(join(root, "models", "tales"))
  const program = (await qwen3()).configure({ ...checkpoint.config, ...changes })
  await checkpoint.close()
  return compileProgram(program, "qwen3", { target, storage: () => "bf16", entries: ["step", "prefill"] })
}

/** Workgroup iterations of each launch of a step at a past length. */
function iterations({ artifact, kernels }: Compilation, past: number): readonly number[] {
  return artifact.entries.step!.launches.map(({ kernel }) => {
    const [grid] = kernels[kernel]!.loops.body
    if (grid?.kind !== "for") throw new Error("a kernel is one grid loop")
    return evaluate(
      grid.extent,
      new Map([
        ["past", past],
        ["seq", 1],
      ]),
    )
  })
}

describe.each(["wasm", "webgpu"] as const)("the decode step on %s", (target) => {
  test("has at most 9 kernels per layer of experts", async () => {
    const layers = [8, 4]
    const [deep, shallow] = await Promise.all(layers.map((n) => compileTales(target, { num_hidden_layers: n })))
    const launches = (c: Compilation) => c.artifact.entries.step!.launches.length
    expect((launches(deep!) - launches(shallow!)) / 4).toBeLessThanOrEqual(9)
  })

  test("compiles each layer once, whatever their number", async () => {
    const [deep, shallow] = await Promise.all([8, 4].map((n) => compileTales(target, { num_hidden_layers: n })))
    expect(deep!.artifact.kernels.length).toBe(shallow!.artifact.kernels.length)
  })

  test("does the same work at a position, whatever the maximum", async () => {
    const [short, long] = await Promise.all(
      [1024, 16384].map((n) => compileTales(target, { max_position_embeddings: n })),
    )
    expect(iterations(long!, 10)).toEqual(iterations(short!, 10))
    expect(iterations(long!, 900)).toEqual(iterations(short!, 900))
    // Launch sizes are constants of the plan; no extent of a loop is a capacity.
    expect(short!.kernels.map((k) => k.loops.symbols)).toEqual(long!.kernels.map((k) => k.loops.symbols))
  })
})
